"""Files with secrets: who may read them, and how long they last."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from secureml.cli.programs import secret_files
from secureml.cli.programs.secret_files import SecretFiles
from secureml.errors import SecureMLError
from secureml.secret_types import SecretBytes

IN_MEMORY = pytest.mark.skipif(
    not secret_files._memory_has_files(), reason="this system has no files in memory"
)
KINDS = [pytest.param(True, marks=IN_MEMORY, id="memory"), pytest.param(False, id="folder")]


@pytest.mark.parametrize("in_memory", KINDS)
def test_a_file_is_read_by_children_and_is_gone_after_the_block(in_memory):
    with SecretFiles(in_memory=in_memory) as files:
        first = files.add("TLS_KEY", SecretBytes(b"one\0"))
        second = files.add("OTHER", SecretBytes(b"two"))
        assert stat.S_ISREG(Path(first).stat().st_mode)
        assert stat.S_IMODE(Path(first).stat().st_mode) & 0o077 == 0
        script = "import sys; print([open(name, 'rb').read() for name in sys.argv[1:]])"
        done = subprocess.run(
            [sys.executable, "-c", script, first, second], capture_output=True, check=True
        )
        assert done.stdout == b"[b'one\\x00', b'two']\n"
        assert files.need_removal is not in_memory
    assert not Path(first).exists()
    assert not Path(second).parent.exists() or in_memory


@IN_MEMORY
def test_a_file_in_memory_can_not_be_changed():
    with SecretFiles() as files:
        path = files.add("TLS_KEY", SecretBytes(b"one"))
        descriptor = int(path.rpartition("/")[2])
        with pytest.raises(PermissionError):
            os.write(descriptor, b"two")
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, 0)
        assert Path(path).read_bytes() == b"one"


def test_a_file_that_can_not_be_made_is_an_error_without_its_content():
    with SecretFiles(in_memory=False) as files:
        files.add("NAME", SecretBytes(b"hunter22"))
        with pytest.raises(SecureMLError, match=r"the file for NAME can't be made") as failure:
            files.add("NAME", SecretBytes(b"hunter22"))
    assert failure.value.__context__ is None

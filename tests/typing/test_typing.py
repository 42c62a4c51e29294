"""A user's typed program passes the type checkers, and uses all that is public."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import secureml
from secureml import KeyManager

SAMPLE = Path(__file__).with_name("sample.py")
INTERNAL = {"derive_own_key", "watch_with", "close"}
"""Methods for other parts of secureml, and one that ``with`` calls."""

# Pyright reads settings from a file alone; without one it is basedpyright's own mode.
PYRIGHT = json.dumps({"typeCheckingMode": "standard"})

CHECKERS = {
    "mypy": ["mypy", "--strict", "--config-file=", "--cache-dir=cache"],
    "pyright": ["basedpyright", "--pythonpath", sys.executable],
}


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_typed_program_passes(checker, tmp_path):
    shutil.copy(SAMPLE, tmp_path)
    tmp_path.joinpath("pyrightconfig.json").write_text(PYRIGHT)
    command = Path(sys.executable).with_name(CHECKERS[checker][0])
    checked = subprocess.run(
        [command, *CHECKERS[checker][1:], "sample.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_wrong_use_is_found(tmp_path):
    """What passes above is read with the package's types, not as Any."""
    tmp_path.joinpath("wrong.py").write_text(
        "from secureml import AsyncKeyManager, KeyManager\n"
        "KeyManager().get_key(versoin=1)\n"
        "AsyncKeyManager().get_key(versoin=1)\n"
    )
    command = Path(sys.executable).with_name("basedpyright")
    tmp_path.joinpath("pyrightconfig.json").write_text(PYRIGHT)
    checked = subprocess.run(
        [command, "--pythonpath", sys.executable, "wrong.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert checked.stdout.count('No parameter named "versoin"') == 2, checked.stdout


def test_the_program_uses_every_public_name_and_method():
    text = SAMPLE.read_text(encoding="utf-8")
    methods = {
        name
        for name, _ in inspect.getmembers(KeyManager, inspect.isfunction)
        if not name.startswith("_")
    }
    used = {*re.findall(r"\w+", text)}
    assert not set(secureml.__all__) - used
    assert not {name for name in methods - INTERNAL if f".{name}(" not in text}

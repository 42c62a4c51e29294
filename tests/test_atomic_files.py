"""new_file: never half a file, never another's, and what a killed writer left is swept."""

from __future__ import annotations

import errno
import os
import signal
import socket
import tempfile
from pathlib import Path

import pytest

from secureml import atomic_files as module
from secureml.atomic_files import (
    NewFile,
    check_replaceable,
    new_file,
    write_file,
    write_together,
)
from secureml.errors import SecureMLError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="files of POSIX")


@pytest.fixture(params=["nameless", "named"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether the system can write files without a name."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif not hasattr(os, "O_TMPFILE"):
        pytest.skip("the system has no files without a name")
    return request.param


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder / "target.csv"


def names(target):
    return {entry.name for entry in target.parent.iterdir()}


def killed_while_writing(target):
    """Write in a process of its own that is killed before it is done."""
    process = os.fork()
    if not process:
        with new_file(target) as file:
            file.write(b"originals")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(process, 0)[1]) == signal.SIGKILL


def test_a_file_is_there_when_it_is_complete(kind, target):
    target.write_bytes(b"old")
    with new_file(target, 0o640) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"
        assert len(names(target)) == (1 if kind == "nameless" else 2)
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o640
    assert names(target) == {target.name}


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, OSError, ValueError])
def test_an_exception_leaves_nothing(kind, target, stop):
    target.write_bytes(b"old")

    def write():
        with new_file(target) as file:
            file.write(b"originals")
            raise stop

    with pytest.raises(SecureMLError if stop is OSError else stop):
        write()
    assert target.read_bytes() == b"old"
    assert names(target) == {target.name}


def test_a_killed_writer_leaves_nothing_without_a_name_and_else_what_the_next_one_sweeps(
    kind, target
):
    killed_while_writing(target)
    assert len(names(target)) == (0 if kind == "nameless" else 1)
    write_file(target, b"new")
    assert names(target) == {target.name}


def test_the_file_of_a_living_writer_is_not_swept(kind, target):
    with new_file(target) as file:
        file.write(b"first")
        write_file(target, b"second")
    assert target.read_bytes() == b"first"
    assert names(target) == {target.name}


def test_only_files_of_this_user_and_of_the_same_target_are_swept(target, monkeypatch):
    folder = target.parent
    elsewhere = folder.parent / "elsewhere"
    elsewhere.write_text("mine")
    kept = {".target.csv.backup", ".other.csv.abcd1234.new", "target.csv.abcd1234.new"}
    for name in kept:
        (folder / name).write_text("mine")
    kept |= {".target.csv.link0000.new", ".target.csv.fifo0000.new", ".target.csv.dir00000.new"}
    (folder / ".target.csv.link0000.new").symlink_to(elsewhere)
    os.mkfifo(folder / ".target.csv.fifo0000.new")
    (folder / ".target.csv.dir00000.new").mkdir()
    mine = folder / ".target.csv.abcd1234.new"
    mine.write_text("mine")
    user = os.geteuid()
    with monkeypatch.context() as another:
        another.setattr(os, "geteuid", lambda: user + 1)
        write_file(target, b"new")
    assert mine.exists()
    write_file(target, b"new")
    assert names(target) == {target.name, *kept}
    assert elsewhere.read_text() == "mine"


def test_data_are_never_written_to_a_file_that_took_the_name(target, monkeypatch):
    """Another user who may write to the folder wins the race for the name."""
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    theirs = target.parent.parent / "theirs"
    theirs.touch()
    make = tempfile.mkstemp

    def beaten(*arguments, **options):
        descriptor, name = make(*arguments, **options)
        Path(name).rename(theirs.with_name("moved"))
        os.link(theirs, name)
        os.link(theirs, theirs.with_name("copy"))
        return descriptor, name

    monkeypatch.setattr(tempfile, "mkstemp", beaten)
    with new_file(target) as file:
        file.write(b"originals")
    assert theirs.with_name("copy").read_bytes() == b""


@pytest.mark.parametrize("what", ["folder", "device", "pipe", "socket"])
def test_only_files_are_replaced(target, what):
    path = Path(os.devnull) if what == "device" else target
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    before = path.lstat()
    with pytest.raises(SecureMLError, match=rf" is a {what}: name a file"), new_file(path) as file:
        file.write(b"new")
    assert os.path.samestat(path.lstat(), before)


def test_a_folder_that_nobody_may_enter_holds_no_file(target, monkeypatch):
    def denied(_path, **_options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "stat", denied)
    assert not check_replaceable(target)


def test_without_locks_files_are_written_and_nothing_is_swept(target, monkeypatch):
    monkeypatch.setattr(module, "fcntl", None)
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    monkeypatch.delattr(os, "fchmod")
    left = target.with_name(".target.csv.abcd1234.new")
    left.touch()
    write_file(target, b"new")
    assert target.read_bytes() == b"new"
    assert names(target) == {target.name, left.name}


def test_a_fresh_file_replaces_nothing_whenever_the_other_came(kind, target):
    def write_while_another_comes():
        with new_file(target, fresh=True) as file:
            file.write(b"new")
            target.write_bytes(b"other")

    with pytest.raises(SecureMLError, match="File exists"):
        write_while_another_comes()
    assert target.read_bytes() == b"other"
    assert list(target.parent.iterdir()) == [target]


def test_of_files_written_together_none_is_changed_if_a_fresh_one_is_there(target):
    other = target.with_name("other")
    other.write_bytes(b"other")
    with pytest.raises(SecureMLError, match="File exists"):
        write_together([NewFile(other, b"new", fresh=True), NewFile(target, b"new")])
    assert other.read_bytes() == b"other"
    assert list(target.parent.iterdir()) == [other]


def test_a_fresh_file_has_the_mode_of_a_new_one(kind, target):
    write_together([NewFile(target, b"new", fresh=True)])
    plain = target.with_name("plain")
    plain.touch()
    assert target.stat().st_mode == plain.stat().st_mode
    assert target.read_bytes() == b"new"

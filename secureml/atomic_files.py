"""Puts files in place as a whole, or not at all if the process or the machine stops.

Until it is complete a file has no name, if the system can do that: nothing is left of it when its
writer is killed. Elsewhere it lies beside its target, locked by its writer; whoever writes the
same target next removes those that nobody locks.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from secureml.errors import SecureMLError

try:
    import fcntl
except ImportError:
    fcntl = cast("Any", None)  # as on Windows; what needs it asks before

__all__ = [
    "NewFile",
    "check_replaceable",
    "new_file",
    "private_folder",
    "put_in_place",
    "sync",
    "sync_folder",
    "write_file",
    "write_together",
]

_PRIVATE = 0o600
_SUFFIX = ".new"

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file as it is to be.

    Args:
        path: its path; a symbolic link there stays one.
        content: what it is to hold.
        mode: its permission bits; by default those of the file that is there, or what the process
            gives a new one.
        fresh: whether there must be nothing of this name yet.
    """

    path: Path
    content: bytes = field(repr=False)
    mode: int | None = None
    fresh: bool = False


def check_replaceable(path: str | os.PathLike[str]) -> bool:
    """Tell whether a regular file is at a path, links followed.

    Raises:
        SecureMLError: something else is there.
    """
    try:
        kind = stat.S_IFMT(Path(path).stat().st_mode)
    except OSError:  # nothing is there, or writing tells why it can't be
        return False
    if kind != stat.S_IFREG:
        raise SecureMLError(f"{path} is {_KINDS.get(kind, 'no file')}: name a file")
    return True


@contextlib.contextmanager
def new_file(
    target: Path, mode: int | None = _PRIVATE, *, fresh: bool = False
) -> Iterator[BinaryIO]:
    """Write a file that replaces another when it is complete, and never before.

    The file that is given can be read, too.

    Args:
        target: the file, links followed.
        mode: its permission bits; by default only its owner can read it. None for those of the
            file that is there, or what the process gives a new one. Until it is complete, its
            owner alone can read it.
        fresh: replace nothing: whatever has this name by then is an error.

    Raises:
        SecureMLError: it can't be written; what was there is as it was.
    """
    check_replaceable(target)
    problem = ""
    temporary: Path | None = None
    try:
        _sweep(target)
        descriptor = _nameless(target.parent)
        if descriptor is None:
            descriptor, temporary = _named(target)
        try:
            # Never opened by its name, which whoever may write to the folder can give away.
            with os.fdopen(descriptor, "w+b") as file:
                yield file
                sync(file)
                if hasattr(os, "fchmod"):
                    os.fchmod(descriptor, _mode_of(target) if mode is None else mode)
                if temporary is None:
                    temporary = _free_name(target)
                    # A descriptor in place of a folder has no effect beside an absolute path,
                    # but for Python's call, which follows the link with it alone.
                    source = f"/proc/self/fd/{descriptor}"
                    os.link(source, temporary, src_dir_fd=descriptor)
                if fcntl is None:
                    file.close()  # Windows renames no open file
                if fresh:
                    # An empty file of ours holds the name, as not every system has hard links.
                    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _PRIVATE))
                temporary.replace(target)
                sync_folder(target.parent)
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
    except SecureMLError:
        # Some of ours are errors of the operating system too, such as an unavailable Vault.
        raise
    except OSError as error:
        problem = f"{target} can't be written ({error.strerror or type(error).__name__})"
    if problem:
        raise SecureMLError(problem)


def write_file(target: Path, content: bytes, mode: int | None = _PRIVATE) -> None:
    """Write a small file as a whole.

    Raises:
        SecureMLError: it can't be written.
    """
    with new_file(target, mode) as file:
        file.write(content)


def write_together(files: Sequence[NewFile]) -> None:
    """Write files beside those they replace, and only when all are written put them in place.

    Args:
        files: the files, in the order in which they are put in place.

    Raises:
        SecureMLError: one can't be written; if a disk is full or a folder closed, all files are
            as they were.
    """
    with contextlib.ExitStack() as stack:
        # What is entered last is put in place first.
        for file in reversed(files):
            target = Path(os.path.realpath(file.path))
            stream = stack.enter_context(new_file(target, file.mode, fresh=file.fresh))
            stream.write(file.content)
            sync(stream)


def private_folder(path: Path) -> Path:
    """Make a folder that its owner alone can enter and that git passes over.

    Args:
        path: the folder.

    Raises:
        SecureMLError: it can't be made, or something else is there.
    """
    problem = None
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        if path.is_symlink():
            problem = f"{path} is a link; tokens are kept in a folder of this very place"
        else:
            path.chmod(0o700)
            with contextlib.suppress(FileExistsError), (path / ".gitignore").open("x") as ignore:
                ignore.write("*\n")
    except OSError as error:
        problem = f"{path} can't be made a folder ({error.strerror or type(error).__name__})"
    if problem:
        raise SecureMLError(problem)
    return path


def put_in_place(path: Path, target: Path) -> None:
    """Rename a file that is complete, over another if there is one.

    Raises:
        SecureMLError: it can't be; both are as they were.
    """
    problem = ""
    try:
        path.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        problem = f"{target} can't be written ({error.strerror or type(error).__name__})"
    if problem:
        raise SecureMLError(problem)


def sync(file: BinaryIO) -> None:
    """Flush what was written to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path | int) -> None:
    """Flush the names in a folder to the disk, if the system can.

    Args:
        folder: its path, or a descriptor of it.
    """
    if os.name != "posix":
        return
    if isinstance(folder, int):
        os.fsync(folder)
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _nameless(folder: Path) -> int | None:
    """Make a file without a name, or return None if the system can't, or not name it later."""
    if not hasattr(os, "O_TMPFILE"):
        return None
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, _PRIVATE)
    except OSError:
        return None
    if not Path(f"/proc/self/fd/{descriptor}").exists():
        os.close(descriptor)
        return None
    _lock(descriptor)
    return descriptor


def _named(target: Path) -> tuple[int, Path]:
    while True:
        descriptor, name = tempfile.mkstemp(_SUFFIX, f".{target.name}.", target.parent)
        _lock(descriptor)
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)  # somebody swept before it was locked


def _free_name(target: Path) -> Path:
    """Return a name as `mkstemp` would make it."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}{_SUFFIX}")


def _lock(descriptor: int) -> None:
    """Show that the writer lives; if there are no locks, nobody sweeps either."""
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)


def _sweep(target: Path) -> None:
    """Remove what killed writers of a target left beside it."""
    if fcntl is None:
        return
    ours = re.compile(rf"\.{re.escape(target.name)}\.[a-z0-9_]{{8}}{re.escape(_SUFFIX)}")
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            if ours.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    _remove_unlocked(Path(entry.path))


def _remove_unlocked(path: Path) -> None:
    """Remove a regular file of this user that nobody locks."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    finally:
        os.close(descriptor)


def _mode_of(path: Path) -> int:
    """Return a file's permission bits, or those that the process gives a new file."""
    if path.exists():
        return stat.S_IMODE(path.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask

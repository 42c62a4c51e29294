"""Files that are there as a whole or not at all, whenever the process or the machine stops."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from secureml.errors import SecureMLError

__all__ = ["Digest", "digest_of", "mode_of", "new_file", "put", "sync_folder", "write_file"]

_PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class Digest:
    """What tells one content of a file from every other.

    Args:
        sha256: of the content, hexadecimal.
        bytes: how long it is.
    """

    sha256: str
    bytes: int


def digest_of(path: Path) -> Digest:
    """Digest a file's content.

    Raises:
        SecureMLError: it can't be read.
    """
    problem = ""
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return Digest(sha256, file.tell())
    except OSError as error:
        problem = f"{path} can't be read ({error.strerror or type(error).__name__})"
    raise SecureMLError(problem)


def mode_of(path: Path) -> int:
    """Return the permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@contextlib.contextmanager
def new_file(
    target: Path, mode: int = _PRIVATE, *, temporary: Path | None = None
) -> Iterator[BinaryIO]:
    """Write a file that replaces another when it is complete, and never before.

    Until then its content can be read under the ``name`` of the file that is given.

    Args:
        target: the file.
        mode: its permission bits; until it is complete, its owner alone can read it.
        temporary: where it is written; by default under a name of its own beside the target.

    Raises:
        SecureMLError: it can't be written; what was there is as it was.
    """
    problem = ""
    try:
        if temporary is None:
            descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
            temporary = Path(name)
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            descriptor = os.open(temporary, flags, _PRIVATE)
        try:
            os.close(descriptor)
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(mode)
            put(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except SecureMLError:
        # Some of ours are errors of the operating system too, such as an unavailable Vault.
        raise
    except OSError as error:
        problem = f"{target} can't be written ({error.strerror or type(error).__name__})"
    if problem:
        raise SecureMLError(problem)


def write_file(target: Path, text: str, mode: int = _PRIVATE) -> None:
    """Write a small file as a whole.

    Raises:
        SecureMLError: it can't be written.
    """
    with new_file(target, mode) as file:
        file.write(text.encode())


def put(temporary: Path, target: Path) -> None:
    """Give a complete file its name, for good."""
    temporary.replace(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

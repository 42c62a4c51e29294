"""What tells one content of a file from another, and who may read and write it."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from secureml.errors import SecureMLError

__all__ = ["Digest", "belongs_to", "digest_of", "digest_of_open"]


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
            return digest_of_open(file)
    except OSError as error:
        problem = f"{path} can't be read ({error.strerror or type(error).__name__})"
    raise SecureMLError(problem)


def digest_of_open(file: BinaryIO) -> Digest:
    """Digest the content of an open file, and leave it at its end."""
    file.seek(0)
    sha256 = hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
    return Digest(sha256, file.tell())


def belongs_to(status: os.stat_result, *users: int) -> bool:
    """Tell whether something is a folder of one of some users, and nobody else may write in it."""
    others_write = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and status.st_uid in users and not others_write

"""Files that are put in place together, each as a whole, and the folder that tokens lie in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from secureml.atomic_files import new_file, sync
from secureml.errors import SecureMLError

__all__ = ["NewFile", "private_folder", "write_together"]


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file as it is to be.

    Args:
        path: where; a symbolic link there stays one.
        content: what it is to hold.
        mode: its permission bits; by default those of the file that is there, or what the process
            gives a new one.
    """

    path: Path
    content: bytes = field(repr=False)
    mode: int | None = None


def write_together(files: Sequence[NewFile]) -> None:
    """Write files beside those they replace, and only when all are written put them in place.

    Args:
        files: the files, in the order in which they are put in place.

    Raises:
        SecureMLError: one can't be written; where a disk is full or a folder closed, all files
            are as they were.
    """
    with ExitStack() as stack:
        # What is entered last is put in place first.
        for file in reversed(files):
            target = Path(os.path.realpath(file.path))
            stream = stack.enter_context(new_file(target, file.mode))
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
            with suppress(FileExistsError), (path / ".gitignore").open("x") as ignore:
                ignore.write("*\n")
    except OSError as error:
        problem = f"{path} can't be made a folder ({error.strerror or type(error).__name__})"
    if problem:
        raise SecureMLError(problem)
    return path

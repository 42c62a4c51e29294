"""Standard input and output in the place of files."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from secureml.atomic_files import new_file
from secureml.errors import SecureMLError

__all__ = ["STANDARD", "new_output"]

STANDARD = Path("-")
"""Stands for standard input or output in the place of a path."""

_PIECE = 1 << 20


@contextlib.contextmanager
def new_output(target: Path, mode: int) -> Iterator[BinaryIO]:
    """Write a file as ``new_file`` does, or what goes to standard output when it is complete.

    Args:
        target: the file, or "-".
        mode: its permission bits.

    Raises:
        SecureMLError: it can't be written.
    """
    if target != STANDARD:
        with new_file(target, mode) as file:
            yield file
        return
    problem = ""
    try:
        with tempfile.TemporaryFile() as aside:
            yield cast(BinaryIO, aside)
            aside.seek(0)
            shutil.copyfileobj(aside, sys.stdout.buffer, _PIECE)
            sys.stdout.buffer.flush()
    except SecureMLError:
        raise
    except OSError as error:
        problem = f"standard output can't be written ({error.strerror or type(error).__name__})"
    if problem:
        raise SecureMLError(problem)

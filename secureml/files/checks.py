"""What is checked before a file is worked on, and what errors in one of its chunks tell."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from secureml.atomic_files import check_replaceable
from secureml.errors import ArgumentError, PseudonymizationError, SecureMLError, WrongKeyError
from secureml.files.base import TableFile
from secureml.files.kinds import is_of_another_kind
from secureml.files.standard import STANDARD
from secureml.settings.environments import did_you_mean

__all__ = [
    "Progress",
    "check_absent",
    "check_columns",
    "check_output",
    "in_rows",
    "of_file",
    "target_of",
]

Progress = Callable[[float], object]
"""Takes the fraction that is done, 0 to 1."""


def check_output(table: TableFile, output: str | os.PathLike[str]) -> Path:
    """Return where the output goes, links followed; "-" for standard output.

    Raises:
        ArgumentError: it is a folder.
        SecureMLError: it is the input, of another kind by its name, or no file.
    """
    if os.fspath(output) == str(STANDARD):
        return STANDARD
    target = target_of(output)
    if target == table.path:
        raise SecureMLError(f"{output} is the input itself: name another output")
    if is_of_another_kind(table, target):
        raise SecureMLError(f"{output}: the output is of the kind of the input, {table.path.name}")
    return target


def target_of(output: str | os.PathLike[str], argument: str = "output") -> Path:
    """Return where a file goes, links followed.

    Args:
        output: the file.
        argument: the name of the argument that gave it.

    Raises:
        ArgumentError: there is a folder.
        SecureMLError: there is something else that is no file.
    """
    target = Path(os.path.realpath(output))
    if target.is_dir():
        raise ArgumentError.of(argument, "is a folder; name a file in it", f"={str(output)!r}")
    check_replaceable(target)
    return target


def check_absent(*files: Path | None, force: bool) -> None:
    """Check that no file would be replaced that is not to be, and only files.

    Raises:
        SecureMLError: something is there.
    """
    for file in files:
        if file is None or file == STANDARD:
            continue
        if check_replaceable(file) and not force:
            raise SecureMLError(f"{file} exists already; --force (force=True) replaces it")


def check_columns(table: TableFile, names: Iterable[str] | None) -> list[str] | str | None:
    """Check that a table has columns, without showing its first line, which may be a value.

    Returns:
        The names as a list; what is no list for ``anonymize`` to refuse, or None.

    Raises:
        ArgumentError: one is missing.
    """
    if names is None or isinstance(names, str):
        return names
    names = list(names)
    there = dict.fromkeys(table.schema.names)
    for name in names:
        if name in there:
            continue
        hint = did_you_mean(name, there) or "; its first line must name the columns"
        read = f" ({table.path.name} is read as {table.about})" if table.about else ""
        problem = f"{table.path} has no column {name!r}{hint}{read}"
        raise ArgumentError(problem, argument="sensitive_columns")
    return names


@contextlib.contextmanager
def of_file(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let an error about the key of a table tell which file it is of.

    Args:
        path: the file.
    """
    try:
        yield
    except WrongKeyError as error:
        error.args = (f"{os.fspath(path)}: {error}", *error.args[1:])
        raise


@contextlib.contextmanager
def in_rows(first: int, count: int) -> Iterator[None]:
    """Let errors tell which rows they are about.

    Args:
        first: how many rows come before.
        count: how many rows are being worked on.
    """
    try:
        yield
    except ArgumentError:
        raise
    except PseudonymizationError as error:
        rows = f"row {first + 1}" if count == 1 else f"rows {first + 1} to {first + count}"
        error.args = (f"{rows}: {error}", *error.args[1:])
        raise

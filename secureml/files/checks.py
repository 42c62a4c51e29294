"""What is checked before a file is worked on, and what errors in one of its chunks tell."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from secureml.atomic_files import check_replaceable
from secureml.errors import ArgumentError, PseudonymizationError, SecureMLError, WrongKeyError
from secureml.files.base import TableFile
from secureml.files.frames import columns_in
from secureml.files.kinds import is_of_another_kind
from secureml.files.locations import (
    Address,
    LocalLocation,
    Location,
    StandardLocation,
    is_url,
    location_of,
)
from secureml.settings.environments import did_you_mean

__all__ = [
    "check_absent",
    "check_columns",
    "check_free",
    "check_output",
    "check_target",
    "in_rows",
    "of_file",
    "place_of",
    "target_of",
]


def check_output(table: TableFile, output: str | os.PathLike[str]) -> Path:
    """Return where the output goes, links followed.

    Raises:
        ArgumentError: it is a folder.
        SecureMLError: it is the input, of another kind by its name, or no file.
    """
    target = target_of(output)
    check_target(table, LocalLocation(table.path), LocalLocation(target))
    return target


def check_target(table: TableFile, source: Location, target: Location) -> None:
    """Check that a table can be written to a target.

    Args:
        table: what is read.
        source: where it lies.
        target: where it goes.

    Raises:
        SecureMLError: it is the input, or of another kind by its name.
    """
    if target == source and not isinstance(target, StandardLocation):
        raise SecureMLError(f"{target.shown} is the input itself: name another output")
    if is_of_another_kind(table, Path(target.shown)):
        raise SecureMLError(
            f"{target.shown}: the output is of the kind of the input,"
            f" {PurePosixPath(source.shown).name}"
        )


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


def place_of(output: Address, argument: str = "output") -> Location:
    """Return where a file goes, local or in a store.

    Args:
        output: the file.
        argument: the name of the argument that gave it.

    Raises:
        ArgumentError: there is a folder, or no such kind of store.
        SecureMLError: there is something else that is no file.
    """
    target = location_of(output, argument)
    if isinstance(target, LocalLocation):
        target_of(target.path if is_url(output) else output, argument)
    elif target.shown.endswith("/"):
        raise ArgumentError.of(argument, "is a folder; name a file in it", f"={target.shown!r}")
    return target


def check_free(*places: Location | None, force: bool) -> None:
    """Check that nothing would be replaced that is not to be, and only files.

    Raises:
        SecureMLError: something is there.
    """
    for place in filter(None, places):
        if place.exists() and not force:
            raise _exists(place.shown)


def _exists(path: str) -> SecureMLError:
    return SecureMLError(f"{path} exists already; --force (force=True) replaces it")


def check_absent(*files: Path | None, force: bool) -> None:
    """Check that no file would be replaced that is not to be, and only files.

    Raises:
        SecureMLError: something is there.
    """
    for file in filter(None, files):
        if check_replaceable(file) and not force:
            raise _exists(str(file))


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
    there = dict.fromkeys((*columns_in(table).names, *table.schema.names))
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
        error.reword(f"{os.fspath(path)}: {error.message}")
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
        error.reword(f"{rows}: {error.message}")
        raise

"""Columns that tell with which version of the key each row of another column was made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np

from secureml.errors import PseudonymizationError
from secureml.frames.base import Table, rows_of
from secureml.pseudonymization.keys import KeyReference
from secureml.pseudonymization.ranking.mixed_radix import Index

__all__ = [
    "check_version_columns",
    "rows_by_version",
    "version_column",
    "with_versions",
]

AnyTable = TypeVar("AnyTable", bound=Table)

_LARGEST = (1 << 31) - 1


def version_column(name: str) -> str:
    """Return the name of the column of versions beside a column."""
    return f"{name}__key_version"


def check_version_columns(table: Table, names: Iterable[str]) -> None:
    """Check that the columns of versions can be added.

    Raises:
        PseudonymizationError: the table has such columns already, or a row has several values.
    """
    names = tuple(names)
    several = [name for name in names if table.column(name).repeated]
    if several:
        raise PseudonymizationError(
            f"column {several[0]!r}: a row has any number of its values, and can't tell one version"
            " of the key for each: leave key_versions out"
        )
    taken = [version_column(name) for name in names if version_column(name) in table]
    if taken:
        raise PseudonymizationError(
            f"there are such columns already: {', '.join(map(repr, taken))}. Rename them, or"
            " anonymize the new rows alone and append them"
        )


def with_versions(table: AnyTable, names: Iterable[str], key: KeyReference) -> AnyTable:
    """Return the table with the columns of versions, new ones behind the others.

    Raises:
        PseudonymizationError: the key has no versions.
    """
    if key.version is None:
        raise PseudonymizationError(
            f"the {key} has no versions, because it is not kept in Vault: leave key_versions out"
        )
    columns = dict.fromkeys(map(version_column, names), table.constant(key.version))
    there = {name: array for name, array in columns.items() if name in table}
    new = {name: array for name, array in columns.items() if name not in there}
    return table.replace(there).append(new)


def rows_by_version(table: Table, name: str, newest: int | None) -> dict[int | None, Index]:
    """Return which rows of a column are of which version, ascending by version.

    Args:
        table: with the column and that of its versions, whose dtype may have changed.
        name: the column.
        newest: the version that nulls are taken for, which have none.

    Raises:
        PseudonymizationError: the versions are missing, or some are no versions.
    """
    beside = version_column(name)
    if beside not in table:
        raise PseudonymizationError(
            f"the column {beside!r} is missing, which tells the versions of the key"
        )
    versions = table.column(beside).versions()
    fits = (versions >= 1) & (versions <= _LARGEST) & (versions == np.floor(versions))
    nulls = table.beside(beside, name).nulls
    wrong = int((~fits & ~nulls).sum())
    if wrong:
        raise PseudonymizationError(f"{beside!r} holds no version of the key in {rows_of(wrong)}")
    if not len(table):
        return {newest: np.empty(0, np.intp)}
    # In a column of nulls alone no row has a version.
    known = np.where(nulls, newest or 1, versions).astype(np.int64)
    distinct, group = np.unique(known, return_inverse=True)
    return {
        version: np.flatnonzero(group == number) for number, version in enumerate(distinct.tolist())
    }

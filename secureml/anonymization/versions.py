"""Columns that tell with which version of the key each row of another column was made."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from secureml.anonymization.problems import rows_of
from secureml.errors import PseudonymizationError
from secureml.frames.pandas import with_columns
from secureml.pseudonymization.keys import KeyReference
from secureml.pseudonymization.ranking.mixed_radix import Index

__all__ = [
    "check_version_columns",
    "rows_by_version",
    "version_column",
    "with_versions",
]

_DTYPE = "Int64"
_LARGEST = (1 << 31) - 1


def version_column(name: str) -> str:
    """Return the name of the column of versions beside a column."""
    return f"{name}__key_version"


def check_version_columns(frame: pd.DataFrame, names: Iterable[str]) -> None:
    """Check that the columns of versions can be added.

    Raises:
        PseudonymizationError: the frame has such columns already.
    """
    taken = [version_column(name) for name in names if version_column(name) in frame.columns]
    if taken:
        raise PseudonymizationError(
            f"there are such columns already: {', '.join(map(repr, taken))}. Rename them, or"
            " anonymize the new rows alone and append them"
        )


def with_versions(frame: pd.DataFrame, names: Iterable[str], key: KeyReference) -> pd.DataFrame:
    """Return the frame with the columns of versions, new ones behind the others.

    Raises:
        PseudonymizationError: the key has no versions.
    """
    if key.version is None:
        raise PseudonymizationError(
            f"the {key} has no versions, because it is not kept in Vault: leave key_versions out"
        )
    versions = pd.array(np.full(len(frame), key.version), dtype=_DTYPE)
    columns = dict.fromkeys(map(version_column, names), versions)
    there = {name: array for name, array in columns.items() if name in frame.columns}
    new = [name for name in columns if name not in there]
    added = pd.DataFrame(dict.fromkeys(new, versions), index=frame.index)
    return pd.concat([with_columns(frame, there), added], axis=1)


def rows_by_version(frame: pd.DataFrame, name: str, newest: int | None) -> dict[int | None, Index]:
    """Return which rows of a column are of which version, ascending by version.

    Args:
        frame: with the column and that of its versions, whose dtype may have changed.
        name: the column.
        newest: the version that nulls are taken for, which have none.

    Raises:
        PseudonymizationError: the versions are missing, or some are no versions.
    """
    beside = version_column(name)
    if beside not in frame.columns:
        raise PseudonymizationError(
            f"the column {beside!r} is missing, which tells the versions of the key"
        )
    numbers = pd.to_numeric(frame[beside].astype(object), errors="coerce")
    versions = numbers.to_numpy(np.float64, na_value=np.nan)
    fits = (versions >= 1) & (versions <= _LARGEST) & (versions == np.floor(versions))
    nulls = frame[name].isna().to_numpy()
    wrong = int((~fits & ~nulls).sum())
    if wrong:
        raise PseudonymizationError(f"{beside!r} holds no version of the key in {rows_of(wrong)}")
    if not len(frame):
        return {newest: np.empty(0, np.intp)}
    # In a column of nulls alone no row has a version.
    known = np.where(nulls, newest or 1, versions).astype(np.int64)
    distinct, group = np.unique(known, return_inverse=True)
    return {
        version: np.flatnonzero(group == number) for number, version in enumerate(distinct.tolist())
    }

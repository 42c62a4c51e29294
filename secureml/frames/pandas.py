"""Pandas DataFrames: which columns may be read, and a new frame around new columns."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy.rec  # noqa: F401  # pandas 2 imports it at the first table, where a fork may come
import pandas as pd

from secureml.errors import ArgumentError, PseudonymizationError

__all__ = [
    "ATTRIBUTE",
    "by_column",
    "check_columns",
    "check_frame",
    "check_levels",
    "check_sensitive",
    "detached",
    "listed",
    "with_columns",
]

ATTRIBUTE = "secureml"
"""The entry of ``DataFrame.attrs`` that holds the manifest."""

_COPIES_ON_WRITE = int(pd.__version__.partition(".")[0]) >= 3

_PIECE = 256
"""Columns that are replaced together: each costs pandas time in proportion to them."""


def check_frame(data: object) -> pd.DataFrame:
    """Return the data as what it is, if it is a frame whose columns have distinct names.

    Raises:
        TypeError: the data is not a pandas DataFrame.
        PseudonymizationError: it has column names of several levels, or one name twice.
    """
    if not isinstance(data, pd.DataFrame):
        raise TypeError(f"the data must be a pandas DataFrame, not {type(data).__name__}")
    if isinstance(data.columns, pd.MultiIndex):
        raise PseudonymizationError(
            "the columns are a MultiIndex: give every column one name first, for instance"
            " data.columns = data.columns.map('.'.join)"
        )
    twice = list(dict.fromkeys(data.columns[data.columns.duplicated()]))
    if twice:
        raise PseudonymizationError(f"column names occur more than once: {_listing(twice)}")
    return data


def detached(data: pd.DataFrame) -> tuple[pd.DataFrame, dict[Hashable, Any]]:
    """Return a frame without its ``attrs``, which pandas copies with every column, and them.

    Args:
        data: not changed; the columns are shared with it.

    Returns:
        The frame, and a copy of the attributes without the manifest.

    Raises:
        PseudonymizationError: the attributes are nested too deeply to be copied.
    """
    try:
        frame = data.copy(deep=False)
    except RecursionError:
        frame = None
    if frame is None:
        raise PseudonymizationError("what is in the attrs of the data is nested too deeply")
    attributes = {key: value for key, value in frame.attrs.items() if key != ATTRIBUTE}
    frame.attrs = {}
    return frame, attributes


def check_columns(data: pd.DataFrame, names: Iterable[object]) -> list[str]:
    """Return the names, each once, if they are all columns of the frame.

    Raises:
        PseudonymizationError: a name is not a string or not a column.
    """
    columns = dict.fromkeys(data.columns)
    for name in names:
        if not isinstance(name, str):
            raise PseudonymizationError(
                f"the column name {name!r} is not a string: rename the column first, because the"
                " manifest and the key's derivation hold names as text"
            )
        if name not in columns:
            near = difflib.get_close_matches(name, [c for c in columns if isinstance(c, str)], 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {_listing([*columns])}"
            raise PseudonymizationError(f"there is no column {name!r}; {hint}")
    return list(dict.fromkeys(map(str, names)))


def check_levels(levels: Iterable[object], names: Iterable[str]) -> None:
    """Check that no level of an index bears the name of a column that is replaced.

    Args:
        levels: their names, and that of the axis of the columns, which may be None.
        names: of the columns.

    Raises:
        PseudonymizationError: one does; the same values are in it, most likely.
    """
    known = dict.fromkeys(names)
    same = [name for name in levels if isinstance(name, str) and name in known]
    if same:
        raise PseudonymizationError(
            f"an index of the table is named {same[0]!r} as a sensitive column is, and would stay"
            " as it is: drop it with reset_index(drop=True), or rename it if it holds other values"
        )


def listed(names: object) -> list[object]:
    """Return the sensitive columns that the caller names, as a list that is not empty.

    Raises:
        ArgumentError: there are none, or one string is given in place of a list.
    """
    if isinstance(names, str):
        raise ArgumentError.of("sensitive_columns", f"must be a list: write [{names!r}]")
    if not isinstance(names, Iterable):
        raise ArgumentError.of("sensitive_columns", "must list the columns to pseudonymize")
    names = list(names)
    if not names:
        raise ArgumentError.of("sensitive_columns", "is empty: nothing would be pseudonymized")
    return names


def by_column(
    argument: str, given: Mapping[str, str] | None, names: Sequence[str]
) -> dict[str, str]:
    """Return what an argument says by column.

    Raises:
        ArgumentError: it is no mapping, a column is not among the names, or a value is no text.
    """
    if given is not None and not isinstance(given, Mapping):
        example = {name: given if isinstance(given, str) else "..." for name in names[:2]}
        raise ArgumentError.of(argument, f"must be a mapping by column: write {example!r}")
    given = {} if given is None else dict(given)
    check_sensitive(argument, given, names)
    for name, value in given.items():
        if not isinstance(value, str) or not value:
            raise ArgumentError.of(argument, "must be a string and not empty", f"[{name!r}]")
    return given


def check_sensitive(argument: str, given: Iterable[str], names: Iterable[str]) -> None:
    """Check that an argument speaks of sensitive columns alone.

    Raises:
        ArgumentError: it names another one.
    """
    known = dict.fromkeys(names)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ArgumentError.of(argument, f"names {name!r}, which is no sensitive column{hint}")


def with_columns(
    data: pd.DataFrame, arrays: Mapping[str, Any], document: Mapping[str, Any] | None
) -> pd.DataFrame:
    """Return a frame with other columns; index, order and everything else as before.

    Args:
        data: not changed; the columns that stay are shared with it, where pandas copies on write.
        arrays: the new columns, an array each.
        document: the manifest for ``attrs``, or None for none.
    """
    result = data.copy(deep=not _COPIES_ON_WRITE)
    attributes = {key: value for key, value in result.attrs.items() if key != ATTRIBUTE}
    if document is not None:
        attributes[ATTRIBUTE] = document
    if arrays:
        result.attrs = {}
        starts = range(0, len(data.columns), _PIECE)
        pieces = [_replaced(result.iloc[:, start : start + _PIECE], arrays) for start in starts]
        if len(pieces) > 1:
            result = pd.concat(pieces, axis=1).__finalize__(result)
            result.columns = data.columns
        else:
            (result,) = pieces
    result.attrs = attributes
    return result


def _replaced(piece: pd.DataFrame, arrays: Mapping[str, Any]) -> pd.DataFrame:
    """Return some columns of a frame, those that there are arrays for with these."""
    for place, name in enumerate(piece.columns):
        array = arrays.get(name)
        if array is not None:
            column = pd.Series(array, index=piece.index, name=name, dtype=array.dtype, copy=False)
            piece.isetitem(place, column)
    return piece


def _listing(names: list[object], longest: int = 8) -> str:
    shown = ", ".join(map(repr, names[:longest]))
    return f"{shown} and {len(names) - longest} more" if len(names) > longest else shown

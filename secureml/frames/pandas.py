"""Pandas DataFrames: which columns may be read, and a new frame around new columns."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.rec  # pandas 2 imports it at the first table, where a fork may come
import pandas as pd
import pyarrow as pa

from secureml.errors import PseudonymizationError

__all__ = [
    "ATTRIBUTE",
    "detached",
    "with_columns",
]

ATTRIBUTE = "secureml"
"""The entry of ``DataFrame.attrs`` that holds the manifest."""

_COPIES_ON_WRITE = int(pd.__version__.partition(".")[0]) >= 3

_PIECE = 256
"""Columns that are replaced together: each costs pandas time in proportion to them."""

pa.array(np.empty(0))  # pyarrow 18 imports more for the first array of numpy's


def detached(data: object) -> tuple[pd.DataFrame, dict[Hashable, Any]]:
    """Return a frame without its ``attrs``, which pandas copies with every column, and them.

    Args:
        data: a frame whose columns have distinct names; not changed, the columns are shared.

    Raises:
        TypeError: the data is not a pandas DataFrame.
        PseudonymizationError: it has column names of several levels, or one name twice; or its
            attributes are nested too deeply to be copied.
    """
    if not isinstance(data, pd.DataFrame):
        raise TypeError(f"the data must be a pandas DataFrame, not {_kind_of(data)}")
    if isinstance(data.columns, pd.MultiIndex):
        raise PseudonymizationError(
            "the columns are a MultiIndex: give every column one name first, for instance"
            " data.columns = data.columns.map('.'.join)"
        )
    twice = list(dict.fromkeys(data.columns[data.columns.duplicated()]))
    if twice:
        shown = ", ".join(map(repr, twice[:8])) + (", ..." if len(twice) > 8 else "")
        raise PseudonymizationError(f"column names occur more than once: {shown}")
    try:
        frame = data.copy(deep=False)
    except RecursionError:
        frame = None
    if frame is None:
        raise PseudonymizationError("what is in the attrs of the data is nested too deeply")
    attributes = frame.attrs
    frame.attrs = {}
    return frame, attributes


def with_columns(data: pd.DataFrame, arrays: Mapping[str, Any]) -> pd.DataFrame:
    """Return a frame with other columns; index and order as before.

    Args:
        data: as ``detached`` gives it; not changed, and the columns that stay are shared with it
            if pandas copies on write.
        arrays: the new columns, an array each.
    """
    result = data.copy(deep=not _COPIES_ON_WRITE)
    if not arrays:
        return result
    starts = range(0, len(data.columns), _PIECE)
    pieces = [_replaced(result.iloc[:, start : start + _PIECE], arrays) for start in starts]
    if len(pieces) == 1:
        return pieces[0]
    result = pd.concat(pieces, axis=1).__finalize__(result)
    result.columns = data.columns
    return result


def _replaced(piece: pd.DataFrame, arrays: Mapping[str, Any]) -> pd.DataFrame:
    """Return some columns of a frame, those that there are arrays for with these."""
    for place, name in enumerate(piece.columns):
        array = arrays.get(name)
        if array is not None:
            column = pd.Series(array, index=piece.index, name=name, dtype=array.dtype, copy=False)
            piece.isetitem(place, column)
    return piece


def _kind_of(data: object) -> str:
    """Return the type of what was given for a frame, and what to do about it."""
    kind = type(data)
    if kind.__module__ == "builtins":
        return kind.__name__
    package = kind.__module__.partition(".")[0]
    remedy = "; convert it with to_pandas()" if hasattr(data, "to_pandas") else ""
    return f"a {package}.{kind.__name__}{remedy}"

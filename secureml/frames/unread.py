"""Columns of any dtype, whose values are replaced without being looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pyarrow.types import is_dictionary

from secureml.frames.arrow import Nulls
from secureml.frames.columns import ColumnValues
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.values.kinds import Unread
from secureml.pseudonymization.values.text import Text

__all__ = ["UnreadColumn", "without_remains"]

_NULLABLE = {"i": "Int64", "u": "UInt64", "b": "boolean"}


@dataclass(frozen=True, slots=True, eq=False)
class UnreadColumn(ColumnValues):
    """Values of any dtype.

    Args:
        series: the column.
    """

    series: pd.Series

    @property
    def values(self) -> Unread:
        """As many as are not null."""
        return Unread(int(self.series.notna().sum()))

    @property
    def nulls(self) -> Nulls:
        """Which rows are null, shape (rows,)."""
        nulls: Nulls = self.series.isna().to_numpy()
        return nulls

    def rebuilt(self, values: Text | Unread, nulled: Index) -> Any:
        """Return an array of strings for text, or else of the same dtype with nulls alone."""
        if isinstance(values, Text):
            strings = np.full(len(self.series), None, dtype=object)
            strings[~self.nulls] = values.strings()
            return pd.Series(strings, dtype="str").array
        dtype, rows = self.series.dtype, len(self.series)
        if isinstance(dtype, np.dtype):
            dtype = _NULLABLE.get(dtype.kind, dtype)
        if isinstance(dtype, pd.CategoricalDtype):
            dtype = pd.CategoricalDtype(pd.Index([], dtype=dtype.categories.dtype), dtype.ordered)
        return pd.Series([], dtype=dtype).array.take(np.full(rows, -1), allow_fill=True)


def without_remains(array: Any) -> Any:
    """Return an array without what pandas keeps of values that it does not show.

    That is what lies beneath nulls, the categories that no row has, and their order.
    """
    if isinstance(array, pd.Categorical):
        used = pd.unique(array.codes[array.codes >= 0])
        used = np.sort(used) if array.ordered else used
        place = np.full(len(array.categories) + 1, -1)  # the last one is what -1 picks
        place[used] = np.arange(len(used))
        categories = array.categories.take(used)
        return pd.Categorical.from_codes(place[array.codes], categories, ordered=array.ordered)
    if isinstance(array.dtype, pd.ArrowDtype) and is_dictionary(array.dtype.pyarrow_dtype):
        return pd.array(array.astype(object), dtype=array.dtype)
    present = ~array.isna()
    if present.all():
        return array
    places = np.where(present, np.cumsum(present) - 1, -1)
    return array.take(np.flatnonzero(present)).take(places, allow_fill=True)

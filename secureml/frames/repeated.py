"""Columns of text in which values repeat: each distinct value is worked on once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from secureml.frames.arrow import Nulls, combined, encoded, is_text, read_text, write_text
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.repeats import SHARE, few_distinct
from secureml.pseudonymization.ranking.threads import cut, on_cores
from secureml.pseudonymization.values.text import Text

__all__ = ["RepeatedColumn", "read_repeated"]


@dataclass(frozen=True, slots=True, eq=False)
class RepeatedColumn:
    """Strings, each distinct one once.

    Args:
        values: the distinct ones.
        codes: which of them each row holds, -1 for null.
        nulls: which rows are null, shape (rows,).
        make: makes an array of the column's dtype of new values, the values that are to be null,
            and the codes.
    """

    values: Text
    codes: Index
    nulls: Nulls
    make: Callable[[Text, Nulls], Any]

    @property
    def empty(self) -> int:
        """How many rows are the empty string."""
        return self.occurrences(np.flatnonzero(self.values.lengths == 0))

    def occurrences(self, places: Index) -> int:
        """Return how many rows hold the values at these places."""
        return int(np.isin(self.codes, places).sum()) if len(places) else 0

    def rebuilt(self, values: Text, nulled: Index) -> Any:
        """Return an array of the same dtype.

        Args:
            values: the new ones, in the places of the old.
            nulled: the places that are to be null.
        """
        lost = np.zeros(len(values), np.bool_)
        lost[nulled] = True
        return self.make(values, lost)


def read_repeated(series: pd.Series) -> RepeatedColumn | None:
    """Read a column of text if few of its values are distinct, as far as a sample tells.

    Returns:
        The column; None if it is no text in Arrow, is short, or has many distinct values.

    Raises:
        PseudonymizationError: the strings are not UTF-8.
    """
    dtype = series.dtype
    backed = isinstance(dtype, pd.StringDtype) and dtype.storage == "pyarrow"
    backed |= isinstance(dtype, pd.ArrowDtype) and is_text(dtype.pyarrow_dtype)
    if not backed or not few_distinct(
        len(series), lambda rows: series.iloc[rows].nunique(dropna=False)
    ):
        return None
    array = combined(pa.array(series.array))
    rows = len(array)
    slices = [array[span] for span in cut(rows, rows)]
    whole = pa.chunked_array(on_cores(encoded, slices, rows)).unify_dictionaries()
    dictionary = whole.chunk(0).dictionary
    if len(dictionary) > rows // SHARE:
        return None
    text, _ = read_text(dictionary)
    indices = [chunk.indices for chunk in whole.chunks]

    def make(new: Text, lost: Nulls) -> Any:
        values = write_text(new, lost, array.type)
        return dtype.__from_arrow__(pa.chunked_array(on_cores(values.take, indices, rows)))

    held = pa.chunked_array(indices)
    if held.null_count:
        held = held.fill_null(-1)
    codes = held.to_numpy().astype(np.intp)
    return RepeatedColumn(text, codes, codes < 0, make)

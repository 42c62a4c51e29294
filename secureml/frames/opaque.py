"""Columns of any dtype, whose values are replaced without being looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from secureml.frames.arrow import Nulls
from secureml.pseudonymization.domains import Index
from secureml.pseudonymization.text import Text
from secureml.pseudonymization.values import Opaque

__all__ = ["OpaqueColumn"]

_NULLABLE = {"i": "Int64", "u": "UInt64", "b": "boolean"}


@dataclass(frozen=True, slots=True, eq=False)
class OpaqueColumn:
    """Values of any dtype.

    Args:
        series: the column.
    """

    series: pd.Series

    @property
    def values(self) -> Opaque:
        """As many as are not null."""
        return Opaque(int(self.series.notna().sum()))

    @property
    def nulls(self) -> Nulls:
        """Which rows are null, shape (rows,)."""
        nulls: Nulls = self.series.isna().to_numpy()
        return nulls

    @property
    def empty(self) -> int:
        """How many rows are the empty string: none that is known of."""
        return 0

    def occurrences(self, places: Index) -> int:
        """Return how many rows hold the values at these places."""
        return len(places)

    def rebuilt(self, values: Text | Opaque, nulled: Index) -> Any:
        """Return an array of strings for text, or else of the same dtype with nulls alone."""
        if isinstance(values, Text):
            strings = np.full(len(self.series), None, dtype=object)
            strings[~self.nulls] = values.strings()
            return pd.Series(strings, dtype="str").array
        dtype = self.series.dtype
        if isinstance(dtype, np.dtype) and dtype.kind in _NULLABLE:
            return pd.array([None] * len(self.series), dtype=_NULLABLE[dtype.kind])
        return self.series.where(np.zeros(len(self.series), np.bool_)).array

"""Polars DataFrames: their columns as Arrow arrays, and new arrays as columns of the same dtype."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from secureml.errors import PseudonymizationError
from secureml.frames.base import refuse_column
from secureml.frames.converted import ConvertedTable
from secureml.pseudonymization.ranking.mixed_radix import Index

__all__ = ["PolarsTable", "table_of"]


class PolarsTable(ConvertedTable):
    """A Polars DataFrame; columns that are not replaced stay the very Series.

    Args:
        columns: by name.
        rows: how many there are.
    """

    kinds = (pl.Series,)
    kind = "a Series"

    def in_arrow(self, native: pl.Series) -> pa.Array:
        """Return a Series as an Arrow array, an Enum as categories without an order."""
        if isinstance(native.dtype, pl.Object):
            refuse_column("its dtype is Object")
        try:
            array = native.to_arrow()
        except pa.ArrowInvalid:  # integers of 128 bits
            array = None
        if array is None:
            refuse_column(f"its dtype is {native.dtype}, which Arrow has no type for")
        if isinstance(native.dtype, pl.Enum):
            return pa.DictionaryArray.from_arrays(array.indices, array.dictionary)
        return array

    def converted(self, name: str, array: pa.Array | pa.ChunkedArray) -> pl.Series:
        """Return an array as a Series.

        Pseudonyms are none of the categories of an Enum, which becomes a Categorical.
        """
        series = pl.Series(name, array)
        before = self.columns.get(name, series)
        kinds = isinstance(series.dtype, pl.Categorical), isinstance(before.dtype, pl.Categorical)
        if not all(kinds) or series.dtype == before.dtype:
            return series
        try:
            return series.cast(pl.String).cast(before.dtype)
        except pl.exceptions.PolarsError:
            pass
        raise PseudonymizationError(f"the result does not fit the dtype {before.dtype}")

    def picked(self, native: pl.Series, rows: Index) -> pl.Series:
        """Return some rows of a Series."""
        return native.gather(pl.Series(np.asarray(rows, np.int64)))

    def native(self, manifest: Mapping[str, Any] | None) -> pl.DataFrame:
        """Return a DataFrame, which carries no manifest."""
        return pl.DataFrame(list(self.columns.values()), height=len(self))

    def _with(self, columns: Mapping[str, pl.Series], rows: int) -> PolarsTable:
        return PolarsTable(columns, rows)


def table_of(data: object) -> PolarsTable | None:
    """Return a DataFrame as a table, or None for anything else."""
    if not isinstance(data, pl.DataFrame):
        return None
    return PolarsTable(dict(zip(data.columns, data.get_columns(), strict=True)), data.height)

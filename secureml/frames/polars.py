"""Polars DataFrames and LazyFrames, whose columns are converted to Arrow arrays and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from secureml.errors import PseudonymizationError
from secureml.frames.base import Table, refuse_column, rows_of
from secureml.frames.converted import ConvertedTable
from secureml.frames.streams import OfBatch, Stream, check_types, in_batch
from secureml.pseudonymization.ranking.mixed_radix import Index

__all__ = ["PolarsTable", "source_of"]


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
        return pl.DataFrame(list(self.columns.values()))

    def _with(self, columns: Mapping[str, pl.Series], rows: int) -> PolarsTable:
        return PolarsTable(columns, rows)


class LazyStream(Stream):
    """A Polars LazyFrame: its query goes on behind what is applied to its batches.

    Args:
        frame: the LazyFrame.
    """

    def __init__(self, frame: pl.LazyFrame) -> None:
        self.frame = frame
        self.empty = _table_of(pl.DataFrame(schema=frame.collect_schema()))

    def first(self, rows: int) -> PolarsTable:
        """Return the first rows."""
        return _table_of(self.frame.head(rows).collect())

    def mapped(
        self, function: OfBatch, result: Table, manifest: Mapping[str, Any] | None
    ) -> pl.LazyFrame:
        """Return a LazyFrame with a function applied to each batch, which carries no manifest."""
        schema = result.native(None).schema
        batches = _Batches(function, schema)
        return self.frame.map_batches(
            batches,
            schema=schema,
            streamable=True,
            # A filter or selection behind this step is one of pseudonyms; Polars 1 moves both.
            predicate_pushdown=False,
            projection_pushdown=False,
            slice_pushdown=True,
        )


@dataclass(frozen=True, slots=True)
class _Batches:
    """Applies a function of tables to frames.

    Args:
        function: the function.
        schema: of what it returns.
    """

    function: OfBatch
    schema: pl.Schema

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        where = f"in a batch of {rows_of(frame.height)}"
        made: pl.DataFrame = in_batch(where, self.function, _table_of(frame)).native(None)
        check_types(self.schema.names(), self.schema.dtypes(), made.dtypes)
        return made


def source_of(data: object) -> PolarsTable | LazyStream | None:
    """Return a DataFrame as a table, a LazyFrame as a stream, or None for anything else."""
    if isinstance(data, pl.LazyFrame):
        return LazyStream(data)
    return _table_of(data) if isinstance(data, pl.DataFrame) else None


def _table_of(frame: pl.DataFrame) -> PolarsTable:
    return PolarsTable(dict(zip(frame.columns, frame.get_columns(), strict=True)), frame.height)

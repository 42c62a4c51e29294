from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa

from helpers.frames import FrameContract


class PolarsContract(FrameContract):
    carries = False
    twice = False
    nameless = False
    column_type = pl.Series

    def has(self, arrow_type: pa.DataType, nulls: bool) -> bool:
        """Tell whether Polars keeps a type; of others it makes one for the same values."""
        types = pa.types
        return not (
            types.is_dictionary(arrow_type) and not types.is_uint32(arrow_type.index_type)
        ) and not (types.is_decimal256(arrow_type) or types.is_date64(arrow_type))

    def upper(self, column: pl.Series) -> pl.Series:
        return column.str.to_uppercase()

    def lost(self, column: pl.Series) -> pl.Series:
        return pl.Series(column.name, FrameContract.lost(self, pa.chunked_array(column.to_arrow())))


def frame_of(table: pa.Table) -> pl.DataFrame:
    """Make a frame; slices of structs whole, on which older versions of both do not agree."""
    whole = {
        name: column.take(pa.array(range(len(column))))
        if pa.types.is_struct(column.type)
        else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return pl.from_arrow(pa.table(whole) if int(pa.__version__.partition(".")[0]) < 20 else table)


class TestPolarsFrame(PolarsContract):
    alone = ("import polars; frame = polars.from_arrow(table)", "table = frame.to_arrow()")

    def make(self, table: pa.Table) -> pl.DataFrame:
        return frame_of(table)

    def read(self, frame: pl.DataFrame) -> pa.Table:
        return frame.to_arrow()

    def types(self, frame: pl.DataFrame) -> list[Any]:
        return frame.dtypes


class TestLazyFrame(PolarsContract):
    streams = True
    pickles = False
    alone = (
        "import polars; frame = polars.from_arrow(table).lazy()",
        "table = frame.collect().to_arrow()",
    )

    def make(self, table: pa.Table) -> pl.LazyFrame:
        return frame_of(table).lazy()

    def read(self, frame: pl.LazyFrame) -> pa.Table:
        return frame.collect().to_arrow()

    def types(self, frame: pl.LazyFrame) -> list[Any]:
        return list(frame.collect_schema().dtypes())

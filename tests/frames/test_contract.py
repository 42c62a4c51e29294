from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from helpers.frames import FrameContract
from helpers.memory import buffers

STR = pd.Series(["text"]).dtype  # str, where pandas has it


class TestArrowTable(FrameContract):
    shares = True
    alone = "table"

    def make(self, table: pa.Table) -> pa.Table:
        return table

    def read(self, frame: pa.Table) -> pa.Table:
        return frame


class TestArrowBatch(FrameContract):
    shares = True
    alone = "table.combine_chunks().to_batches()[0]"

    def make(self, table: pa.Table) -> pa.RecordBatch:
        columns = [
            column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
            for column in table.columns
        ]
        return pa.RecordBatch.from_arrays(columns, schema=table.schema)

    def read(self, frame: pa.RecordBatch) -> pa.Table:
        return pa.Table.from_batches([frame])


class PandasContract(FrameContract):
    column_type = pd.Series
    text: Any

    def make(self, table: pa.Table) -> pd.DataFrame:
        columns = [self.series(column) for column in table.columns]
        frame = pd.concat(columns, axis=1) if columns else pd.DataFrame()
        frame.columns = pd.Index(table.column_names)
        return frame

    def series(self, column: pa.ChunkedArray) -> pd.Series:
        """Return a column of Arrow's as one of pandas'."""
        types, kind = pa.types, column.type
        if types.is_dictionary(kind):
            text = pa.dictionary(pa.int32(), pa.string(), ordered=kind.ordered)
            return column.cast(text).to_pandas()
        if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
            return pd.Series(column.to_pylist(), dtype=self.text)
        if types.is_decimal(kind):
            return pd.Series(column.to_pylist(), dtype=object)
        if types.is_integer(kind):
            return pd.Series(column.to_pylist(), dtype=self.integer(str(kind), column.null_count))
        return column.to_pandas()

    def integer(self, name: str, nulls: int) -> str:
        return name.replace("i", "I").replace("u", "U") if nulls else name

    def read(self, frame: pd.DataFrame) -> pa.Table:
        arrays = [read_series(frame.iloc[:, place]) for place in range(frame.shape[1])]
        return pa.table(arrays, names=list(frame.columns))

    def has(self, arrow_type: pa.DataType, nulls: bool) -> bool:
        return not pa.types.is_date(arrow_type)

    def types(self, frame: pd.DataFrame) -> list[Any]:
        return list(map(str, frame.dtypes))  # those of categoricals compare categories

    def upper(self, column: pd.Series) -> pd.Series:
        return column.str.upper()

    def memory(self, frame: pd.DataFrame, name: str) -> Iterator[bytes]:
        yield from buffers(frame[name])


def read_series(series: pd.Series) -> pa.Array:
    if isinstance(series.dtype, np.dtype) and series.dtype.kind == "f":
        return pa.array(series.to_numpy())  # NaN stays what it is
    if isinstance(series.dtype, np.dtype) and series.dtype.kind == "O":
        first, kind = next(iter(series.dropna()), ""), pa.string()
        if isinstance(first, Decimal):
            kind = pa.decimal128(38, -first.as_tuple().exponent)
        return pa.array(series, kind, from_pandas=True)
    array = pa.array(series.array, from_pandas=True)
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array


class TestPandasStr(PandasContract):
    text = STR
    one_type = False


class TestPandasObject(PandasContract):
    text = object
    one_type = False


class TestPandasNullable(PandasContract):
    text = "string[python]"

    def integer(self, name: str, nulls: int) -> str:
        return name.replace("i", "I").replace("u", "U")


class TestPandasArrow(PandasContract):
    def series(self, column: pa.ChunkedArray) -> pd.Series:
        return pd.Series(pd.arrays.ArrowExtensionArray(column))

    def has(self, arrow_type: pa.DataType, nulls: bool) -> bool:
        return not pa.types.is_dictionary(arrow_type)  # of which pandas makes no pseudonyms

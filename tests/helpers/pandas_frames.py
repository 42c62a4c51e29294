"""The contract of tables whose columns are those of pandas."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from helpers.frames import FrameContract
from helpers.memory import buffers

__all__ = ["STR", "PandasContract", "read_series"]

STR = pd.Series(["text"]).dtype  # str, if pandas has it


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
            entries = [text for chunk in column.chunks for text in chunk.dictionary.to_pylist()]
            texts = column.cast(pa.string()).to_pylist()
            categories = dict.fromkeys(filter(None, entries))
            return pd.Series(pd.Categorical(texts, list(categories), ordered=kind.ordered))
        if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
            return pd.Series(column.to_pylist(), dtype=self.text)
        if types.is_boolean(kind) and column.null_count:
            return pd.Series(column.to_pylist(), dtype="boolean")
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
        types = pa.types
        return not (
            types.is_date(arrow_type)
            or types.is_binary(arrow_type)
            or types.is_nested(arrow_type)
            or types.is_time(arrow_type)
        )

    def types(self, frame: pd.DataFrame) -> list[Any]:
        return list(map(str, frame.dtypes))  # those of categoricals compare categories

    def upper(self, column: pd.Series) -> pd.Series:
        return column.str.upper()

    def lost(self, column: pd.Series) -> pd.Series:
        return column.where(np.zeros(len(column), np.bool_))

    def attached(self, frame: pd.DataFrame) -> Any:
        return frame.attrs.get("secureml")

    def memory(self, frame: pd.DataFrame, names: list[str]) -> Iterator[bytes]:
        for name in names:
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

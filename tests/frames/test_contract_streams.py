from __future__ import annotations

import json
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from helpers.frames import FrameContract


class StreamContract(FrameContract):
    """Readers of batches, whatever gives them."""

    streams = True
    pickles = False
    again = False
    result_type = pa.RecordBatchReader

    def read(self, frame: Any) -> pa.Table:
        return frame.read_all()

    def types(self, frame: Any) -> list[Any]:
        return list(frame.schema.types)

    def attached(self, frame: Any) -> Any:
        document = (frame.schema.metadata or {}).get(b"secureml")
        return document and json.loads(document)


class TestReader(StreamContract):
    alone = ("frame = table.to_reader(max_chunksize=5)", "table = frame.read_all()")

    def make(self, table: pa.Table) -> pa.RecordBatchReader:
        return table.to_reader(max_chunksize=30_000)


class TestDataset(StreamContract):
    def make(self, table: pa.Table) -> ds.Dataset:
        return ds.dataset(table)

    def read(self, frame: Any) -> pa.Table:
        return frame.to_table() if isinstance(frame, ds.Dataset) else frame.read_all()


class Foreign:
    """What has nothing but a C stream."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self.schema = table.schema

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


class TestForeignStream(StreamContract):
    def make(self, table: pa.Table) -> Foreign:
        return Foreign(table)

    def read(self, frame: Any) -> pa.Table:
        if isinstance(frame, Foreign):
            return pa.RecordBatchReader.from_stream(frame).read_all()
        return frame.read_all()


class TestRelation(FrameContract):
    pickles = False
    carries = False
    twice = False
    nameless = False
    alone = (
        "import duckdb; frame = duckdb.connect().from_arrow(table)",
        "table = frame.to_arrow_table()",
    )

    def has(self, arrow_type: pa.DataType, nulls: bool) -> bool:
        return not pa.types.is_decimal256(arrow_type)

    def make(self, table: pa.Table) -> duckdb.DuckDBPyRelation:
        return duckdb.connect().from_arrow(table)

    def read(self, frame: duckdb.DuckDBPyRelation) -> pa.Table:
        return frame.to_arrow_table()

    def types(self, frame: duckdb.DuckDBPyRelation) -> list[Any]:
        return list(map(str, frame.types))

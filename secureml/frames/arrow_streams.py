"""Arrow data in batches: readers, datasets, and whatever gives an Arrow C stream."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from secureml.frames import arrow
from secureml.frames.arrow import ArrowTable, batch_of, with_manifest
from secureml.frames.base import Table
from secureml.frames.streams import OfBatch, Stream, check_types, in_batch

__all__ = ["ArrowStream", "source_of"]


class ArrowStream(Stream):
    """What gives a reader of record batches; a reader comes back, with the manifest in its schema.

    Args:
        schema: of the batches.
        opened: starts to read.
    """

    def __init__(self, schema: pa.Schema, opened: Callable[[], pa.RecordBatchReader]) -> None:
        self._schema, self._opened = schema, opened
        self.empty = ArrowTable(pa.Table.from_batches([], schema))

    def first(self, rows: int) -> ArrowTable:
        """Return the first rows."""
        batches: list[pa.RecordBatch] = []
        for batch in self._opened():
            batches.append(batch)
            if sum(map(len, batches)) >= rows:
                break
        return ArrowTable(pa.Table.from_batches(batches, self._schema).slice(0, rows))

    def mapped(
        self, function: OfBatch, result: Table, manifest: Mapping[str, Any] | None
    ) -> pa.RecordBatchReader:
        """Return a reader that applies a function to each batch when it is read."""
        assert isinstance(result, ArrowTable)
        schema = with_manifest(result.table.schema, manifest)
        return pa.RecordBatchReader.from_batches(schema, self._batches(function, schema))

    def _batches(self, function: OfBatch, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the new batches, up to one with an error."""
        read = 0
        for batch in self._opened():
            where = f"rows {read + 1} to {read + len(batch)}"
            made = in_batch(where, function, ArrowTable(pa.Table.from_batches([batch])))
            assert isinstance(made, ArrowTable)
            check_types(schema.names, schema.types, made.table.schema.types)
            read += len(batch)
            yield batch_of(made.table, schema)


def source_of(data: Any) -> ArrowTable | ArrowStream | None:
    """Return a table or batch as a table, what gives batches as a stream, or None."""
    table = arrow.table_of(data)
    if table is not None:
        return table
    if isinstance(data, pa.RecordBatchReader):
        return ArrowStream(data.schema, lambda: data)
    datasets = sys.modules.get("pyarrow.dataset")
    if datasets is not None and isinstance(data, datasets.Dataset):
        return ArrowStream(data.schema, lambda: data.scanner().to_reader())
    if not hasattr(data, "__arrow_c_stream__"):
        return None
    try:
        reader = pa.RecordBatchReader.from_stream(data)
    except pa.ArrowInvalid:  # a column, as a Series or ChunkedArray
        return None
    return ArrowStream(reader.schema, lambda: reader)

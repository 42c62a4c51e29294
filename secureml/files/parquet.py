"""Parquet files: every column that is not replaced keeps its type, and the file its metadata."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import parquet

from secureml.errors import PseudonymizationError
from secureml.files.base import CHUNK_BYTES, Chunk, TableFile, TableWriter
from secureml.files.int96 import check_moments, columns_of_int96
from secureml.files.metadata import SCHEMA, attached_in, fields_after, levels_in, metadata_after

__all__ = ["MAGIC", "ParquetTable"]

MAGIC = b"PAR1"

COLUMN_BYTES = 32 << 10
"""The least that a chunk has of each column: less costs more to write than to replace."""

_BUFFER_BYTES = 1 << 20

_CODECS = {"UNCOMPRESSED": "NONE", "UNKNOWN": "LZ4"}
"""What to write with codecs that Arrow names otherwise; that of Hadoop's LZ4 it can read alone."""


class ParquetTable(TableFile):
    """A table in a Parquet file.

    Args:
        path: the file.

    Raises:
        PseudonymizationError: it is not a whole Parquet file.
        OSError: it can't be read.
    """

    keeps_manifest = True
    suffixes = (".parquet", ".pq")

    def __init__(self, path: Path) -> None:
        with _opened(path) as file:
            about = file.metadata
            groups = [about.row_group(number) for number in range(about.num_row_groups)]
            schema = _read(path, lambda: file.schema_arrow)
            # Of a file with a schema of Arrow's, pyarrow shows the metadata in that alone.
            metadata = {**(about.metadata or {}), **(schema.metadata or {})}
            metadata.pop(SCHEMA, None)
            super().__init__(path, schema.with_metadata(metadata))
            if groups and schema.names:
                # Of a codec that it does not know, Arrow ends the process if it is asked for the
                # name; reading raises.
                some = {"row_groups": [0], "columns": schema.names[:1]}
                _read(path, lambda: next(file.iter_batches(1, **some), None))
        self._int96 = columns_of_int96(about, schema.names)
        self._rows = about.num_rows
        size = sum(group.total_byte_size for group in groups)
        wanted = max(CHUNK_BYTES, COLUMN_BYTES * about.num_columns)
        self._chunk_rows = max(1, -(-self._rows // max(1, round(size / wanted))))
        self._compression = "SNAPPY"
        if groups and about.num_columns:
            compression = groups[0].column(0).compression
            self._compression = _CODECS.get(compression, compression)

    @property
    def attached(self) -> str | None:
        """The manifest in the file's metadata, or in the attributes that pandas keeps there."""
        return attached_in(self.schema)

    @property
    def levels(self) -> list[object]:
        """The names of an index of pandas' whose columns in the file have others."""
        return levels_in(self.schema)

    def writer(self, file: BinaryIO, schema: pa.Schema) -> TableWriter:
        """Start a file with the same compression and metadata."""
        return _ParquetWriter(file, self.schema, schema, self._compression, self.kept_metadata)

    def _chunks(self, columns: Collection[str] | None) -> Iterator[tuple[Chunk, float]]:
        rows, most = 0, min(self._chunk_rows, 1 << 20)
        moments: Iterator[pa.RecordBatch] = iter(())
        with contextlib.ExitStack() as stack:
            batches = stack.enter_context(_opened(self.path)).iter_batches(most)
            if self._int96:
                in_seconds = stack.enter_context(_opened(self.path, "s"))
                moments = in_seconds.iter_batches(most, columns=self._int96)
            while (batch := _read(self.path, lambda: next(batches, None))) is not None:
                rows += len(batch)
                if self._int96:
                    check_moments(batch, _read(self.path, lambda: next(moments)))
                chunk = Chunk.of(pa.Table.from_batches([batch]), columns)
                yield chunk, rows / max(self._rows, rows, 1)


class _ParquetWriter(TableWriter):
    def __init__(
        self,
        file: BinaryIO,
        before: pa.Schema,
        schema: pa.Schema,
        compression: str | None,
        kept: Collection[str] | None,
    ) -> None:
        self._before, self._after, self._kept = before, schema, kept
        self._schema = fields_after(before, schema)
        self._replaced: set[str] = set()
        # The schema is stored last, because it holds the manifest.
        self._writer = parquet.ParquetWriter(
            file, self._schema, compression=compression, store_schema=False
        )

    def write(self, chunk: Chunk, columns: pa.Table) -> None:
        self._replaced.update(columns.column_names)
        self._writer.write_table(chunk.joined(columns, self._schema))

    def close(self, manifest: str | None) -> None:
        """Store the schema with the manifest, where pandas finds it too."""
        metadata = metadata_after(
            self._before, self._after, manifest, self._replaced, self._kept, attributes_too=True
        )
        schema = self._schema.with_metadata(metadata)
        stored = base64.b64encode(schema.serialize().to_pybytes())
        self._writer.add_key_value_metadata({**metadata, SCHEMA: stored})
        self._writer.close()


def _opened(path: Path, int96: str = "ns") -> parquet.ParquetFile:
    with path.open("rb"):  # of a file that can't be read, Arrow's messages tell less
        pass
    # Pages as they are needed: by default Arrow keeps all that it has read of the file, and reads
    # a column of a row group at once.
    options = {"buffer_size": _BUFFER_BYTES, "coerce_int96_timestamp_unit": int96}
    return _read(path, lambda: parquet.ParquetFile(path, pre_buffer=False, **options))


def _read(path: Path, action: Callable[[], Any]) -> Any:
    problem = ""
    try:
        return action()
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        problem = (
            f"{path} is not a whole Parquet file, or is encrypted or compressed in a way that"
            " can't be read"
        )
    raise PseudonymizationError(problem)

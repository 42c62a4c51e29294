"""Parquet files: every column that is not replaced keeps its type, and the file its metadata."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import parquet

from secureml.errors import PseudonymizationError
from secureml.files.base import CHUNK_BYTES, Chunk, TableFile, TableWriter
from secureml.frames.base import ATTRIBUTE

__all__ = ["MAGIC", "ParquetTable"]

MAGIC = b"PAR1"

COLUMN_BYTES = 32 << 10
"""The least that a chunk has of each column: less costs more to write than to replace."""

_BUFFER_BYTES = 1 << 20

_KEY = ATTRIBUTE.encode()
_PANDAS = b"PANDAS_ATTRS"
"""Where pandas keeps ``DataFrame.attrs``."""

_DTYPES = b"pandas"
"""Where pandas keeps the dtypes of the columns."""

_ASIDE = "secureml_columns"
"""Where, among them, those of columns are that have another type for now."""

_TYPE = "arrow_type"
"""Where it says which type they are of."""


class ParquetTable(TableFile):
    """A table in a Parquet file.

    Args:
        path: the file.

    Raises:
        PseudonymizationError: it is not a whole Parquet file.
        OSError: it can't be read.
    """

    keeps_manifest = True

    def __init__(self, path: Path) -> None:
        with _opened(path) as file:
            about = file.metadata
            groups = [about.row_group(number) for number in range(about.num_row_groups)]
            schema = _read(path, lambda: file.schema_arrow)
            super().__init__(path, schema)
            if groups and schema.names:
                # Of a codec that it does not know, Arrow ends the process if it is asked for the
                # name; reading raises.
                some = {"row_groups": [0], "columns": schema.names[:1]}
                _read(path, lambda: next(file.iter_batches(1, **some), None))
        self._rows = about.num_rows
        size = sum(group.total_byte_size for group in groups)
        wanted = max(CHUNK_BYTES, COLUMN_BYTES * about.num_columns)
        self._chunk_rows = max(1, wanted * self._rows // max(size, 1))
        self._compression = "SNAPPY"
        if groups and about.num_columns:
            compression = groups[0].column(0).compression
            self._compression = "NONE" if compression == "UNCOMPRESSED" else compression

    @property
    def attached(self) -> str | None:
        """The manifest in the file's metadata, or in the attributes that pandas keeps there."""
        metadata = self.schema.metadata or {}
        if _KEY in metadata:
            return str(metadata[_KEY], "utf-8", "replace")
        manifest = _attributes(metadata).get(ATTRIBUTE)
        return None if manifest is None else _json(manifest)

    @property
    def levels(self) -> list[object]:
        """The names of an index of pandas' whose columns in the file have others."""
        columns = _columns_in(_object_in((self.schema.metadata or {}).get(_DTYPES, b"")), "columns")
        return [
            column.get("name") for column in columns if column.get("name") != column["field_name"]
        ]

    def writer(self, file: BinaryIO, schema: pa.Schema) -> TableWriter:
        """Start a file with the same compression and metadata."""
        metadata = dict(self.schema.metadata or {})
        if _DTYPES in metadata:
            metadata[_DTYPES] = _dtypes(metadata[_DTYPES], self.schema, schema)
        return _ParquetWriter(file, schema, metadata, self._compression)

    def _chunks(self, columns: Collection[str] | None) -> Iterator[tuple[Chunk, float]]:
        rows = 0
        with _opened(self.path) as file:
            batches = file.iter_batches(min(self._chunk_rows, 1 << 20))
            while (batch := _read(self.path, lambda: next(batches, None))) is not None:
                rows += len(batch)
                chunk = Chunk.of(pa.Table.from_batches([batch]), columns)
                yield chunk, rows / max(self._rows, rows, 1)


class _ParquetWriter(TableWriter):
    def __init__(
        self, file: BinaryIO, schema: pa.Schema, metadata: dict[bytes, bytes], compression: str
    ) -> None:
        self._schema = schema.remove_metadata()
        self._metadata = metadata
        # The schema is stored last, because it holds the manifest.
        self._writer = parquet.ParquetWriter(
            file, self._schema, compression=compression, store_schema=False
        )

    def write(self, chunk: Chunk, columns: pa.Table) -> None:
        self._writer.write_table(chunk.joined(columns, self._schema))

    def close(self, manifest: str | None) -> None:
        """Store the schema with the manifest, where pandas finds it too."""
        attributes = _attributes(self._metadata)
        attributes.pop(ATTRIBUTE, None)
        metadata = {
            name: value for name, value in self._metadata.items() if name not in (_KEY, _PANDAS)
        }
        if manifest is not None:
            metadata[_KEY] = manifest.encode()
            attributes[ATTRIBUTE] = json.loads(manifest)
        if attributes:
            metadata[_PANDAS] = _json(attributes).encode()
        schema = self._schema.with_metadata(metadata)
        stored = base64.b64encode(schema.serialize().to_pybytes())
        self._writer.add_key_value_metadata({**metadata, b"ARROW:schema": stored})
        self._writer.close()


def _dtypes(text: bytes, before: pa.Schema, after: pa.Schema) -> bytes:
    """Return what pandas keeps of the columns, without those that have another type now.

    What it kept of these is put aside, and is back if a column has that type again: of whole
    numbers with nulls, pandas would otherwise make floating-point numbers. The metadata of the new
    schema tell the dtypes of new columns that pandas has one of its own for.
    """
    dtypes = _object_in(text)
    stay, aside = [], [entry for entry in _columns_in(dtypes, _ASIDE) if _TYPE in entry]
    dtypes.pop(_ASIDE, None)
    types, new_types = _types_in(before), _types_in(after)
    for column in _columns_in(dtypes, "columns"):
        name = column["field_name"]
        kind = types.get(name)
        if kind is None or kind == new_types.get(name):
            stay.append(column)
        elif name in new_types:
            aside.append({**column, _TYPE: kind})
    back = [entry for entry in aside if entry[_TYPE] == new_types.get(entry["field_name"])]
    told = {entry["field_name"] for entry in (*stay, *back)}
    new = _columns_in(_object_in((after.metadata or {}).get(_DTYPES, b"{}")), "columns")
    columns = [
        *stay,
        *({key: value for key, value in entry.items() if key != _TYPE} for entry in back),
        *(entry for entry in new if entry["field_name"] not in told),
    ]
    place = {name: number for number, name in enumerate(after.names)}
    dtypes["columns"] = sorted(
        columns, key=lambda entry: place.get(entry["field_name"], len(place))
    )
    if rest := [entry for entry in aside if entry["field_name"] not in told]:
        dtypes[_ASIDE] = rest
    return _json(dtypes).encode()


def _columns_in(dtypes: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return entries of columns with a name; a file may hold anything in their place."""
    entries = dtypes.get(kind)
    entries = entries if isinstance(entries, list) else []
    return [
        entry
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.setdefault("field_name", None), str | None)
    ]


def _types_in(schema: pa.Schema) -> dict[str | None, str]:
    return {field.name: str(field.type) for field in schema}


def _attributes(metadata: dict[bytes, bytes]) -> dict[str, Any]:
    return _object_in(metadata.get(_PANDAS, b"{}"))


def _object_in(text: bytes) -> dict[str, Any]:
    content = None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    return content if isinstance(content, dict) else {}


def _json(content: object) -> str:
    text = None
    try:
        text = json.dumps(content)
    except RecursionError:
        text = None
    if text is None:
        raise PseudonymizationError("what pandas keeps in the file's metadata is nested too deeply")
    return text


def _opened(path: Path) -> parquet.ParquetFile:
    with path.open("rb"):  # of a file that can't be read, Arrow's messages tell less
        pass
    # Pages as they are needed: by default Arrow keeps all that it has read of the file, and reads
    # a column of a row group at once.
    return _read(
        path, lambda: parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES)
    )


def _read(path: Path, action: Callable[[], Any]) -> Any:
    problem = ""
    try:
        return action()
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        problem = f"{path} is not a whole Parquet file"
    raise PseudonymizationError(problem)

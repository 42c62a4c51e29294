"""Feather files, which are Arrow's IPC format: as a file, or as a stream that was stored."""

from __future__ import annotations

import contextlib
import struct
import tempfile
import weakref
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from secureml.errors import PseudonymizationError
from secureml.files.base import CHUNK_BYTES, Chunk, TableFile, TableWriter
from secureml.files.metadata import attached_in, fields_after, levels_in, metadata_after
from secureml.frames.strings import combined

__all__ = ["FILE_MAGIC", "STREAM_MAGIC", "FeatherTable"]

FILE_MAGIC = b"ARROW1\0\0"
STREAM_MAGIC = b"\xff\xff\xff\xff"

_END = STREAM_MAGIC + bytes(4)


class FeatherTable(TableFile):
    """A table in a file of Arrow's IPC format.

    Args:
        path: the file.

    Raises:
        PseudonymizationError: it is not whole.
        OSError: it can't be read.
    """

    keeps_manifest = True
    suffixes = (".feather", ".arrow", ".arrows", ".ipc")

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._is_stream = file.read(len(FILE_MAGIC)) != FILE_MAGIC
            self._size = file.seek(0, 2)
            file.seek(-min(len(_END), self._size), 2)
            if self._is_stream and file.read() != _END:
                raise PseudonymizationError(f"{path} {_NOT_WHOLE}: it has no end mark")
        super().__init__(path, _read(path, self._schema_of, path))
        self._compression = _read(path, self._compression_of, path)

    @property
    def attached(self) -> str | None:
        """The manifest in the metadata of the schema, or in the attributes of pandas there."""
        return attached_in(self.schema)

    @property
    def levels(self) -> list[object]:
        """The names of an index of pandas' whose columns in the file have others."""
        return levels_in(self.schema)

    def writer(self, file: BinaryIO, schema: pa.Schema) -> TableWriter:
        """Start a file or a stream with the same compression and metadata."""
        new = pa.ipc.new_stream if self._is_stream else pa.ipc.new_file
        options = pa.ipc.IpcWriteOptions(compression=self._compression, emit_dictionary_deltas=True)
        return _FeatherWriter(file, self, schema, lambda *where: new(*where, options=options))

    def _chunks(self, columns: Collection[str] | None) -> Iterator[tuple[Chunk, float]]:
        with pa.OSFile(str(self.path)) as file:
            batches = self._batches(file)
            while (found := _read(self.path, next, batches, None)) is not None:
                batch, fraction = found
                # The batch is in memory as a whole, and its size is that of dictionaries, too.
                size = max(batch.get_total_buffer_size(), 1)  # of views too
                rows = max(CHUNK_BYTES * len(batch) // size, len(batch) // 16, 1)
                for start in range(0, len(batch), rows):
                    piece = pa.Table.from_batches([batch.slice(start, rows)])
                    yield Chunk.of(piece, columns), fraction

    def _batches(self, file: pa.NativeFile) -> Iterator[tuple[pa.RecordBatch, float]]:
        if self._is_stream:
            with pa.ipc.open_stream(file) as reader:
                for batch in reader:
                    batch.validate(full=True)
                    yield batch, file.tell() / self._size
            if file.tell() != self._size:
                raise pa.ArrowInvalid("something follows the end mark")
            return
        with pa.ipc.open_file(file) as reader:
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                batch.validate(full=True)  # Arrow takes the bounds of values for valid otherwise
                yield batch, (number + 1) / reader.num_record_batches

    def _schema_of(self, path: Path) -> pa.Schema:
        opened = pa.ipc.open_stream if self._is_stream else pa.ipc.open_file
        with pa.OSFile(str(path)) as file, opened(file) as reader:
            return reader.schema

    def _compression_of(self, path: Path) -> str | None:
        """Return the codec of the first batch, which pyarrow does not tell."""
        with pa.OSFile(str(path)) as file:
            file.seek(0 if self._is_stream else len(FILE_MAGIC))
            for message in pa.ipc.MessageReader.open_stream(file):
                if message.type == "record batch":
                    return _codec_in(message.metadata.to_pybytes())
        return None


class _FeatherWriter(TableWriter):
    """Writes the rows aside first, in a file without a name: the schema, which holds the manifest,
    comes before them.
    """

    def __init__(
        self,
        file: BinaryIO,
        table: FeatherTable,
        schema: pa.Schema,
        new: Callable[[Any, pa.Schema], Any],
    ) -> None:
        self._file, self._table, self._after, self._new = file, table, schema, new
        self._schema = fields_after(table.schema, schema)
        self._replaced: set[str] = set()
        self._dictionaries: dict[str, pa.Array] = {}
        self._aside = tempfile.TemporaryFile()  # noqa: SIM115  # close closes it
        weakref.finalize(self, self._aside.close)
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
        self._rows = pa.ipc.new_stream(self._aside, self._schema, options=options)

    def write(self, chunk: Chunk, columns: pa.Table) -> None:
        self._replaced.update(columns.column_names)
        for place, name in enumerate(columns.column_names):
            if pa.types.is_dictionary(columns.schema.types[place]):
                grown = self._grown(name, combined(columns.column(place)))
                columns = columns.set_column(place, columns.schema.field(place), grown)
        self._rows.write_table(chunk.joined(columns, self._schema))

    def close(self, manifest: str | None) -> None:
        """Write the schema with the manifest, and the rows behind it."""
        self._rows.close()
        metadata = metadata_after(
            self._table.schema, self._after, manifest, self._replaced, self._table.kept_metadata
        )
        self._aside.seek(0)
        schema = self._schema.with_metadata(metadata)
        with (
            self._aside,
            pa.ipc.open_stream(self._aside) as rows,
            self._new(self._file, schema) as writer,
        ):
            for batch in rows:
                writer.write_batch(batch.replace_schema_metadata(metadata))

    def _grown(self, name: str, array: pa.DictionaryArray) -> pa.DictionaryArray:
        """Return an array whose dictionary begins with those before: a file has one in all."""
        known = self._dictionaries.get(name, array.dictionary.slice(0, 0))
        is_new = pc.invert(pc.is_in(array.dictionary, value_set=known))
        grown = pa.concat_arrays([known, array.dictionary.filter(is_new)])
        self._dictionaries[name] = grown
        indices = pc.index_in(array.dictionary, value_set=grown).take(array.indices)
        with contextlib.suppress(pa.ArrowInvalid):
            indices = indices.cast(array.type.index_type)
        if indices.type != array.type.index_type:
            raise PseudonymizationError(
                f"column {name!r} would have more categories than its type"
                f" {array.type.index_type} can number"
            )
        return pa.DictionaryArray.from_arrays(indices, grown, ordered=array.type.ordered)


_NOT_WHOLE = "is not a whole Feather file or Arrow stream"


def _read(path: Path, action: Callable[..., Any], *arguments: Any) -> Any:
    problem = ""
    try:
        return action(*arguments)
    except (pa.ArrowException, OSError, ValueError, struct.error):
        problem = f"{path} {_NOT_WHOLE}"
    raise PseudonymizationError(problem)


def _codec_in(message: bytes) -> str | None:
    """Return the codec that the header of a record batch names.

    Source: Message.fbs: Message 2 header; RecordBatch 3 compression; BodyCompression 0 codec.
    """
    table = _follow(message, 0)
    for number in (2, 3):
        place = _field_in(message, table, number)
        if place is None:
            return None
        table = _follow(message, place)
    codec = _field_in(message, table, 0)
    return "zstd" if codec is not None and message[codec] == 1 else "lz4"


def _follow(message: bytes, place: int) -> int:
    return place + int(struct.unpack_from("<I", message, place)[0])


def _field_in(message: bytes, table: int, number: int) -> int | None:
    """Return where a field of a table of FlatBuffers is, None for one that is not there."""
    fields = table - int(struct.unpack_from("<i", message, table)[0])
    place = 4 + 2 * number
    if place >= struct.unpack_from("<H", message, fields)[0]:
        return None
    offset = struct.unpack_from("<H", message, fields + place)[0]
    return table + int(offset) if offset else None

"""Hive's partitions: columns whose values are in the names of folders, as in ``country=DE/``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes

import pyarrow as pa

from secureml.errors import PseudonymizationError
from secureml.files.base import Chunk, TableFile, TableWriter

__all__ = ["PartitionedTable", "partitions_of", "renamed"]

_NULL = "__HIVE_DEFAULT_PARTITION__"
_ESCAPED = frozenset("\"#%'*/:=?\\{[]^\x7f") | {chr(code) for code in range(0x20)}
"""What Hive and Spark write as ``%`` and two digits."""


def partitions_of(name: str) -> dict[str, str | None]:
    """Return the columns that the folders of a name tell, with their values.

    Args:
        name: of a file, ``/`` between folders.

    Raises:
        PseudonymizationError: a column is told twice, or a name is not UTF-8.
    """
    columns: dict[str, str | None] = {}
    for part in name.split("/")[:-1]:
        column, mark, value = part.partition("=")
        if not (mark and column):
            continue
        column = _unescaped(column)
        if column in columns:
            raise PseudonymizationError(f"the path tells the column {column!r} twice")
        columns[column] = None if value == _NULL else _unescaped(value)
    return columns


def renamed(name: str, values: Mapping[str, str | None]) -> str:
    """Return the name of a file with other values of some of its partitions."""
    *folders, file = name.split("/")
    for place, part in enumerate(folders):
        written, mark, _ = part.partition("=")
        if mark and written and (column := _unescaped(written)) in values:
            value = values[column]
            folders[place] = f"{written}={_NULL if value is None else _escaped(value)}"
    return "/".join([*folders, file])


class PartitionedTable(TableFile):
    """A table in a file with the columns that its path tells.

    Args:
        table: the file.
        values: of the columns that the file itself does not have.
    """

    def __init__(self, table: TableFile, values: Mapping[str, str | None]) -> None:
        schema = table.schema
        for column in values:
            schema = schema.append(pa.field(column, pa.string()))
        super().__init__(table.path, schema)
        self.file = table
        self.codec, self.has_name, self.suffixes = table.codec, table.has_name, table.suffixes
        self.keeps_manifest = table.keeps_manifest
        self._values = dict(values)
        self._state = table._state

    @property
    def attached(self) -> str | None:
        """The manifest that the file itself holds, as JSON; None for none."""
        return self.file.attached

    @property
    def levels(self) -> list[object]:
        """The names of an index of pandas' whose columns in the file have others."""
        return self.file.levels

    @property
    def about(self) -> str | None:
        """How the file is written, in words."""
        return self.file.about

    def untold(self, file: BinaryIO) -> dict[str, Any]:
        """Return what a written file does not tell of how it is to be read."""
        return self.file.untold(file)

    def writer(self, file: BinaryIO, schema: pa.Schema) -> TableWriter:
        """Start a file of the same kind without the columns that its path tells."""
        self.file.kept_metadata = self.kept_metadata
        fields = [field for field in schema if field.name not in self._values]
        written = pa.schema(fields, metadata=schema.metadata)
        return _PartitionWriter(self.file.writer(file, written), self._values)

    def _chunks(self, columns: Collection[str] | None) -> Iterator[tuple[Chunk, float]]:
        for chunk, fraction in self.file._chunks(columns):
            yield self._with_values(chunk, columns), fraction

    def _nothing(self, columns: Collection[str] | None) -> Chunk:
        return self._with_values(self.file._nothing(columns), columns)

    def _with_values(self, chunk: Chunk, columns: Collection[str] | None) -> Chunk:
        table = chunk.table
        arrays = dict(zip(table.column_names, table.columns, strict=True))
        for column, value in self._values.items():
            if columns is None or column in columns:
                arrays[column] = pa.array([value], pa.string()).take(
                    pa.array([0] * len(chunk), pa.int32())
                )
        return replace(chunk, table=pa.table(arrays, metadata=table.schema.metadata))


class _PartitionWriter(TableWriter):
    """Leaves out the columns that the path tells."""

    def __init__(self, writer: TableWriter, columns: Collection[str]) -> None:
        self._writer = writer
        self._columns = columns

    def write(self, chunk: Chunk, columns: pa.Table) -> None:
        told = [name for name in columns.column_names if name in self._columns]
        self._writer.write(chunk, columns.drop_columns(told) if told else columns)

    def close(self, manifest: str | None) -> None:
        self._writer.close(manifest)


def _escaped(value: str) -> str:
    return "".join(
        f"%{ord(character):02X}" if character in _ESCAPED else character for character in value
    )


def _unescaped(text: str) -> str:
    problem = "a name in the path is not UTF-8: rename the folder"
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError:
        pass
    raise PseudonymizationError(problem)

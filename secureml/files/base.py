"""What a table in a file is to the rest: a schema, chunks of rows, and a writer of its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import pyarrow as pa

from secureml.errors import PseudonymizationError, SecureMLError
from secureml.files.progress import Done

__all__ = ["CHUNK_BYTES", "Chunk", "TableFile", "TableWriter", "changed_schema"]

CHUNK_BYTES = 4 << 20
"""About how much of a file is worked on at a time; readers are up to 32 times that ahead."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a table in a file.

    Args:
        table: the columns that were asked for.
        rest: all that the file has of these rows, as its kind keeps it; like a ``pa.Table`` it has
            a length and can be sliced and filtered.
    """

    table: pa.Table
    rest: Any

    @classmethod
    def of(cls, rows: pa.Table, columns: Collection[str] | None) -> Self:
        """Make a chunk of a kind that reads all columns as Arrow has them.

        Args:
            rows: all columns.
            columns: the names of those that were asked for; None for all.
        """
        if columns is None:
            return cls(rows, rows)
        return cls(rows.select([name for name in rows.column_names if name in columns]), rows)

    def __len__(self) -> int:
        return len(self.rest)

    def joined(self, columns: pa.Table, schema: pa.Schema) -> pa.Table:
        """Return the rows whole, of a kind that reads all columns as Arrow has them.

        Args:
            columns: those of the schema that are new.
            schema: of the whole.
        """
        new = frozenset(columns.column_names)
        arrays = [(columns if name in new else self.rest).column(name) for name in schema.names]
        return pa.Table.from_arrays(arrays, schema=schema)

    def picked(self, rows: pa.Array) -> Self:
        """Return some rows.

        Args:
            rows: which, of type ``bool_``.
        """
        return type(self)(self.table.filter(rows), self.rest.filter(rows))

    def slice(self, start: int) -> Self:
        """Return the rows from one on."""
        return type(self)(self.table.slice(start), self.rest.slice(start)) if start else self


class TableWriter(ABC):
    """Writes a table to a file, in chunks of one schema."""

    @abstractmethod
    def write(self, chunk: Chunk, columns: pa.Table) -> None:
        """Write some rows.

        Args:
            chunk: the rows as they were read.
            columns: those columns of the schema that have other values than the chunk, or that it
                does not have.
        """

    @abstractmethod
    def close(self, manifest: str | None) -> None:
        """Write what comes after the rows.

        Args:
            manifest: the table's, as JSON; None for a table without one.
        """


class TableFile(ABC):
    """A table in a file, which stays as it is.

    Args:
        path: the file.
        schema: its columns.

    Attributes:
        codec: by what the file is compressed as a whole, None for a plain one.
        has_name: whether it is a file with a name, and not standard input.
        keeps_manifest: whether a file of its kind holds its manifest itself.
        suffixes: what names of its kind end with.
        fraction: how much of it is read.
        kept_metadata: which keys of its metadata results have, besides those that describe
            columns; None for all.

    Raises:
        PseudonymizationError: two columns have one name.
    """

    codec: str | None = None
    has_name = True
    keeps_manifest: bool
    suffixes: tuple[str, ...] = ()

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        twice = sorted(name for name, count in Counter(schema.names).items() if count > 1)
        if twice:
            raise PseudonymizationError(
                f"{path}: column names occur more than once: {', '.join(map(repr, twice))}"
            )
        self.path = path
        self.schema = schema
        self.fraction = 0.0
        self.kept_metadata: Collection[str] | None = None
        self._state = _state_of(path)

    @property
    def attached(self) -> str | None:
        """The manifest that the file itself holds, as JSON; None for none."""
        return None

    def done(self, rows: int) -> Done:
        """Return how much is done after some rows."""
        return Done(self.fraction, rows=rows, bytes=int(self.fraction * self._state[1]))

    @property
    def about(self) -> str | None:
        """How the file is written, in words; None if its kind tells."""
        return None

    def untold(self, file: BinaryIO) -> dict[str, Any]:
        """Return what a file that was written like this one does not tell of how it is to be read.

        Args:
            file: it, open to be read.
        """
        return {}

    @property
    def levels(self) -> list[object]:
        """The names of an index of pandas' whose columns in the file have others."""
        return []

    @abstractmethod
    def writer(self, file: BinaryIO, schema: pa.Schema) -> TableWriter:
        """Start a file of the same kind.

        Args:
            file: where it is written.
            schema: its columns, of which the chunks may have some, and ``write`` has the others.
        """

    @abstractmethod
    def _chunks(self, columns: Collection[str] | None) -> Iterator[tuple[Chunk, float]]:
        """Read the rows in order, each time with the fraction of the file that is read."""

    def _nothing(self, columns: Collection[str] | None) -> Chunk:
        """Return a chunk without rows."""
        return Chunk.of(self.schema.empty_table(), columns)

    def chunks(self, columns: Collection[str] | None = None, skip: int = 0) -> Iterator[Chunk]:
        """Read the rows in order; of a table without any, one chunk without any.

        Args:
            columns: the names of the columns to read, of which the table may lack some; by default
                all.
            skip: how many rows to leave out at the beginning.

        Raises:
            PseudonymizationError: the file is not a whole table.
            SecureMLError: the file can't be read, or changes meanwhile.
        """
        rows, problem = 0, "was changed while it was read"
        chunk = self._nothing(columns)
        try:
            for chunk, fraction in self._chunks(columns):
                self.fraction = fraction
                start = max(skip - rows, 0)
                rows += len(chunk)
                if start < len(chunk):
                    yield chunk.slice(start)
            if not rows:
                yield chunk
            if _state_of(self.path) == self._state:
                return
        except OSError as error:
            problem = f"can't be read ({error.strerror or type(error).__name__})"
        raise SecureMLError(f"{self.path} {problem}")


def changed_schema(
    schema: pa.Schema, columns: pa.Schema, dropped: Collection[str] = ()
) -> pa.Schema:
    """Return a schema with some columns changed, new ones behind the others.

    Args:
        schema: of the table.
        columns: the columns that are changed or new; the schema gets its metadata.
        dropped: the names of the columns that it loses.
    """
    fields = {field.name: field for field in schema if field.name not in dropped}
    fields |= {field.name: field for field in columns}
    return pa.schema(fields.values(), metadata=columns.metadata)


def _state_of(path: Path) -> tuple[int, ...]:
    state = path.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns

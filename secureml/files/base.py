"""What a table in a file is to the rest: a schema, chunks of rows, and a writer of its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from secureml.errors import PseudonymizationError, SecureMLError

__all__ = ["CHUNK_BYTES", "Table", "TableWriter"]

CHUNK_BYTES = 4 << 20
"""About how much of a file is worked on at a time; readers are up to 32 times that ahead."""


class TableWriter(ABC):
    """Writes a table to a file, in chunks of one schema."""

    @abstractmethod
    def write(self, chunk: pa.Table) -> None:
        """Write some rows."""

    @abstractmethod
    def close(self, manifest: str | None) -> None:
        """Write what comes after the rows.

        Args:
            manifest: the table's, as JSON; None for a table without one.
        """


class Table(ABC):
    """A table in a file, which stays as it is.

    Args:
        path: the file.
        schema: its columns.

    Raises:
        PseudonymizationError: two columns have one name.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        twice = sorted(name for name, count in Counter(schema.names).items() if count > 1)
        if twice:
            raise PseudonymizationError(
                f"{path}: column names occur more than once: {', '.join(map(repr, twice))}"
            )
        self.path = path
        self.schema = schema
        self.fraction = 0.0
        self._state = _state_of(path)

    @property
    @abstractmethod
    def attached(self) -> str | None:
        """The manifest that the file itself holds, as JSON; None for none."""

    @property
    @abstractmethod
    def keeps_manifest(self) -> bool:
        """Whether a file of this kind holds its manifest itself."""

    @property
    def levels(self) -> list[object]:
        """The names of an index of pandas' whose columns in the file have others."""
        return []

    @abstractmethod
    def writer(self, file: BinaryIO, schema: pa.Schema) -> TableWriter:
        """Start a file of the same kind."""

    @abstractmethod
    def _chunks(self) -> Iterator[tuple[pa.Table, float]]:
        """Read the rows in order, each time with the fraction of the file that is read."""

    def chunks(self, skip: int = 0) -> Iterator[pa.Table]:
        """Read the rows in order; of a table without any, one chunk without any.

        Args:
            skip: how many rows to leave out at the beginning.

        Raises:
            PseudonymizationError: the file is not a whole table.
            SecureMLError: the file can't be read, or changes meanwhile.
        """
        rows, problem = 0, "was changed while it was read"
        try:
            for chunk, fraction in self._chunks():
                self.fraction = fraction
                start = max(skip - rows, 0)
                rows += len(chunk)
                if start < len(chunk):
                    yield chunk.slice(start)
            if not rows:
                yield self.schema.empty_table()
            if _state_of(self.path) == self._state:
                return
        except OSError as error:
            problem = f"can't be read ({error.strerror or type(error).__name__})"
        raise SecureMLError(f"{self.path} {problem}")


def _state_of(path: Path) -> tuple[int, ...]:
    state = path.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns

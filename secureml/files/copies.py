"""Tables that are compressed as a whole, or come by standard input: they are read from a copy.

The copy is a file without a name, if the system can do that: whatever becomes of the process,
nothing in clear stays.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from secureml.errors import SecureMLError
from secureml.files.base import Chunk, TableFile, TableWriter
from secureml.files.compression import codec_of, decompressed

__all__ = ["CopiedTable"]

_HEAD = 16


class CopiedTable(TableFile):
    """A table that is read from a copy, which is not compressed.

    Args:
        path: the file; None for standard input.
        opened: opens the copy, of which it gets the path.

    Raises:
        PseudonymizationError: it is not a whole table, or compressed more than once.
        OSError: it can't be read.
    """

    def __init__(self, path: Path | None, opened: Callable[[Path], TableFile]) -> None:
        self._shown = "standard input" if path is None else str(path)
        self._copy, self.codec = _copy_of(path, self._shown)
        weakref.finalize(self, self._copy.close)
        self._place = _place_of(self._copy)
        with self._named():
            self._table = opened(self._place)
        self.suffixes, self.keeps_manifest = self._table.suffixes, self._table.keeps_manifest
        super().__init__(self._place if path is None else path, self._table.schema)
        self.has_name = path is not None

    @property
    def attached(self) -> str | None:
        """The manifest that the table itself holds."""
        return self._table.attached

    @property
    def about(self) -> str | None:
        """How the table is written, in words."""
        return self._table.about

    def untold(self, file: BinaryIO) -> dict[str, Any]:
        """Return what a file that was written like this one does not tell."""
        return self._table.untold(file)

    @property
    def levels(self) -> list[object]:
        """The names of an index of pandas' whose columns in the file have others."""
        return self._table.levels

    def writer(self, file: BinaryIO, schema: pa.Schema) -> TableWriter:
        """Start a file of the same kind."""
        self._table.kept_metadata = self.kept_metadata
        return self._table.writer(file, schema)

    def _chunks(self, columns: Collection[str] | None) -> Iterator[tuple[Chunk, float]]:
        with self._named():
            for chunk in self._table.chunks(columns):
                yield chunk, self._table.fraction

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Let errors tell the name of the file, not that of its copy."""
        try:
            yield
        except SecureMLError as error:
            error.reword(error.message.replace(str(self._place), self._shown))
            raise


def _copy_of(path: Path | None, shown: str) -> tuple[BinaryIO, str | None]:
    """Return a copy, decompressed, and by what the table was compressed."""
    # If there are no such files, it has a name and is removed when it is closed.
    unnamed = Path("/proc/self/fd").exists()
    made = tempfile.TemporaryFile if unnamed else tempfile.NamedTemporaryFile
    with contextlib.ExitStack() as stack:
        copy = stack.enter_context(made())
        with _standard_input() if path is None else path.open("rb") as file:
            codec = codec_of(file.peek(_HEAD), shown)
            for piece in decompressed(file, codec, shown):
                copy.write(piece)
        copy.flush()
        stack.pop_all()
    return cast(BinaryIO, copy), codec


def _standard_input() -> io.BufferedRandom:
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile())
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.seek(0)
        stack.pop_all()
    return file


def _place_of(copy: BinaryIO) -> Path:
    name = copy.name
    return Path(f"/proc/self/fd/{copy.fileno()}") if isinstance(name, int) else Path(name)

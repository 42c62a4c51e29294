"""CSV files as of RFC 4180: every value is text or null.

If nothing is there, that is a null. A value that is empty in quotation marks is the empty string,
and is written so.
"""

from __future__ import annotations

import codecs
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import pyarrow as pa

from secureml.errors import PseudonymizationError
from secureml.files.base import CHUNK_BYTES, Chunk, TableFile, TableWriter
from secureml.files.csv.cells import Rows, RowsOfFile, WrongRowError, find_rows, first_row
from secureml.files.csv.dialect import UNTOLD, Dialect, Told
from secureml.files.csv.writer import CsvWriter

__all__ = ["CsvTable"]

_HEAD = 1 << 16
_BLOCK = 1 << 20
"""How much is looked at together: of more, the caches of a processor hold less."""


class CsvTable(TableFile):
    """A table in a CSV file.

    Args:
        path: the file.
        told: what is known of how it is written.

    Raises:
        PseudonymizationError: it is not a table, or not as it was told.
        OSError: it can't be read.
    """

    keeps_manifest = False
    suffixes = (".csv", ".tsv", ".txt")

    def __init__(self, path: Path, told: Told = UNTOLD) -> None:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        dialect, self._size = None, path.stat().st_size
        try:
            dialect = Dialect.of(head, told)
        except UnicodeDecodeError:
            dialect = None
        if dialect is None:
            raise PseudonymizationError(f"{path} {_not_in(told.encoding or 'utf-8')}")
        if b"\0" in head and not dialect.encoding.startswith("utf-16"):
            raise PseudonymizationError(f"{path} is no CSV file, nor of another kind that is known")
        self.path, self.dialect = path, dialect
        first = self._first_row()
        self._head = first if dialect.header else None
        names = [
            first.texts(place)[0].as_py() or "" if dialect.header else str(place + 1)
            for place in range(first.ends.shape[1])
        ]
        super().__init__(path, pa.schema([(name, pa.string()) for name in names]))

    @property
    def about(self) -> str:
        """The dialect, in words."""
        return str(self.dialect)

    def untold(self, file: BinaryIO) -> dict[str, Any]:
        """Return what of the dialect can't be found out."""
        file.seek(0)
        return self.dialect.beyond(file.read(_HEAD))

    def writer(self, file: BinaryIO, schema: pa.Schema) -> TableWriter:
        """Start a file with the same byte order mark, encoding, delimiter and header."""
        file.write(self.dialect.mark)
        return CsvWriter(file, self.dialect, self._head, self.schema.names, schema.names)

    def _chunks(self, columns: Collection[str] | None) -> Iterator[tuple[Chunk, float]]:
        with self.path.open("rb") as file:
            held: list[Rows] = []
            done = 0
            for rows in self._blocks(file):
                # Empty lines are no rows, and are written with those that they are behind.
                if len(rows) and sum(len(each.data) for each in held) >= CHUNK_BYTES:
                    yield self._chunk(held, columns), min(done, self._size - 1) / self._size
                    held = []
                held.append(rows)
                done = file.tell()
            yield self._chunk(held, columns), 1.0

    def _chunk(self, blocks: list[Rows], columns: Collection[str] | None) -> Chunk:
        arrays = {
            name: pa.chunked_array([rows.texts(place) for rows in blocks], pa.string())
            for place, name in enumerate(self.schema.names)
            if columns is None or name in columns
        }
        return Chunk(pa.table(arrays), RowsOfFile(tuple(blocks)))

    def _blocks(self, file: BinaryIO) -> Iterator[Rows]:
        """Go through the rows behind the header."""
        columns, delimiter = len(self.schema.names), self.dialect.delimiter
        before, count, rest = 0, 0, b""
        if self._head is not None:
            before, count = len(self._head.data), 1
        for piece, is_last in self._pieces(file, skip=before):
            data, added = rest + piece, 0
            if is_last and data and not data.endswith(b"\n"):
                added = 1
                data += b"\n"
            rows: Rows | tuple[int, int, int]
            try:
                rows = find_rows(data, columns, delimiter, added=added)
            except WrongRowError as error:
                rows = (error.before, error.found, error.offset)
            if isinstance(rows, tuple):
                row, found, offset = rows
                self._refuse(
                    f"row {count + row + 1} has {found} values, not {columns}", before + offset
                )
            rest = data[len(rows.data) :]
            if len(rest) > CHUNK_BYTES:
                self._refuse(
                    f"row {count + len(rows) + 1} has more than {CHUNK_BYTES >> 20} MiB, or a"
                    " quotation mark that is not closed",
                    before + len(rows.data),
                )
            if is_last and rest:
                self._refuse(
                    f"row {count + len(rows) + 1} ends inside of quotation marks: the last part of"
                    " the file is missing",
                    before + len(rows.data),
                )
            before, count = before + len(rows.data), count + len(rows)
            if rows.data:
                yield rows

    def _first_row(self) -> Rows:
        head = b""
        with self.path.open("rb") as file:
            for data, is_last in self._pieces(file):
                head += data
                first = first_row(head, self.dialect.delimiter)
                if first is None and is_last and not self.dialect.header and head:
                    first = first_row(head + b"\n", self.dialect.delimiter)
                if first is not None:
                    return first
                if len(head) > CHUNK_BYTES:
                    break
        raise PseudonymizationError(f"{self.path} has no header, or nothing after it")

    def _pieces(self, file: BinaryIO, skip: int = 0) -> Iterator[tuple[bytes, bool]]:
        """Read the file in UTF-8, and tell at the end that it is the last piece.

        Args:
            file: the file.
            skip: how many bytes in UTF-8 to leave out after the byte order mark.
        """
        encoding, size = self.dialect.encoding, min(_BLOCK, CHUNK_BYTES)
        decoder = codecs.getincrementaldecoder(encoding)()
        file.seek(len(self.dialect.mark))
        is_last, wrong = False, False
        while not is_last:
            data = file.read(size)
            is_last = not data
            try:
                if encoding != "utf-8":
                    data = decoder.decode(data, is_last).encode()
                elif is_last or not data.isascii() or decoder.getstate()[0]:
                    decoder.decode(data, is_last)
            except UnicodeError:
                wrong = True
            if wrong:
                raise PseudonymizationError(f"{self.path} {_not_in(encoding)}")
            data, skip = data[skip:], max(0, skip - len(data))
            yield data, is_last

    def _refuse(self, problem: str, offset: int) -> NoReturn:
        """Tell that the file is not a whole table.

        Args:
            problem: what is wrong.
            offset: how many bytes in UTF-8 come before it.

        Raises:
            PseudonymizationError: always.
        """
        line, mark = 1, b"\n"
        with self.path.open("rb") as file:
            for data, _ in self._pieces(file):
                line += data[: max(0, offset)].count(mark)
                offset -= len(data)
                if offset <= 0:
                    break
        raise PseudonymizationError(
            f"{self.path} is not a whole table: {problem} (line {line} of the file; it is read as"
            f" {self.about})"
        )


def _not_in(encoding: str) -> str:
    if encoding == "utf-8":
        return (
            "holds text that is not UTF-8: name its encoding, for instance with --encoding cp1252"
            " (encoding='cp1252')"
        )
    return f"holds text that is not {encoding}: name another encoding"

"""CSV files as of RFC 4180, in UTF-8, with a header: every value is text or null.

Where nothing is, that is a null. A value that is empty in quotation marks is the empty string, and
is written so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from secureml.errors import ArgumentError, PseudonymizationError
from secureml.files.base import CHUNK_BYTES, Chunk, TableFile, TableWriter

__all__ = ["CsvTable"]

_HEAD = 1 << 16
_MARK = b"\xef\xbb\xbf"
"""Some programs start a file in UTF-8 with it."""

_UTF16 = "convert it to UTF-8 first, for instance with iconv -f UTF-16 -t UTF-8"
_NOT_UTF8 = (
    "holds text that is not UTF-8: convert it first, for instance with iconv -f CP1252 -t UTF-8"
)
_OTHERS = (
    (b"\xff\xfe", "in UTF-16", _UTF16),
    (b"\xfe\xff", "in UTF-16", _UTF16),
    (b"\x1f\x8b", "compressed by gzip", "decompress it first with gunzip"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "decompress it first with unzstd"),
)
"""What files that can't be read begin with, what they are, and the remedy."""


class CsvTable(TableFile):
    """A table in a CSV file.

    Args:
        path: the file.
        delimiter: one ASCII character.

    Raises:
        PseudonymizationError: it is not a table, or the delimiter can't be one.
        OSError: it can't be read.
    """

    keeps_manifest = False
    attached = None

    def __init__(self, path: Path, delimiter: str) -> None:
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
            raise ArgumentError.of("delimiter", "is not one ASCII character", f"={delimiter!r}")
        with path.open("rb") as file:
            head = file.read(_HEAD)
        for mark, what, remedy in _OTHERS:
            if head.startswith(mark):
                raise PseudonymizationError(f"{path} is {what}: {remedy}")
        if b"\0" in head:
            raise PseudonymizationError(f"{path} is neither a CSV nor a Parquet file")
        self._delimiter = delimiter
        self._line_end = "\r\n" if head.partition(b"\n")[0].endswith(b"\r") else "\n"
        wrong: list[str] = []
        names = _read(path, lambda: self._open(path, (), wrong).schema.names, wrong)
        if len(names) == 1:
            _check_delimiter(path, head)
        self._mark = _MARK if head.startswith(_MARK) else b""
        super().__init__(path, pa.schema([(name, pa.string()) for name in names]))

    def writer(self, file: BinaryIO, schema: pa.Schema) -> TableWriter:
        """Start a file with the same byte order mark, delimiter and line ends."""
        file.write(self._mark)
        return _CsvWriter(file, schema, self._delimiter, self._line_end)

    def _chunks(self, columns: Collection[str] | None) -> Iterator[tuple[Chunk, float]]:
        names, size = self.schema.names, self.path.stat().st_size
        wrong: list[str] = []
        last, blocks = None, 0
        with pa.OSFile(str(self.path)) as file:
            reader = _read(self.path, lambda: self._open(file, names, wrong), wrong)
            while (batch := _read(self.path, lambda: _next(reader), wrong)) is not None:
                blocks += 1
                if len(batch):
                    last = batch.column(len(names) - 1)[-1].as_py()
                    fraction = min(blocks * CHUNK_BYTES / size, 1.0)
                    yield Chunk.of(pa.Table.from_batches([batch]), columns), fraction
        if last is not None:  # a null is no text that quotation marks could be around
            self._check_end(last)

    def _open(self, file: Path | pa.NativeFile, names: Sequence[str], wrong: list[str]) -> Any:
        """Start reading; without names, to see which there are."""

        def refuse(row: Any) -> str:
            found, expected = row.actual_columns, row.expected_columns
            wrong.append(f"row {row.number} has {found} values, not {expected}")
            return "error"

        return csv.open_csv(
            file,
            # Threads would lose the numbers of rows that are refused.
            csv.ReadOptions(block_size=CHUNK_BYTES, use_threads=False),
            csv.ParseOptions(
                delimiter=self._delimiter,
                newlines_in_values=True,
                # In a table of one column an empty line is a value.
                ignore_empty_lines=len(names) != 1,
                invalid_row_handler=refuse,
            ),
            csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )

    def _check_end(self, last: str) -> None:
        """Refuse a file whose last value is in quotation marks that are not closed."""
        ending = b'"' + last.replace('"', '""').encode()
        with self.path.open("rb") as file:
            file.seek(-min(len(ending), self.path.stat().st_size), 2)
            if file.read() != ending:
                return
            file.seek(0)
            marks = sum(block.count(b'"') for block in iter(lambda: file.read(1 << 20), b""))
        if marks % 2:
            raise PseudonymizationError(
                f"{self.path} ends inside of quotation marks: the last part of it is missing"
            )


class _CsvWriter(TableWriter):
    """Writes values in quotation marks if they need them, and nulls as nothing."""

    def __init__(self, file: BinaryIO, schema: pa.Schema, delimiter: str, line_end: str) -> None:
        self._file = file
        self._schema = schema
        self._delimiter = _large(delimiter)
        self._line_end = _large(line_end)
        # The name of an only column is not to look like several.
        others = ";\t|," if len(schema.names) == 1 else ""
        self._special = f'^$|["\r\n{re.escape(delimiter)}{others}]'
        self._write([pa.array([name], pa.large_string()) for name in schema.names])
        self._special = f'^$|["\r\n{re.escape(delimiter)}]'

    def write(self, chunk: Chunk, columns: pa.Table) -> None:
        self._write([each.combine_chunks() for each in chunk.joined(columns, self._schema).columns])

    def close(self, manifest: str | None) -> None:
        """Do nothing: the manifest lies beside the file."""

    def _write(self, columns: Sequence[pa.Array]) -> None:
        texts = [self._quoted(column) for column in columns]
        lines = pc.binary_join_element_wise(
            *texts, self._delimiter, null_handling="replace", null_replacement=""
        )
        whole = pc.binary_join_element_wise(lines, self._line_end, _large(""))
        if (pc.max(pc.binary_length(whole)).as_py() or 0) > CHUNK_BYTES:
            raise PseudonymizationError(
                f"a row would have more than {CHUNK_BYTES >> 20} MiB, which could not"
                " be read back: tokens are longer than their values. Write Parquet, or use another"
                " strategy for its long values"
            )
        if len(whole):
            self._file.write(whole.buffers()[2])

    def _quoted(self, column: pa.Array) -> pa.Array:
        texts = column.cast(pa.large_string())
        special = pc.match_substring_regex(texts, self._special)
        if not pc.any(special).as_py():
            return texts
        mark = _large('"')
        escaped = pc.replace_substring(texts, '"', '""')
        return pc.if_else(
            special, pc.binary_join_element_wise(mark, escaped, mark, _large("")), texts
        )


def _check_delimiter(path: Path, head: bytes) -> None:
    """Refuse a file of one column that looks like several with another delimiter."""
    lines = re.sub(rb'"[^"]*"', b"", head).splitlines()[:2]
    for other in b";\t|,":
        counts = {line.count(other) for line in lines}
        if len(counts) == 1 and counts != {0}:
            name = {"\t": "\\t"}.get(chr(other), chr(other))
            raise PseudonymizationError(
                f"{path} looks like one column, and has '{name}' in each line: name the delimiter"
                f" (--delimiter '{name}')"
            )


def _large(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())


def _next(reader: Any) -> Any:
    try:
        return reader.read_next_batch()
    except StopIteration:
        return None


def _read(path: Path, action: Callable[[], Any], wrong: Sequence[str] = ()) -> Any:
    """Read, and tell what is wrong in words that hold nothing of the file."""
    problem = ""
    try:
        return action()
    except UnicodeDecodeError:
        problem = _NOT_UTF8
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        problem = _problem_in(str(error), wrong)
    raise PseudonymizationError(f"{path} {problem}")


def _problem_in(message: str, wrong: Sequence[str]) -> str:
    if wrong:
        return f"is not a whole table: {wrong[0]}"
    if "UTF8" in message:
        return _NOT_UTF8
    if "straddl" in message:
        return (
            f"has a row of more than {CHUNK_BYTES >> 20} MiB, or a quotation mark that is not"
            " closed"
        )
    if "mpty" in message:
        return "has no header, or nothing after it"
    return "is not a CSV file"

"""Write rows of a CSV file with other values in some columns, and every other byte as it was."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from secureml.errors import PseudonymizationError
from secureml.files.base import CHUNK_BYTES, Chunk, TableWriter
from secureml.files.csv.cells import Flags, Places, Rows, strings
from secureml.files.csv.dialect import Dialect

__all__ = ["CsvWriter"]

Edit = tuple[Places, Places, pa.Array]
"""Where in each row something begins and ends, and what is there instead."""


@dataclass(frozen=True, slots=True)
class _Values:
    """New values of a column.

    Args:
        texts: what they say; None for nothing.
        escaped: how they are written within quotation marks.
        special: whether some need quotation marks.
    """

    texts: pa.Array
    escaped: pa.Array
    special: bool

    @classmethod
    def of(cls, column: pa.ChunkedArray, delimiter: str) -> Self:
        """Read the values of a column."""
        texts = column.combine_chunks().cast(pa.string())
        buffer = texts.buffers()[2]
        data = b"" if buffer is None else buffer.to_pybytes()
        escaped = pc.replace_substring(texts, '"', '""') if b'"' in data else texts
        special = any(mark in data for mark in (b'"', b"\r", b"\n", delimiter.encode()))
        return cls(texts, escaped, special or not pc.min(pc.binary_length(texts)).as_py())

    def slice(self, start: int, count: int) -> Self:
        """Return some of the values."""
        texts, escaped = (each.slice(start, count) for each in (self.texts, self.escaped))
        return type(self)(texts, escaped, self.special)


class CsvWriter(TableWriter):
    """Writes rows as they were read, apart from the columns that are replaced, added or dropped.

    A value is in quotation marks if the one that it replaces was, or if it needs them.

    Args:
        file: where it is written.
        dialect: how.
        head: the header as it was read; None for a file without one.
        before: the names of the columns that are read.
        after: the names of those that are written.
    """

    def __init__(
        self,
        file: BinaryIO,
        dialect: Dialect,
        head: Rows | None,
        before: Sequence[str],
        after: Sequence[str],
    ) -> None:
        self._file, self._dialect = file, dialect
        self._places = {name: place for place, name in enumerate(before)}
        self._dropped = {self._places[name] for name in {*before} - {*after}}
        self._added = [name for name in after if name not in self._places]
        if head is not None:
            self._write(head, self._values(pa.table({name: [name] for name in self._added})))

    def write(self, chunk: Chunk, columns: pa.Table) -> None:
        values, start = self._values(columns), 0
        for rows in chunk.rest.blocks:
            some = {name: each.slice(start, len(rows)) for name, each in values.items()}
            self._write(rows, some)
            start += len(rows)

    def close(self, manifest: str | None) -> None:
        """Do nothing: the manifest lies beside the file."""

    def _values(self, columns: pa.Table) -> dict[str, _Values]:
        delimiter = self._dialect.delimiter
        return {name: _Values.of(columns.column(name), delimiter) for name in columns.column_names}

    def _write(self, rows: Rows, values: Mapping[str, _Values]) -> None:
        edits = self._edits(rows, values) if len(rows) else []
        data = memoryview(rows.data)
        if edits:
            self._check_lengths(rows, edits)
            data = memoryview(_spliced(rows.data, edits))
        data = data[: len(data) - rows.added]
        self._file.write(data if self._dialect.encoding == "utf-8" else self._encoded(data))

    def _edits(self, rows: Rows, values: Mapping[str, _Values]) -> list[Edit]:
        replaced = {self._places[name]: name for name in values if name in self._places}
        edits = []
        for place in sorted({*replaced, *self._dropped}):
            if place in replaced:
                edits.append(self._replacement(rows, place, values[replaced[place]]))
                continue
            start, end = rows.bounds(place)
            nothing = pa.repeat(pa.scalar(""), len(rows))
            is_first = self._dropped.issuperset(range(place))
            edits.append((start, end + 1, nothing) if is_first else (start - 1, end, nothing))
        if self._added:
            bare = np.zeros(len(rows), np.bool_)
            each = [self._in_marks(values[name], bare, bare) for name in self._added]
            delimiter = pa.scalar(self._dialect.delimiter)
            added = pc.binary_join_element_wise(
                pa.scalar(""), *each, delimiter, null_handling="replace", null_replacement=""
            )
            edits.append((rows.ends[:, -1], rows.ends[:, -1], added))
        return edits

    def _replacement(self, rows: Rows, place: int, new: _Values) -> Edit:
        cells = rows.cells(place)
        values = self._in_marks(new, cells.quoted, cells.loose)
        if not values.null_count:
            return cells.start, cells.end, values
        # Nothing in quotation marks would be the empty string.
        around = cells.quoted & values.is_null().to_numpy(zero_copy_only=False)
        return cells.start - around, cells.end + around, values.fill_null("")

    def _in_marks(self, new: _Values, quoted: Flags, loose: Flags) -> pa.Array:
        """Return how values are written in cells with and without quotation marks around."""
        if not new.special or quoted.all():
            return new.escaped
        others = rf"\r\n{re.escape(self._dialect.delimiter)}"
        needing = pc.match_substring_regex(new.texts, f'^$|["{others}]')
        if loose.any():
            # As before, such a cell has marks within and none around.
            needed = pc.match_substring_regex(new.texts, f'^$|^"|[{others}]')
            needing = pc.if_else(pa.array(loose), needed, needing)
        mark, nothing = pa.scalar('"'), pa.scalar("")
        marked = pc.binary_join_element_wise(mark, new.escaped, mark, nothing)
        bare = pc.if_else(needing, marked, new.texts)
        return pc.if_else(pa.array(quoted), new.escaped, bare)

    def _check_lengths(self, rows: Rows, edits: Sequence[Edit]) -> None:
        lengths = rows.ends[:, -1] - rows.starts
        for start, end, values in edits:
            lengths = lengths - (end - start) + pc.binary_length(values).to_numpy()
        if lengths.max(initial=0) > CHUNK_BYTES:
            raise PseudonymizationError(
                f"a row would have more than {CHUNK_BYTES >> 20} MiB, which could not"
                " be read back: tokens are longer than their values. Write Parquet, or use another"
                " strategy for its long values"
            )

    def _encoded(self, data: memoryview) -> bytes:
        encoding, encoded = self._dialect.encoding, None
        try:
            encoded = str(data, "utf-8").encode(encoding)
        except UnicodeEncodeError:
            encoded = None
        if encoded is None:
            raise PseudonymizationError(
                f"some values have characters that {encoding} does not have: convert the file to"
                " UTF-8 first"
            )
        return encoded


def _spliced(data: bytes, edits: Sequence[Edit]) -> pa.Buffer:
    """Return some bytes with others in the places of each row."""
    rows, count = len(edits[0][0]), len(edits)
    places = np.empty(2 * rows * count + 2, np.int32)
    places[0], places[-1] = 0, len(data)
    for number, (start, end, _) in enumerate(edits):
        places[1 + 2 * number : -1 : 2 * count] = start
        places[2 + 2 * number : -1 : 2 * count] = end
    values = edits[0][2]
    if count > 1:
        order = np.arange(rows * count).reshape(count, rows).T.ravel()
        values = pa.concat_arrays([each for _, _, each in edits]).take(pa.array(order))
    is_new = np.zeros(len(places) - 1, np.bool_)
    is_new[1::2] = True
    spliced = pc.replace_with_mask(strings(places, data), pa.array(is_new), values)
    return spliced.buffers()[2]

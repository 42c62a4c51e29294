"""Where the cells of a CSV file are, found in its bytes, and what they say.

A quotation mark is one only at the start of a cell; it ends at the next one that is not doubled. So
an even number of marks lies before every separator that is outside of them, which is found for 64
bytes at a time. Bytes for which that does not hold (a mark within a cell, text behind one, a lone
carriage return), empty lines and rows of other lengths are read cell by cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secureml.forksafe import CachedProperty

__all__ = ["Rows", "RowsOfFile", "WrongRowError", "find_rows", "first_row"]

Places = NDArray[np.int64]
Flags = NDArray[np.bool_]
Words = NDArray[np.uint64]

_NEWLINE, _RETURN, _MARK = b'\n\r"'
_DOUBLED = re.compile(rb'"((?:[^"]|"")*+)"(.*)', re.DOTALL)


class WrongRowError(Exception):
    """A row has more or fewer cells than others.

    Args:
        before: how many rows come before it.
        found: how many cells it has.
        offset: where it begins.
    """

    def __init__(self, before: int, found: int, offset: int) -> None:
        super().__init__(before, found, offset)
        self.before, self.found, self.offset = before, found, offset


@dataclass(frozen=True, slots=True)
class Cells:
    """One column of some rows.

    Args:
        start: where what the cells say begins, in quotation marks if they are around it.
        end: where it ends.
        quoted: which of them have quotation marks around them.
        loose: which of the others have some within.
    """

    start: Places
    end: Places
    quoted: Flags
    loose: Flags


@dataclass(frozen=True)
class Rows:
    """Whole rows.

    Args:
        data: their bytes.
        starts: where each row begins.
        ends: where each cell ends, of shape (rows, columns).
        plain: whether it is known that all quotation marks are as in RFC 4180.
        added: how many bytes the data have at their end that the file does not have.
    """

    data: bytes
    starts: Places
    ends: Places
    plain: bool = True
    added: int = 0

    def __len__(self) -> int:
        return len(self.starts)

    def from_row(self, start: int) -> Self:
        """Return the rows from one on."""
        at = int(self.starts[start])
        starts, ends = self.starts[start:] - at, self.ends[start:] - at
        return type(self)(self.data[at:], starts, ends, self.plain, self.added)

    def filter(self, picked: Flags) -> Self:
        """Return some rows."""
        sizes = np.diff(self.starts, append=len(self.data))
        data = np.frombuffer(self.data, np.uint8)[len(self.data) - int(sizes.sum()) :]
        kept = sizes[picked]
        starts = np.cumsum(kept) - kept
        ends = self.ends[picked] - (self.starts[picked] - starts)[:, np.newaxis]
        added = self.added if len(picked) and picked[-1] else 0
        return type(self)(data[np.repeat(picked, sizes)].tobytes(), starts, ends, self.plain, added)

    def bounds(self, column: int) -> tuple[Places, Places]:
        """Return where the cells of a column begin and end."""
        return self.ends[:, column - 1] + 1 if column else self.starts, self.ends[:, column]

    def cells(self, column: int) -> Cells:
        """Return the cells of a column."""
        start, end = self.bounds(column)
        quoted = loose = np.zeros(len(self), np.bool_)
        if not self.plain:
            said = [self.data[a:b] for a, b in zip(start, end, strict=True)]
            quoted = np.fromiter(map(_is_quoted, said), np.bool_, len(said))
            loose = np.fromiter((b'"' in cell for cell in said), np.bool_, len(said)) & ~quoted
        elif self._has_marks:
            quoted = self._block[start] == _MARK
        return Cells(start + quoted, end - quoted, quoted, loose)

    def texts(self, column: int) -> pa.Array:
        """Return what the cells of a column say; nothing without quotation marks is null."""
        cells = self.cells(column)
        if not self.plain:
            start, end = self.bounds(column)
            pairs = zip(start, end, strict=True)
            return pa.array([_said(self.data[a:b]) for a, b in pairs], pa.string())
        places = np.stack([cells.start, cells.end], 1).astype(np.int32).ravel()
        pieces = strings(places, self.data)
        texts = pieces.take(pa.array(np.arange(0, len(pieces), 2)))
        if self._has_marks and b'"' in texts.buffers()[2].to_pybytes():
            texts = pc.replace_substring(texts, '""', '"')
        nulls = (cells.start == cells.end) & ~cells.quoted
        if nulls.any():
            texts = pc.if_else(pa.array(nulls), None, texts)
        return texts

    @CachedProperty
    def _block(self) -> NDArray[np.uint8]:
        return np.frombuffer(self.data, np.uint8)

    @CachedProperty
    def _has_marks(self) -> bool:
        return b'"' in self.data


@dataclass(frozen=True, slots=True)
class RowsOfFile:
    """Rows in several blocks."""

    blocks: Sequence[Rows] = ()

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    def slice(self, start: int) -> Self:
        """Return the rows from one on."""
        return type(self)(tuple(self._from(start)))

    def filter(self, rows: pa.Array) -> Self:
        """Return those rows for which the array is true."""
        picked = rows.to_numpy(zero_copy_only=False)
        ends = np.cumsum([len(block) for block in self.blocks])
        parts = np.split(picked, ends[:-1]) if self.blocks else []
        return type(self)(
            tuple(block.filter(part) for block, part in zip(self.blocks, parts, strict=True))
        )

    def _from(self, start: int) -> Iterator[Rows]:
        for rows in self.blocks:
            if start < len(rows):
                yield rows.from_row(start)
            start = max(0, start - len(rows))


def strings(places: NDArray[np.int32], data: bytes) -> pa.Array:
    """Return what lies between places in UTF-8, one string between each two, without a copy."""
    count = max(0, len(places) - 1)
    return pa.Array.from_buffers(
        pa.string(), count, [None, pa.py_buffer(places), pa.py_buffer(data)]
    )


def find_rows(data: bytes, columns: int, delimiter: str, *, added: int = 0) -> Rows:
    """Find the rows that some bytes begin with; what remains is no whole row.

    Args:
        data: begin with a row.
        columns: how many cells each row has.
        delimiter: one ASCII character.
        added: how many bytes there are at the end that the file does not have, which ends with
            them.

    Raises:
        WrongRowError: a row has more or fewer cells.
    """
    at = _separators(data, ord(delimiter))
    if at is not None:
        is_end = np.frombuffer(data, np.uint8)[at] == _NEWLINE
        rows = np.flatnonzero(is_end)
        whole = rows[-1] + 1 if len(rows) else 0
        if whole == len(rows) * columns and is_end[columns - 1 : whole : columns].all():
            return _of_separators(data, at[:whole].reshape(-1, columns), added)
    return _by_cell(data, columns, delimiter, added)


def first_row(data: bytes, delimiter: str) -> Rows | None:
    """Find the first row, which may be behind empty lines; None if it is not whole."""
    start, ends = 0, []
    for end, mark, after in _cells_in(data, delimiter):
        ends.append(end)
        if mark == delimiter.encode():
            continue
        if len(ends) > 1 or end > start:
            row = np.array([start], np.int64), np.array([ends], np.int64)
            return Rows(data[:after], *row, plain=False)
        start, ends = after, []
    return None


def _separators(data: bytes, delimiter: int) -> Places | None:
    """Return where separators are that are outside of quotation marks.

    None stands for bytes of which the number of marks does not tell.
    """
    block = np.frombuffer(data, np.uint8)
    found = (block == delimiter) | (block == _NEWLINE)
    lone = None
    if b"\r" in data:
        lone = block == _RETURN
        lone[:-1] &= block[1:] != _NEWLINE
        lone[-1:] = False  # it is behind the last newline
    if b'"' not in data:
        return None if lone is not None and lone.any() else np.flatnonzero(found)
    separators, marks = _bits(found), _bits(block == _MARK)
    inside = _parity(marks)
    edges = separators | marks
    if lone is not None:
        if (_bits(lone) & ~inside).any():
            return None
        edges |= _bits(block == _RETURN)
    before = edges << np.uint64(1)
    before[1:] |= edges[:-1] >> np.uint64(63)
    before[:1] |= np.uint64(1)
    behind = edges >> np.uint64(1)
    behind[:-1] |= edges[1:] << np.uint64(63)
    last = len(block) - 1
    behind[last // 64] |= np.uint64(1 << last % 64)
    if ((marks & inside & ~before) | (marks & ~inside & ~behind)).any():
        return None
    outside = np.unpackbits((separators & ~inside).view(np.uint8), bitorder="little")
    return np.flatnonzero(outside.view(np.bool_))


def _bits(flags: Flags) -> Words:
    packed = np.packbits(flags, bitorder="little")
    words = np.zeros(-(-len(packed) // 8), "<u8")
    words.view(np.uint8)[: len(packed)] = packed
    return words


def _parity(marks: Words) -> Words:
    """Return of every bit whether the number of bits up to it is odd."""
    parity = marks.copy()
    for shift in (1, 2, 4, 8, 16, 32):
        parity ^= parity << np.uint64(shift)
    odd = np.bitwise_xor.accumulate(parity >> np.uint64(63))
    parity[1:] ^= np.uint64(0) - odd[:-1]
    return parity


def _of_separators(data: bytes, ends: Places, added: int) -> Rows:
    newlines = ends[:, -1]
    starts = np.zeros(len(ends), np.int64)
    starts[1:] = newlines[:-1] + 1
    cut = int(newlines[-1]) + 1 if len(ends) else 0
    if b"\r" in data and len(ends):
        # Nothing is before the first newline if it is the first byte.
        returns = np.frombuffer(data, np.uint8)[newlines - 1] == _RETURN
        ends[:, -1] -= returns & (newlines > 0)
    return Rows(data if cut == len(data) else data[:cut], starts, ends, added=added)


def _by_cell(data: bytes, columns: int, delimiter: str, added: int) -> Rows:
    starts: list[int] = []
    ends: list[list[int]] = []
    start, row, cut = 0, [], 0
    for end, mark, after in _cells_in(data, delimiter):
        if mark == b"\r" and after == len(data):
            break  # a newline may follow
        row.append(end)
        if mark == delimiter.encode():
            continue
        # In a table of one column an empty line is a value.
        if columns == 1 or len(row) > 1 or end > start:
            if len(row) != columns:
                raise WrongRowError(len(starts), len(row), start)
            starts.append(start)
            ends.append(row)
        start, row, cut = after, [], after
    places = np.array(starts, np.int64), np.array(ends, np.int64).reshape(-1, columns)
    return Rows(data[:cut], *places, plain=False, added=added if cut == len(data) else 0)


def _cells_in(data: bytes, delimiter: str) -> Iterator[tuple[int, bytes, int]]:
    """Go through the cells: where each ends, what separates it, and where the next one begins."""
    separator = re.escape(delimiter.encode())
    cell = re.compile(
        rb'(?:"[^"]*+(?:""[^"]*+)*+(?:"|\Z))?[^%b\r\n]*+(%b|\r\n|\r|\n|\Z)' % (separator, separator)
    )
    at = 0
    while at < len(data):
        match = cell.match(data, at)
        assert match is not None
        if not match[1]:
            return
        at = match.end()
        yield match.start(1), match[1], at


def _is_quoted(cell: bytes) -> bool:
    match = _DOUBLED.fullmatch(cell)
    return match is not None and not match[2]


def _said(cell: bytes) -> str | None:
    match = _DOUBLED.fullmatch(cell)
    if match is None:
        return cell.decode() or None
    return (match[1].replace(b'""', b'"') + match[2]).decode()

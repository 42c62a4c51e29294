"""Text as grids of characters: values of one length in, values of any lengths out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.ranking.mixed_radix import Index, Words
from secureml.pseudonymization.ranking.permutation import CHUNK
from secureml.pseudonymization.tables.character_classes import Codes
from secureml.pseudonymization.values.text import Text, common_width

__all__ = [
    "FixedWidthRows",
    "Octets",
    "TextBlock",
    "are_digits",
    "chunks",
    "composed",
    "fixed_width_rows",
    "narrowed",
    "padded",
    "read_decimal",
    "read_grid",
    "same_text",
    "words_at",
    "write_decimal",
]

Octets = NDArray[np.uint8]
_NARROW = 9  # digits that 32 bits hold


@dataclass(frozen=True, slots=True, eq=False)
class FixedWidthRows:
    """The values of one length.

    Args:
        rows: where they are, ascending.
        octets: their characters, shape (rows, width); 255 for one that is not ASCII.
    """

    rows: Index
    octets: Octets

    @property
    def width(self) -> int:
        """The length."""
        width: int = self.octets.shape[1]
        return width


def fixed_width_rows(text: Text, widths: Iterable[int]) -> Iterator[FixedWidthRows]:
    """Return the values of some lengths: those of each length as a matrix."""
    common = common_width(text.offsets)
    for width in widths:
        if common:
            rows = np.arange(len(text) if width == common else 0)
        else:
            rows = np.flatnonzero(text.lengths == width)
        if len(rows):
            yield FixedWidthRows(rows, narrowed(read_grid(text, rows, width)))


def are_digits(columns: Octets) -> NDArray[np.bool_]:
    """Tell in which rows all characters are digits.

    Args:
        columns: the characters, shape (characters, rows).
    """
    return np.asarray((columns - np.uint8(ord("0")) < 10).all(axis=0))


def read_decimal(columns: Octets) -> Words:
    """Return the numbers whose digits are given as characters.

    Args:
        columns: the digits, shape (digits, rows), at most 19.
    """
    number = np.zeros(columns.shape[1], np.uint64)
    for start in range(0, len(columns), _NARROW):
        some = columns[start : start + _NARROW]
        part = np.zeros(columns.shape[1], np.uint32)
        for column in some:
            part *= np.uint32(10)
            part += column & np.uint8(15)
        number *= np.uint64(10 ** len(some))
        number += part
    return number


def write_decimal(columns: Octets, numbers: NDArray[np.integer[Any]]) -> None:
    """Write the digits of numbers as characters, the last ones if they have more.

    Args:
        columns: where to write, shape (digits, rows).
        numbers: not negative, shape (rows,).
    """
    for end in range(len(columns), 0, -_NARROW):
        some = columns[max(end - _NARROW, 0) : end]
        if end > _NARROW:
            quotient = numbers // 10**_NARROW
            rest, numbers = (numbers - quotient * 10**_NARROW).astype(np.uint32), quotient
        else:
            rest = numbers.astype(np.uint32)
        for column in some[::-1]:
            quotient = rest // np.uint32(10)
            column[:] = rest - quotient * np.uint32(10) + np.uint32(ord("0"))
            rest = quotient


@dataclass(frozen=True, slots=True, eq=False)
class TextBlock:
    """New values of some rows of a text.

    Args:
        rows: which, ascending.
        grid: their characters, all ASCII, shape (rows, width); or, where there are lengths, side
            by side.
        lengths: of the values, where they differ.
    """

    rows: Index
    grid: Octets
    lengths: Words | None = None

    @classmethod
    def of_sparse(cls, rows: Index, grid: Octets) -> TextBlock:
        """Make one of characters with zeros among them, which don't count."""
        used = grid != 0
        return cls(rows, grid[used], _counts(used))


def chunks(rows: Index) -> Iterator[Index]:
    """Cut rows into parts whose arrays stay in a core's own cache."""
    return (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))


def read_grid(text: Text, rows: Index, width: int) -> Codes:
    """Return the characters of values that all have one length.

    Args:
        text: the values.
        rows: which, ascending.
        width: their length.

    Returns:
        Shape (rows, width); perhaps a view of the text.
    """
    if not len(rows):
        return text.codes[:0].reshape(0, width)
    first, last = text.offsets[rows[0]], text.offsets[rows[-1] + 1]
    if last - first == len(rows) * width:
        return text.codes[first:last].reshape(len(rows), width)
    places = text.offsets[rows][:, None] + np.arange(width)
    grid: Codes = text.codes[places]
    return grid


def padded(text: Text, rows: Index, width: int) -> Octets:
    """Return the characters of some rows, with zeros to the right.

    Args:
        text: the values.
        rows: which, ascending; at least one.
        width: as long as the longest of them.

    Returns:
        Shape (rows, width); zero if there is no character, 255 for one that is no ASCII.
    """
    lengths = text.lengths[rows]
    first, last = text.offsets[rows[0]], text.offsets[rows[-1] + 1]
    if last - first == lengths.sum():
        flat = narrowed(text.codes[first:last])
    else:
        places = np.repeat(text.offsets[rows] - np.cumsum(lengths) + lengths, lengths)
        flat = narrowed(text.codes[places + np.arange(len(places))])
    grid = np.zeros((len(rows), width), np.uint8)
    grid[np.arange(width) < lengths[:, None]] = np.where(flat == 0, 255, flat)
    return grid


def same_text(sparse: Octets, grid: Octets) -> NDArray[np.bool_]:
    """Tell which values that were read come out as they were when they are written again.

    A reader that asks this has to check nothing else: what it misread is not the same.

    Args:
        sparse: the values written, shape (rows, any), with zeros among the characters.
        grid: as ``padded`` gives them, shape (rows, width).
    """
    used = sparse != 0
    packed = np.zeros((len(grid), max(grid.shape[1], sparse.shape[1])), np.uint8)
    packed[np.arange(packed.shape[1]) < _counts(used)[:, None]] = sparse[used]
    same = (packed[:, : grid.shape[1]] == grid).all(axis=1)
    return np.asarray(same & ~packed[:, grid.shape[1] :].any(axis=1))


def narrowed(codes: Codes) -> Octets:
    """Return code points as octets; 255, which is no ASCII character, stands for all larger."""
    return codes if codes.dtype == np.uint8 else np.minimum(codes, 255).astype(np.uint8)


def words_at(octets: Octets, place: int, size: int) -> NDArray[Any]:
    """Return a view: some octets of every row as one little-endian word.

    Args:
        octets: shape (rows, width), contiguous.
        place: of the first of them.
        size: how many: 2, 4 or 8.
    """
    return np.ndarray((len(octets),), f"<u{size}", octets, place, (octets.shape[1],))


def composed(count: int, sheets: Sequence[TextBlock]) -> Text:
    """Make a text of its rows' new values; a row that has none is empty.

    Args:
        count: the number of rows.
        sheets: the values, each row once at most.
    """
    if len(sheets) == 1 and len(sheets[0].rows) == count and sheets[0].lengths is None:
        grid = sheets[0].grid
        return Text(grid.reshape(-1), np.arange(count + 1) * grid.shape[1])
    lengths = np.zeros(count, np.int64)
    for sheet in sheets:
        lengths[sheet.rows] = sheet.grid.shape[1] if sheet.lengths is None else sheet.lengths
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    codes = np.empty(int(offsets[-1]), np.uint8)
    for sheet in sheets:
        if not len(sheet.rows):
            continue
        flat = sheet.grid.reshape(-1)
        first, last = offsets[sheet.rows[0]], offsets[sheet.rows[-1] + 1]
        if last - first == len(flat):
            codes[first:last] = flat
            continue
        each = lengths[sheet.rows]
        places = np.repeat(offsets[sheet.rows] - np.cumsum(each) + each, each)
        codes[places + np.arange(len(flat))] = flat
    return Text(codes, offsets)


def _counts(flags: NDArray[np.bool_]) -> Words:
    """Count the flags of each row: eight columns at a time, as numpy is slow at short rows."""
    width = -(-flags.shape[1] // 8) * 8
    if width > flags.shape[1]:
        flags = np.pad(flags, [(0, 0), (0, width - flags.shape[1])])
    total = np.zeros(len(flags), np.uint64)
    for column in flags.view(np.uint64).T:
        total += column
    # The product's highest octet is the sum of all of them.
    return total * np.uint64(0x0101_0101_0101_0101) >> np.uint64(56)

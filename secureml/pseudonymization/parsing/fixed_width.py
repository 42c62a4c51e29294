"""Text as grids of characters: values of one length in, values of any lengths out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.tables.character_classes import Codes
from secureml.pseudonymization.values.text import Text, common_width, count_by_row

__all__ = [
    "FixedWidthRows",
    "Octets",
    "are_digits",
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
    lengths = text.lengths if not common else None
    for width in widths:
        if lengths is None:
            rows = np.arange(len(text) if width == common else 0)
        else:
            rows = np.flatnonzero(lengths == width)
        if len(rows):
            yield FixedWidthRows(rows, narrowed(read_grid(text, rows, width)))


def are_digits(columns: Octets) -> NDArray[np.bool_]:
    """Tell in which rows all characters are digits.

    Args:
        columns: the characters, shape (characters, rows).
    """
    digits = np.ones(columns.shape[1], np.bool_)
    for column in columns:  # one reduction over all takes ten times as long
        digits &= column - np.uint8(ord("0")) < 10
    return digits


def read_decimal(columns: Octets) -> NDArray[np.unsignedinteger[Any]]:
    """Return the numbers whose digits are given as characters.

    Args:
        columns: the digits, shape (digits, rows), at most 19.

    Returns:
        uint16 if there are at most four digits, uint32 if there are at most nine, else uint64.
    """
    if len(columns) > _NARROW:
        rest = columns[_NARROW:]
        number = read_decimal(columns[:_NARROW]) * np.uint64(10 ** len(rest))
        return number + read_decimal(rest)
    dtype = _dtype(len(columns))
    narrow = np.zeros(columns.shape[1], dtype)
    for column in columns:
        narrow *= dtype(10)
        narrow += column & np.uint8(15)
    return narrow


def write_decimal(columns: Octets, numbers: NDArray[np.integer[Any]]) -> None:
    """Write the digits of numbers as characters, the last ones if they have more.

    Args:
        columns: where to write, shape (digits, rows).
        numbers: not negative, shape (rows,).
    """
    if len(columns) > _NARROW:
        quotient = numbers // 10**_NARROW
        write_decimal(columns[:-_NARROW], quotient)
        numbers, columns = numbers - quotient * 10**_NARROW, columns[-_NARROW:]
    dtype = _dtype(len(columns))
    rest = numbers.astype(dtype)
    for column in columns[::-1]:
        quotient = rest // dtype(10)
        column[:] = rest - quotient * dtype(10) + dtype(ord("0"))
        rest = quotient


def _dtype(digits: int) -> type[np.unsignedinteger[Any]]:
    """Return the smallest type that holds numbers of so many digits in fast arithmetic."""
    return np.uint16 if digits <= 4 else np.uint32


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
    packed[np.arange(packed.shape[1]) < count_by_row(used)[:, None]] = sparse[used]
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

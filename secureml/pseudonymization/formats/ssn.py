"""The format ``ssn``: social security numbers of the United States.

Never area 000, 666 or 900 to 999, group 00 or serial 0000: the Social Security Administration
does not assign these. That leaves 898 * 99 * 9,999 numbers, which are ranked one by one; the few
among them that were withdrawn after they had appeared in advertisements are like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.formats.base import NONE_SMALL, Format, Option, Transformed
from secureml.pseudonymization.parsing.fixed_width import Octets, TextBlock, composed, narrowed
from secureml.pseudonymization.parsing.pieces import Grid, grids
from secureml.pseudonymization.ranking.mixed_radix import Index, Words
from secureml.pseudonymization.ranking.permutation import CHUNK, Permutation
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.text import Text

__all__ = ["SsnFormat"]

_GROUPS, _SERIALS = 99, 9999
_SIZE = 898 * _GROUPS * _SERIALS
_SEPARATORS = ("", "-", " ")

Flags = NDArray[np.bool_]
Permute = Callable[[Index, Words, Index], Words]
"""Permutes ranks: takes the separator of each, the ranks, and which rows of the column they are."""


class SsnFormat(Format):
    """A social security number, written 123-45-6789, 123 45 6789 or 123456789, becomes another.

    The writing is kept. Anything else is invalid.
    """

    name = "ssn/1"
    takes = (Text,)

    @property
    def options(self) -> Mapping[str, Option]:
        """There are none."""
        return {}

    def transform(self, values: Values, permutation: Permutation) -> Transformed:
        """Permute every number among those that could be assigned."""
        assert isinstance(values, Text)
        tweaks = [f"{self.name} {separator}".encode() for separator in _SEPARATORS]
        sizes = [_SIZE] * len(tweaks)

        def permute(group: Index, ranks: Words, rows: Index) -> Words:
            return permutation.at(rows).permute(sizes, tweaks, group, ranks)

        found = [grid for grid in grids(values) if grid.codes.shape[1] in (9, 11)]
        sheets = [_transformed(grid, permute) for grid in found]
        invalid = values.lengths > 0
        for sheet in sheets:
            invalid[sheet.rows] = False
        domain = _SIZE if any(len(sheet.rows) for sheet in sheets) else 0
        made = composed(len(values), sheets)
        return Transformed(made, NONE_SMALL, np.flatnonzero(invalid), domain)


def _transformed(grid: Grid, permute: Permute) -> TextBlock:
    """Permute those values of one length that are of the format."""
    made: Octets = np.empty(grid.codes.shape, np.uint8)
    valid = np.zeros(len(made), np.bool_)
    for start in range(0, len(made), CHUNK):
        part = slice(start, start + CHUNK)
        group, ranks, fits = _read(np.ascontiguousarray(narrowed(grid.codes[part])))
        valid[part] = fits
        if fits.all():
            _write(made[part], group, permute(group, ranks, grid.rows[part]))
        elif fits.any():
            some = np.empty((int(fits.sum()), made.shape[1]), np.uint8)
            _write(some, group[fits], permute(group[fits], ranks[fits], grid.rows[part][fits]))
            made[part][fits] = some
    return TextBlock(grid.rows, made) if valid.all() else TextBlock(grid.rows[valid], made[valid])


# The area, the block and the serial are read and written as one word each, the first character in
# the lowest octet. Separated or not, the area comes first and the serial last.


def _words(octets: Octets) -> tuple[NDArray[np.uint32], NDArray[np.uint16], NDArray[np.uint32]]:
    """Return views: the area and the octet behind it, the block, and the serial of each row."""
    rows, width = octets.shape
    block = 4 if width == 11 else 3
    head: NDArray[np.uint32] = np.ndarray((rows,), "<u4", octets, 0, (width,))
    middle: NDArray[np.uint16] = np.ndarray((rows,), "<u2", octets, block, (width,))
    tail: NDArray[np.uint32] = np.ndarray((rows,), "<u4", octets, width - 4, (width,))
    return head, middle, tail


def _read(octets: Octets) -> tuple[Index, Words, Flags]:
    """Return the index of the separator and the rank of each row, and whether it has them.

    Args:
        octets: shape (rows, 9 or 11), contiguous.
    """
    first, middle, last = _words(octets)
    head, tail = first.astype(np.uint32), last.astype(np.uint32)
    valid = _digits(head & np.uint32(0xFF_FFFF), 0x30_3030) & _digits(tail, 0x3030_3030)
    valid &= _digits(middle.astype(np.uint32), 0x3030)
    group = np.zeros(len(octets), np.intp)
    if octets.shape[1] == 11:
        mark = octets[:, 3]
        group += mark == ord(_SEPARATORS[1])
        group[mark == ord(_SEPARATORS[2])] = 2
        valid &= (group > 0) & (mark == octets[:, 6])
    area = (head & 15) * 100 + (head >> 8 & 15) * 10 + (head >> 16 & 15)
    block = (middle & 15).astype(np.uint32) * 10 + (middle >> 8 & 15)
    pairs = tail & 0x0F0F_0F0F
    pairs = pairs * 10 + (pairs >> 8) & 0x00FF_00FF
    serial = (pairs & 0xFF) * 100 + (pairs >> 16)
    valid &= (area > 0) & (area != 666) & (area < 900) & (block > 0) & (serial > 0)
    ranks = ((area - 1 - (area > 666)) * _GROUPS + (block - 1)) * _SERIALS + (serial - 1)
    return group, ranks.astype(np.uint64), valid


def _digits(words: NDArray[np.uint32], zeros: int) -> Flags:
    """Tell in which words the octets are digits where ``zeros`` has a zero's code, and else 0."""
    excess = words ^ np.uint32(zeros)  # 0 to 9 for digits
    excess |= excess + np.uint32(zeros // 0x30 * 0x76)
    flags: Flags = (excess & np.uint32(zeros // 0x30 * 0x80)) == 0
    return flags


def _write(octets: Octets, group: Index, ranks: Words) -> None:
    """Write numbers.

    Args:
        octets: where, shape (rows, 9 or 11), contiguous.
        group: the index of the separator of each.
        ranks: of each.
    """
    rank = ranks.astype(np.uint32)
    area = rank // (_GROUPS * _SERIALS)
    rank -= area * (_GROUPS * _SERIALS)
    block = rank // _SERIALS
    serial = rank - block * _SERIALS + 1
    area += 1
    area += area >= 666
    head, middle, tail = _words(octets)
    hundreds = area // 100
    head[:] = (hundreds | _tens(area - hundreds * 100) << 8) + 0x30_3030
    middle[:] = _tens(block + 1) + 0x3030
    hundreds = serial // 100
    tail[:] = _tens(hundreds | (serial - hundreds * 100) << 16) + 0x3030_3030
    if octets.shape[1] == 11:
        marks = np.array([0, *map(ord, _SEPARATORS[1:])], np.uint8)
        octets[:, 3] = octets[:, 6] = marks[group]


def _tens(numbers: NDArray[np.integer[Any]]) -> NDArray[np.uint32]:
    """Return the two digits of numbers below 100, which lie 16 bits apart, in two octets each."""
    tens = numbers * np.uint32(103) >> np.uint32(10) & np.uint32(0x000F_000F)
    return np.asarray(tens | (numbers - tens * np.uint32(10)) << np.uint32(8))

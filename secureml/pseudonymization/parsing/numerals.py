"""Decimal numbers in text, read and written for whole columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.parsing.fixed_width import Octets, padded, same_text
from secureml.pseudonymization.ranking.mixed_radix import Index, Words
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers
from secureml.pseudonymization.values.text import Text

__all__ = ["LIMITS", "Numerals", "read_numerals", "write_numerals"]

LIMITS = Limits(-(1 << 63), (1 << 63) - 1)
"""The numbers that text may hold, as in the usual columns of whole numbers."""

_LONGEST = 21  # a sign, 19 digits and a point


@dataclass(frozen=True, slots=True, eq=False)
class Numerals:
    """Numbers of some rows of a text that have as many digits after the point.

    Args:
        rows: which, ascending.
        scale: how many digits are after the point; 0 if there is no point.
        units: the numbers without their points.
    """

    rows: Index
    scale: int
    units: WholeNumbers


def read_numerals(text: Text) -> Iterator[Numerals]:
    """Read decimal numbers such as "-12.50": a sign, digits and a point, and nothing else.

    A number has one digit before the point, or more of which the first is not 0, and may have
    some after it; without the point it is within LIMITS. What is not written so is not of any
    result.

    Returns:
        The numbers by their digits after the point.
    """
    lengths = text.lengths
    rows: Index = np.flatnonzero((lengths > 0) & (lengths <= _LONGEST))
    if not len(rows):
        return
    grid = padded(text, rows, int(lengths[rows].max()))
    magnitudes, negative, scale = _read(grid)
    numbers = WholeNumbers(magnitudes, negative, LIMITS)
    scale[numbers.outside()] = -1
    scale[negative & (magnitudes == 0)] = -1  # not a number beside the one without a sign
    for one in np.flatnonzero(np.bincount(scale + 1)[1:]).tolist():
        some = np.flatnonzero(scale == one)
        written = _write(magnitudes[some], negative[some], one)
        some = some[same_text(written, grid[some])]
        yield Numerals(rows[some], one, numbers.at(some))


def write_numerals(units: WholeNumbers, scale: int) -> Text:
    """Write numbers as ``read_numerals`` reads them."""
    return Text.of_sparse(_write(units.magnitudes, units.negative, scale))


def _read(grid: Octets) -> tuple[Words, NDArray[np.bool_], NDArray[np.int8]]:
    """Read all digits as one number, whether there is a minus, and the digits after the point."""
    magnitudes, scale = np.zeros(len(grid), np.uint64), np.zeros(len(grid), np.int8)
    pointed = np.zeros(len(grid), np.bool_)
    for column in np.ascontiguousarray(grid.T):
        digit = column - np.uint8(ord("0"))
        digits = digit < 10
        magnitudes = np.where(digits, magnitudes * np.uint64(10) + digit, magnitudes)
        scale += pointed & digits
        pointed |= column == ord(".")
    # A point without digits after it would be lost.
    scale[pointed & (scale == 0)] = -1
    return magnitudes, grid[:, 0] == ord("-"), scale


def _write(magnitudes: Words, negative: NDArray[np.bool_], scale: int) -> Octets:
    """Write numbers, shape (rows, any), with zeros among the characters."""
    longest = max(len(str(magnitudes.max(initial=0))), scale + 1)
    width = 1 + longest + (scale > 0)
    columns = np.zeros((width, len(magnitudes)), np.uint8)
    columns[0] = np.where(negative, ord("-"), 0)
    rest, place = magnitudes, width - 1
    for number in range(longest):
        if number == scale > 0:
            columns[place] = ord(".")
            place -= 1
        quotient = rest // np.uint64(10)
        digit = (rest - quotient * np.uint64(10)).astype(np.uint8) + np.uint8(ord("0"))
        columns[place] = digit if number <= scale else np.where(rest > 0, digit, 0)
        rest, place = quotient, place - 1
    return np.ascontiguousarray(columns.T)

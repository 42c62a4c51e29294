"""Whole numbers of a declared range, permuted among themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import NO_ROWS
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import Permutation
from secureml.pseudonymization.values.numbers import WholeNumbers

__all__ = ["InRange", "check_range", "permute_range"]


@dataclass(frozen=True, slots=True, eq=False)
class InRange:
    """What became of numbers.

    Args:
        numbers: the new ones, 0 for those that are named below.
        small: which of them have a domain that is too small.
        invalid: which of them are outside of the range.
        size: of the range.
    """

    numbers: WholeNumbers
    small: Index
    invalid: Index
    size: int


def check_range(lowest: int, highest: int, what: str) -> None:
    """Check that a range can be permuted at all.

    Args:
        lowest: its first number.
        highest: its last number.
        what: how the error is to name the range.

    Raises:
        PseudonymizationError: it is empty, has one member, or more than 2**64.
    """
    if lowest >= highest:
        raise PseudonymizationError(f"{what} has fewer than two members")
    if highest - lowest >= 1 << 64 or max(-lowest, highest) >= 1 << 64:
        raise PseudonymizationError(f"{what} is beyond 64 bits")


def permute_range(
    numbers: WholeNumbers,
    span: tuple[int, int],
    tweak: bytes,
    permutation: Permutation,
) -> InRange:
    """Permute numbers among those of a range.

    Args:
        numbers: any.
        span: the first and the last number of the range, which ``check_range`` lets pass.
        tweak: the format and all that it keeps.
        permutation: of the rows that the numbers are in.

    Raises:
        PseudonymizationError: the column's type does not hold the range.
    """
    lowest, highest = span
    if lowest < numbers.limits.lowest or highest > numbers.limits.highest:
        raise PseudonymizationError(
            "its dtype does not hold the whole range of its format: it ends at"
            f" {numbers.limits.lowest} and {numbers.limits.highest}"
        )
    size = highest - lowest + 1
    inside = numbers.between(lowest, highest)
    invalid, places = np.flatnonzero(~inside), np.flatnonzero(inside)
    magnitudes, negative = np.zeros(len(numbers), np.uint64), np.zeros(len(numbers), np.bool_)
    if size < permutation.minimum:
        return InRange(numbers.holding(magnitudes, negative), places, invalid, size)
    given = numbers.at(places)
    first = np.uint64(lowest % (1 << 64))  # arithmetic wraps, and the rank comes out right
    ranks = np.where(given.negative, -given.magnitudes, given.magnitudes) - first
    ranks = permutation.at(places).permute([size], [tweak], 0, ranks)
    words = ranks + first
    below = ranks <= np.uint64(min(-1, highest) - lowest) if lowest < 0 else negative[places]
    magnitudes[places] = np.where(below, -words, words)
    negative[places] = below
    return InRange(numbers.holding(magnitudes, negative), NO_ROWS, invalid, size)

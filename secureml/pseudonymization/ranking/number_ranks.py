"""Ranks of whole numbers: among those of their sign and digits, or among those of a range."""

from __future__ import annotations

import numpy as np

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import Ranks
from secureml.pseudonymization.parsing.numerals import write_numerals
from secureml.pseudonymization.ranking.mixed_radix import Index, Words
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers
from secureml.pseudonymization.values.text import Text

__all__ = ["check_range", "rank_numbers", "write_numbers"]

_POWERS = np.array([10**exponent for exponent in range(1, 20)], np.uint64)
_NEGATIVE_ZERO = 2 * len(_POWERS) + 2


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


def rank_numbers(
    numbers: WholeNumbers,
    rows: Index,
    label: str,
    span: tuple[int, int] | None,
    scale: int | None = None,
) -> Ranks:
    """Rank numbers.

    Args:
        numbers: any.
        rows: where they are.
        label: what the tweaks begin with.
        span: the first and the last number of a range, which ``check_range`` lets pass: numbers
            are ranked among those of it, and others are left out. None to rank them among those
            of their sign and digits that the column's type holds.
        scale: how many digits are after the point if the numbers are written in text.

    Raises:
        PseudonymizationError: the column's type does not hold the range.
    """
    if span is not None:
        return _rank_range(numbers, rows, label, span, scale)
    kind = _kinds(numbers)
    spans = [_span(one, numbers.limits) for one in range(_NEGATIVE_ZERO + 1)]
    firsts = np.array([first for first, _ in spans], np.uint64)
    return Ranks(
        rows=rows,
        ranks=numbers.magnitudes - firsts[kind],
        group=kind,
        sizes=[last - first + 1 for first, last in spans],
        tweaks=[
            f"{label} {'-' if one % 2 else '+'} {first} {last}".encode()
            for one, (first, last) in enumerate(spans)
        ],
        layout=(numbers, firsts, scale),
    )


def _rank_range(
    numbers: WholeNumbers, rows: Index, label: str, span: tuple[int, int], scale: int | None
) -> Ranks:
    lowest, highest = span
    if lowest < numbers.limits.lowest or highest > numbers.limits.highest:
        raise PseudonymizationError(
            "its dtype does not hold the whole range of its format: it ends at"
            f" {numbers.limits.lowest} and {numbers.limits.highest}"
        )
    inside = np.flatnonzero(numbers.between(lowest, highest))
    given = numbers.at(inside)
    # A negative number is held as its two's complement: arithmetic wraps around.
    words = np.where(given.negative, -given.magnitudes, given.magnitudes)
    return Ranks(
        rows=rows[inside],
        ranks=words - np.uint64(lowest % (1 << 64)),
        group=np.zeros(len(inside), np.intp),
        sizes=[highest - lowest + 1],
        tweaks=[f"{label} {lowest} to {highest}".encode()],
        layout=(numbers, span, scale),
    )


def write_numbers(reading: Ranks, new: Words) -> WholeNumbers | Text:
    """Return the numbers of ranks, in text if they were.

    Args:
        reading: that ``rank_numbers`` returned.
        new: the ranks.
    """
    numbers, origin, scale = reading.layout
    if isinstance(origin, tuple):
        lowest, highest = origin
        words = new + np.uint64(lowest % (1 << 64))
        negative = np.zeros(len(new), np.bool_)
        if lowest < 0:
            negative = new <= np.uint64(min(-1, highest) - lowest)
        made = numbers.holding(np.where(negative, -words, words), negative)
    else:
        made = numbers.holding(new + origin[reading.group], reading.group % 2 == 1)
    return made if scale is None else write_numerals(made, scale)


def _kinds(numbers: WholeNumbers) -> Index:
    """Return twice the number of digits after the first, plus one for a negative number."""
    kind = np.zeros(len(numbers), np.uint8)
    for power in _POWERS[numbers.magnitudes.max(initial=0) >= _POWERS]:
        kind += numbers.magnitudes >= power
    kind = 2 * kind + numbers.negative
    # Few types hold a negative zero: no number may become it, and it has no other to become.
    kind[numbers.negative & (numbers.magnitudes == 0)] = _NEGATIVE_ZERO
    return kind.astype(np.intp)


def _span(kind: int, limits: Limits) -> tuple[int, int]:
    """Return the least and the largest magnitude of a kind."""
    if kind == _NEGATIVE_ZERO:
        return 0, 0
    exponent, negative = divmod(kind, 2)
    first = 10**exponent if exponent or negative else 0
    return first, min(10 ** (exponent + 1) - 1, -limits.lowest if negative else limits.highest)

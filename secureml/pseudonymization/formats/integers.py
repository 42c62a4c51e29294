"""The format ``integer``: whole numbers, of the same digits or of a declared range.

Without a range a number keeps its sign and its number of digits. Where the column's type ends
before the digits do, so does the domain: ten-digit values of an int32 column become values up to
2,147,483,647. With a range, every number of it can become every other.
"""

from __future__ import annotations

from itertools import compress

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import (
    NO_ROWS,
    NONE_SMALL,
    TooSmall,
    Transformed,
    WholeFormat,
)
from secureml.pseudonymization.parsing.fixed_width import composed
from secureml.pseudonymization.parsing.numerals import Numerals, read_numerals, write_numerals
from secureml.pseudonymization.ranking.permutation import Permutation
from secureml.pseudonymization.ranking.ranges import check_range, permute_range
from secureml.pseudonymization.values.kinds import Values, as_numbers
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers
from secureml.pseudonymization.values.text import Text

__all__ = ["IntegerFormat", "permute_digits"]

_POWERS = np.array([10**exponent for exponent in range(1, 20)], np.uint64)
_NEGATIVE_ZERO = 2 * len(_POWERS) + 2


class IntegerFormat(WholeFormat):
    """A whole number keeps its sign and its number of digits, or becomes another of a range.

    Numbers in text are those that 64 bits hold with a sign, without leading zeros or a plus.

    Args:
        minimum: the least number of the range; None for none.
        maximum: the largest; given if and only if the minimum is.

    Raises:
        PseudonymizationError: one is given without the other, or they are no range.
    """

    name = "integer/1"
    takes = (WholeNumbers, Text)

    def __init__(self, *, minimum: int | None = None, maximum: int | None = None) -> None:
        super().__init__()
        self._span: tuple[int, int] | None = None
        if minimum is None and maximum is None:
            return
        if type(minimum) is not int or type(maximum) is not int:
            raise PseudonymizationError(
                "minimum and maximum must be whole numbers, both or neither"
            )
        check_range(minimum, maximum, f"the range from {minimum} to {maximum}")
        self.options = {"minimum": minimum, "maximum": maximum}
        self._span = minimum, maximum

    def transform(self, values: Values, permutation: Permutation) -> Transformed:
        """Permute every number among those of its range, or of its sign and digits."""
        if not isinstance(values, Text):
            return self._permuted(as_numbers(values), permutation)
        valid = values.lengths == 0
        sheets, small, domain = [], TooSmall(), 0
        for read in read_numerals(values):
            if read.scale:
                continue
            made = self._permuted(read.units, permutation.at(read.rows))
            small, domain = TooSmall(read.rows[made.small.rows], made.small.domain), made.domain
            whole = np.ones(len(read.rows), np.bool_)
            whole[made.invalid] = False
            valid[read.rows[whole]] = True
            whole[made.small.rows] = False
            new = Numerals(read.rows[whole], 0, as_numbers(made.values).at(whole))
            sheets += write_numerals(new)
        return Transformed(composed(len(values), sheets), small, np.flatnonzero(~valid), domain)

    def _permuted(self, values: WholeNumbers, permutation: Permutation) -> Transformed:
        if self._span is None:
            return permute_digits(values, self.name, permutation)
        tweak = f"{self.name} {self._span[0]} to {self._span[1]}".encode()
        made = permute_range(values, self._span, tweak, permutation)
        small = TooSmall(made.small, made.size) if len(made.small) else TooSmall()
        permuted = len(values) > len(made.small) + len(made.invalid)
        return Transformed(made.numbers, small, made.invalid, made.size if permuted else 0)


def permute_digits(values: WholeNumbers, name: str, permutation: Permutation) -> Transformed:
    """Permute every number among those of its sign and digits that its type holds.

    Args:
        values: any.
        name: of the format, which the tweaks begin with.
        permutation: of the rows that the values are in.

    Returns:
        What ``Format.transform`` does, of the values.
    """
    kind = _kinds(values)
    kinds = np.flatnonzero(np.bincount(kind, minlength=1))
    spans = [_span(one, values.limits) for one in kinds.tolist()]
    sizes = [last - first + 1 for first, last in spans]
    tweaks = [
        f"{name} {'-' if one % 2 else '+'} {first} {last}".encode()
        for one, (first, last) in zip(kinds.tolist(), spans, strict=True)
    ]
    firsts = np.array([first for first, _ in spans], np.uint64)
    if len(kinds) == 1:  # as in most columns: it takes no room
        group, start = np.broadcast_to(np.intp(0), len(kind)), firsts[0]
    else:
        group_of = np.zeros(_NEGATIVE_ZERO + 1, np.intp)
        group_of[kinds] = np.arange(len(kinds))
        group = group_of[kind]
        start = firsts[group]
    ranks = values.magnitudes - start
    fits = np.array([size >= permutation.minimum for size in sizes], np.bool_)
    domain = min(compress(sizes, fits), default=0)
    if fits.all():
        new = permutation.permute(sizes, tweaks, group, ranks)
        new += start
        return Transformed(values.holding(new, values.negative), NONE_SMALL, NO_ROWS, domain)
    rows, small = np.flatnonzero(fits[group]), np.flatnonzero(~fits[group])
    new = np.zeros(len(ranks), np.uint64)
    new[rows] = permutation.at(rows).permute(sizes, tweaks, group[rows], ranks[rows])
    new[rows] += firsts[group[rows]]
    too_small = TooSmall(small, min(compress(sizes, ~fits)))
    return Transformed(values.holding(new, values.negative), too_small, NO_ROWS, domain)


def _kinds(numbers: WholeNumbers) -> NDArray[np.uint8]:
    """Return twice the number of digits after the first, plus one for a negative number."""
    kind = np.zeros(len(numbers), np.uint8)
    for power in _POWERS[numbers.magnitudes.max(initial=0) >= _POWERS]:
        kind += numbers.magnitudes >= power
    kind = 2 * kind + numbers.negative
    # Few types hold a negative zero: no number may become it, and it has no other to become.
    kind[numbers.negative & (numbers.magnitudes == 0)] = _NEGATIVE_ZERO
    return kind


def _span(kind: int, limits: Limits) -> tuple[int, int]:
    """Return the least and the largest magnitude of a kind."""
    if kind == _NEGATIVE_ZERO:
        return 0, 0
    exponent, negative = divmod(kind, 2)
    first = 10**exponent if exponent or negative else 0
    return first, min(10 ** (exponent + 1) - 1, -limits.lowest if negative else limits.highest)

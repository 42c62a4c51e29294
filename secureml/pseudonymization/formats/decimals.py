"""The format ``decimal``: a number with a fixed number of digits after its point.

The number is taken without its point, as a whole number of its last digit: so it keeps its sign
and its number of digits, or becomes another of a declared range, as with the format ``integer``.
"""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation
from fractions import Fraction

import numpy as np

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import TooSmall, Transformed, WholeFormat
from secureml.pseudonymization.formats.integers import permute_digits
from secureml.pseudonymization.parsing.fixed_width import composed
from secureml.pseudonymization.parsing.numerals import Numerals, read_numerals, write_numerals
from secureml.pseudonymization.ranking.permutation import Permutation
from secureml.pseudonymization.ranking.ranges import check_range, permute_range
from secureml.pseudonymization.values.decimals import Decimals
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text

__all__ = ["LARGEST_SCALE", "DecimalFormat"]

LARGEST_SCALE = 18


class DecimalFormat(WholeFormat):
    """A decimal number keeps its digits after the point, and its sign and its number of digits.

    Numbers in text have one digit before the point, or more of which the first is not 0; without
    the point they are numbers that 64 bits hold with a sign.

    Args:
        scale: how many digits are after the point; None for as many as a text has, or as the
            column's dtype says. Columns of floats need it.
        minimum: the least number of the range, such as "0.00"; None for none.
        maximum: the largest; given if and only if the minimum is.

    Raises:
        PseudonymizationError: the scale is none, one end is given without the other, or they are
            no range.
    """

    name = "decimal/1"
    takes = (Decimals, Text)

    def __init__(
        self,
        *,
        scale: int | None = None,
        minimum: str | int | None = None,
        maximum: str | int | None = None,
    ) -> None:
        if scale is not None and (type(scale) is not int or not 0 <= scale <= LARGEST_SCALE):
            raise PseudonymizationError(
                f"scale={scale!r} must be a whole number from 0 to {LARGEST_SCALE}"
            )
        if (minimum is None) != (maximum is None):
            raise PseudonymizationError("minimum and maximum must be given both or neither")
        self._scale = scale
        self._ends = least = largest = None
        if minimum is not None:
            self._ends = _number("minimum", minimum), _number("maximum", maximum)
            check_range(*self._span(scale or 0), f"the range from {minimum} to {maximum}")
            least, largest = map(_written, self._ends)
        self.options = {"scale": scale, "minimum": least, "maximum": largest}

    def transform(self, values: Values, permutation: Permutation) -> Transformed:
        """Permute every number among those of its range, or of its sign and digits."""
        if isinstance(values, Text):
            return self._transform_text(values, permutation)
        assert isinstance(values, Decimals)
        if self._scale not in (None, values.scale):
            raise PseudonymizationError(
                f"its values have {values.scale} digits after the point, and its format has"
                f" scale={self._scale}"
            )
        return self._permuted(values, values.scale, permutation)

    def _transform_text(self, text: Text, permutation: Permutation) -> Transformed:
        valid = text.lengths == 0
        sheets, small, least, domains = [], [np.empty(0, np.intp)], [], []
        for read in read_numerals(text):
            if self._scale not in (None, read.scale) or read.scale > LARGEST_SCALE:
                continue
            made = self._permuted(read.units, read.scale, permutation.at(read.rows))
            whole = np.ones(len(read.rows), np.bool_)
            whole[made.invalid] = False
            valid[read.rows[whole]] = True
            whole[made.small.rows] = False
            assert isinstance(made.values, WholeNumbers)
            sheets += write_numerals(Numerals(read.rows[whole], read.scale, made.values.at(whole)))
            small.append(read.rows[made.small.rows])
            least += [made.small.domain] if len(made.small.rows) else []
            domains += [made.domain] if made.domain else []
        return Transformed(
            composed(len(text), sheets),
            TooSmall(np.sort(np.concatenate(small)), min(least, default=0)),
            np.flatnonzero(~valid),
            min(domains, default=0),
        )

    def _permuted(self, units: WholeNumbers, scale: int, permutation: Permutation) -> Transformed:
        name = f"{self.name} {scale}"
        if self._ends is None:
            return permute_digits(units, name, permutation)
        span = self._span(scale)
        check_range(*span, f"the range with {scale} digits after the point")
        tweak = f"{name} {span[0]} to {span[1]}".encode()
        made = permute_range(units, span, tweak, permutation)
        small = TooSmall(made.small, made.size) if len(made.small) else TooSmall()
        permuted = len(units) > len(made.small) + len(made.invalid)
        return Transformed(made.numbers, small, made.invalid, made.size if permuted else 0)

    def _span(self, scale: int) -> tuple[int, int]:
        """Return the range without the point."""
        assert self._ends is not None
        least, largest = (Fraction(end) * 10**scale for end in self._ends)
        return math.ceil(least), math.floor(largest)


def _number(option: str, written: object) -> Decimal:
    number = None
    try:
        if type(written) in (str, int):
            number = Decimal(str(written))
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or not -40 < number.adjusted() < 40:
        raise PseudonymizationError(f"{option}={written!r} must be a number such as '12.50'")
    return number


def _written(number: Decimal) -> str:
    return f"{number:f}"

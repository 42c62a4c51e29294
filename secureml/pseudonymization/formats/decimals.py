"""The format ``decimal``: a number with a fixed number of digits after its point.

The number is taken without its point, as a whole number of its last digit: so it keeps its sign
and its number of digits, or becomes another of a declared range, as with the format ``integer``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from fractions import Fraction

import numpy as np

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import Format, Ranks
from secureml.pseudonymization.parsing.numerals import read_numerals
from secureml.pseudonymization.ranking.mixed_radix import Words
from secureml.pseudonymization.ranking.number_ranks import (
    check_range,
    rank_numbers,
    write_numbers,
)
from secureml.pseudonymization.values.decimals import Decimals
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text

__all__ = ["LARGEST_SCALE", "DecimalFormat"]

LARGEST_SCALE = 18


class DecimalFormat(Format):
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
        self._ends: tuple[Decimal, Decimal] | None = None
        written: tuple[str | None, str | None] = None, None
        if minimum is not None:
            least, largest = _number("minimum", minimum), _number("maximum", maximum)
            self._ends, written = (least, largest), (f"{least:f}", f"{largest:f}")
            self._span(scale or 0)
        self.options = {"scale": scale, "minimum": written[0], "maximum": written[1]}

    def read(self, values: Decimals | Text, *, decrypt: bool) -> Iterator[Ranks]:
        """Rank numbers among those of the range, or of their sign and digits."""
        if not isinstance(values, Text):
            if self._scale not in (None, values.scale):
                raise PseudonymizationError(
                    f"its values have {values.scale} digits after the point, and its format has"
                    f" scale={self._scale}"
                )
            label, span = f"{self.name} {values.scale}", self._span(values.scale)
            yield rank_numbers(values, np.arange(len(values)), label, span)
            return
        for read in read_numerals(values):
            scale = read.scale
            if self._scale in (None, scale) and scale <= LARGEST_SCALE:
                label, span = f"{self.name} {scale}", self._span(scale)
                yield rank_numbers(read.units, read.rows, label, span, scale)

    def write(self, reading: Ranks, new: Words) -> WholeNumbers | Text:
        """Write numbers."""
        return write_numbers(reading, new)

    def _span(self, scale: int) -> tuple[int, int] | None:
        """Return the range without the point; None if none is declared."""
        if self._ends is None:
            return None
        least, largest = self._ends
        span = math.ceil(Fraction(least) * 10**scale), math.floor(Fraction(largest) * 10**scale)
        name = f"the range from {least:f} to {largest:f} with {scale} digits after the point"
        check_range(*span, name)
        return span


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

"""The format ``integer``: whole numbers, of the same digits or of a declared range.

Without a range a number keeps its sign and its number of digits. Where the column's type ends
before the digits do, so does the domain: ten-digit values of an int32 column become values up to
2,147,483,647. With a range, every number of it can become every other.
"""

from __future__ import annotations

from collections.abc import Iterator

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
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text

__all__ = ["IntegerFormat"]


class IntegerFormat(Format):
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
        self._span = minimum, maximum
        self.options = {"minimum": minimum, "maximum": maximum}

    def read(self, values: WholeNumbers | Text, *, decrypt: bool) -> Iterator[Ranks]:
        """Rank numbers among those of the range, or of their sign and digits."""
        if not isinstance(values, Text):
            yield rank_numbers(values, np.arange(len(values)), self.name, self._span)
            return
        for read in read_numerals(values):
            if not read.scale:
                yield rank_numbers(read.units, read.rows, self.name, self._span, read.scale)

    def write(self, reading: Ranks, new: Words) -> WholeNumbers | Text:
        """Write numbers."""
        return write_numbers(reading, new)

"""The kinds of values that columns hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text

__all__ = ["Numbers", "Unread", "Values", "as_numbers"]


@dataclass(frozen=True, slots=True)
class Unread:
    """Values of which nothing is known but how many there are.

    Args:
        count: their number.
    """

    count: int

    def __len__(self) -> int:
        return self.count

    def strings(self) -> NoReturn:
        """Refuse.

        Raises:
            PseudonymizationError: always.
        """
        raise PseudonymizationError("values of its dtype can't be read")


Numbers = WholeNumbers
"""Values that have an order and a range."""

Values = Text | Numbers | Unread


def as_numbers(values: Values) -> Numbers:
    """Return values that are known to be neither text nor opaque."""
    assert not isinstance(values, Text | Unread)
    return values

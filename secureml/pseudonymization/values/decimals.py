"""Decimal numbers with a fixed number of digits after the point, as whole numbers of the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import numpy as np

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.values.numbers import WholeNumbers

__all__ = ["Decimals", "parse_decimals"]


@dataclass(frozen=True, slots=True, eq=False)
class Decimals(WholeNumbers):
    """Decimal numbers; 12.50 is 1250 if the scale is 2.

    Args:
        scale: how many digits are after the point.
    """

    scale: int

    def strings(self) -> list[str]:
        """Return every number with all of its digits after the point."""
        return [f"{one:f}" for one in self.decimals()]

    def decimals(self) -> list[Decimal]:
        """Return every number as Python has it."""
        pairs = zip(self.negative.tolist(), self.magnitudes.tolist(), strict=True)
        return [Decimal(f"{'-' * sign}{number}E-{self.scale}") for sign, number in pairs]


def parse_decimals(like: Decimals, strings: Sequence[str]) -> Decimals:
    """Read decimal numbers as numbers of a column.

    Args:
        like: any of the column.
        strings: with any number of digits after the point, of which those beyond the column's
            are zeros.

    Raises:
        PseudonymizationError: a string is anything else.
    """
    found = [_units(string, like.scale) for string in strings]
    unknown = found.count(None)
    if unknown:
        raise PseudonymizationError(f"{unknown} values are not decimal numbers of its dtype")
    magnitudes = np.array([abs(one) for one in found if one is not None], np.uint64)
    negative = np.array([string.startswith("-") for string in strings], np.bool_)
    return like.holding(magnitudes, negative)


def _units(string: str, scale: int) -> int | None:
    number = Decimal()
    try:
        number = Decimal(string) if string.isascii() else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number.adjusted() > 40 or number.adjusted() < -40:
        return 0 if number.is_finite() and not number else None
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    whole = int("".join(map(str, digits))) * 10 ** max(exponent + scale, 0)
    whole, rest = divmod(whole, 10 ** max(-exponent - scale, 0))
    return whole if not rest and whole < 1 << 64 else None

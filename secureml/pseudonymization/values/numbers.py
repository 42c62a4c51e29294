"""Whole numbers as sign and magnitude."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.ranking.mixed_radix import Index

__all__ = ["Limits", "WholeNumbers"]

_DECIMAL = re.compile(r"(-?)(0|[1-9][0-9]{0,19})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Limits:
    """The whole numbers that a column's type holds exactly.

    Args:
        lowest: at most 0.
        highest: at least 0.
    """

    lowest: int
    highest: int


@dataclass(frozen=True, slots=True, eq=False)
class WholeNumbers:
    """Whole numbers as sign and magnitude, which holds every type's range, and negative zero.

    Args:
        magnitudes: uint64, shape (rows,).
        negative: bool, shape (rows,).
        limits: of the type of the column, which pseudonyms have to fit into as well.
    """

    magnitudes: NDArray[np.uint64]
    negative: NDArray[np.bool_]
    limits: Limits

    @classmethod
    def parse(cls, strings: Sequence[str], limits: Limits) -> WholeNumbers:
        """Read decimal digits as ``strings`` writes them.

        Raises:
            PseudonymizationError: a string is anything else.
        """
        matches = [_DECIMAL.fullmatch(string) for string in strings]
        values = [int(match[2]) for match in matches if match]
        unknown = len(strings) - sum(value < 1 << 64 for value in values)
        if unknown:
            raise PseudonymizationError(f"{unknown} values are not whole numbers")
        negative = np.array([bool(match and match[1]) for match in matches], np.bool_)
        return cls(np.array(values, np.uint64), negative, limits)

    def __len__(self) -> int:
        return len(self.magnitudes)

    def at(self, rows: Index | NDArray[np.bool_] | slice) -> Self:
        """Return the numbers of some rows, given by their places, a mask or a slice."""
        return self.holding(self.magnitudes[rows], self.negative[rows])

    def holding(self, magnitudes: NDArray[np.uint64], negative: NDArray[np.bool_]) -> Self:
        """Return other numbers of the same column."""
        return replace(self, magnitudes=magnitudes, negative=negative)

    def scattered(self, count: int, parts: Sequence[tuple[Index, WholeNumbers]]) -> Self:
        """Return a column of numbers that are given in parts; all other rows are 0.

        Args:
            count: the number of rows.
            parts: the rows, and the number of each; each row is once there at most.
        """
        magnitudes, negative = np.zeros(count, np.uint64), np.zeros(count, np.bool_)
        for rows, part in parts:
            magnitudes[rows], negative[rows] = part.magnitudes, part.negative
        return self.holding(magnitudes, negative)

    def joined(self, parts: Sequence[WholeNumbers]) -> Self:
        """Return the numbers of several parts of the column, one after the other."""
        return self.holding(
            np.concatenate([part.magnitudes for part in parts]),
            np.concatenate([part.negative for part in parts]),
        )

    def between(self, lowest: int, highest: int) -> NDArray[np.bool_]:
        """Tell which are in a range; negative zero is in none.

        Args:
            lowest: above -2**64.
            highest: at least the lowest, and below 2**64.
        """
        ends = (max(lowest, 0), highest), (max(-highest, 1), -lowest)
        inside = np.zeros(len(self), np.bool_)
        for sign, (first, last) in enumerate(ends):
            if first <= last:
                fits = (self.magnitudes >= np.uint64(first)) & (self.magnitudes <= np.uint64(last))
                inside |= fits & (self.negative == bool(sign))
        return inside

    def outside(self) -> NDArray[np.bool_]:
        """Tell which are beyond what the column's type holds."""
        lowest, highest = np.uint64(-self.limits.lowest), np.uint64(self.limits.highest)
        limit = np.where(self.negative, lowest, highest)
        return self.magnitudes > limit

    def strings(self) -> list[str]:
        """Return every number in decimal digits."""
        signs = np.where(self.negative, "-", "").tolist()
        pairs = zip(signs, self.magnitudes.tolist(), strict=True)
        return [f"{sign}{magnitude}" for sign, magnitude in pairs]

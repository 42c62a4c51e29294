"""Points in time as the columns of tables hold them: whole numbers of a unit since 1970."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.values.numbers import Limits, WholeNumbers

__all__ = ["UNITS", "Days", "Moments"]

UNITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
"""The units of moments, and to how many digits after the point they count seconds."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments(WholeNumbers):
    """Points in time.

    Args:
        unit: one of UNITS, or "D" for days.
        zoned: whether these are instants (then in UTC), and not what a clock somewhere shows.
    """

    unit: str
    zoned: bool

    @classmethod
    def of(cls, ticks: NDArray[np.int64], limits: Limits, unit: str, *, zoned: bool) -> Moments:
        """Take units since 1970, shape (rows,)."""
        negative = ticks < 0
        words = ticks.view(np.uint64)
        return cls(np.where(negative, -words, words), negative, limits, unit, zoned)

    @property
    def ticks(self) -> NDArray[np.int64]:
        """The units since 1970."""
        words = np.where(self.negative, -self.magnitudes, self.magnitudes)
        return words.view(np.int64)

    @property
    def per_second(self) -> int:
        """How many ticks a second has; of days, how many a day has."""
        return int(10 ** UNITS.get(self.unit, 0))

    def strings(self) -> list[str]:
        """Return every moment as ISO 8601 writes it."""
        written: list[str] = np.datetime_as_string(self.ticks.view(f"M8[{self.unit}]")).tolist()
        return [text + "Z" for text in written] if self.zoned else written


@dataclass(frozen=True, slots=True, eq=False)
class Days(Moments):
    """Calendar dates."""

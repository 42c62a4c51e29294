"""Numbers that repeat: each distinct one is worked on once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from secureml.pseudonymization.formats import TooSmall, Transformed
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.values.kinds import Numbers, as_numbers

__all__ = ["SHARE", "Repeats", "few_distinct", "find_repeats"]

SHARE = 4
"""Rows to a distinct value, from which on it pays to work on each distinct one once."""

_FEWEST = 1 << 14  # rows for which counting values pays
_SAMPLE = 1 << 12


@dataclass(frozen=True, slots=True, eq=False)
class Repeats:
    """Which numbers of a column are the same.

    Args:
        values: the distinct ones.
        codes: which of them each row holds.
    """

    values: Numbers
    codes: Index

    def spread(self, made: Transformed) -> Transformed:
        """Return what became of the column, from what became of the distinct numbers."""
        distinct = as_numbers(made.values)
        negative = np.zeros(len(self.codes), np.bool_)
        if distinct.negative.any():
            negative = distinct.negative[self.codes]
        values = distinct.holding(distinct.magnitudes[self.codes], negative)
        small = TooSmall(self._rows(made.small.rows), made.small.domain)
        return Transformed(values, small, self._rows(made.invalid), made.domain)

    def _rows(self, places: Index) -> Index:
        if not len(places):
            return places
        named = np.zeros(len(self.values), np.bool_)
        named[places] = True
        return np.flatnonzero(named[self.codes])


def find_repeats(values: Numbers) -> Repeats | None:
    """Find what repeats, if few numbers are distinct as far as a sample tells.

    Args:
        values: of the column; of one sign, or nothing is looked for.

    Returns:
        The repeats, or None if it does not pay to look for them.
    """
    count = len(values)
    if not few_distinct(count, lambda rows: len(np.unique(values.magnitudes[rows]))):
        return None
    if (values.negative != values.negative[0]).any():
        return None
    encoded = pa.array(values.magnitudes).dictionary_encode()
    magnitudes = encoded.dictionary.to_numpy()
    if len(magnitudes) > count // SHARE:
        return None
    distinct = values.holding(magnitudes, np.full(len(magnitudes), values.negative[0]))
    return Repeats(distinct, encoded.indices.to_numpy().astype(np.intp))


def few_distinct(rows: int, distinct: Callable[[Index], int]) -> bool:
    """Guess from how often values of a sample meet whether a column has few distinct ones.

    Args:
        rows: of the column; a short one is not worth the question.
        distinct: counts the distinct values of some rows.
    """
    if rows < _FEWEST:
        return False
    # Places by chance: what repeats with a period may not meet at places at regular distances.
    met = _SAMPLE - distinct(np.random.default_rng(0).integers(0, rows, _SAMPLE))
    # Of n rows with n / k distinct values, m of them meet about k m² / 2n times.
    return met > SHARE * _SAMPLE**2 / (2 * rows)

"""Numbers that repeat: each distinct one is worked on once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from secureml.pseudonymization.domains import Index
from secureml.pseudonymization.formats import TooSmall, Transformed
from secureml.pseudonymization.values import Numbers, numbers

__all__ = ["Repeats", "find_repeats"]

_FEWEST = 1 << 14  # rows for which counting values pays
_SAMPLE = 1 << 12
_SHARE = 4  # rows to a distinct value, from which on it pays


@dataclass(frozen=True, slots=True, eq=False)
class Repeats:
    """Which numbers of a column are the same.

    Args:
        first: a row of each distinct one.
        codes: which of them each row holds.
    """

    first: Index
    codes: Index

    def spread(self, made: Transformed) -> Transformed:
        """Return what became of the column, from what became of the distinct numbers."""
        values = numbers(made.values).at(self.codes)
        small = TooSmall(self._rows(made.small.rows), made.small.domain)
        return Transformed(values, small, self._rows(made.invalid), made.domain)

    def _rows(self, places: Index) -> Index:
        if not len(places):
            return places
        named = np.zeros(len(self.first), np.bool_)
        named[places] = True
        return np.flatnonzero(named[self.codes])


def find_repeats(values: Numbers) -> Repeats | None:
    """Find what repeats, if few numbers are distinct as far as a sample tells.

    Args:
        values: of the column; of one sign, or nothing is looked for.

    Returns:
        The repeats, or None where it does not pay to look for them.
    """
    count = len(values)
    if count < _FEWEST or not _repeats(values) or (values.negative != values.negative[0]).any():
        return None
    encoded = pa.array(values.magnitudes).dictionary_encode()
    distinct = len(encoded.dictionary)
    if distinct > count // _SHARE:
        return None
    codes = encoded.indices.to_numpy().astype(np.intp)
    first = np.empty(distinct, np.intp)
    first[codes] = np.arange(count)
    return Repeats(first, codes)


def _repeats(values: Numbers) -> bool:
    sample = values.magnitudes[:: len(values) // _SAMPLE][:_SAMPLE]
    met = len(sample) - len(np.unique(sample))
    # Of n rows with n / k distinct values, m of them meet about k m² / 2n times.
    return met > _SHARE * len(sample) ** 2 / (2 * len(values))

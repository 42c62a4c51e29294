"""The values of a column as they were read, and what makes a column of new ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from secureml.pseudonymization.formats import NO_ROWS
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.values.buffers import Nulls
from secureml.pseudonymization.values.kinds import Unread
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text

__all__ = [
    "Array",
    "CodedColumn",
    "ColumnValues",
    "NumberColumn",
    "ReadColumn",
    "TextColumn",
    "UnreadColumn",
    "in_rows",
    "sorted_categories",
]


Array = Any
"""A column of the kind of table it is for: an Arrow array, or an array of pandas'."""


class ColumnValues(ABC):
    """The values of a column, in an order of their own, and the rows that hold them.

    Attributes:
        values: those of the rows; a column decides which of them it holds, and how often.
        nulls: which rows are null, shape (rows,).
        dtype: the name of the column's dtype in manifests.
        arrow: the name of its Arrow type, or None.
    """

    __slots__ = ()

    values: Any
    nulls: Any
    dtype: str
    arrow: str | None

    @abstractmethod
    def rebuilt(self, values: Any, nulled: Index) -> Array:
        """Return a column of the same type, or of strings if text comes for other values.

        Args:
            values: the new ones, in the places of the old.
            nulled: the places that are to be null.
        """

    def rows_at(self, places: Index) -> Nulls:
        """Tell which rows hold the values at these places, shape (rows,)."""
        # A column of text has a value for every row, others for those that are not null.
        marked = np.zeros(len(self.nulls), np.bool_)
        if len(self.values) < len(self.nulls):
            places = np.flatnonzero(~self.nulls)[places]
        marked[places] = True
        return marked

    def occurrences(self, places: Index) -> int:
        """Return how many rows hold the values at these places."""
        return int(np.count_nonzero(self.rows_at(places))) if len(places) else 0

    def places_in_rows(self, nulled: Index = NO_ROWS) -> Index | None:
        """Return the places of values that rows hold, without nulled ones; None for all."""
        if not len(nulled):
            return None
        held = np.ones(len(self.values), np.bool_)
        held[nulled] = False
        return np.flatnonzero(held)

    @property
    def empty(self) -> int:
        """How many rows are the empty string."""
        if not isinstance(self.values, Text):
            return 0
        blank = np.flatnonzero(self.values.offsets[1:] == self.values.offsets[:-1])
        return int(np.count_nonzero(self.rows_at(blank) & ~self.nulls)) if len(blank) else 0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TextColumn(ColumnValues):
    """Strings.

    Args:
        values: one per row, an empty one for a null.
        nulls: which rows are null, shape (rows,).
        make: makes a column of the same type of text and nulls.
        dtype: as of ColumnValues.
        arrow: likewise.
    """

    values: Text
    nulls: Nulls
    make: Callable[[Text, Nulls], Array]
    dtype: str
    arrow: str | None

    def rebuilt(self, values: Text, nulled: Index) -> Array:
        """Return a column of the same type."""
        nulls = self.nulls.copy()
        nulls[nulled] = True
        return self.make(values, nulls)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CodedColumn(ColumnValues):
    """Strings of which rows hold codes: those of a categorical, or each distinct one once.

    Args:
        values: those that codes stand for; no row need hold one of a categorical.
        codes: which of them each row holds, -1 for null.
        make: makes a column of the same type of new values and the places of those that rows are
            to hold.
        dtype: as of ColumnValues.
        arrow: likewise.
        categorical: whether the column is one.
    """

    values: Text
    codes: Index
    make: Callable[[Text, Index], Array]
    dtype: str
    arrow: str | None
    categorical: bool = False

    @property
    def nulls(self) -> Nulls:
        """Which rows are null, shape (rows,)."""
        return self.codes < 0

    def rows_at(self, places: Index) -> Nulls:
        """Tell which rows hold the values at these places."""
        return np.isin(self.codes, places)

    def places_in_rows(self, nulled: Index = NO_ROWS) -> Index:
        """Return the places of values that rows hold, without nulled ones."""
        held = np.zeros(len(self.values) + 1, np.bool_)  # the last is what the code of a null picks
        held[self.codes] = True
        held[-1] = False
        held[nulled] = False
        return np.flatnonzero(held)

    def rebuilt(self, values: Text, nulled: Index) -> Array:
        """Return a column of the same type."""
        return self.make(values, self.places_in_rows(nulled))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class NumberColumn(ColumnValues):
    """Whole or decimal numbers, or points in time.

    Args:
        values: those that are not null.
        nulls: which rows are null, shape (rows,).
        make: makes a column of the same type of the numbers of rows and of nulls.
        make_text: makes one of strings of a value for each row, and of nulls.
        dtype: as of ColumnValues.
        arrow: likewise.
    """

    values: WholeNumbers
    nulls: Nulls
    make: Callable[[WholeNumbers, Nulls], Array]
    make_text: Callable[[Text, Nulls], Array]
    dtype: str
    arrow: str | None

    def rebuilt(self, values: Text | WholeNumbers, nulled: Index) -> Array:
        """Return a column of the same type, or of strings for text."""
        if isinstance(values, Text):
            return self.make_text(in_rows(values, self.nulls), self.nulls)
        if not len(nulled):
            return self.make(values, self.nulls)
        nulls = self.nulls.copy()
        nulls[np.flatnonzero(~nulls)[nulled]] = True
        stay = np.ones(len(values), np.bool_)
        stay[nulled] = False
        return self.make(values.at(stay), nulls)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class UnreadColumn(ColumnValues):
    """Values that are replaced without being looked at.

    Args:
        nulls: which rows are null, shape (rows,).
        make_text: as of NumberColumn.
        make_nulls: makes a column of the same type that holds nothing.
        dtype: as of ColumnValues.
        arrow: likewise.
    """

    nulls: Nulls
    make_text: Callable[[Text, Nulls], Array]
    make_nulls: Callable[[], Array]
    dtype: str
    arrow: str | None

    @property
    def values(self) -> Unread:
        """As many as are not null."""
        return Unread(int(np.count_nonzero(~self.nulls)))

    def rebuilt(self, values: Text | Unread, nulled: Index) -> Array:
        """Return a column of strings for text, or else of the same type with nulls alone."""
        if isinstance(values, Text):
            return self.make_text(in_rows(values, self.nulls), self.nulls)
        return self.make_nulls()


ReadColumn = TextColumn | CodedColumn | NumberColumn


def in_rows(values: Text, nulls: Nulls) -> Text:
    """Return values of the rows that are not null as one per row, an empty one for a null."""
    offsets = np.zeros(len(nulls) + 1, np.int64)
    offsets[1:][~nulls] = values.lengths
    return Text(values.codes, np.cumsum(offsets))


def sorted_categories(
    new: Text, held: Index, codes: Index, *, ordered: bool
) -> tuple[Index, Index]:
    """Return the places of new categories in their new order, and which of them each row holds.

    They are sorted, because their places would tell what they were before; only an ordered
    categorical keeps its order. Categories of which the same became are one.

    Args:
        new: a value in the place of each category.
        held: the places of those that rows hold.
        codes: the place of what each row held, -1 for null.
        ordered: whether the order stays.
    """
    strings, places = new.strings_at(held), held.tolist()
    first = dict(zip(reversed(strings), reversed(places), strict=True))
    order = sorted(first.values()) if ordered else [first[text] for text in sorted(first)]
    number = {place: code for code, place in enumerate(order)}
    new_codes = np.full(len(new) + 1, -1)  # the last one is what the code of a null picks
    new_codes[held] = [number[first[text]] for text in strings]
    return np.array(order, np.intp), new_codes[codes]

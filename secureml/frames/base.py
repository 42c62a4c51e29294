"""A table of any kind, its columns before they are read, and their values after."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats import NO_ROWS
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.values.buffers import Nulls
from secureml.pseudonymization.values.kinds import Unread, Values
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ATTRIBUTE",
    "Array",
    "CodedColumn",
    "Column",
    "ColumnValues",
    "NumberColumn",
    "ReadColumn",
    "Table",
    "TextColumn",
    "UnreadColumn",
    "check_names",
    "check_result",
    "in_rows",
    "refuse_column",
    "rows_of",
    "sorted_categories",
]

ATTRIBUTE = "secureml"
"""What the manifest is called if a table carries it."""

Array = Any
"""A column of the kind of table it is for: an Arrow array, or an array of pandas'."""


class Table(ABC):
    """A table that stays as it is, whatever keeps its columns.

    Attributes:
        manifest: the document that the table carries, not verified; None for none.
        levels: names beside those of the columns, as of an index.
        holders: by the name of a column inside of others, the names of these, outermost first.
    """

    manifest: Any = None
    levels: Sequence[Hashable] = ()
    holders: Mapping[str, Sequence[str]] = {}

    @property
    @abstractmethod
    def names(self) -> Sequence[Hashable]:
        """The names of the columns, in order; of those that hold others, the names of these."""

    @abstractmethod
    def __len__(self) -> int:
        """Return how many rows it has."""

    def __contains__(self, name: object) -> bool:
        return name in self.names

    @abstractmethod
    def column(self, name: Any) -> Column:
        """Return a column of this name, which there is."""

    def beside(self, name: str, other: str) -> Column:
        """Return the values of another column that stand beside each value of a column.

        Raises:
            PseudonymizationError: there are none, because both are in different lists.
        """
        return self.column(other)

    def rows_of(self, name: str) -> Index:
        """Return the row that each value of a column is in, shape (values,)."""
        return np.arange(len(self))

    @abstractmethod
    def replace(self, arrays: Mapping[str, Array]) -> Self:
        """Return a table with other columns in the places of those of these names."""

    def nullable(self, names: Sequence[str]) -> Self:
        """Return a table in whose schema some columns may be null."""
        return self

    @abstractmethod
    def append(self, arrays: Mapping[str, Array]) -> Self:
        """Return a table with more columns, behind the others."""

    @abstractmethod
    def constant(self, number: int) -> Array:
        """Make a column of one number."""

    @abstractmethod
    def drop(self, names: Sequence[Hashable]) -> Self:
        """Return a table without some columns; what holds others goes with the last of them."""

    @abstractmethod
    def take(self, rows: Index) -> Self:
        """Return a table of some rows."""

    @abstractmethod
    def uncoded(self, name: str) -> Self:
        """Return a table of which one column has no categories."""

    @abstractmethod
    def joined(self, pieces: Sequence[Array], order: Index) -> Array:
        """Put parts of a column together, and their rows in an order."""

    @abstractmethod
    def of_numbers(self, entry: Entry, numbers: WholeNumbers, nulls: Nulls) -> Array:
        """Make a column as it was before it was pseudonymized.

        Args:
            entry: what the manifest tells of it.
            numbers: those that are not null.
            nulls: which rows are null.
        """

    @abstractmethod
    def head(self, array: Array, rows: int) -> pd.Series:
        """Return the first rows of a column, to be shown."""

    @abstractmethod
    def native(self, manifest: Mapping[str, Any] | None) -> Any:
        """Return the table as the caller has it, with a manifest if it can carry one."""


class Column(ABC):
    """A column of a table, of which no value has been looked at.

    Attributes:
        repeated: whether a row may have several values of it, as inside of a list.
    """

    repeated: bool = False

    @property
    @abstractmethod
    def array(self) -> Array:
        """The column as the table keeps it."""

    @property
    @abstractmethod
    def ordered(self) -> bool:
        """Whether it is of ordered categories."""

    @property
    @abstractmethod
    def strings(self) -> list[str]:
        """Its values as text."""

    @property
    @abstractmethod
    def dtype(self) -> str:
        """The name of its dtype, for messages."""

    @property
    @abstractmethod
    def arrow(self) -> str | None:
        """The name of its Arrow type; None if it has none, or its values tell."""

    @property
    @abstractmethod
    def nulls(self) -> Nulls:
        """Which rows are null, shape (rows,)."""

    @abstractmethod
    def kind(self, scale: int | None = None) -> type[Values]:
        """Tell which kind of values it holds, from its type, and from one value if that is needed.

        Args:
            scale: as for ``read``.

        Raises:
            PseudonymizationError: there are no pseudonyms for columns of its type.
        """

    @abstractmethod
    def read(self, *, distinct: bool = False, scale: int | None = None) -> ReadColumn:
        """Read the values.

        Args:
            distinct: whether values that repeat may be read once.
            scale: how many digits after the point floats are to be read with; None for whole
                numbers.

        Raises:
            PseudonymizationError: it holds anything but strings, moments, or numbers that its type
                holds exactly.
        """

    @abstractmethod
    def unread(self) -> UnreadColumn:
        """Return the column as values that are not looked at."""

    @abstractmethod
    def uncoded(self) -> Column:
        """Return the column without categories."""

    @abstractmethod
    def take(self, rows: Index) -> Column:
        """Return the column of some rows."""

    @abstractmethod
    def versions(self) -> NDArray[np.float64]:
        """Return its values as numbers; what is none, or null, as NaN."""

    @abstractmethod
    def distinct(self) -> int:
        """Count the distinct values that are not null."""

    @abstractmethod
    def called(self, function: Callable[[Any], Any]) -> Array:
        """Return what a function of the caller's makes of the column as the caller has it.

        Raises:
            PseudonymizationError: it is no such column, or has another number of rows.
        """

    def check_restorable(self, values: ReadColumn) -> None:  # noqa: B027  # most are
        """Check that recovery makes a column of this type of what the manifest is to tell.

        Raises:
            PseudonymizationError: it makes another one, or none.
        """


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


def check_names(twice: Sequence[Hashable]) -> None:
    """Refuse columns of one name.

    Args:
        twice: the names that occur more than once.

    Raises:
        PseudonymizationError: there are some.
    """
    if twice:
        shown = ", ".join(map(repr, twice[:8])) + (", ..." if len(twice) > 8 else "")
        raise PseudonymizationError(f"column names occur more than once: {shown}")


def check_result(result: Any, kinds: tuple[type, ...], kind: str, rows: int) -> None:
    """Check that a function in place of a strategy returned a column.

    Args:
        result: what it returned.
        kinds: the types that columns have.
        kind: what they are called.
        rows: how many there are to be.

    Raises:
        PseudonymizationError: it is something else, or has another number of rows.
    """
    if not isinstance(result, kinds):
        raise PseudonymizationError(f"its function returned {type(result).__name__}, not {kind}")
    count = len(cast(Any, result))
    if count != rows:
        raise PseudonymizationError(f"its function returned {count} values for {rows_of(rows)}")


def rows_of(count: int) -> str:
    """Return how many rows, in words."""
    return f"{count} row" if count == 1 else f"{count} rows"


def refuse_column(problem: str) -> NoReturn:
    """Refuse a column.

    Raises:
        PseudonymizationError: always.
    """
    raise PseudonymizationError(
        f"{problem}; pseudonyms are made of text, numbers and moments. Convert the column first,"
        " for instance with astype('string')"
    )

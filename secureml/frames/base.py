"""A table of any kind, and its columns before they are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.frames.column_values import Array, ReadColumn, UnreadColumn
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.values.buffers import Nulls
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.numbers import WholeNumbers

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ATTRIBUTE",
    "Column",
    "Table",
    "check_names",
    "check_result",
    "refuse_column",
    "rows_of",
]

ATTRIBUTE = "secureml"
"""What the manifest is called if a table carries it."""


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

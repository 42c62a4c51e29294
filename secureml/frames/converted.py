"""Tables of other columns than Arrow's, of which those that are read or replaced are converted."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import pyarrow as pa

from secureml.frames.arrow import ArrowArrays, ArrowColumn, without_remains
from secureml.frames.base import check_result
from secureml.pseudonymization.ranking.mixed_radix import Index

__all__ = ["ConvertedColumn", "ConvertedTable"]

Native = Any
"""A column as the caller has it."""


class ConvertedTable(ArrowArrays):
    """A table that keeps its columns as the caller has them.

    Args:
        columns: by name.
        rows: how many there are.
    """

    kinds: ClassVar[tuple[type, ...]]
    """The types that columns have."""

    kind: ClassVar[str]
    """What they are called."""

    def __init__(self, columns: Mapping[str, Native], rows: int) -> None:
        self.columns = columns
        self._rows = rows
        self._arrays: dict[str, pa.Array] = {}  # of columns that were asked for

    @property
    def names(self) -> Sequence[Hashable]:
        """The names of the columns."""
        return list(self.columns)

    def __len__(self) -> int:
        return self._rows

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def column(self, name: str) -> ConvertedColumn:
        """Return a column."""
        native = self.columns[name]
        if name not in self._arrays:
            self._arrays[name] = self.in_arrow(native)
        return ConvertedColumn(self._arrays[name], native=native, table=self)

    def replace(self, arrays: Mapping[str, Any]) -> Self:
        """Return a table with other columns."""
        return self.append(arrays)

    def append(self, arrays: Mapping[str, Any]) -> Self:
        """Return a table with more columns."""
        new = {name: self.converted(name, array) for name, array in arrays.items()}
        return self._with({**self.columns, **new}, len(self))

    def drop(self, names: Sequence[Hashable]) -> Self:
        """Return a table without some columns."""
        stay = {name: column for name, column in self.columns.items() if name not in names}
        return self._with(stay, len(self))

    def take(self, rows: Index) -> Self:
        """Return a table of some rows."""
        taken = {name: self.picked(column, rows) for name, column in self.columns.items()}
        return self._with(taken, len(rows))

    def uncoded(self, name: str) -> Self:
        """Return a table of which one column has no dictionary."""
        return self.replace({name: self.column(name).uncoded().array})

    @abstractmethod
    def in_arrow(self, native: Native) -> pa.Array:
        """Return a column as an Arrow array.

        Raises:
            PseudonymizationError: Arrow has no type for it.
        """

    @abstractmethod
    def converted(self, name: str, array: pa.Array | pa.ChunkedArray) -> Native:
        """Return an Arrow array as a column, of the same type as the one of this name if it can."""

    @abstractmethod
    def picked(self, native: Native, rows: Index) -> Native:
        """Return some rows of a column."""

    @abstractmethod
    def _with(self, columns: Mapping[str, Native], rows: int) -> Self:
        """Return a table of the same kind with these columns."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ConvertedColumn(ArrowColumn):
    """A column of such a table.

    Args:
        array: the column in Arrow.
        native: as the caller has it.
        table: the table.
    """

    native: Native
    table: ConvertedTable

    def called(self, function: Callable[[Any], Any]) -> pa.Array | pa.ChunkedArray:
        """Return what a function makes of the column as the caller has it."""
        result = function(self.native)
        check_result(result, self.table.kinds, self.table.kind, len(self.array))
        return without_remains(self.table.in_arrow(result))

"""Tables of Python's own: a dict of lists, one for each column, and a list of dicts, one a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from secureml.errors import PseudonymizationError
from secureml.frames.base import refuse_column
from secureml.frames.converted import ConvertedTable
from secureml.pseudonymization.ranking.mixed_radix import Index

__all__ = ["ListsTable", "RowsTable", "source_of"]


class ListsTable(ConvertedTable):
    """A dict of lists; the objects in columns that are not replaced stay the same.

    Args:
        columns: by name, of one length.
        rows: how many there are.
    """

    kinds = (list,)
    kind = "a list"

    def in_arrow(self, native: list[Any]) -> pa.Array:
        """Return a list as an Arrow array, of the type that holds all of it."""
        try:
            array = pa.array(native)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            array = None
        if array is None:
            refuse_column("it holds values of several types, or some that Arrow has no type for")
        if pa.types.is_decimal128(array.type):  # whose digits are those of the longest value
            return array.cast(pa.decimal128(38, array.type.scale))
        return array

    def converted(self, name: str, array: pa.Array | pa.ChunkedArray) -> list[Any]:
        """Return an array as a list of Python's objects."""
        values: list[Any] = array.to_pylist()
        return values

    def picked(self, native: list[Any], rows: Index) -> list[Any]:
        """Return some rows of a list."""
        return [native[row] for row in rows.tolist()]

    def native(self, manifest: Mapping[str, Any] | None) -> Any:
        """Return a dict of lists, which carries no manifest."""
        return {name: list(column) for name, column in self.columns.items()}

    def _with(self, columns: Mapping[str, list[Any]], rows: int) -> ListsTable:
        return ListsTable(columns, rows)


class RowsTable(ListsTable):
    """A list of dicts; a key that a row lacks stands for a null.

    Args:
        columns: by name.
        rows: how many there are.
        given: the rows, and their columns, as the caller has them.
    """

    def __init__(
        self,
        columns: Mapping[str, list[Any]],
        rows: int,
        given: tuple[Sequence[Mapping[str, Any]], Mapping[str, list[Any]]],
    ) -> None:
        super().__init__(columns, rows)
        self._given = given

    def native(self, manifest: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        """Return a list of dicts; a null that stays one has no key if it had none."""
        rows, before = self._given
        gone = before.keys() - self.columns.keys()
        result = [{name: row[name] for name in row if name not in gone} for row in rows]
        for name, column in self.columns.items():
            if column is before.get(name):
                continue
            for row, value in zip(result, column, strict=True):
                if value is not None or name in row:
                    row[name] = value
        return result

    def _with(self, columns: Mapping[str, list[Any]], rows: int) -> RowsTable:
        return RowsTable(columns, rows, self._given)


def source_of(data: object) -> ListsTable | None:
    """Return a dict of lists or a list of dicts as a table, or None for anything else.

    Raises:
        PseudonymizationError: the lists of a dict are not of one length.
    """
    if isinstance(data, dict) and all(isinstance(column, list) for column in data.values()):
        lengths = sorted({len(column) for column in data.values()})
        if len(lengths) > 1:
            raise PseudonymizationError(
                f"the lists have {lengths[0]} to {lengths[-1]} rows: all must be of one length"
            )
        return ListsTable(data, sum(lengths))
    if isinstance(data, list) and data and all(isinstance(row, dict) for row in data):
        names = dict.fromkeys(name for row in data for name in row)
        columns = {name: [row.get(name) for row in data] for name in names}
        return RowsTable(columns, len(data), (data, columns))
    return None

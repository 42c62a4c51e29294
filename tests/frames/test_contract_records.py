from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from helpers.frames import FrameContract


class RecordsContract(FrameContract):
    """Tables of Python's own objects, whose types are what Arrow makes of them."""

    carries = False
    twice = False
    typed = False
    column_type = list

    def has(self, arrow_type: pa.DataType, nulls: bool) -> bool:
        types = pa.types
        fine = types.is_timestamp(arrow_type) and arrow_type.unit == "ns"
        return not (fine or types.is_dictionary(arrow_type))

    def columns(self, frame: Any) -> dict[str, list[Any]]:
        """Return the columns of a table."""
        return frame

    def read(self, frame: Any) -> pa.Table:
        columns = self.columns(frame)
        return pa.table({name: pa.array(column) for name, column in columns.items()})

    def upper(self, column: list[Any]) -> list[Any]:
        return [value and value.upper() for value in column]

    def lost(self, column: list[Any]) -> list[Any]:
        return [None] * len(column)

    def memory(self, frame: Any, names: list[str]) -> Iterator[bytes]:
        columns = self.columns(frame)
        for name in names:
            yield from (str(value).encode() for value in columns[name])


class TestDictOfLists(RecordsContract):
    def make(self, table: pa.Table) -> dict[str, list[Any]]:
        return table.to_pydict()


class TestListOfDicts(RecordsContract):
    def make(self, table: pa.Table) -> list[dict[str, Any]]:
        return table.to_pylist()

    def columns(self, frame: list[dict[str, Any]]) -> dict[str, list[Any]]:
        names = dict.fromkeys(name for row in frame for name in row)
        return {name: [row.get(name) for row in frame] for name in names}

"""Arrow tables: their columns as values, and new values as columns of the same type."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.forksafe import CachedProperty
from secureml.frames.base import ATTRIBUTE, Column, Table, check_names, check_result, refuse_column
from secureml.frames.column_values import (
    CodedColumn,
    NumberColumn,
    ReadColumn,
    TextColumn,
    UnreadColumn,
    sorted_categories,
)
from secureml.frames.leaves import leaf, leaf_beside, rows_of_leaf, with_leaf
from secureml.frames.numbers import numbers_of, read_numbers, type_before, write_numbers
from secureml.frames.paths import Path, holders_of, paths_of, resolve
from secureml.frames.strings import PLAIN, combined, is_text, read_text, strings_of, write_text
from secureml.frames.type_names import arrow_name_of, dtype_name_of, type_of
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.pipeline import MIN_REPETITION, few_distinct
from secureml.pseudonymization.values.buffers import (
    Nulls,
    array_of,
    indices,
    nulls_of,
    numbers_in,
    numpy_type_of,
)
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ArrowArrays",
    "ArrowColumn",
    "ArrowTable",
    "Function",
    "batch_of",
    "table_of",
    "with_manifest",
    "without_remains",
    "write_strings",
]

Function = Callable[[Any], Any]
_STRINGS = pa.large_string()


@dataclass(frozen=True, slots=True, eq=False)
class ArrowColumn(Column):
    """A column of an Arrow table.

    Args:
        array: the column; of one inside of others, its values one after another.
        repeated: whether it is inside of a list or map.
    """

    array: pa.Array | pa.ChunkedArray
    repeated: bool = False

    @property
    def strings(self) -> list[str]:
        """Its values as text."""
        return strings_of(self.array)

    @property
    def ordered(self) -> bool:
        """Whether it is of ordered categories."""
        return pa.types.is_dictionary(self.array.type) and bool(self.array.type.ordered)

    @property
    def dtype(self) -> str:
        """The name that its type has in manifests."""
        return dtype_name_of(self.array.type)

    @property
    def arrow(self) -> str:
        """The name of its type."""
        return arrow_name_of(self.array.type)

    @property
    def nulls(self) -> Nulls:
        """Which rows are null; NaN counts as null, as it does if numbers are read."""
        array = combined(self.array)
        if pa.types.is_dictionary(array.type) and array.dictionary.null_count:
            return self._codes(array) < 0
        nulls = nulls_of(array)
        if pa.types.is_floating(array.type):
            nulls |= np.isnan(numbers_in(array, numpy_type_of(array.type)))
        return nulls

    def __len__(self) -> int:
        return len(self.array)

    def kind(self, scale: int | None = None) -> type[Values]:
        """Tell which kind of values it holds, from its type alone."""
        if (
            is_text(self.array.type)
            or pa.types.is_dictionary(self.array.type)
            or pa.types.is_null(self.array.type)
        ):
            return Text
        like = numbers_of(self.array.type, scale)
        if like is None:
            refuse_column(f"its type is {self.array.type}")
        return type(like)

    def read(self, *, distinct: bool = False, scale: int | None = None) -> ReadColumn:
        """Read the values."""
        array = combined(self.array)
        if pa.types.is_dictionary(array.type):
            return self._read_dictionary(array)
        if is_text(array.type):
            repeated = self._read_repeated(array) if distinct else None
            return repeated or self._read_text(array)
        if pa.types.is_null(array.type):
            # What Parquet makes of objects or categories that are all null.
            text, nulls = Text.of([""] * len(array)), np.ones(len(array), np.bool_)
            return TextColumn(
                values=text,
                nulls=nulls,
                make=lambda new, mask: array,
                dtype=self.dtype,
                arrow=self.arrow,
            )
        like = numbers_of(array.type, scale)
        if like is None:
            refuse_column(f"its type is {array.type}")
        numbers, nulls = read_numbers(array, like)
        return NumberColumn(
            values=numbers,
            nulls=nulls,
            make=self._number_maker(array),
            make_text=write_strings,
            dtype=self.dtype,
            arrow=self.arrow,
        )

    def unread(self) -> UnreadColumn:
        """Return the column as values that are not looked at."""
        return UnreadColumn(
            nulls=self.nulls,
            make_text=write_strings,
            make_nulls=lambda: pa.nulls(len(self.array), self.array.type),
            dtype=self.dtype,
            arrow=self.arrow,
        )

    def uncoded(self) -> ArrowColumn:
        """Return the column without a dictionary or runs."""
        if pa.types.is_run_end_encoded(self.array.type):
            return ArrowColumn(pc.run_end_decode(combined(self.array)))
        if not pa.types.is_dictionary(self.array.type):
            return self
        array = combined(self.array)
        values = array.dictionary.cast(PLAIN.get(array.dictionary.type, array.dictionary.type))
        return ArrowColumn(values.take(array.indices).cast(array.dictionary.type))

    def take(self, rows: Index) -> ArrowColumn:
        """Return the column of some rows."""
        return ArrowColumn(_taken(combined(self.array), rows))

    def versions(self) -> NDArray[np.float64]:
        """Return its values as numbers; what is none, or null, as NaN."""
        array = combined(self.uncoded().array)
        if is_text(array.type):
            array = array.cast(_STRINGS)
            numerals = pc.match_substring_regex(array, r"^[0-9]{1,15}(\.0*)?$")
            array = pc.if_else(numerals, array, pa.nulls(len(array), array.type))
        try:
            floats = array.cast(pa.float64())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            floats = pa.nulls(len(array), pa.float64())
        return np.where(nulls_of(floats), np.nan, numbers_in(floats, np.float64))

    def distinct(self) -> int:
        """Count the distinct values that are not null."""
        array = self.uncoded().array
        array = array.cast(PLAIN.get(array.type, array.type))
        return int(pc.count_distinct(array, mode="only_valid").as_py())

    def called(self, function: Function) -> pa.Array | pa.ChunkedArray:
        """Return what a function makes of the Arrow array."""
        return without_remains(self.checked(function(self.array)))

    def checked(self, result: Any) -> pa.Array | pa.ChunkedArray:
        """Return what a function of the caller's returned, if it is such a column.

        Raises:
            PseudonymizationError: it is not, or has another number of rows.
        """
        check_result(result, (pa.Array, pa.ChunkedArray), "an Arrow array", len(self))
        return result

    def check_restorable(self, values: ReadColumn) -> None:
        """Check that the name of its type stands for it."""
        if type_of(self.arrow) != self.array.type:
            raise PseudonymizationError(
                f"its type is {self.array.type}, which no manifest can name"
            )

    def _read_text(self, array: pa.Array) -> TextColumn:
        text, nulls = read_text(array)
        return TextColumn(
            values=text,
            nulls=nulls,
            make=lambda new, mask: write_text(new, mask, array.type),
            dtype=self.dtype,
            arrow=self.arrow,
        )

    def _read_repeated(self, array: pa.Array) -> CodedColumn | None:
        """Read text if few of its values are distinct, as far as a sample tells."""
        wide = array.cast(_STRINGS) if pa.types.is_string_view(array.type) else array

        def distinct_of(rows: Index) -> int:
            return int(pc.count_distinct(wide.take(indices(rows)), mode="all").as_py())

        if not few_distinct(len(wide), distinct_of):
            return None
        encoded = wide.dictionary_encode()
        if len(encoded.dictionary) > len(array) // MIN_REPETITION:
            return None
        text, _ = read_text(encoded.dictionary)

        def make(new: Text, held: Index) -> pa.Array:
            lost = np.ones(len(new), np.bool_)
            lost[held] = False
            return write_text(new, lost, wide.type).take(encoded.indices).cast(array.type)

        return CodedColumn(
            values=text,
            codes=self._codes(encoded),
            make=make,
            dtype=self.dtype,
            arrow=self.arrow,
        )

    def _read_dictionary(self, array: pa.DictionaryArray) -> CodedColumn:
        kind = array.type
        if not is_text(kind.value_type):
            refuse_column(f"its categories are of type {kind.value_type}")
        text, _ = read_text(array.dictionary)
        codes = self._codes(array)

        def make(new: Text, held: Index) -> pa.DictionaryArray:
            order, new_codes = sorted_categories(new, held, codes, ordered=kind.ordered)
            values = write_text(new.at(order), np.zeros(len(order), np.bool_), kind.value_type)
            narrow = new_codes.astype(numpy_type_of(kind.index_type))
            return pa.DictionaryArray.from_arrays(
                array_of(np.where(new_codes < 0, 0, narrow), kind.index_type, new_codes < 0),
                values,
                ordered=kind.ordered,
            )

        return CodedColumn(
            values=text,
            codes=codes,
            make=make,
            dtype=self.dtype,
            arrow=self.arrow,
            categorical=True,
        )

    def _codes(self, array: pa.DictionaryArray) -> Index:
        """Return which value each row of a dictionary holds, -1 for null."""
        codes = numbers_in(array.indices, numpy_type_of(array.type.index_type)).astype(np.intp)
        codes[nulls_of(array.indices)] = -1
        empty = nulls_of(array.dictionary)
        if empty.any():
            codes[np.isin(codes, np.flatnonzero(empty))] = -1
        return codes

    def _number_maker(self, array: pa.Array) -> Callable[[WholeNumbers, Nulls], pa.Array]:
        """Return what makes a column of the same type; NaN stays what it is, and is no null."""

        def make(numbers: WholeNumbers, nulls: Nulls) -> pa.Array:
            made = write_numbers(numbers, nulls, array.type)
            if not pa.types.is_floating(array.type):
                return made
            before = numbers_in(array, numpy_type_of(array.type))
            nan = np.isnan(before) & ~nulls_of(array)
            if not nan.any():
                return made
            floats = np.where(nan, before, numbers_in(made, before.dtype))
            return array_of(floats, array.type, nulls & ~nan)

        return make


class ArrowArrays(Table):
    """What makes columns for tables that take Arrow arrays."""

    def constant(self, number: int) -> pa.Array:
        """Make a column of one number."""
        return array_of(np.full(len(self), number, np.int64))

    def joined(self, pieces: Sequence[Any], order: Index) -> pa.Array:
        """Put parts of a column together."""
        return _taken(combined(pa.chunked_array(pieces)), order)

    def of_numbers(self, entry: Entry, numbers: WholeNumbers, nulls: Nulls) -> pa.Array:
        """Make a column as it was."""
        return write_numbers(numbers, nulls, type_before(entry))

    def head(self, array: Any, rows: int) -> pd.Series:
        """Return the first rows of a column."""
        import pandas as pd

        array = ArrowColumn(array.slice(0, rows)).uncoded().array
        plain = array.cast(PLAIN.get(array.type, array.type))  # pandas can't show views
        if pa.types.is_date(plain.type) and not _are_dates(plain):
            plain = plain.cast(pa.string())  # pandas can't show these either
        return pd.Series(pd.arrays.ArrowExtensionArray(plain))


def _are_dates(array: pa.Array | pa.ChunkedArray) -> bool:
    """Tell whether Python has all dates of an array."""
    try:
        array.to_pylist()
    except OverflowError:
        return False
    return True


class ArrowTable(ArrowArrays):
    """An Arrow table, and what the caller has it in.

    Args:
        table: its columns.
        give: makes of the columns and the manifest what the caller has; by default a ``Table``
            with the manifest in the metadata of its schema.

    Raises:
        PseudonymizationError: two columns have one name.
    """

    def __init__(
        self,
        table: pa.Table,
        give: Callable[[pa.Table, Mapping[str, Any] | None], Any] | None = None,
    ) -> None:
        check_names([name for name, count in Counter(table.column_names).items() if count > 1])
        self.table = table
        self._give = give
        attached = (table.schema.metadata or {}).get(ATTRIBUTE.encode())
        self.manifest = None if attached is None else str(attached, "utf-8", "replace")

    @property
    def names(self) -> Sequence[str]:
        """The names of the columns."""
        names: list[str] = self.table.column_names
        return [path.text for path in self._paths] if self._paths else names

    @CachedProperty
    def holders(self) -> Mapping[str, Sequence[str]]:  # pyright: ignore[reportIncompatibleVariableOverride]  # it gives a mapping
        """The structs, lists and maps that a column is in."""
        return {path.text: holders_of(path) for path in self._paths if path.children}

    def __len__(self) -> int:
        return len(self.table)

    def __contains__(self, name: object) -> bool:
        return name in self._tops or name in self._inside

    def column(self, name: str) -> ArrowColumn:
        """Return a column."""
        path = self._path(name)
        return ArrowColumn(leaf(self.table.column(path.column), path), repeated=bool(path.depth))

    def beside(self, name: str, other: str) -> ArrowColumn:
        """Return the values of another column; to those in a list, what is outside is repeated."""
        path, beside = self._path(name), self._path(other)
        if not path.children and not beside.children:
            return self.column(other)
        array, values = self.table.column(path.column), self.table.column(beside.column)
        if beside.depth or not path.depth:
            return ArrowColumn(leaf_beside(array, path, values, beside))
        in_rows = leaf_beside(array, Path(path.column, path.column, array.type), values, beside)
        return ArrowColumn(_taken(combined(in_rows), rows_of_leaf(array, path)))

    def rows_of(self, name: str) -> Index:
        """Return the row that each value of a column is in."""
        path = self._path(name)
        return rows_of_leaf(self.table.column(path.column), path)

    def replace(self, arrays: Mapping[str, Any]) -> ArrowTable:
        """Return a table with other columns."""
        if not arrays:
            return self
        new: dict[str, Any] = {}
        for name, array in arrays.items():
            path = self._path(name)
            before = new.get(path.column)
            before = self.table.column(path.column) if before is None else before
            new[path.column] = with_leaf(before, path, array) if path.children else array
        table, schema = self.table, self.table.schema
        for name, column in new.items():
            at = schema.get_field_index(name)
            field = schema.field(at)
            # A NaN, which counts as null, becomes a null if text comes in place of floats.
            lost = pa.types.is_floating(field.type) and field.type != column.type
            field = field.with_type(column.type).with_nullable(field.nullable or lost)
            table = table.set_column(at, field, column)
        return self._with(table)

    def nullable(self, names: Sequence[str]) -> ArrowTable:
        """Return a table in whose schema some columns at the top may be null."""
        table = self.table
        for at, field in enumerate(table.schema):
            if field.name in names and not field.nullable:
                table = table.set_column(at, field.with_nullable(True), table.column(at))
        return self._with(table)

    def append(self, arrays: Mapping[str, Any]) -> ArrowTable:
        """Return a table with more columns."""
        table = self.table
        for name, array in arrays.items():
            table = table.append_column(name, array)
        return self._with(table)

    def drop(self, names: Sequence[Hashable]) -> ArrowTable:
        """Return a table without some columns."""
        if not names:
            return self
        gone = frozenset(names)
        stay = {self.holders.get(name, (name,))[0] for name in self.names if name not in gone}
        kept = [name for name in self.table.column_names if name in stay and name not in gone]
        return self._with(self.table.select(kept))

    def take(self, rows: Index) -> ArrowTable:
        """Return a table of some rows."""
        arrays = [_taken(combined(column), rows) for column in self.table.columns]
        return self._with(pa.table(arrays, schema=self.table.schema))

    def uncoded(self, name: str) -> ArrowTable:
        """Return a table of which one column has no dictionary."""
        return self.replace({name: self.column(name).uncoded().array})

    def native(self, manifest: Mapping[str, Any] | None) -> Any:
        """Return the table as the caller has it."""
        if self._give is not None:
            return self._give(self.table, manifest)
        metadata = with_manifest(self.table.schema, manifest).metadata
        return self.table.replace_schema_metadata(metadata)

    @CachedProperty
    def _tops(self) -> Set[str]:
        return frozenset(self.table.column_names)

    @CachedProperty
    def _paths(self) -> list[Path]:
        """The columns, if some are inside of others."""
        schema = self.table.schema
        return paths_of(schema) if any(kind.num_fields for kind in schema.types) else []

    @CachedProperty
    def _inside(self) -> Mapping[str, Path]:
        """The columns inside of others, without those of one name."""
        count = Counter(path.text for path in self._paths)
        return {p.text: p for p in self._paths if p.children and count[p.text] == 1}

    def _path(self, name: str) -> Path:
        """Return where a column is.

        Raises:
            PseudonymizationError: there are several of the name.
        """
        path = self._inside.get(name)
        if path is None and name not in self._tops:
            path = resolve(self.table.schema, name)
        return path or Path(name, name, self.table.schema.field(name).type)

    def _with(self, table: pa.Table) -> ArrowTable:
        return ArrowTable(table, self._give)


def table_of(data: object) -> ArrowTable | None:
    """Return a Table or RecordBatch as a table, or None for anything else."""
    if isinstance(data, pa.RecordBatch):
        return ArrowTable(pa.Table.from_batches([data]), _as_batch)
    return ArrowTable(data) if isinstance(data, pa.Table) else None


def _as_batch(table: pa.Table, manifest: Mapping[str, Any] | None) -> pa.RecordBatch:
    return batch_of(table, with_manifest(table.schema, manifest))


def batch_of(table: pa.Table, schema: pa.Schema) -> pa.RecordBatch:
    """Return a table as one batch of a schema, which has its types."""
    columns = [combined(column) for column in table.columns]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def with_manifest(schema: pa.Schema, manifest: Mapping[str, Any] | None) -> pa.Schema:
    """Return a schema with a manifest in its metadata, or without."""
    metadata = dict(schema.metadata or {})
    metadata.pop(ATTRIBUTE.encode(), None)
    if manifest is not None:
        metadata[ATTRIBUTE.encode()] = json.dumps(manifest).encode()
    return schema.with_metadata(metadata or None)


def _taken(array: pa.Array, rows: Index, nulls: Nulls | None = None) -> pa.Array:
    """Return some rows, and nulls; of views too, of which pyarrow can't take any."""
    places = array_of(np.asarray(rows, np.int64), nulls=nulls)
    plain = PLAIN.get(array.type, array.type)
    return array.cast(plain).take(places).cast(array.type)


def write_strings(text: Text, nulls: Nulls) -> pa.Array:
    """Make a column of strings."""
    return write_text(text, nulls, _STRINGS)


def without_remains(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return an array without what it keeps of values that it does not show.

    That is what lies beneath nulls and outside of a slice, and the values of a dictionary that no
    row has.
    """
    array = combined(array)
    if pa.types.is_dictionary(array.type):
        encoded = ArrowColumn(array).uncoded().array.dictionary_encode()
        return encoded if array.type.ordered else encoded.cast(array.type)
    if pa.types.is_run_end_encoded(array.type):
        return pc.run_end_encode(without_remains(pc.run_end_decode(array)))
    nulls = nulls_of(array)
    places = np.where(nulls, 0, np.cumsum(~nulls) - 1)
    try:
        return _taken(_taken(array, np.flatnonzero(~nulls)), places, nulls)
    except pa.ArrowNotImplementedError:  # of views inside of others
        return pa.array(array.to_pylist(), array.type)

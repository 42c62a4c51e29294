"""Pandas DataFrames: their columns as values, and new values as columns of the same dtype."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.rec  # pandas 2 imports it at the first table, where a fork may come
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.frames.arrow import ArrowColumn, Function, without_remains
from secureml.frames.base import ATTRIBUTE, Column, Table, check_names, check_result, refuse_column
from secureml.frames.column_values import (
    CodedColumn,
    NumberColumn,
    ReadColumn,
    TextColumn,
    UnreadColumn,
    sorted_categories,
)
from secureml.frames.dtypes import arrow_type_of, dtype_of, in_arrow, in_dtype, is_same_dtype
from secureml.frames.numbers import numbers_of, write_numbers
from secureml.frames.strings import is_text, read_text, strings_of
from secureml.pseudonymization.formats import NO_ROWS
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.values.buffers import Nulls
from secureml.pseudonymization.values.decimals import Decimals, parse_decimals
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text

__all__ = ["PandasColumn", "PandasTable", "source_of"]

_COPIES_ON_WRITE = int(pd.__version__.partition(".")[0]) >= 3

_PIECE = 256
"""Columns that are replaced together: each costs pandas time in proportion to them."""

_STRING = pd.Series(["text"]).dtype  # what this version of pandas takes for strings: str or object
_NULLABLE = {"i": "Int64", "u": "UInt64", "b": "boolean"}

pa.array(np.empty(0))  # pyarrow 18 imports more for the first array of numpy's


class PandasTable(Table):
    """A pandas DataFrame.

    Args:
        data: the frame; not changed, the columns are shared.

    Raises:
        PseudonymizationError: it has column names of several levels, or one name twice; or its
            attributes are nested too deeply to be copied.
    """

    def __init__(self, data: pd.DataFrame) -> None:
        if isinstance(data.columns, pd.MultiIndex):
            raise PseudonymizationError(
                "the columns are a MultiIndex: give every column one name first, for instance"
                " data.columns = data.columns.map('.'.join)"
            )
        check_names(list(dict.fromkeys(data.columns[data.columns.duplicated()])))
        try:
            frame = data.copy(deep=False)
        except RecursionError:
            frame = None
        if frame is None:
            raise PseudonymizationError("what is in the attrs of the data is nested too deeply")
        # Pandas copies them with every column.
        self._attributes, frame.attrs = frame.attrs, {}
        self.manifest = self._attributes.pop(ATTRIBUTE, None)
        self.levels = [*frame.index.names, *frame.columns.names]
        self.frame = frame

    @property
    def names(self) -> Sequence[Hashable]:
        """The names of the columns."""
        return list(self.frame.columns)

    def __len__(self) -> int:
        return len(self.frame)

    def __contains__(self, name: object) -> bool:
        return name in self.frame.columns

    def column(self, name: Hashable) -> PandasColumn:
        """Return a column."""
        return PandasColumn(self.frame[name])

    def replace(self, arrays: Mapping[str, Any]) -> PandasTable:
        """Return a table with other columns; index and order as before.

        The columns that stay are shared if pandas copies on write.
        """
        return self._with(_with_columns(self.frame, arrays))

    def append(self, arrays: Mapping[str, Any]) -> PandasTable:
        """Return a table with more columns."""
        added = pd.DataFrame(dict(arrays), index=self.frame.index)
        return self._with(pd.concat([_with_columns(self.frame, {}), added], axis=1))

    def constant(self, number: int) -> Any:
        """Make a column of one number."""
        return pd.array(np.full(len(self), number), dtype="Int64")

    def drop(self, names: Sequence[Hashable]) -> PandasTable:
        """Return a table without some columns."""
        return self._with(self.frame.drop(columns=list(names)))

    def take(self, rows: Index) -> PandasTable:
        """Return a table of some rows."""
        return self._with(self.frame.iloc[rows])

    def uncoded(self, name: str) -> PandasTable:
        """Return a table of which one column has no categories."""
        return self.replace({name: self.column(name).uncoded().series.array})

    def joined(self, pieces: Sequence[Any], order: Index) -> Any:
        """Put parts of a column together."""
        parts = [pd.Series(piece, dtype=piece.dtype) for piece in pieces]
        return pd.concat(parts).iloc[order].array

    def of_numbers(self, entry: Entry, numbers: WholeNumbers, nulls: Nulls) -> Any:
        """Make a column of the dtype that it had."""
        if isinstance(numbers, Decimals) and entry.dtype.startswith("decimal["):
            return _decimal_objects(numbers, nulls)
        dtype = dtype_of(entry.dtype)
        like = PandasColumn(pd.Series([], dtype=dtype))
        return in_dtype(like.make_numbers(numbers, nulls), dtype)

    def head(self, array: Any, rows: int) -> pd.Series:
        """Return the first rows of a column."""
        return pd.Series(array).head(rows)

    def native(self, manifest: Mapping[str, Any] | None) -> pd.DataFrame:
        """Return a frame with the attributes of the data, and the manifest."""
        self.frame.attrs = dict(self._attributes)
        if manifest is not None:
            self.frame.attrs[ATTRIBUTE] = manifest
        return self.frame

    def _with(self, frame: pd.DataFrame) -> PandasTable:
        table = PandasTable.__new__(PandasTable)
        table.frame, table.levels = frame, self.levels
        table.manifest, table._attributes = self.manifest, self._attributes
        return table


def source_of(data: object) -> PandasTable | None:
    """Return a DataFrame as a table, or None for anything else."""
    return PandasTable(data) if isinstance(data, pd.DataFrame) else None


@dataclass(frozen=True, slots=True, eq=False)
class PandasColumn(Column):
    """A column of a DataFrame.

    Args:
        series: the column.
    """

    series: pd.Series

    @property
    def array(self) -> Any:
        """The array of the Series."""
        return self.series.array

    @property
    def strings(self) -> list[str]:
        """Its values as text."""
        if isinstance(self.series.dtype, pd.ArrowDtype):
            return strings_of(pa.array(self.series.array))
        return [str(value) for value in self.series]

    @property
    def ordered(self) -> bool:
        """Whether it is an ordered categorical."""
        return bool(getattr(self.series.dtype, "ordered", False))

    @property
    def dtype(self) -> str:
        """The name of its dtype."""
        return str(self.series.dtype)

    @property
    def arrow(self) -> str | None:
        """The name of its Arrow type, or None if it has none or holds Python's objects."""
        dtype = self.series.dtype
        if isinstance(dtype, pd.CategoricalDtype):
            categories = PandasColumn(pd.Series(dtype.categories[:0])).arrow
            return self._category_name(categories)
        if _is_object(dtype):
            return None
        if isinstance(dtype, pd.StringDtype):
            return "string"  # whichever of Arrow's this version of pandas has beneath
        try:
            return str(pa.array(self.series.iloc[:0]).type)
        except (pa.ArrowException, ValueError, TypeError):  # a dtype or time zone of Python alone
            return None

    @property
    def nulls(self) -> Nulls:
        """Which rows are null; NaN counts as null."""
        if isinstance(self.series.dtype, pd.ArrowDtype | pd.Float32Dtype | pd.Float64Dtype):
            return ArrowColumn(in_arrow(self.series)).nulls  # pandas tells NaN from null in these
        nulls: Nulls = self.series.isna().to_numpy()
        return nulls

    def __len__(self) -> int:
        return len(self.series)

    def kind(self, scale: int | None = None) -> type[Values]:
        """Tell which kind of values it holds; of Python's objects, one tells."""
        series, dtype = self.series, self.series.dtype
        if _is_object(dtype):
            present = series.iloc[:1].notna().to_numpy()
            present = present if present.any() else series.notna().to_numpy()
            first = series.iloc[int(present.argmax())] if present.any() else None
            return Decimals if isinstance(first, Decimal) else Text
        if isinstance(dtype, pd.CategoricalDtype) or _holds_text(dtype):
            return Text
        like = numbers_of(arrow_type_of(dtype), scale)
        if like is None:
            refuse_column(f"its dtype is {dtype}")
        return type(like)

    def read(self, *, distinct: bool = False, scale: int | None = None) -> ReadColumn:
        """Read the values."""
        dtype = self.series.dtype
        if isinstance(dtype, pd.CategoricalDtype):
            return self._read_categories()
        if _is_object(dtype):
            return self._read_strings() or self._read_decimals() or self._read_objects()
        if isinstance(dtype, pd.StringDtype) and dtype.storage == "python":
            return self._read_strings() or self._read_objects()
        if not _holds_text(dtype):
            return self._read_numbers(scale)
        column = ArrowColumn(pa.array(self.series.array)).read(distinct=distinct)
        assert not isinstance(column, NumberColumn)
        return self._of_arrow(column)

    def unread(self) -> UnreadColumn:
        """Return the column as values that are not looked at."""
        return UnreadColumn(
            nulls=self.nulls,
            make_text=_strings_in_rows,
            make_nulls=self._make_nulls,
            dtype=self.dtype,
            arrow=self.arrow,
        )

    def uncoded(self) -> PandasColumn:
        """Return the column with the dtype of its categories, if it has some."""
        series = self.series
        if not isinstance(series.dtype, pd.CategoricalDtype):
            return self
        dtype = series.dtype.categories.dtype
        if isinstance(dtype, np.dtype) and dtype.kind in "iu":  # which have no nulls
            dtype = "UInt64" if dtype.kind == "u" else "Int64"
        return PandasColumn(series.astype(dtype))

    def take(self, rows: Index) -> PandasColumn:
        """Return the column of some rows."""
        if isinstance(self.series.dtype, pd.ArrowDtype):  # some of which pandas can't pick rows of
            array = ArrowColumn(pa.array(self.series.array)).uncoded().take(rows).array
            return PandasColumn(pd.Series(pd.arrays.ArrowExtensionArray(array)))
        return PandasColumn(self.series.iloc[rows])

    def versions(self) -> NDArray[np.float64]:
        """Return its values as numbers; what is none, or null, as NaN."""
        numbers = pd.to_numeric(self.series.astype(object), errors="coerce")
        floats: NDArray[np.float64] = numbers.to_numpy(np.float64, na_value=np.nan)
        return floats

    def distinct(self) -> int:
        """Count the distinct values that are not null."""
        # Before version 3, pandas counts strings once in nunique that are equal up to a NUL.
        return int((self.series.value_counts(sort=False) > 0).sum())

    def called(self, function: Function) -> Any:
        """Return what a function makes of the Series."""
        result = function(self.series.copy())
        check_result(result, (pd.Series,), "a Series", len(self.series))
        return _without_remains(result.array)

    def check_restorable(self, values: ReadColumn) -> None:
        """Check that the name of the dtype stands for it."""
        is_decimals = values.dtype.startswith("decimal[")
        if is_decimals or is_same_dtype(values.dtype, self.series.dtype):
            return
        raise PseudonymizationError(
            f"its dtype is {values.dtype}, which can't be restored by its name: convert the column,"
            " for instance with .dt.tz_convert('UTC') or astype('string')"
        )

    def make_numbers(self, numbers: WholeNumbers, nulls: Nulls) -> pa.Array:
        """Make an Arrow array of numbers of the column's dtype."""
        arrow_type = arrow_type_of(self.series.dtype)
        assert arrow_type is not None
        return write_numbers(numbers, nulls, arrow_type)

    def _read_numbers(self, scale: int | None) -> NumberColumn:
        dtype = self.series.dtype
        if numbers_of(arrow_type_of(dtype), scale) is None:
            refuse_column(f"its dtype is {dtype}")
        column = ArrowColumn(in_arrow(self.series)).read(scale=scale)
        assert isinstance(column, NumberColumn)
        make = column.make
        return replace(
            column,
            make=lambda new, nulls: in_dtype(make(new, nulls), dtype),
            make_text=_make_text,
            dtype=self.dtype,
            arrow=self.arrow,
        )

    def _of_arrow(self, column: TextColumn | CodedColumn) -> TextColumn | CodedColumn:
        """Return a column of text in Arrow as one of this dtype."""
        dtype, make = self.series.dtype, column.make

        def made(new: Text, which: Any) -> Any:
            return dtype.__from_arrow__(make(new, which))

        return replace(column, make=made, dtype=self.dtype, arrow=self.arrow)

    def _read_categories(self) -> CodedColumn:
        dtype, codes = self.series.dtype, self.series.cat.codes.to_numpy(np.intp)
        source = PandasColumn(pd.Series(dtype.categories, dtype=dtype.categories.dtype))
        categories = source.read() if _holds_text(dtype.categories.dtype) else None
        if not isinstance(categories, TextColumn):
            refuse_column(f"its categories are of dtype {dtype.categories.dtype}")

        def make(new: Text, held: Index) -> Any:
            order, new_codes = sorted_categories(new, held, codes, ordered=dtype.ordered)
            array = categories.rebuilt(new, NO_ROWS).take(order)
            index = pd.Index(array, dtype=array.dtype)
            return pd.Categorical.from_codes(new_codes, index, ordered=dtype.ordered)

        return CodedColumn(
            values=categories.values,
            codes=codes,
            make=make,
            dtype=self.dtype,
            arrow=self._category_name(categories.arrow),
            categorical=True,
        )

    def _category_name(self, categories: str | None) -> str | None:
        codes = pa.from_numpy_dtype(self.series.cat.codes.dtype)
        ordered = bool(self.series.dtype.ordered)
        return categories and f"dictionary<{categories}, {codes}, ordered={ordered}>"

    def _read_decimals(self) -> NumberColumn | None:
        """Read Python's decimal numbers, if the first value is one."""
        objects = self.series.to_numpy()
        nulls = pd.isna(objects)
        if nulls.all() or not isinstance(objects[np.argmin(nulls)], Decimal):
            return None
        present: list[Decimal] = objects[~nulls].tolist()
        if set(map(type, present)) != {Decimal}:
            refuse_column("it holds decimal numbers and other values")
        exponents = {number.as_tuple().exponent for number in present}
        scales = sorted(-exponent for exponent in exponents if isinstance(exponent, int))
        if len(scales) != 1 or len(exponents) != 1 or scales[0] < 0:
            raise PseudonymizationError(
                "its decimal numbers do not all have the same number of digits after the point:"
                " quantize them first"
            )
        like = numbers_of(pa.decimal128(38, scales[0]))
        assert isinstance(like, Decimals)
        return NumberColumn(
            values=parse_decimals(like, [f"{number:f}" for number in present]),
            nulls=nulls,
            make=_decimal_objects,
            make_text=_make_text,
            dtype=f"decimal[{scales[0]}]",
            arrow=f"decimal128(38, {scales[0]})",
        )

    def _read_strings(self) -> TextColumn | None:
        """Read Python's strings, if there is nothing else, and Arrow takes them."""
        objects = self.series.to_numpy(dtype=object)
        try:
            array = pa.array(objects, from_pandas=True)
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            return None  # they are of several types, or have lone surrogates
        if not is_text(array.type):
            return None
        text, nulls = read_text(array)
        return self._of_objects(objects, text, nulls)

    def _read_objects(self) -> TextColumn:
        objects = self.series.to_numpy(dtype=object)
        nulls = pd.isna(objects)
        kinds = Counter(map(type, objects[~nulls].tolist()))
        foreign = [(one, count) for one, count in kinds.most_common() if not issubclass(one, str)]
        if foreign:
            kinds_found = ", ".join(f"{count} {one.__name__}" for one, count in foreign)
            refuse_column(f"it holds values that are not strings ({kinds_found})")
        text = Text.of(np.where(nulls, "", objects).tolist())
        return self._of_objects(objects, text, nulls)

    def _of_objects(self, objects: NDArray[np.object_], text: Text, nulls: Nulls) -> TextColumn:
        series = self.series

        def make(new: Text, mask: Nulls) -> Any:
            strings = np.array(new.strings(), dtype=object)
            if mask.any():
                strings[mask] = objects[mask]  # which null each null is: None, NaN or NA
                strings[mask & ~nulls] = None
            return strings if _is_object(series.dtype) else pd.array(strings, dtype=series.dtype)

        return TextColumn(
            values=text,
            nulls=nulls,
            make=make,
            dtype=self.dtype,
            arrow="string",
        )

    def _make_nulls(self) -> Any:
        dtype, rows = self.series.dtype, len(self.series)
        if isinstance(dtype, pd.CategoricalDtype):
            dtype = pd.CategoricalDtype(pd.Index([], dtype=dtype.categories.dtype), dtype.ordered)
        elif isinstance(dtype, np.dtype):
            dtype = _NULLABLE.get(dtype.kind, dtype)
        return pd.Series([], dtype=dtype).array.take(np.full(rows, -1), allow_fill=True)


def _with_columns(data: pd.DataFrame, arrays: Mapping[str, Any]) -> pd.DataFrame:
    """Return a frame with other columns; index and order as before."""
    result = data.copy(deep=not _COPIES_ON_WRITE)
    if not arrays:
        return result
    starts = range(0, len(data.columns), _PIECE)
    pieces = [_replaced(result.iloc[:, start : start + _PIECE], arrays) for start in starts]
    if len(pieces) == 1:
        return pieces[0]
    result = pd.concat(pieces, axis=1).__finalize__(result)
    result.columns = data.columns
    return result


def _replaced(piece: pd.DataFrame, arrays: Mapping[str, Any]) -> pd.DataFrame:
    """Return some columns of a frame, those that there are arrays for with these."""
    for place, name in enumerate(piece.columns):
        array = arrays.get(name)
        if array is not None:
            column = pd.Series(array, index=piece.index, name=name, dtype=array.dtype, copy=False)
            piece.isetitem(place, column)
    return piece


def _make_text(text: Text, nulls: Nulls) -> Any:
    """Make a column of strings as this version of pandas does by default."""
    strings = np.array(text.strings(), dtype=object)
    strings[nulls] = None
    return strings if _is_object(_STRING) else pd.array(strings, dtype=_STRING)


def _strings_in_rows(text: Text, nulls: Nulls) -> Any:
    """Make a column of strings for values that were none."""
    strings = np.array(text.strings(), dtype=object)
    strings[nulls] = None
    return pd.Series(strings, dtype="str").array


def _decimal_objects(numbers: WholeNumbers, nulls: Nulls) -> Any:
    assert isinstance(numbers, Decimals)
    objects = np.full(len(nulls), None, dtype=object)
    objects[~nulls] = numbers.decimals()
    return objects


def _without_remains(array: Any) -> Any:
    """Return an array without what pandas keeps of values that it does not show.

    That is what lies beneath nulls, the categories that no row has, and their order.
    """
    if isinstance(array, pd.Categorical):
        used = pd.unique(array.codes[array.codes >= 0])
        used = np.sort(used) if array.ordered else used
        place = np.full(len(array.categories) + 1, -1)  # the last one is what -1 picks
        place[used] = np.arange(len(used))
        categories = array.categories.take(used)
        return pd.Categorical.from_codes(place[array.codes], categories, ordered=array.ordered)
    if isinstance(array.dtype, pd.ArrowDtype):
        return pd.arrays.ArrowExtensionArray(without_remains(pa.array(array)))
    present = ~array.isna()
    if present.all():
        return array
    places = np.where(present, np.cumsum(present) - 1, -1)
    return array.take(np.flatnonzero(present)).take(places, allow_fill=True)


def _holds_text(dtype: Any) -> bool:
    if _is_object(dtype) or isinstance(dtype, pd.StringDtype):
        return True
    kind = dtype.pyarrow_dtype if isinstance(dtype, pd.ArrowDtype) else None
    return kind is not None and (is_text(kind) or pa.types.is_null(kind))


def _is_object(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind == "O"

"""Pandas columns as values to pseudonymize, and new values as columns of the same dtype."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa

from secureml.errors import PseudonymizationError
from secureml.frames.arrow import Nulls, combined, is_text, read_text, write_text
from secureml.frames.quantities import (
    PythonDecimals,
    numbers_of,
    read_decimals,
    read_numbers,
    write_numbers,
)
from secureml.pseudonymization.formats import NO_ROWS
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.pipeline import MIN_REPETITION, few_distinct
from secureml.pseudonymization.values.decimals import Decimals
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text

__all__ = [
    "CodedColumn",
    "Column",
    "ColumnValues",
    "NumberColumn",
    "TextColumn",
    "arrow_name",
    "dtype_name",
    "kind_of",
    "read_column",
    "read_repeated",
]

_STRING = pd.Series(["text"]).dtype  # what this version of pandas takes for strings: str or object


class ColumnValues(ABC):
    """The values of a column, in an order of their own, and the rows that hold them.

    Attributes:
        values: those of the rows; a column decides which of them it holds, and how often.
        nulls: which rows are null, shape (rows,).
    """

    __slots__ = ()

    values: Any
    nulls: Any

    @abstractmethod
    def rebuilt(self, values: Any, nulled: Index) -> Any:
        """Return an array of the column's dtype, or of strings if text comes for other values.

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


@dataclass(frozen=True, slots=True, eq=False)
class TextColumn(ColumnValues):
    """Strings.

    Args:
        values: one per row, an empty one for a null.
        nulls: which rows are null, shape (rows,).
        make: makes an array of the column's dtype of text and nulls.
    """

    values: Text
    nulls: Nulls
    make: Callable[[Text, Nulls], Any]

    def rebuilt(self, values: Text, nulled: Index) -> Any:
        """Return an array of the same dtype."""
        nulls = self.nulls.copy()
        nulls[nulled] = True
        return self.make(values, nulls)


@dataclass(frozen=True, slots=True, eq=False)
class CodedColumn(ColumnValues):
    """Strings of which rows hold codes: those of a categorical, or each distinct one once.

    Args:
        values: those that codes stand for; no row need hold one of a categorical.
        codes: which of them each row holds, -1 for null.
        make: makes an array of the column's dtype of new values and the places of those that rows
            are to hold.
        categorical: whether the column is one.
    """

    values: Text
    codes: Index
    make: Callable[[Text, Index], Any]
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

    def rebuilt(self, values: Text, nulled: Index) -> Any:
        """Return an array of the same dtype."""
        return self.make(values, self.places_in_rows(nulled))


@dataclass(frozen=True, slots=True, eq=False)
class NumberColumn(ColumnValues):
    """Whole or decimal numbers, or points in time.

    Args:
        values: those that are not null.
        nulls: which rows are null, shape (rows,).
        dtype: of the column.
    """

    values: WholeNumbers
    nulls: Nulls
    dtype: Any

    def rebuilt(self, values: Text | WholeNumbers, nulled: Index) -> Any:
        """Return an array of the same dtype, or of strings for text."""
        if isinstance(values, WholeNumbers) and not len(nulled):
            return write_numbers(values, self.nulls, self.dtype)
        present = np.flatnonzero(~self.nulls)
        if isinstance(values, Text):
            strings = np.full(len(self.nulls), None, dtype=object)
            strings[present] = values.strings()
            return strings if _is_object(_STRING) else pd.array(strings, dtype=_STRING)
        nulls = self.nulls.copy()
        nulls[present[nulled]] = True
        stay = np.ones(len(values), np.bool_)
        stay[nulled] = False
        return write_numbers(values.at(stay), nulls, self.dtype)


Column = TextColumn | CodedColumn | NumberColumn


def kind_of(series: pd.Series, scale: int | None = None) -> type[Values]:
    """Tell which kind of values a column holds, without reading more than one of Python's objects.

    Args:
        series: the column.
        scale: as for ``read_column``.

    Raises:
        PseudonymizationError: there are no pseudonyms for columns of its dtype.
    """
    dtype = series.dtype
    if _is_object(dtype):
        first = series.first_valid_index()
        place = 0 if first is None else int(series.notna().to_numpy().argmax())
        is_decimal = first is not None and isinstance(series.iloc[place], Decimal)
        return Decimals if is_decimal else Text
    is_text_dtype = isinstance(dtype, pd.CategoricalDtype | pd.StringDtype)
    if is_text_dtype or _is_arrow_text(dtype) or _is_arrow_null(dtype):
        return Text
    like = numbers_of(dtype, scale)
    if like is None:
        _refuse(f"its dtype is {dtype}")
    return type(like)


def read_column(series: pd.Series, *, distinct: bool = False, scale: int | None = None) -> Column:
    """Read a column.

    Args:
        series: the column.
        distinct: whether values that repeat may be read once.
        scale: how many digits after the point floats are to be read with; None for whole numbers.

    Raises:
        PseudonymizationError: it holds anything but strings, moments, or numbers that its dtype
            holds exactly.
    """
    dtype = series.dtype
    repeated = read_repeated(series) if distinct else None
    if repeated is not None:
        return repeated
    if isinstance(dtype, pd.CategoricalDtype):
        return _read_categories(series)
    column = _read_python_decimals(series) or _read_text(series)
    if column is not None:
        return column
    like = numbers_of(dtype, scale)
    if like is None:
        _refuse(f"its dtype is {dtype}")
    numbers, nulls = read_numbers(series, like)
    return NumberColumn(numbers, nulls, dtype)


def read_repeated(series: pd.Series) -> CodedColumn | None:
    """Read a column of text if few of its values are distinct, as far as a sample tells.

    Returns:
        The column; None if it is no text in Arrow, is short, or has many distinct values.

    Raises:
        PseudonymizationError: the strings are not UTF-8.
    """
    dtype = series.dtype
    if not _is_arrow_text(dtype) or not few_distinct(
        len(series), lambda rows: series.iloc[rows].nunique(dropna=False)
    ):
        return None
    array = combined(pa.array(series.array))
    distinct = array.dictionary_encode()
    if len(distinct.dictionary) > len(array) // MIN_REPETITION:
        return None
    text, _ = read_text(distinct.dictionary)

    def make(new: Text, held: Index) -> Any:
        lost = np.ones(len(new), np.bool_)
        lost[held] = False
        return dtype.__from_arrow__(write_text(new, lost, array.type).take(distinct.indices))

    codes = distinct.indices.fill_null(-1)
    return CodedColumn(text, codes.to_numpy().astype(np.intp), make)


def dtype_name(series: pd.Series, column: object) -> str:
    """Return the name that the dtype of a column has in manifests.

    Args:
        series: the column.
        column: the same, read.
    """
    return str(column.dtype if isinstance(column, NumberColumn) else series.dtype)


def arrow_name(series: pd.Series, column: object = None) -> str | None:
    """Return the Arrow type of a column as text, or None if it has none.

    Args:
        series: the column.
        column: the same, read; it tells what Python's objects are.
    """
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        categories = arrow_name(pd.Series(dtype.categories[:0]), column)
        codes = pa.from_numpy_dtype(series.cat.codes.dtype)
        return categories and f"dictionary<{categories}, {codes}, ordered={bool(dtype.ordered)}>"
    if isinstance(column, NumberColumn) and isinstance(column.dtype, PythonDecimals):
        return f"decimal128(38, {column.dtype.scale})"
    if _is_object(dtype):
        return "string" if isinstance(column, TextColumn | CodedColumn) else None
    if isinstance(dtype, pd.StringDtype):
        return "string"  # whichever of Arrow's this version of pandas has beneath
    try:
        return str(pa.array(series.iloc[:0]).type)
    except (pa.ArrowException, ValueError, TypeError):  # a dtype or a time zone of Python alone
        return None


def _read_categories(series: pd.Series) -> CodedColumn:
    dtype, codes = series.dtype, series.cat.codes.to_numpy(np.intp)
    categories = _read_text(pd.Series(dtype.categories, dtype=dtype.categories.dtype))
    if categories is None:
        _refuse(f"its categories are of dtype {dtype.categories.dtype}")

    def make(new: Text, held: Index) -> Any:
        # Categories are sorted, because their places would tell what they were before; only an
        # ordered categorical keeps its order. Categories of which the same became are one.
        strings, places = new.strings(), held.tolist()
        first = {strings[place]: place for place in reversed(places)}
        order = sorted(first.values()) if dtype.ordered else [first[text] for text in sorted(first)]
        number = {strings[place]: code for code, place in enumerate(order)}
        new_codes = np.full(len(strings) + 1, -1)  # the last one is what the code of a null picks
        new_codes[places] = [number[strings[place]] for place in places]
        array = categories.rebuilt(new, NO_ROWS).take(np.array(order, np.intp))
        index = pd.Index(array, dtype=array.dtype)
        return pd.Categorical.from_codes(new_codes[codes], index, ordered=dtype.ordered)

    return CodedColumn(categories.values, codes, make, categorical=True)


def _read_python_decimals(series: pd.Series) -> NumberColumn | None:
    if not _is_object(series.dtype):
        return None
    objects = series.to_numpy()
    nulls = pd.isna(objects)
    if nulls.all() or not isinstance(objects[np.argmin(nulls)], Decimal):
        return None
    if set(map(type, objects[~nulls].tolist())) != {Decimal}:
        _refuse("it holds decimal numbers and other values")
    numbers = read_decimals(objects, nulls)
    return NumberColumn(numbers, nulls, PythonDecimals(numbers.scale))


def _read_text(series: pd.Series) -> TextColumn | None:
    dtype = series.dtype
    if _is_object(dtype) or (isinstance(dtype, pd.StringDtype) and dtype.storage == "python"):
        return _read_objects(series)
    if _is_arrow_null(dtype):
        # What Parquet makes of objects or categories that are all null.
        text, nulls = Text.of([""] * len(series)), np.ones(len(series), np.bool_)
        return TextColumn(text, nulls, lambda new, mask: series.array)
    if not _is_arrow_text(dtype) and not isinstance(dtype, pd.StringDtype):
        return None
    array = pa.array(series.array)
    text, nulls = read_text(array)
    arrow_type = array.type
    return TextColumn(
        text, nulls, lambda new, mask: dtype.__from_arrow__(write_text(new, mask, arrow_type))
    )


def _read_objects(series: pd.Series) -> TextColumn:
    objects = series.to_numpy(dtype=object)
    nulls = pd.isna(objects)
    kinds = Counter(map(type, objects[~nulls].tolist()))
    foreign = [(kind, count) for kind, count in kinds.most_common() if not issubclass(kind, str)]
    if foreign:
        kinds_found = ", ".join(f"{count} {kind.__name__}" for kind, count in foreign)
        _refuse(f"it holds values that are not strings ({kinds_found})")

    def make(text: Text, mask: Nulls) -> Any:
        strings = objects.copy()  # and with it which null each null is: None, NaN or NA
        strings[mask & ~nulls] = None
        strings[~mask] = np.array(text.strings(), dtype=object)[~mask]
        return strings if _is_object(series.dtype) else pd.array(strings, dtype=series.dtype)

    return TextColumn(Text.of(np.where(nulls, "", objects).tolist()), nulls, make)


def _is_arrow_text(dtype: Any) -> bool:
    """Tell whether Arrow holds the strings of a column of this dtype."""
    if isinstance(dtype, pd.StringDtype):
        return bool(dtype.storage == "pyarrow")
    return isinstance(dtype, pd.ArrowDtype) and is_text(dtype.pyarrow_dtype)


def _is_arrow_null(dtype: Any) -> bool:
    return isinstance(dtype, pd.ArrowDtype) and pa.types.is_null(dtype.pyarrow_dtype)


def _is_object(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind == "O"


def _refuse(problem: str) -> NoReturn:
    raise PseudonymizationError(
        f"{problem}; pseudonyms are made of text, numbers and moments. Convert the column first,"
        " for instance with astype('string')"
    )

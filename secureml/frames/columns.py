"""Pandas columns as values to pseudonymize, and new values as columns of the same dtype."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa

from secureml.errors import PseudonymizationError
from secureml.frames.arrow import Nulls, is_text, read_text, write_text
from secureml.frames.quantities import (
    PythonDecimals,
    numbers_of,
    read_decimals,
    read_numbers,
    write_numbers,
)
from secureml.frames.repeated import RepeatedColumn, read_repeated
from secureml.pseudonymization.formats import NO_ROWS
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text

__all__ = [
    "CategoryColumn",
    "Column",
    "NumberColumn",
    "TextColumn",
    "arrow_name",
    "dtype_name",
    "read_column",
]

_STRING = pd.Series(["text"]).dtype  # what this version of pandas takes for strings: str or object


@dataclass(frozen=True, slots=True, eq=False)
class TextColumn:
    """Strings.

    Args:
        values: one per row, nothing where a null is.
        nulls: which rows are null, shape (rows,).
        make: makes an array of the column's dtype of text and nulls.
    """

    values: Text
    nulls: Nulls
    make: Callable[[Text, Nulls], Any]

    @property
    def empty(self) -> int:
        """How many rows are the empty string."""
        empty = np.count_nonzero(self.values.offsets[1:] == self.values.offsets[:-1])
        return int(empty) - int(np.count_nonzero(self.nulls))

    def occurrences(self, places: Index) -> int:
        """Return how many rows hold the values at these places."""
        return len(places)

    def rebuilt(self, values: Text, nulled: Index) -> Any:
        """Return an array of the same dtype.

        Args:
            values: the new ones, in the places of the old.
            nulled: the places that are to be null.
        """
        nulls = self.nulls.copy()
        nulls[nulled] = True
        return self.make(values, nulls)


@dataclass(frozen=True, slots=True, eq=False)
class CategoryColumn:
    """Strings of a categorical: the categories are the values.

    Args:
        categories: one per row of this column.
        codes: the category of each row, -1 for null.
        ordered: whether the categories have an order.
    """

    categories: TextColumn
    codes: Index
    ordered: bool

    @property
    def values(self) -> Text:
        """The categories."""
        return self.categories.values

    @property
    def nulls(self) -> Nulls:
        """Which rows are null, shape (rows,)."""
        return self.codes < 0

    @property
    def empty(self) -> int:
        """How many rows are the empty string."""
        return self.occurrences(np.flatnonzero(self.values.lengths == 0))

    def occurrences(self, places: Index) -> int:
        """Return how many rows hold the categories at these places."""
        return int(np.isin(self.codes, places).sum())

    def rebuilt(self, values: Text, nulled: Index) -> Any:
        """Return a categorical of the new values that rows have, with categories of the same dtype.

        They are sorted, because the place of a category would tell what it was before; only an
        ordered categorical keeps its order. Categories of which the same became are one.

        Args:
            values: the new categories, in the places of the old.
            nulled: the places of those that are to go; their rows become null.
        """
        used = np.zeros(len(values) + 1, np.bool_)  # the last one is what the code of a null picks
        used[self.codes] = True
        used[-1] = False
        used[nulled] = False
        strings, places = values.strings(), np.flatnonzero(used).tolist()
        first = {strings[place]: place for place in reversed(places)}
        kept = sorted(first.values()) if self.ordered else [first[one] for one in sorted(first)]
        number = {strings[place]: code for code, place in enumerate(kept)}
        codes = np.full(len(used), -1)
        codes[places] = [number[strings[place]] for place in places]
        made = self.categories.rebuilt(values, NO_ROWS).take(np.array(kept, np.intp))
        categories = pd.Index(made, dtype=made.dtype)
        return pd.Categorical.from_codes(codes[self.codes], categories, ordered=self.ordered)


@dataclass(frozen=True, slots=True, eq=False)
class NumberColumn:
    """Whole or decimal numbers, or points in time.

    Args:
        values: those that are not null.
        nulls: which rows are null, shape (rows,).
        dtype: of the column.
    """

    values: WholeNumbers
    nulls: Nulls
    dtype: Any

    @property
    def empty(self) -> int:
        """How many rows are the empty string."""
        return 0

    def occurrences(self, places: Index) -> int:
        """Return how many rows hold the values at these places."""
        return len(places)

    def rebuilt(self, values: Text | WholeNumbers, nulled: Index) -> Any:
        """Return an array of the same dtype, or of strings for text.

        Args:
            values: the new ones, in the places of the old.
            nulled: the places that are to be null.
        """
        if isinstance(values, WholeNumbers) and not len(nulled):
            return write_numbers(values, self.nulls, self.dtype)
        present = np.flatnonzero(~self.nulls)
        if isinstance(values, Text):
            strings = np.full(len(self.nulls), None, dtype=object)
            strings[present] = values.strings()
            return strings if _is_object(_STRING) else pd.array(strings, dtype=_STRING)
        nulls = self.nulls.copy()
        nulls[present[nulled]] = True
        kept = np.ones(len(values), np.bool_)
        kept[nulled] = False
        return write_numbers(values.at(kept), nulls, self.dtype)


Column = TextColumn | CategoryColumn | NumberColumn | RepeatedColumn


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
        categories = dtype.categories
        texts = _read_text(pd.Series(categories, dtype=categories.dtype))
        if texts is None:
            _refuse(f"its categories are of dtype {categories.dtype}")
        return CategoryColumn(texts, series.cat.codes.to_numpy(np.intp), bool(dtype.ordered))
    column = _read_python_decimals(series) or _read_text(series)
    if column is not None:
        return column
    like = numbers_of(dtype, scale)
    if like is None:
        _refuse(f"its dtype is {dtype}")
    numbers, nulls = read_numbers(series, like)
    return NumberColumn(numbers, nulls, dtype)


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
        return (
            "string" if isinstance(column, TextColumn | RepeatedColumn | CategoryColumn) else None
        )
    if isinstance(dtype, pd.StringDtype):
        return "string"  # whichever of Arrow's this version of pandas has beneath
    try:
        return str(pa.array(series.iloc[:0]).type)
    except (pa.ArrowException, ValueError, TypeError):  # a dtype or a time zone of Python alone
        return None


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
    if isinstance(dtype, pd.ArrowDtype) and pa.types.is_null(dtype.pyarrow_dtype):
        # What Parquet makes of objects or categories that are all null.
        text, nulls = Text.of([""] * len(series)), np.ones(len(series), np.bool_)
        return TextColumn(text, nulls, lambda new, mask: series.array)
    arrow = isinstance(dtype, pd.ArrowDtype) and is_text(dtype.pyarrow_dtype)
    if not arrow and not isinstance(dtype, pd.StringDtype):
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
        found = ", ".join(f"{count} {kind.__name__}" for kind, count in foreign)
        _refuse(f"it holds values that are not strings ({found})")

    def make(text: Text, mask: Nulls) -> Any:
        made = objects.copy()  # and with it which null each null is: None, NaN or NA
        made[mask & ~nulls] = None
        made[~mask] = np.array(text.strings(), dtype=object)[~mask]
        return made if _is_object(series.dtype) else pd.array(made, dtype=series.dtype)

    return TextColumn(Text.of(np.where(nulls, "", objects).tolist()), nulls, make)


def _is_object(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind == "O"


def _refuse(found: str) -> NoReturn:
    raise PseudonymizationError(
        f"{found}; pseudonyms are made of text, numbers and moments. Convert the column first,"
        " for instance with astype('string')"
    )

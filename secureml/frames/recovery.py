"""From a column to its pseudonyms and back."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from secureml.errors import PseudonymizationError
from secureml.frames.columns import CategoryColumn, Column, NumberColumn, read_column
from secureml.frames.quantities import (
    PythonDecimals,
    converted,
    numbers_of,
    parse_numbers,
    write_numbers,
)
from secureml.frames.repeated import RepeatedColumn
from secureml.pseudonymization.formats import NO_ROWS
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.ranking.pipeline import MOST_CHARACTERS
from secureml.pseudonymization.strategies import Strategy
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text

__all__ = ["check_dtype", "numbers_before", "read_tweaks", "recover"]

_PYTHON_DECIMALS = re.compile(r"decimal\[([0-9]{1,2})\]", re.ASCII)
_DECIMALS = re.compile(r"decimal(128|256)\(([0-9]{1,2}), ([0-9]{1,2})\)\[pyarrow\]", re.ASCII)
_UNNAMED_ZONE = re.compile(r"datetime64\[(s|ms|us|ns), .*\(.*\]", re.ASCII)
"""The name of a dtype whose time zone is an object that has no name."""


def read_tweaks(series: pd.Series, column: Column, *, bounded: bool = True) -> RowTweaks:
    """Read the tweak of each value of a column from the column beside it.

    A number and the text of its digits are the same tweak, so that files of text give the same.

    Args:
        series: the column of tweaks.
        column: the one that is to be pseudonymized or recovered.
        bounded: whether a tweak has at most MOST_CHARACTERS; earlier versions took longer ones.

    Raises:
        PseudonymizationError: the tweaks are neither text nor whole numbers, or one is too long.
    """
    tweaks = read_column(_uncategorized(series))
    assert not isinstance(tweaks, CategoryColumn | RepeatedColumn)
    if type(tweaks.values) not in (Text, WholeNumbers):  # files of text write them in many ways
        raise PseudonymizationError("its tweaks are neither text nor whole numbers")
    longest = tweaks.values.lengths.max(initial=0) if isinstance(tweaks.values, Text) else 0
    if bounded and longest > MOST_CHARACTERS:
        raise PseudonymizationError(f"a tweak has at most {MOST_CHARACTERS:,} characters")
    strings = tweaks.values.strings()
    # Before version 3, pandas takes strings for equal that are equal up to a NUL.
    distinct = {text: number for number, text in enumerate(dict.fromkeys(strings))}
    numbers = np.fromiter(map(distinct.__getitem__, strings), np.intp, len(strings))
    number = np.zeros(len(series), np.intp)
    filled = ~tweaks.nulls
    number[filled] = (numbers if isinstance(tweaks, NumberColumn) else numbers[filled]) + 1
    values = [b"\xff", *(text.encode("utf-8", "surrogatepass") for text in distinct)]
    # The nulls of a column of numbers are none of its values.
    numbers_alone = isinstance(column, NumberColumn)
    return RowTweaks(values, number[~column.nulls] if numbers_alone else number)


def recover(series: pd.Series, column: Column, entry: Entry, strategy: Strategy) -> Any:
    """Recover the values of a column, as an array.

    Args:
        series: the pseudonyms, perhaps in another dtype than ``anonymize`` made.
        column: the same, read.
        entry: what the manifest tells of the column.
        strategy: as it was made then.

    Raises:
        ManifestError: the entry does not make sense.
        PseudonymizationError: the column holds what can't be pseudonyms.
    """
    like, dtype = numbers_before(entry), dtype_of(entry.dtype)
    if like is None:
        if isinstance(column, NumberColumn):
            raise PseudonymizationError(
                f"it was pseudonymized as text and now has dtype {series.dtype}: read it as text"
            )
        recovered = strategy.recover(column.values, Text.of)
        assert isinstance(recovered, Text)
        return column.rebuilt(recovered, NO_ROWS)
    if isinstance(column, CategoryColumn | RepeatedColumn):
        column = read_column(series.astype(object))
    assert not isinstance(column, CategoryColumn | RepeatedColumn)
    values = (
        converted(column.values, like)
        if isinstance(column, NumberColumn)
        else Text.of(column.values.strings_at(np.flatnonzero(~column.nulls)))
    )
    numbers = strategy.recover(values, partial(parse_numbers, like))
    assert isinstance(numbers, WholeNumbers)
    return write_numbers(numbers, column.nulls, dtype)


def numbers_before(entry: Entry) -> WholeNumbers | None:
    """Return a column as it was before, without rows, or None if it held no numbers."""
    return numbers_of(dtype_of(entry.dtype), entry.recipe.scale)


def _uncategorized(series: pd.Series) -> pd.Series:
    """Return a column with the dtype of its categories, if it has some, or one with nulls."""
    if not isinstance(series.dtype, pd.CategoricalDtype):
        return series
    dtype = series.dtype.categories.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "iu":
        return series.astype("UInt64" if dtype.kind == "u" else "Int64")
    return series.astype(dtype)


def dtype_of(name: str) -> Any:
    """Return the dtype that has a name in manifests, or None if there is none."""
    python = _PYTHON_DECIMALS.fullmatch(name)
    if python:
        return PythonDecimals(int(python[1]))
    decimals = _DECIMALS.fullmatch(name)  # pandas does not read them
    unnamed = _UNNAMED_ZONE.fullmatch(name)
    dtype = None
    try:
        if unnamed:
            dtype = pd.DatetimeTZDtype(unnamed[1], "UTC")  # the same moments
        elif decimals:
            make = pa.decimal128 if decimals[1] == "128" else pa.decimal256
            dtype = pd.ArrowDtype(make(int(decimals[2]), int(decimals[3])))
        else:
            dtype = pd.api.types.pandas_dtype(name)
    except (TypeError, ValueError, NotImplementedError):  # what pandas raises of unknown names
        dtype = None
    return dtype


def check_dtype(name: str, column: object) -> None:
    """Check that recovery makes of the name of a dtype what the column has.

    Args:
        name: as the manifest is to have it.
        column: as it was read.

    Raises:
        PseudonymizationError: it would make another dtype, or none.
    """
    if not isinstance(column, NumberColumn):
        return
    dtype, read = column.dtype, dtype_of(name)
    same = read == dtype or (_zone_name(dtype) and _zone_name(dtype) == _zone_name(read))
    if same and "tzlocal()" not in name:  # which is another zone on another machine
        return
    raise PseudonymizationError(
        f"its dtype is {name}, which can't be restored by its name: convert the column, for"
        " instance with .dt.tz_convert('UTC') or astype('string')"
    )


def _zone_name(dtype: Any) -> str | None:
    """Return the name of a dtype's time zone in the IANA's database, as pytz has it too."""
    zone = getattr(dtype, "tz", None)
    return getattr(zone, "key", None) or getattr(zone, "zone", None)

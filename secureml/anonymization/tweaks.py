"""Tweaks: the values of another column, in which rows with equal values differ."""

from __future__ import annotations

import numpy as np
import pandas as pd

from secureml.anonymization.plan import in_column
from secureml.errors import PseudonymizationError
from secureml.frames.columns import (
    CodedColumn,
    ColumnValues,
    NumberColumn,
    arrow_name,
    read_column,
)
from secureml.frames.unread import UnreadColumn
from secureml.pseudonymization.column_spec import ColumnSpec
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.ranking.pipeline import MOST_CHARACTERS
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text

__all__ = ["row_tweaks", "tweak_type"]


def row_tweaks(
    frame: pd.DataFrame, spec: ColumnSpec, column: ColumnValues, *, bounded: bool = True
) -> RowTweaks | None:
    """Read the tweak of each value of a column from the column beside it, if it has some.

    A number and the text of its digits are the same tweak, so that files of text give the same.

    Args:
        frame: with the column of tweaks.
        spec: of the column.
        column: the one that is to be pseudonymized or recovered.
        bounded: whether a tweak has at most MOST_CHARACTERS; earlier versions took longer ones.

    Raises:
        PseudonymizationError: the tweaks are missing, neither text nor whole numbers, or too long,
            or the column can't have tweaks.
    """
    if spec.tweak is None:
        return None
    if spec.tweak not in frame.columns:
        raise PseudonymizationError(f"the column {spec.tweak!r} that holds its tweaks is missing")
    if isinstance(column, UnreadColumn):
        raise PseudonymizationError("its strategy takes no tweaks")
    if isinstance(column, CodedColumn) and column.categorical:
        raise PseudonymizationError(
            "it is a categorical, whose rows can't have a tweak each: convert it to text first"
        )
    tweaks: RowTweaks = in_column(spec.tweak, _read, frame[spec.tweak], bounded)
    # The nulls of a column of numbers are none of its values.
    return tweaks.at(np.flatnonzero(~column.nulls)) if isinstance(column, NumberColumn) else tweaks


def tweak_type(series: pd.Series) -> str:
    """Return the Arrow type of a column of tweaks."""
    return arrow_name(series) or "string"  # tweaks are whole numbers, or text of whatever dtype


def _read(series: pd.Series, bounded: bool) -> RowTweaks:
    tweaks = read_column(_uncategorized(series))
    assert not isinstance(tweaks, CodedColumn)
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
    return RowTweaks(values, number)


def _uncategorized(series: pd.Series) -> pd.Series:
    """Return a column with the dtype of its categories, if it has some, or one with nulls."""
    if not isinstance(series.dtype, pd.CategoricalDtype):
        return series
    dtype = series.dtype.categories.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "iu":
        return series.astype("UInt64" if dtype.kind == "u" else "Int64")
    return series.astype(dtype)

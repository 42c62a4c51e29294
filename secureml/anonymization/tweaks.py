"""Tweaks: the values of another column, in which rows with equal values differ."""

from __future__ import annotations

import numpy as np

from secureml.anonymization.plan import in_column
from secureml.errors import PseudonymizationError
from secureml.frames.base import Column, Table
from secureml.frames.column_values import CodedColumn, ColumnValues, NumberColumn, UnreadColumn
from secureml.pseudonymization.column_spec import ColumnSpec
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.ranking.pipeline import MOST_CHARACTERS
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text

__all__ = ["row_tweaks", "tweak_type"]


def row_tweaks(
    table: Table, name: str, spec: ColumnSpec, column: ColumnValues, *, bounded: bool = True
) -> RowTweaks | None:
    """Read the tweak of each value of a column from the column beside it, if it has some.

    A number and the text of its digits are the same tweak, so that files of text give the same.

    Args:
        table: with the column of tweaks.
        name: of the column that is to be pseudonymized or recovered.
        spec: of this column.
        column: its values.
        bounded: whether a tweak has at most MOST_CHARACTERS; earlier versions took longer ones.

    Raises:
        PseudonymizationError: the tweaks are missing, neither text nor whole numbers, too long, or
            in another list than the values, or the column can't have tweaks.
    """
    if spec.tweak is None:
        return None
    if spec.tweak not in table:
        raise PseudonymizationError(f"the column {spec.tweak!r} that holds its tweaks is missing")
    if isinstance(column, UnreadColumn):
        raise PseudonymizationError("its strategy takes no tweaks")
    if isinstance(column, CodedColumn) and column.categorical:
        raise PseudonymizationError(
            "it is a categorical, whose rows can't have a tweak each: convert it to text first"
        )
    tweaks: RowTweaks = in_column(spec.tweak, _read, table, name, spec.tweak, bounded)
    # The nulls of a column of numbers are none of its values.
    return tweaks.at(np.flatnonzero(~column.nulls)) if isinstance(column, NumberColumn) else tweaks


def tweak_type(column: Column) -> str:
    """Return the Arrow type of a column of tweaks."""
    return column.arrow or "string"  # tweaks are whole numbers, or text of whatever dtype


def _read(table: Table, name: str, tweak: str, bounded: bool) -> RowTweaks:
    tweaks = table.beside(name, tweak).uncoded().read()
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
    filled = ~tweaks.nulls
    number = np.zeros(len(filled), np.intp)
    number[filled] = (numbers if isinstance(tweaks, NumberColumn) else numbers[filled]) + 1
    values = [b"\xff", *(text.encode("utf-8", "surrogatepass") for text in distinct)]
    return RowTweaks(values, number)

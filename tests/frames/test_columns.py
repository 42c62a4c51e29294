from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from secureml.errors import PseudonymizationError
from secureml.frames.column_values import CodedColumn, NumberColumn, ReadColumn, TextColumn
from secureml.frames.pandas import PandasColumn
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers
from secureml.pseudonymization.values.text import Text

NONE = np.empty(0, np.intp)
INT32 = Limits(-(1 << 31), (1 << 31) - 1)
TEXT_DTYPES = [
    "object",
    pd.Series(["text"]).dtype,  # str, if pandas has it
    "string[python]",
    "string[pyarrow]",
    pd.ArrowDtype(pa.string()),
    pd.ArrowDtype(pa.large_string()),
]


def read_column(series: pd.Series) -> ReadColumn:
    return PandasColumn(series).read()


def rows(*places: int) -> np.ndarray:
    return np.array(places, np.intp)


def shown(array: pd.Categorical) -> list[str | None]:
    return [None if pd.isna(value) else value for value in array]


@pytest.mark.parametrize("dtype", TEXT_DTYPES, ids=str)
@pytest.mark.parametrize("values", [["a", None, "", "é山"], [None], []])
def test_text(dtype: Any, values: list[str | None]) -> None:
    series = pd.Series(values, dtype=object).astype(dtype)
    column = read_column(series)
    assert isinstance(column, TextColumn)
    assert column.values.strings() == [value or "" for value in values]
    assert column.nulls.tolist() == [value is None for value in values]
    assert column.empty == values.count("")
    pd.testing.assert_series_equal(
        pd.Series(column.rebuilt(column.values, NONE), dtype=series.dtype), series
    )
    if len(values) > 1:
        changed = pd.Series(
            column.rebuilt(Text.of(["x", "", "yé", ""]), rows(3)), dtype=series.dtype
        )
        expected = pd.Series(["x", None, "yé", None], dtype=object).astype(series.dtype)
        pd.testing.assert_series_equal(changed, expected)


def test_objects_keep_their_own_nulls() -> None:
    nulls = [None, float("nan"), pd.NA, pd.NaT]
    series = pd.Series([*nulls, "x"], dtype=object)
    made = read_column(series).rebuilt(Text.of(["", "", "", "", "y"]), NONE)
    assert all(new is old for new, old in zip(made, nulls, strict=False))
    assert made[4] == "y"
    assert series[4] == "x"


def test_objects_hold_lone_surrogates_and_strings_of_other_types() -> None:
    column = read_column(pd.Series(["\ud800é", np.str_("x")], dtype=object))
    made = column.rebuilt(column.values, NONE)
    assert made.tolist() == ["\ud800é", "x"]
    assert [type(value) for value in made] == [str, str]


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("dtype", ["object", pd.Series(["text"]).dtype, "string[pyarrow]"], ids=str)
def test_categories_are_sorted_or_keep_their_order_and_are_those_that_rows_have(
    ordered: bool, dtype: str
) -> None:
    categories = pd.Index(pd.array(["lo", "mid", "hi", "", "unused"], dtype=dtype))
    series = pd.Series(
        pd.Categorical.from_codes([2, -1, 0, 2, 3], categories, ordered=ordered), name="c"
    )
    column = read_column(series)
    assert isinstance(column, CodedColumn)
    assert column.values.strings() == ["lo", "mid", "hi", "", "unused"]
    assert (int(column.nulls.sum()), column.empty) == (1, 1)
    assert column.occurrences(rows(2, 4)) == 2
    made = column.rebuilt(Text.of(["Lo", "Mid", "Hi", "", "Unused"]), NONE)
    assert made.ordered is ordered
    assert made.categories.dtype == categories.dtype
    assert made.categories.tolist() == (["Lo", "Hi", ""] if ordered else ["", "Hi", "Lo"])
    assert shown(made) == ["Hi", None, "Lo", "Hi", ""]
    fewer = column.rebuilt(Text.of(["Lo", "", "", "", "Unused"]), rows(1, 2))
    assert fewer.categories.tolist() == (["Lo", ""] if ordered else ["", "Lo"])
    assert shown(fewer) == [None, None, "Lo", None, ""]


def test_categories_of_one_prefix_before_a_nul_stay_apart() -> None:
    for dtype in TEXT_DTYPES:
        series = pd.Series(["a\0c", "a\0b", "a", "a\0b"], dtype=dtype)
        codes, kinds = [0, 1, 2, 1], pd.Index(["a\0c", "a\0b", "a"], dtype=series.dtype)
        column = read_column(pd.Series(pd.Categorical.from_codes(codes, kinds)))
        made = column.rebuilt(column.values, NONE)
        assert made.categories.tolist() == ["a", "a\0b", "a\0c"]
        assert made.tolist() == series.tolist()


@pytest.mark.parametrize("dtype", TEXT_DTYPES, ids=str)
def test_categories_that_became_the_same(dtype: Any) -> None:
    categories = pd.Index(pd.array(["lo", "mid", "hi", "top"], dtype=dtype))
    series = pd.Series(pd.Categorical.from_codes([3, 2, -1, 0, 1], categories, ordered=True))
    made = read_column(series).rebuilt(Text.of(["X", "", "Y", "X"]), rows(1))
    assert made.categories.tolist() == ["X", "Y"]
    assert made.categories.dtype == categories.dtype
    assert shown(made) == ["X", "Y", None, "X", None]


@pytest.mark.parametrize("values", [[], [None]])
def test_categories_without_any(values: list[None]) -> None:
    series = pd.Series(pd.Categorical(values, categories=pd.Index([], dtype=object)))
    made = read_column(series).rebuilt(Text.of([]), NONE)
    pd.testing.assert_series_equal(pd.Series(made), series)


def test_integers() -> None:
    column = read_column(pd.Series([5, None, -7], dtype="Int32"))
    assert isinstance(column, NumberColumn)
    assert column.values.strings() == ["5", "-7"]
    assert (column.nulls.tolist(), column.empty) == ([False, True, False], 0)
    made = column.rebuilt(WholeNumbers.parse(["6", "-8"], INT32), NONE)
    pd.testing.assert_series_equal(pd.Series(made), pd.Series([6, None, -8], dtype="Int32"))
    nulled = column.rebuilt(WholeNumbers.parse(["6", "0"], INT32), rows(1))
    pd.testing.assert_series_equal(pd.Series(nulled), pd.Series([6, None, None], dtype="Int32"))
    text = pd.Series(column.rebuilt(Text.of(["6", "~t"]), NONE))
    assert text[0] == "6"
    assert text[2] == "~t"
    assert text.isna().tolist() == [False, True, False]
    assert text.dtype == pd.Series(["x"]).dtype


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([b"secret", "x"], r"not strings \(1 bytes\)"),
        ([7, 8, "x", 9.5], r"not strings \(2 int, 1 float\)"),
        ([["secret"], None], r"not strings \(1 list\)"),
        ([Decimal(7), "x"], "decimal numbers and other values"),
        ([date(2020, 1, 2)], r"not strings \(1 date\)"),
        ([True], r"not strings \(1 bool\)"),
    ],
)
def test_objects_that_are_not_strings(values: list[object], found: str) -> None:
    with pytest.raises(PseudonymizationError, match=found) as caught:
        read_column(pd.Series(values, dtype=object))
    assert "secret" not in str(caught.value)
    assert "astype" in str(caught.value)


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([True, False]),
        pd.Series([True, None], dtype="boolean"),
        pd.Series(pd.to_timedelta(["1 day"])),
        pd.Series([1 + 2j]),
        pd.Series([b"x"], dtype=pd.ArrowDtype(pa.binary())),
        pd.Series(["x"], dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))),
        pd.Series(pd.arrays.SparseArray([1, 0])),
        pd.Series(pd.Categorical([1, 2])),
        pd.Series(pd.Categorical([True])),
        pd.Series(pd.period_range("2020", periods=1)),
        pd.Series(pd.interval_range(0, 1)),
    ],
    ids=lambda series: str(series.dtype),
)
def test_other_dtypes(series: pd.Series) -> None:
    with pytest.raises(PseudonymizationError, match="dtype") as caught:
        read_column(series)
    assert str(getattr(series.dtype, "categories", pd.Index([])).dtype) in str(caught.value) or str(
        series.dtype
    ) in str(caught.value)

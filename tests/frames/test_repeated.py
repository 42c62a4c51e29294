from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from secureml import KeyManager, anonymize, reidentify
from secureml.frames import arrow
from secureml.frames.column_values import CodedColumn, TextColumn
from secureml.frames.pandas import PandasColumn
from secureml.stores import MemoryStore

ROWS = 1 << 15
NAMES = [f"{number:09d}" for number in range(200)] + ["", "Bo", "Žofie Nováková", None]
ARROW = ["string[pyarrow]", pd.ArrowDtype(pa.large_string())]
if pd.Series(["text"]).dtype != object:  # since pandas 3, strings are Arrow's
    ARROW.append("str")


OF_ONE_WIDTH = [f"{number:09d}" for number in range(200)] + ["Žofie N."]


def repeating(dtype: object, names: list[str | None] = NAMES) -> pd.Series:
    picks = np.random.default_rng(0).integers(0, len(names), ROWS)
    return pd.Series([names[pick] for pick in picks], dtype=dtype, name="name")


@pytest.fixture
def keys() -> KeyManager:
    made = KeyManager(store=MemoryStore())
    made.generate_key("master_key")
    return made


@pytest.mark.parametrize("dtype", ARROW)
def test_few_distinct_values_are_read_once(dtype: object) -> None:
    series = repeating(dtype)
    column = PandasColumn(series).read(distinct=True)
    plain = PandasColumn(series).read()
    assert isinstance(column, CodedColumn)
    assert isinstance(plain, TextColumn)
    assert len(column.values) == len(NAMES) - 1
    assert column.nulls.tolist() == plain.nulls.tolist()
    assert column.empty == plain.empty > 0
    pd.testing.assert_extension_array_equal(
        column.rebuilt(column.values, np.empty(0, np.intp)), series.array
    )


@pytest.mark.parametrize("dtype", ARROW)
@pytest.mark.parametrize("small_domain", ["token", "null", "permute"])
def test_what_comes_of_it_is_what_comes_of_every_row(
    keys: KeyManager, opened: Any, dtype: object, small_domain: str
) -> None:
    table = repeating(dtype).to_frame()
    asked = {"sensitive_columns": ["name"], "small_domain": small_domain, "key_manager": keys}
    hidden = anonymize(table, **asked)
    by_row = anonymize(table.astype(object), **asked)
    same = (hidden["name"] == by_row["name"]) | (hidden["name"].isna() & by_row["name"].isna())
    assert same.all()
    entry, other = (
        opened(one.attrs["secureml"], keys)["columns"]["name"] for one in (hidden, by_row)
    )
    unlike = {"dtype": None, "arrow": None}
    assert {**entry, **unlike} == {**other, **unlike}
    assert hidden["name"].dtype == table["name"].dtype
    if small_domain != "null":
        pd.testing.assert_frame_equal(reidentify(hidden, key_manager=keys), table)


def test_rows_with_tweaks_are_not_read_once(keys: KeyManager) -> None:
    table = repeating("str").to_frame().assign(row=np.arange(ROWS))
    hidden = anonymize(
        table,
        sensitive_columns=["name"],
        tweaks={"name": "row"},
        small_domain="token",
        key_manager=keys,
    )
    assert hidden["name"].nunique() > ROWS * 0.9
    pd.testing.assert_frame_equal(reidentify(hidden, key_manager=keys), table)


@pytest.mark.parametrize(
    "series",
    [
        repeating("str").head(1000),
        pd.Series([f"{number:09d}" for number in range(ROWS)], dtype=ARROW[0]),
        repeating(object),
        pd.Series(np.zeros(ROWS, np.int64)),
    ],
    ids=["short", "distinct", "objects", "numbers"],
)
def test_other_columns_are_left_to_others(series: pd.Series) -> None:
    assert not isinstance(PandasColumn(series).read(distinct=True), CodedColumn)


def test_a_sample_that_misleads_costs_no_more_than_time(monkeypatch: pytest.MonkeyPatch) -> None:
    series = pd.Series([f"{number:09d}" for number in range(ROWS)], dtype=ARROW[0])
    monkeypatch.setattr(arrow, "few_distinct", lambda *_: True)
    assert not isinstance(PandasColumn(series).read(distinct=True), CodedColumn)


@pytest.mark.parametrize("period", [4000, 4096, ROWS // 5])
def test_values_that_come_again_after_a_period_are_few(period: int) -> None:
    values = [f"{number % period:09d}" for number in range(ROWS)]
    column = PandasColumn(pd.Series(values, dtype=ARROW[0])).read(distinct=True)
    assert isinstance(column, CodedColumn)
    assert len(column.values) == period


@pytest.mark.parametrize("dtype", ARROW)
@pytest.mark.parametrize("first", [0, 1])
def test_values_of_one_width_are_read_once(dtype: object, first: int) -> None:
    whole = repeating(dtype, OF_ONE_WIDTH)
    for series in (whole[first:], whole.mask(whole.index == ROWS - 1, "")[first:]):
        column = PandasColumn(series).read(distinct=True)
        assert isinstance(column, CodedColumn)
        assert sorted(column.values.strings()) == sorted(series.unique())
        again = pd.Series(column.rebuilt(column.values, np.empty(0, np.intp)), name="name")
        pd.testing.assert_series_equal(again, series.reset_index(drop=True))


@pytest.mark.parametrize("dtype", ARROW)
def test_a_column_that_begins_with_nulls_is_read_once(dtype: object) -> None:
    series = repeating(dtype)
    series[: ROWS // 3] = None
    column = PandasColumn(series).read(distinct=True)
    assert isinstance(column, CodedColumn)
    assert column.nulls.tolist() == series.isna().tolist()
    again = pd.Series(column.rebuilt(column.values, np.empty(0, np.intp)), name="name")
    pd.testing.assert_series_equal(again, series)

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.errors import PseudonymizationError
from secureml.frames.column_values import NumberColumn
from secureml.frames.dtypes import arrow_type_of
from secureml.frames.numbers import numbers_of
from secureml.frames.pandas import PandasColumn
from secureml.pseudonymization.values.numbers import Limits

PLAIN = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
NULLABLE = [name.replace("i", "I").replace("u", "U") for name in PLAIN]
ARROW = [f"{name}[pyarrow]" for name in PLAIN]


def dtype(name: str) -> Any:
    return pd.api.types.pandas_dtype(name)


def limits_of(kind: Any) -> Limits | None:
    like = numbers_of(arrow_type_of(kind))
    return None if like is None else like.limits


def read(series: pd.Series) -> NumberColumn:
    column = PandasColumn(series).read()
    assert isinstance(column, NumberColumn)
    return column


@pytest.mark.parametrize("name", PLAIN + NULLABLE + ARROW)
@given(data=st.data())
def test_integers_come_back(name: str, data: st.DataObject) -> None:
    limits = limits_of(dtype(name))
    assert limits is not None
    info = np.iinfo(name.removesuffix("[pyarrow]").lower())
    assert limits == Limits(info.min, info.max)
    edges = st.sampled_from([limits.lowest, limits.highest, 0])
    values = st.integers(limits.lowest, limits.highest) | edges
    rows = data.draw(st.lists(values if name in PLAIN else values | st.none(), max_size=6))
    series = pd.Series(pd.array(rows, dtype=name) if name not in PLAIN else np.array(rows, name))
    column = read(series)
    numbers, nulls = column.values, column.nulls
    assert [int(string) for string in numbers.strings()] == [v for v in rows if v is not None]
    assert nulls.tolist() == [value is None for value in rows]
    written = pd.Series(column.make(numbers, nulls))
    pd.testing.assert_series_equal(written, series)


@pytest.mark.parametrize(
    ("name", "highest"), [("float32", (1 << 24) - 1), ("float64", (1 << 53) - 1)]
)
@given(data=st.data())
def test_whole_floats_come_back(name: str, highest: int, data: st.DataObject) -> None:
    assert limits_of(dtype(name)) == Limits(-highest, highest)
    values = st.integers(-highest, highest).map(float) | st.just(-0.0) | st.just(float("nan"))
    series = pd.Series(data.draw(st.lists(values, max_size=6)), dtype=name)
    column = read(series)
    numbers, nulls = column.values, column.nulls
    written = column.make(numbers, nulls)
    pd.testing.assert_series_equal(pd.Series(written), series)
    assert np.signbit(written[~nulls]).tolist() == np.signbit(series[~nulls]).tolist()


@pytest.mark.parametrize("value", [0.5, 2.0**53, -(2.0**53), float("inf"), 1e300, 5e-324])
def test_floats_that_are_not_exact_whole_numbers(value: float) -> None:
    with pytest.raises(PseudonymizationError, match="float64 values, 2 are not whole") as caught:
        read(pd.Series([1.0, value, float("nan"), value]))
    assert str(value) not in str(caught.value)


@pytest.mark.parametrize("name", ["int16", "UInt64", "int32[pyarrow]"])
def test_nulls_that_came_since(name: str) -> None:
    column = read(pd.Series([1, 2], dtype=name))
    written = pd.Series(column.make(column.values, np.array([False, True, False])))
    assert written.dtype == ("Int16" if name == "int16" else name)
    assert written.tolist()[::2] == [1, 2]
    assert written.isna().tolist() == [False, True, False]


OTHERS = """bool boolean object str string category timedelta64[ns] period[D]
    complex128 float16 bool[pyarrow]"""


@pytest.mark.parametrize("other", OTHERS.split())
def test_other_dtypes_have_no_limits(other: str) -> None:
    assert limits_of(dtype(other)) is None

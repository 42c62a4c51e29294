from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.errors import PseudonymizationError
from secureml.frames.column_values import NumberColumn
from secureml.frames.dtypes import arrow_type_of, dtype_of
from secureml.frames.numbers import converted, numbers_of, parse_numbers
from secureml.frames.pandas import PandasColumn
from secureml.frames.type_names import type_of_dtype
from secureml.pseudonymization.values.decimals import Decimals
from secureml.pseudonymization.values.timestamps import Days, Moments

MOMENTS = [
    *(f"datetime64[{unit}]" for unit in ("s", "ms", "us", "ns")),
    "datetime64[ns, Europe/Berlin]",
    "datetime64[us, UTC]",
    *(f"timestamp[{unit}][pyarrow]" for unit in ("s", "ms", "us", "ns")),
    "timestamp[us, tz=America/New_York][pyarrow]",
]
DATES = ["date32[day][pyarrow]", "date64[ms][pyarrow]"]
FLOATS = ["float64", "float32", "Float64", "Float32", "double[pyarrow]", "float[pyarrow]"]
DECIMALS = ["decimal128(12, 2)[pyarrow]", "decimal256(40, 2)[pyarrow]"]


def read(series: pd.Series, scale: int | None = None) -> NumberColumn:
    column = PandasColumn(series).read(scale=scale)
    assert isinstance(column, NumberColumn)
    return column


def check_comes_back(series: pd.Series, scale: int | None = None) -> NumberColumn:
    column = read(series, scale)
    assert column.nulls.tolist() == series.isna().tolist()
    written = column.make(column.values, column.nulls)
    pd.testing.assert_series_equal(pd.Series(written, dtype=series.dtype), series)
    like = numbers_of(type_of_dtype(column.dtype), scale)
    assert like is not None
    again = parse_numbers(like, column.values.strings())
    assert type(again) is type(column.values)
    assert again.magnitudes.tolist() == column.values.magnitudes.tolist()
    assert again.negative.tolist() == column.values.negative.tolist()
    return column


@pytest.mark.parametrize("name", MOMENTS)
@given(rows=st.lists(st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)) | st.none()))
def test_moments(name: str, rows: list[datetime | None]) -> None:
    dtype = dtype_of(name)
    naive = pd.Series(rows, dtype="datetime64[us]").astype("datetime64[s]")
    zone = getattr(dtype, "tz", None) or getattr(getattr(dtype, "pyarrow_dtype", None), "tz", None)
    series = naive.dt.tz_localize("UTC").astype(dtype) if zone else naive.astype(dtype)
    column = check_comes_back(series)
    assert type(column.values) is Moments
    assert column.values.zoned == bool(zone)
    unit = column.values.unit
    present = naive.dropna().to_numpy("M8[s]").astype(f"M8[{unit}]").view(np.int64)
    assert column.values.ticks.tolist() == present.tolist()


@pytest.mark.parametrize("name", DATES)
@given(rows=st.lists(st.dates() | st.none()))
def test_dates(name: str, rows: list[date | None]) -> None:
    dtype = dtype_of(name)
    array = pa.array(rows, dtype.pyarrow_dtype)
    column = check_comes_back(pd.Series(dtype.__from_arrow__(array), dtype=dtype))
    assert type(column.values) is Days
    assert column.values.strings() == [str(row) for row in rows if row is not None]


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("scale", [0, 2, 5])
@given(data=st.data())
def test_floats(name: str, scale: int, data: st.DataObject) -> None:
    limit = 10**6 - 1 if "32" in name or name == "float[pyarrow]" else 10**15 - 1
    units = st.integers(-limit, limit) | st.sampled_from([limit, -limit, 0])
    rows = data.draw(st.lists(units | st.none()))
    plain = np.float32 if limit < 10**7 else np.float64
    floats = [None if row is None else plain(float(Decimal(row).scaleb(-scale))) for row in rows]
    column = check_comes_back(pd.Series(pd.array(floats, dtype=name)), scale)
    assert isinstance(column.values, Decimals)
    assert [int(one) for one in column.values.magnitudes] == [abs(r) for r in rows if r is not None]
    assert column.values.limits.highest == limit


@pytest.mark.parametrize("value", [0.125, 1e13, float("inf"), 1e300, 5e-324, 0.1 + 0.2])
def test_floats_that_are_no_such_decimal_numbers(value: float) -> None:
    series = pd.Series([1.25, value, np.nan, -value])
    with pytest.raises(PseudonymizationError, match="float64 values, 2 are no decimal") as caught:
        PandasColumn(series).read(scale=2)
    assert str(value) not in str(caught.value)


def test_negative_zero_is_kept() -> None:
    column = check_comes_back(pd.Series([-0.0, 0.0]), 2)
    written = column.make(column.values, column.nulls)
    assert np.signbit(written).tolist() == [True, False]


@pytest.mark.parametrize("name", DECIMALS)
@given(rows=st.lists(st.decimals(-(10**9), 10**9, places=2).map(lambda d: d + 0) | st.none()))
def test_arrow_decimals(name: str, rows: list[Decimal | None]) -> None:
    dtype = dtype_of(name)
    array = pa.array([None, *rows, Decimal("1.00")], dtype.pyarrow_dtype)
    column = check_comes_back(pd.Series(dtype.__from_arrow__(array.slice(1)), dtype=dtype))
    assert isinstance(column.values, Decimals)
    assert column.values.decimals() == [*(row for row in rows if row is not None), Decimal("1.00")]


def test_arrow_decimals_that_are_too_long() -> None:
    array = pa.array([Decimal(1 << 63), Decimal(-(1 << 63) - 1), Decimal(5)], pa.decimal128(38, 0))
    with pytest.raises(PseudonymizationError, match="2 of its values"):
        PandasColumn(pd.Series(array.to_pandas(types_mapper=pd.ArrowDtype))).read()


@given(st.integers(0, 6), st.data())
def test_python_decimals(places: int, data: st.DataObject) -> None:
    number = st.integers(-(10**9), 10**9).map(lambda units: Decimal(units).scaleb(-places))
    rows = data.draw(st.lists(number | st.none()))
    series = pd.Series([*rows, Decimal(f"1E-{places}")], dtype=object)
    column = check_comes_back(series)
    assert column.dtype == f"decimal[{places}]"
    written = column.make(column.values, column.nulls)
    assert list(map(str, written)) == list(map(str, series))


@pytest.mark.parametrize(
    "values",
    [
        [Decimal("1.5"), Decimal("1.50")],
        [Decimal("1"), Decimal("Infinity")],
        [Decimal("1E+2")],
        [Decimal(1 << 64)],
    ],
)
def test_python_decimals_that_differ(values: list[Decimal]) -> None:
    with pytest.raises(PseudonymizationError, match=r"digits|decimal numbers"):
        PandasColumn(pd.Series(values, dtype=object)).read()


def test_what_was_masked_is_not_read() -> None:
    hidden = pd.arrays.FloatingArray(np.array([1.5, 0.123]), np.array([False, True]))
    assert read(pd.Series(hidden), 1).values.strings() == ["1.5"]
    ticks = pa.array([5, 1 << 62], mask=np.array([False, True])).view(pa.timestamp("us"))
    series = pd.Series(pd.arrays.ArrowExtensionArray(ticks))
    assert read(series).values.strings() == ["1970-01-01T00:00:00.000005"]


@pytest.mark.parametrize(
    ("values", "dtype", "name", "expected"),
    [
        (["2020-01-01", None], "datetime64[us]", "datetime64[s]", ["2020-01-01T00:00:00"]),
        (["2020-01-01"], "datetime64[ns]", "date32[day][pyarrow]", ["2020-01-01"]),
        ([1, 2], "int64", "decimal128(12, 2)[pyarrow]", ["1.00", "2.00"]),
        ([1.0, None], "float64", "decimal128(12, 2)[pyarrow]", ["1.00"]),
        ([1, 2], "int8", "UInt64", ["1", "2"]),
    ],
)
def test_columns_that_were_read_as_others(
    values: list[Any], dtype: str, name: str, expected: list[str]
) -> None:
    like = numbers_of(type_of_dtype(name))
    assert like is not None
    assert converted(read(pd.Series(values, dtype=dtype)).values, like).strings() == expected


@pytest.mark.parametrize(
    ("values", "dtype", "name"),
    [
        (["2020-01-01T00:00:00.5"], "datetime64[ms]", "datetime64[s]"),
        (["2020-01-01T12:00:00"], "datetime64[s]", "date32[day][pyarrow]"),
        (["2020-01-01"], "datetime64[s]", "datetime64[s, UTC]"),
        (["2020-01-01"], "datetime64[s]", "decimal128(12, 2)[pyarrow]"),
        ([5], "int64", "datetime64[s]"),
    ],
)
def test_columns_that_can_not_be_read_as_others(values: list[Any], dtype: str, name: str) -> None:
    like = numbers_of(type_of_dtype(name))
    assert like is not None
    with pytest.raises(PseudonymizationError, match="1 values are no"):
        converted(read(pd.Series(values, dtype=dtype)).values, like)


@pytest.mark.parametrize(
    "name", ["timedelta64[ns]", "time64[us][pyarrow]", "duration[ns][pyarrow]", "bool", "nonsense"]
)
def test_other_dtypes(name: str) -> None:
    assert numbers_of(arrow_type_of(dtype_of(name)), 2) is None


@pytest.mark.parametrize("name", ["decimal128(0, 2)[pyarrow]", "decimal128(99, 2)[pyarrow]"])
def test_no_dtypes(name: str) -> None:
    assert dtype_of(name) is None

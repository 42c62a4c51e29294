from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pyarrow as pa
import pytest

from secureml.frames.dtypes import arrow_type_of, dtype_of
from secureml.frames.numbers import numbers_of
from secureml.frames.pandas import PandasColumn
from secureml.frames.type_names import arrow_name_of, dtype_name_of, type_of, type_of_dtype

PANDAS_3 = int(pd.__version__.partition(".")[0]) >= 3
UNITS = ("s", "ms", "us", "ns")
ZONES = ("UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "+02:00", "-05:30", "Etc/GMT+3")
INTEGERS = [
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
    *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
]
DECIMALS = [
    *(pa.decimal128(1, 0), pa.decimal128(10, 2), pa.decimal128(38, 38), pa.decimal128(5, -2)),
    *(pa.decimal256(1, 0), pa.decimal256(60, 4), pa.decimal256(76, 76)),
]
if hasattr(pa, "decimal32"):
    DECIMALS += [pa.decimal32(9, 2), pa.decimal64(18, 18)]
FLOATS = [pa.float16(), pa.float32(), pa.float64()]
TEXT = [pa.string(), pa.large_string(), pa.string_view()]
TIMESTAMPS = [pa.timestamp(unit, zone) for unit in UNITS for zone in (None, *ZONES)]
PLAIN = [
    *(pa.null(), *TEXT, *INTEGERS, *FLOATS, *DECIMALS, *TIMESTAMPS),
    *(pa.date32(), pa.date64(), pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")),
]
DICTIONARIES = [
    pa.dictionary(indices, values, ordered=ordered)
    for indices, ordered in ((pa.int8(), False), (pa.uint64(), True))
    for values in PLAIN
]
FOREIGN = [
    *(pa.bool_(), pa.binary(), pa.duration("ns"), pa.list_(pa.string()), pa.map_("str", "str")),
    *(pa.struct({"a": pa.string()}), pa.dictionary(pa.int8(), pa.list_(pa.string()))),
]


@pytest.mark.parametrize("arrow_type", [*PLAIN, *DICTIONARIES], ids=str)
def test_a_type_is_read_from_the_text_that_arrow_and_manifests_write(
    arrow_type: pa.DataType,
) -> None:
    assert type_of(str(arrow_type)) == arrow_type
    assert type_of(arrow_name_of(arrow_type)) == arrow_type


@pytest.mark.parametrize(
    "name",
    [
        *map(str, FOREIGN),
        *("", "text", "String", "string ", "decimal128(39, 2)", "decimal128(0, 0)"),
        *("decimal512(3, 1)", "timestamp[m]", "timestamp[us, tz=]", "dictionary<string, int8>"),
        "dictionary<dictionary<string, int8, ordered=False>, int8, ordered=False>",
        "dictionary<string, float, ordered=False>",
        "dictionary<" * 5000 + "string" + ", int8, ordered=False>" * 5000,
    ],
)
def test_other_text_names_no_type(name: str) -> None:
    assert type_of(name) is None


NUMBER_NAMES = [str(one) for one in INTEGERS]
PANDAS_NUMBERS = [
    *NUMBER_NAMES,
    *(name.replace("int", "Int").replace("uI", "UI") for name in NUMBER_NAMES),
    *("float16", "float32", "float64", "Float32", "Float64", ">i2", ">u8", ">f4"),
]
PANDAS_MOMENTS = [
    *(f"datetime64[{unit}]" for unit in UNITS),
    *(str(pd.DatetimeTZDtype(unit, zone)) for unit in UNITS for zone in ZONES),
]


@pytest.mark.parametrize("name", [*PANDAS_NUMBERS, *PANDAS_MOMENTS])
def test_the_name_of_a_dtype_is_the_type_that_pandas_makes_of_its_columns(name: str) -> None:
    dtype = dtype_of(name)
    native = dtype.newbyteorder("=") if name.startswith(">") else dtype
    assert str(dtype) == name
    assert type_of_dtype(name) == pa.array(pd.Series([], dtype=native)).type


@pytest.mark.parametrize("arrow_type", [*PLAIN, *FOREIGN], ids=str)
def test_the_name_of_a_dtype_of_arrow_is_its_type(arrow_type: pa.DataType) -> None:
    name = str(pd.ArrowDtype(arrow_type))
    assert type_of_dtype(name) == (None if arrow_type in FOREIGN else arrow_type)


@pytest.mark.parametrize(
    "name",
    ["object", "category", "string", "string[python]", "string[pyarrow]"]
    + (["str"] if PANDAS_3 else ["string[pyarrow_numpy]"]),
)
def test_the_dtypes_of_strings_are_text(name: str) -> None:
    dtype = dtype_of(name)
    assert dtype is not None
    assert numbers_of(arrow_type_of(dtype)) is None
    assert type_of_dtype(name) == pa.string()


def test_text_of_every_version_of_pandas_is_text_in_all() -> None:
    assert type_of_dtype("str") == type_of_dtype("string[pyarrow_numpy]") == pa.string()


@pytest.mark.parametrize("scale", [0, 2, 38])
def test_decimal_numbers_of_python_have_all_digits_that_they_may_have(scale: int) -> None:
    assert type_of_dtype(f"decimal[{scale}]") == pa.decimal128(38, scale)


@pytest.mark.parametrize("zone", ["pytz.FixedOffset(60)", "tzutc()", "tzoffset(None, 3600)"])
def test_moments_of_a_zone_without_a_name_are_in_utc(zone: str) -> None:
    name = f"datetime64[us, {zone}]"
    assert str(dtype_of(name)) == "datetime64[us, UTC]"
    assert type_of_dtype(name) == pa.timestamp("us", "UTC")


@pytest.mark.parametrize(
    "name", ["bool", "boolean", "complex128", "timedelta64[ns]", "period[D]", "interval", "", "?"]
)
def test_what_has_no_pseudonyms_has_no_type(name: str) -> None:
    dtype = dtype_of(name)
    assert dtype is None or numbers_of(arrow_type_of(dtype)) is None
    assert type_of_dtype(name) is None


def frame_of(table: pa.Table) -> pd.DataFrame:
    return table.to_pandas(types_mapper=dtype_for)


def dtype_for(arrow_type: pa.DataType) -> pd.ArrowDtype | None:
    is_numpy = pa.types.is_dictionary(arrow_type) or pa.types.is_floating(arrow_type)
    return None if is_numpy else pd.ArrowDtype(arrow_type)


@pytest.mark.parametrize("arrow_type", PLAIN, ids=str)
def test_a_column_has_the_names_that_its_frame_gives_it(arrow_type: pa.DataType) -> None:
    series = frame_of(pa.table({"x": pa.array([], arrow_type)}))["x"]
    assert dtype_name_of(arrow_type) == str(series.dtype)
    assert arrow_name_of(arrow_type) == PandasColumn(series).arrow


@pytest.mark.parametrize("ordered", [False, True])
def test_categories_have_the_names_that_their_frame_gives_them(ordered: bool) -> None:
    array = pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), ["a"], ordered=ordered)
    series = frame_of(pa.table({"x": array}))["x"]
    assert dtype_name_of(array.type) == str(series.dtype)
    assert arrow_name_of(array.type) == PandasColumn(series).read().arrow


def test_the_names_need_no_pandas() -> None:
    code = "import sys, secureml.frames.type_names; print('pandas' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == "False\n"

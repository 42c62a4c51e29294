from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from secureml.frames.pandas import PandasColumn

DAY = pd.Timestamp("2020-02-29 12:00")


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        (["a", None], object, "string"),
        (["a", "b"] * 5000, object, "string"),
        (["a", None], pd.ArrowDtype(pa.large_string()), "large_string"),
        (["a", None], pd.StringDtype("pyarrow"), "string"),
        (["a", None], pd.StringDtype("python"), "string"),
        (["a", None], "str", "string"),
        (["a", None], "category", "dictionary<string, int8, ordered=False>"),
        ([5, 7], "int16", "int16"),
        ([5, None], "UInt64", "uint64"),
        ([5.0, None], "float32", "float"),
        ([DAY, None], "datetime64[ns]", "timestamp[ns]"),
        ([DAY, None], "datetime64[us, Europe/Berlin]", "timestamp[us, tz=Europe/Berlin]"),
        ([DAY.date(), None], pd.ArrowDtype(pa.date32()), "date32[day]"),
        ([Decimal("1.50"), None], object, "decimal128(38, 2)"),
        ([Decimal("1.50")], pd.ArrowDtype(pa.decimal128(9, 3)), "decimal128(9, 3)"),
    ],
)
def test_every_column_has_the_name_of_its_arrow_type(
    values: list[Any], dtype: Any, expected: str
) -> None:
    column = pd.Series(values, dtype=dtype)
    scale = 2 if dtype == "float32" else None
    name = PandasColumn(column).read(distinct=True, scale=scale).arrow
    assert name == expected


def test_what_arrow_does_not_have_has_no_name() -> None:
    assert PandasColumn(pd.Series([object()])).arrow is None
    assert PandasColumn(pd.Series(np.zeros(2, "complex128"))).arrow is None

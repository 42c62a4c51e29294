"""What is hidden is in no buffer of the result, and in no file that is made of it."""

from __future__ import annotations

import contextlib
import io
import pickle
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from helpers.memory import buffers
from secureml import anonymize
from secureml.errors import PseudonymizationError
from secureml.files import anonymize_file
from secureml.key_management import KeyManager
from secureml.stores import MemoryStore

TEXTS = ["Margarethe-Quimby", None, "Bartholomew-Jinx", "Wolfgang-Žižek-Pryce", "Ottilie-Vexfield"]
WHOLE = [7_306_639_911_244_237, None, 8_030_593_375_012_981, 6_877_671_094_530_117]
REALS = [7306639911.25, None, 8030593375.5, 6877671094.75]
MOMENTS = [datetime(1961, 7, 30, 4, 53, 11, 123457), None, datetime(1987, 2, 3, 21, 9, 59, 987651)]
DAYS = [date(1961, 7, 30), None, date(1987, 2, 3), date(1999, 11, 23)]
MONEY = [Decimal("73066399112.44"), None, Decimal("80305933750.12")]
FLAGS = [bool(0x9E3779B97F4A7C15 >> bit & 1) for bit in range(64)]
OCTETS = [b"\x07Margarethe\xff", None, b"\x08Bartholomew\xfe"]


def arrow(values: list[Any], arrow_type: pa.DataType) -> pd.Series:
    array = pa.array(values, arrow_type)
    return pd.Series(pd.ArrowDtype(arrow_type).__from_arrow__(array))


def categorical(values: list[Any], dtype: Any = None) -> pd.Series:
    kinds = pd.Index([*filter(None, values)], dtype=dtype)
    codes = [-1 if value is None else kinds.tolist().index(value) for value in values]
    return pd.Series(pd.Categorical.from_codes(codes, kinds))


COLUMNS = {
    "object": pd.Series(TEXTS, dtype=object),
    "str": pd.Series(TEXTS, dtype="str" if pd.__version__ >= "3" else object),
    "string[python]": pd.Series(TEXTS, dtype="string[python]"),
    "string[pyarrow]": pd.Series(TEXTS, dtype="string[pyarrow]"),
    "arrow string": arrow(TEXTS, pa.string()),
    "arrow large_string": arrow(TEXTS, pa.large_string()),
    "arrow dictionary": arrow(TEXTS, pa.dictionary(pa.int32(), pa.string())),
    "arrow binary": arrow(OCTETS, pa.binary()),
    "arrow dictionary of binary": arrow(OCTETS, pa.dictionary(pa.int8(), pa.binary())),
    "arrow list": arrow([[text] if text else None for text in TEXTS], pa.list_(pa.string())),
    "arrow struct": arrow([{"name": text} for text in TEXTS], pa.struct([("name", pa.string())])),
    "category of text": categorical(TEXTS),
    "category of arrow strings": categorical(TEXTS, pd.ArrowDtype(pa.string())),
    "category of numbers": categorical(WHOLE),
    "category of dates": categorical(MOMENTS),
    "category of octets": categorical(OCTETS),
    "int64": pd.Series(WHOLE[2:], dtype="int64"),
    "float64 of whole numbers": pd.Series(WHOLE, dtype="float64"),
    "Int64": pd.Series(WHOLE, dtype="Int64"),
    "arrow int64": arrow(WHOLE, pa.int64()),
    "float64": pd.Series(REALS, dtype="float64"),
    "Float64": pd.Series(REALS, dtype="Float64"),
    "arrow double": arrow(REALS, pa.float64()),
    "arrow decimal128": arrow(MONEY, pa.decimal128(20, 2)),
    "arrow decimal256": arrow(MONEY, pa.decimal256(50, 2)),
    "python decimals": pd.Series(MONEY, dtype=object),
    "python octets": pd.Series(OCTETS, dtype=object),
    "datetime64": pd.Series(MOMENTS, dtype="datetime64[us]"),
    "datetime64 with a zone": pd.Series(MOMENTS, dtype="datetime64[us]").dt.tz_localize("UTC"),
    "arrow timestamp": arrow(MOMENTS, pa.timestamp("us")),
    "arrow date32": arrow(DAYS, pa.date32()),
    "arrow date64": arrow(DAYS, pa.date64()),
    "timedelta64": pd.Series(pd.to_timedelta([123_456_789_012_345, None, 98_765_432_109_876])),
    "boolean": pd.Series([*FLAGS, None], dtype="boolean"),
    "bool": pd.Series(FLAGS),
    "arrow bool": arrow([*FLAGS, None], pa.bool_()),
    "period": pd.Series(pd.PeriodIndex(DAYS, freq="us")),
    "interval": pd.Series(pd.arrays.IntervalArray.from_breaks(sorted(REALS[2:]))),
}
STRATEGIES: dict[str, Any] = {
    "fpe": "fpe",
    "token": "token",
    "hash": "hash",
    "mask": "mask",
    "redact": "redact",
    "null": "null",
    "function": lambda column: column.where(np.zeros(len(column), np.bool_)),
    "other function": lambda column: column.iloc[:0].reindex(column.index),
}


def files(frame: pd.DataFrame) -> Iterator[bytes]:
    """Return what is written of a frame, not compressed."""
    yield pickle.dumps(frame)
    yield pickle.dumps(frame, 2)
    table = pa.Table.from_pandas(frame)
    for write, none in ((feather.write_feather, "uncompressed"), (parquet.write_table, "none")):
        file = io.BytesIO()
        write(table, file, compression=none)
        yield file.getvalue()
    yield frame.to_csv().encode()


def needles(series: pd.Series) -> set[bytes]:
    """Return the octets that would tell a value, as text and as memory holds it."""
    found = set()
    for value in series.dropna().tolist():
        for text in [*value, *value.values()] if isinstance(value, dict) else [value]:
            flat = text[0] if isinstance(text, list) else text
            if isinstance(flat, bytes):
                found.add(flat)
            elif isinstance(flat, bool):
                bits = np.array(FLAGS)
                found |= {bits.tobytes(), np.packbits(bits, bitorder="little").tobytes()}
            elif flat != "name":
                found.add(str(flat).encode())
    dtype = getattr(series.dtype, "categories", series).dtype
    plain = pa.array(series.dropna().astype(dtype).reset_index(drop=True), from_pandas=True)
    if isinstance(plain, pa.ChunkedArray):
        plain = plain.combine_chunks()
    fixed = pa.types.is_primitive(plain.type) or pa.types.is_decimal(plain.type)
    if fixed and plain.type.bit_width >= 32:
        width = plain.type.bit_width // 8
        octets = plain.buffers()[1].to_pybytes()
        found |= {octets[place : place + width] for place in range(0, len(plain) * width, width)}
    return found


def check_holds_nothing(hidden: pd.DataFrame, before: pd.Series) -> None:
    sought = needles(before)
    assert sought
    for held in buffers(hidden["x"]):
        assert not [one for one in sought if one in held]
    for number, written in enumerate(files(hidden)):
        assert not [one for one in sought if one in written], number


@pytest.fixture(scope="module")
def manager() -> KeyManager:
    manager = KeyManager(environment="development", store=MemoryStore())
    manager.generate_key("master_key")
    return manager


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", COLUMNS)
def test_no_strategy_leaves_a_value(name: str, strategy: str, manager: KeyManager) -> None:
    """The column is a slice of a longer one, whose buffers it shares."""
    frame = pd.DataFrame({"n": 1, "x": COLUMNS[name]})
    given = pd.concat([frame, frame], ignore_index=True).iloc[1:-1]
    hidden = None
    with contextlib.suppress(PseudonymizationError):
        hidden = anonymize(
            given, strategy=STRATEGIES[strategy], sensitive_columns=["x"], key_manager=manager
        )
    if hidden is None:
        assert strategy in ("fpe", "token", "hash", "mask")
    else:
        check_holds_nothing(hidden, frame["x"])


@pytest.mark.parametrize("dtype", ["object", "string[python]", "string[pyarrow]", "category"])
@pytest.mark.parametrize("rows", [1, 1 << 14], ids=["few rows", "many rows"])
@pytest.mark.parametrize("how", [{"on_invalid": "null"}, {"small_domain": "null"}])
def test_a_value_that_became_null_is_gone(
    dtype: str, rows: int, how: dict[str, str], manager: KeyManager
) -> None:
    """Both among values that stay, in a column of few rows and in one whose values repeat."""
    lost = pd.Series(["Quimby-Nr-77", "Žižek-Vexfield"] if "on_invalid" in how else ["7-Ω-Ξ-4"])
    kept = ["219-09-9999", "078-05-1120"]
    texts = pd.Series([*lost, *kept] * rows, dtype=dtype)
    form = "ssn" if "on_invalid" in how else "class"
    columns = {"sensitive_columns": ["x"], "formats": {"x": form}, "key_manager": manager}
    hidden = anonymize(pd.DataFrame({"x": texts}), **columns, **how)
    assert hidden["x"].isna().sum() == len(lost) * rows
    check_holds_nothing(hidden, pd.concat([lost, pd.Series(kept)]))


@pytest.mark.parametrize("strategy", ["fpe", "token", "hash", "mask", "redact", "null"])
def test_no_file_of_parquet_holds_a_value(
    strategy: str, tmp_path: Path, manager: KeyManager
) -> None:
    """Neither in dictionaries nor in statistics."""
    texts = pa.array([f"Margarethe-Quimby-{row:07}" for row in range(3000)] + [None])
    octets = pa.array([b"\x07Bartholomew-%07d" % row for row in range(3000)] + [None])
    columns: dict[str, Any] = {
        "text": texts,
        "kinds": texts.dictionary_encode(),
        "octets": octets,
        "kinds of octets": octets.dictionary_encode(),
        "number": pa.array([WHOLE[0] + row * row for row in range(3000)] + [None]),
    }
    if strategy not in ("redact", "null"):
        columns = {name: array for name, array in columns.items() if "octets" not in name}
    table = pa.table(columns)
    parquet.write_table(table, tmp_path / "clear.parquet", compression="none")
    anonymize_file(
        tmp_path / "clear.parquet",
        tmp_path / "hidden.parquet",
        strategy=strategy,
        sensitive_columns=table.column_names,
        key_manager=manager,
    )
    written = (tmp_path / "hidden.parquet").read_bytes()
    assert b"Quimby" not in written
    assert b"Bartholomew" not in written
    for number in table["number"].to_pylist()[:-1:50]:
        assert number.to_bytes(8, "little") not in written

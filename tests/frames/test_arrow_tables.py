"""Columns of Arrow tables: every type of text, numbers and time, and back as the same type."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from secureml.errors import PseudonymizationError
from secureml.frames.arrow import ArrowColumn, ArrowTable
from secureml.frames.column_values import CodedColumn, NumberColumn, TextColumn
from secureml.pseudonymization.formats import NO_ROWS
from secureml.pseudonymization.values.decimals import Decimals
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text
from secureml.pseudonymization.values.timestamps import Days, Moments

WORDS = ["alpha", None, "", "größer", "字", "alpha"]
DAYS = [date(1961, 7, 30), None, date(1970, 1, 1), date(2987, 2, 3)]
MOMENTS = [datetime(1961, 7, 30, 4, 53, 11), None, datetime(1970, 1, 1)]
AWARE = [datetime(1961, 7, 30, 4, 53, 11, tzinfo=UTC), None, datetime(1970, 1, 1, tzinfo=UTC)]
MONEY = [Decimal("-123.45"), None, Decimal("0.00"), Decimal("99999.99")]
INDEXES = [getattr(pa, f"{sign}int{size}")() for sign in ("", "u") for size in (8, 16, 32, 64)]
DECIMALS = [
    getattr(pa, name)(7, 2)
    for name in ("decimal32", "decimal64", "decimal128", "decimal256")
    if hasattr(pa, name)  # pyarrow 18 has two of the four
]
NUMBERS: list[tuple[pa.DataType, list[Any], type]] = [
    *((kind, [0, None, 100, 7], WholeNumbers) for kind in INDEXES),
    *((kind, [0, -1, None, -100], WholeNumbers) for kind in INDEXES[:4]),
    (pa.uint64(), [(1 << 64) - 1, None], WholeNumbers),
    (pa.float32(), [1.0, None, -3.0], WholeNumbers),
    (pa.float64(), [1.0, None, float(1 << 50)], WholeNumbers),
    (pa.date32(), DAYS, Days),
    (pa.date64(), DAYS, Days),
    *((pa.timestamp(unit), MOMENTS, Moments) for unit in ("s", "ms", "us", "ns")),
    (pa.timestamp("us", "UTC"), AWARE, Moments),
    (pa.timestamp("ns", "America/New_York"), AWARE, Moments),
    (pa.timestamp("s", "+05:30"), AWARE, Moments),
    *((kind, MONEY, Decimals) for kind in DECIMALS),
]
TEXTS = [pa.string(), pa.large_string(), pa.string_view()]


def array_of(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_decimal(kind) and not pa.types.is_decimal128(kind):
        return pa.array(values, pa.decimal128(7, 2)).cast(kind)
    return pa.array(values, kind)


def forms(array: pa.Array) -> list[pa.Array | pa.ChunkedArray]:
    """Return an array whole, behind an offset, and in chunks, one of which is empty."""
    behind = pa.concat_arrays([array, array]).slice(len(array))
    chunks = [array.slice(0, 1), array.slice(1, 0), array.slice(1)]
    return [array, behind, pa.chunked_array(chunks), pa.chunked_array([], array.type)]


@pytest.mark.parametrize(("kind", "values", "like"), NUMBERS, ids=str)
def test_numbers_and_moments_are_read_and_written_as_the_same_type(
    kind: pa.DataType, values: list[Any], like: type
) -> None:
    for array in forms(array_of(values, kind)):
        source = ArrowColumn(array)
        column = source.read()
        assert isinstance(column, NumberColumn)
        assert source.kind() is type(column.values) is like
        source.check_restorable(column)
        assert column.nulls.tolist() == [value is None for value in array.to_pylist()]
        assert source.nulls.tolist() == column.nulls.tolist()
        rebuilt = column.rebuilt(column.values, NO_ROWS)
        rebuilt.validate(full=True)
        assert rebuilt.type == kind
        assert rebuilt.to_pylist() == array.to_pylist()


@pytest.mark.parametrize("kind", TEXTS, ids=str)
@pytest.mark.parametrize("distinct", [True, False])
def test_text_is_read_and_written_as_the_same_type(kind: pa.DataType, *, distinct: bool) -> None:
    repeated = pa.array(["a", None, "b", ""] * 2_000, pa.string()).cast(kind)
    for array in [*forms(pa.array(WORDS, pa.string()).cast(kind)), *forms(repeated)]:
        source = ArrowColumn(array)
        column = source.read(distinct=distinct)
        assert isinstance(column, TextColumn | CodedColumn)
        assert source.kind() is Text
        assert column.nulls.tolist() == [value is None for value in array.to_pylist()]
        assert column.empty == array.to_pylist().count("")
        rebuilt = column.rebuilt(column.values, NO_ROWS)
        rebuilt.validate(full=True)
        assert rebuilt.type == kind
        assert rebuilt.to_pylist() == array.to_pylist()


@pytest.mark.parametrize("index", INDEXES, ids=str)
@pytest.mark.parametrize("kind", TEXTS[:2], ids=str)
@pytest.mark.parametrize("ordered", [True, False])
def test_dictionaries_of_every_index_lose_what_no_row_has(
    kind: pa.DataType, index: pa.DataType, *, ordered: bool
) -> None:
    dictionary = pa.array(["unused", "b", None, "a", "b"], kind)
    indices = pa.array([4, 1, 2, None, 3, 1], index)
    array = pa.DictionaryArray.from_arrays(indices, dictionary, ordered=ordered)
    for form in forms(array)[:3]:
        source = ArrowColumn(form)
        column = source.read()
        assert isinstance(column, CodedColumn)
        assert source.ordered is ordered
        assert source.nulls.tolist() == [False, False, True, True, False, False]
        assert source.distinct() == 2
        rebuilt = column.rebuilt(column.values, NO_ROWS)
        rebuilt.validate(full=True)
        assert rebuilt.type == array.type
        assert rebuilt.to_pylist() == ["b", "b", None, None, "a", "b"]
        assert rebuilt.dictionary.to_pylist() == (["b", "a"] if ordered else ["a", "b"])


def test_a_column_of_the_null_type_stays_one() -> None:
    column = ArrowColumn(pa.chunked_array([pa.nulls(2), pa.nulls(1)])).read()
    assert column.nulls.all()
    assert column.rebuilt(column.values, NO_ROWS).equals(pa.nulls(3))


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()], ids=str)
def test_a_float_that_is_no_number_stays_what_it_is(kind: pa.DataType) -> None:
    for array in forms(pa.array([1.0, math.nan, None, 2.0], kind))[:3]:
        column = ArrowColumn(array).read()
        assert isinstance(column, NumberColumn)
        assert len(column.values) == 2
        first, second, third, last = column.rebuilt(column.values, NO_ROWS).to_pylist()
        assert (first, third, last) == (1.0, None, 2.0)
        assert math.isnan(second)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([b"octets"]),
        pa.array([True]),
        pa.array([[1]]),
        pa.array([{"a": 1}]),
        pa.array([1], pa.duration("s")),
        pa.array([1], pa.time32("s")),
        pa.array([1, 2]).dictionary_encode(),
    ],
    ids=lambda array: str(array.type),
)
def test_other_types_are_refused_and_can_be_removed(array: pa.Array) -> None:
    source = ArrowColumn(array)
    with pytest.raises(PseudonymizationError, match=r"its (type is|categories are of type)"):
        source.read()
    removed = source.unread().rebuilt(source.unread().values, NO_ROWS)
    assert removed.type == array.type
    assert removed.null_count == len(array)


NESTED = pa.table(
    {
        "id": pa.array([1, 2, 3], pa.int64()),
        "p": pa.array([{"a": "x", "b": 1}, None, {"a": None, "b": 3}]),
        "q": pa.array([["u", "v"], [], ["w"]]),
    }
).replace_schema_metadata({"kept": "yes"})


def test_a_table_names_what_is_inside_of_its_columns() -> None:
    table = ArrowTable(NESTED)
    assert table.names == ["id", "p.a", "p.b", "q[]"]
    assert table.holders == {"p.a": ("p",), "p.b": ("p",), "q[]": ("q",)}
    assert all(name in table for name in ("id", "p", "p.a", "q", "q[]"))
    assert not any(name in table for name in ("a", "p.c", "q[].x", 7))
    assert table.column("p.a").array.to_pylist() == ["x", None]
    assert [table.column(name).repeated for name in table.names] == [False, False, False, True]
    assert table.rows_of("p.a").tolist() == [0, 2]
    assert table.rows_of("q[]").tolist() == [0, 0, 2]
    assert table.beside("q[]", "id").array.to_pylist() == [1, 1, 3]
    assert table.beside("id", "p.a").array.to_pylist() == ["x", None, None]


def test_columns_are_replaced_dropped_and_taken_by_path() -> None:
    table = ArrowTable(NESTED)
    new = {"p.b": pa.array(["one", "three"]), "q[]": pa.array([7, 8, 9]), "id": pa.array([0] * 3)}
    result = table.replace(new).native({"made": 1})
    assert result["p"].to_pylist() == [{"a": "x", "b": "one"}, None, {"a": None, "b": "three"}]
    assert result["q"].to_pylist() == [[7, 8], [], [9]]
    assert result.schema.metadata == {b"kept": b"yes", b"secureml": b'{"made": 1}'}
    assert table.drop(["p.a"]).names == table.names
    assert table.drop(["p.a", "p.b"]).names == ["id", "q[]"]
    assert table.drop(["p", "id"]).names == ["q[]"]
    taken = table.take(np.array([2, 0])).native(None)
    assert taken.to_pylist() == [NESTED.to_pylist()[2], NESTED.to_pylist()[0]]


def test_a_wide_table_has_no_paths_and_keeps_its_other_columns() -> None:
    wide = pa.table({f"c{number}": [number] for number in range(2_000)})
    table = ArrowTable(wide)
    assert table.holders == {}
    result = table.replace({"c7": pa.array(["seven"])}).native(None)
    assert result.drop_columns("c7").equals(wide.drop_columns("c7"))
    assert result["c7"].to_pylist() == ["seven"]


def test_a_nested_record_batch_does_not_import_pandas() -> None:
    code = """
import sys
import pyarrow as pa
from secureml.frames.adapters import table_of
words = pa.Array.from_buffers(pa.int32(), 2, [None, pa.py_buffer(bytes(8))])
struct = pa.Array.from_buffers(pa.struct([("a", pa.int32())]), 2, [None], children=[words])
table = table_of(pa.RecordBatch.from_arrays([struct], schema=pa.schema([("p", struct.type)])))
column = table.column("p.a").read()
array = column.rebuilt(column.values, [])
assert table.replace({"p.a": array}).native({}).column(0).field(0).equals(words)
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)

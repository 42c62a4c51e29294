from __future__ import annotations

import json
from datetime import datetime
from itertools import pairwise
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.frames import FrameContract, differing, shared_manager
from helpers.pandas_frames import STR, PandasContract
from secureml import anonymize, reidentify


class TestArrowTable(FrameContract):
    shares = True
    alone = ("frame = table", "table = frame")

    def make(self, table: pa.Table) -> pa.Table:
        return table

    def read(self, frame: pa.Table) -> pa.Table:
        return frame

    def attached(self, frame: pa.Table) -> Any:
        return attached(frame.schema)


ODD = {
    "views": pa.array(["Bartholomew-Jinx", None, "Bartholomew-Jinx"], pa.string_view()),
    "views of octets": pa.array([b"Bartholomew-Jinx", None], pa.binary_view()),
    "views in a list": pa.array([["Bartholomew-Jinx"], None], pa.list_(pa.string_view())),
    "runs": pc.run_end_encode(pa.array(["Bartholomew-Jinx", None, None])),
    "a dictionary of views": pa.array(
        ["Bartholomew-Jinx"] * 2, pa.string_view()
    ).dictionary_encode(),
    "a dictionary of numbers": pa.array([1 << 60, None, 1 << 60]).dictionary_encode(),
    "a map": pa.array([[("Bartholomew", 1)], None], pa.map_(pa.string(), pa.int64())),
}


@pytest.mark.parametrize("name", ODD)
def test_a_function_may_return_a_column_of_any_type(name: str) -> None:
    array = ODD[name]
    table = pa.table({"x": pa.array(["y"] * len(array))})
    whole = pa.concat_arrays([array, array])
    made = anonymize(
        table,
        strategy=lambda column: whole.slice(len(array)),
        sensitive_columns=["x"],
        key_manager=shared_manager(),
    )
    assert made["x"].type == array.type
    assert made["x"].combine_chunks().to_pylist() == array.to_pylist()


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_tweaks_may_be_dictionaries_of_every_type_of_text(kind: pa.DataType) -> None:
    words = pa.array(["one", "two"]).cast(kind)
    tweaks = pa.DictionaryArray.from_arrays(pa.array([1, 0, None], pa.uint16()), words)
    table = pa.table({"x": ["012345678"] * 3, "when": tweaks})
    plain_table = table.set_column(1, "when", pa.array(["two", "one", None]))
    arguments = {"sensitive_columns": ["x"], "tweaks": {"x": "when"}}
    arguments |= {"key_manager": shared_manager()}
    assert anonymize(table, **arguments)["x"] == anonymize(plain_table, **arguments)["x"]


def attached(schema: pa.Schema) -> Any:
    document = (schema.metadata or {}).get(b"secureml")
    return document and json.loads(document)


class TestArrowBatch(FrameContract):
    shares = True
    alone = ("frame = table.to_batches()[0]", "table = pa.Table.from_batches([frame])")
    column_type = pa.ChunkedArray

    def make(self, table: pa.Table) -> pa.RecordBatch:
        columns = [
            column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
            for column in table.columns
        ]
        return pa.RecordBatch.from_arrays(columns, schema=table.schema)

    def read(self, frame: pa.RecordBatch) -> pa.Table:
        return pa.Table.from_batches([frame])

    def attached(self, frame: pa.RecordBatch) -> Any:
        return attached(frame.schema)


class TestPandasStr(PandasContract):
    text = STR
    one_type = False


class TestPandasObject(PandasContract):
    text = object
    one_type = False


class TestPandasNullable(PandasContract):
    text = "string[python]"

    def integer(self, name: str, nulls: int) -> str:
        return name.replace("i", "I").replace("u", "U")


class TestPandasArrow(PandasContract):
    def series(self, column: pa.ChunkedArray) -> pd.Series:
        return pd.Series(pd.arrays.ArrowExtensionArray(column))

    def has(self, arrow_type: pa.DataType, nulls: bool) -> bool:
        return not pa.types.is_dictionary(arrow_type)  # of which pandas makes no pseudonyms

    def lost(self, column: pd.Series) -> pd.Series:
        array = FrameContract.lost(self, pa.chunked_array(pa.array(column.array)))
        return pd.Series(pd.arrays.ArrowExtensionArray(array))


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.none() | values, min_size=12, max_size=12)


TYPES = {
    pa.string(): st.text(max_size=12) | st.from_regex(r"[0-9]{9}", fullmatch=True),
    pa.large_string(): st.text("aB9é山-", max_size=12),
    pa.int16(): st.integers(-(1 << 15), (1 << 15) - 1),
    pa.uint64(): st.integers(0, (1 << 64) - 1),
    pa.int64(): st.integers(1 - (1 << 63), (1 << 63) - 1),
    pa.float64(): st.integers(-(1 << 53) + 1, (1 << 53) - 1).map(float),
    pa.decimal128(15, 3): st.decimals(-(10**11), 10**11, places=3),
    pa.date32(): st.dates(),
    pa.timestamp("us"): st.datetimes(),
    pa.timestamp("ns", "UTC"): st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)),
}


@given(
    columns=st.lists(
        st.sampled_from(sorted(TYPES, key=str)).flatmap(
            lambda kind: optional(TYPES[kind]).map(lambda values: pa.array(values, kind))
        ),
        min_size=1,
        max_size=5,
    ),
    cuts=st.lists(st.integers(0, 12), max_size=3).map(sorted),
    strategy=st.sampled_from(["fpe", "token", "hash", "mask"]),
)
def test_any_table_has_the_same_pseudonyms_in_arrow_and_in_pandas(
    columns: list[pa.Array], cuts: list[int], strategy: str
) -> None:
    whole = pa.table(columns, names=[f"c{place}" for place in range(len(columns))])
    bounds = [0, *cuts, 12]
    pieces = [whole.slice(first, last - first) for first, last in pairwise(bounds)]
    table = pa.concat_tables(pieces)
    manager = shared_manager()
    arguments = {"strategy": strategy, "small_domain": "token", "on_invalid": "token"}
    arguments |= {"sensitive_columns": table.column_names, "key_manager": manager}
    contract = TestPandasArrow()
    expected, document = contract.hidden(table, **arguments)
    made = anonymize(table, **arguments)
    assert not differing(made, expected)
    if strategy in ("fpe", "token"):
        assert not differing(reidentify(made, document, key_manager=manager), whole)
        moved = contract.make(made)
        back = reidentify(moved, json.loads(made.schema.metadata[b"secureml"]), key_manager=manager)
        assert not differing(contract.read(back), whole)

"""Results hold no trace of what was replaced, in any byte of them."""

from __future__ import annotations

import base64
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from secureml.files import anonymize_file, manifest_of, reidentify_file

N = 300
SSNS = [f"{100 + n}-{10 + n % 90}-{1000 + n}" for n in range(N)]
ACCOUNTS = [7_310_000_000 + 12_345 * n for n in range(N)]
UNUSED = "999-88-7777"
UNDER_NULL = "888-77-6666"
NOTED = "777-66-5555"
KINDS = [".parquet", ".feather", ".arrows"]


def masked(values: list[str]) -> pa.Array:
    """Return strings of which the first is null, with a value beneath it."""
    array = pa.array([UNDER_NULL, *values[1:]])
    validity = pa.array([False] + [True] * (len(values) - 1)).buffers()[1]
    return pa.Array.from_buffers(pa.string(), len(values), [validity, *array.buffers()[1:]])


@pytest.fixture
def table() -> pa.Table:
    """A table of pandas, with values in every place that metadata have for them."""
    frame = pd.DataFrame(
        {
            "ssn": pd.Categorical(SSNS, categories=[*SSNS, UNUSED]),
            "account": ACCOUNTS,
            "kept": np.arange(N),
        },
        index=pd.Index(SSNS[::-1], name="owner"),
    )
    frame.attrs = {"example": NOTED}
    made = pa.Table.from_pandas(frame).append_column("text", masked(SSNS))
    about = {"min": SSNS[0], "_PL_ENUM_VALUES2": NOTED, "PARQUET:field_id": "7"}
    fields = [
        field.with_metadata({"unit": "m"} if field.name == "kept" else about)
        for field in made.schema
    ]
    geo = {
        "version": "1.1.0",
        "primary_column": "kept",
        "columns": {"text": {"bbox": [NOTED]}, "kept": {"encoding": "WKB"}},
    }
    metadata = {
        **made.schema.metadata,
        b"PANDAS_ATTRS": json.dumps(frame.attrs).encode(),
        b"statistics": f"min={SSNS[0]}".encode(),
        b"org.apache.spark.sql.parquet.row.metadata": json.dumps({"vals": SSNS}).encode(),
        b"org.apache.spark.version": b"4.3",
        b"geo": json.dumps(geo).encode(),
    }
    return made.cast(pa.schema(fields, metadata))


def written(table: pa.Table, path, compression=None):
    if path.suffix == ".parquet":
        parquet.write_table(
            table,
            path,
            compression=compression or "none",
            row_group_size=100,
            write_page_index=True,
            **bloom_filters(table),
        )
    elif path.suffix == ".feather":
        feather.write_feather(table, path, compression=compression or "uncompressed")
    else:
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.ipc.new_stream(path, table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=70)
    return path


def bloom_filters(table: pa.Table) -> dict:
    """Return options that make them, if pyarrow can."""
    filters = {"bloom_filter_options": {"text": True, "owner": True}}
    try:
        parquet.ParquetWriter(pa.BufferOutputStream(), table.schema, **filters).close()
    except TypeError:
        return {}
    return filters


def read(path) -> pa.Table:
    if path.suffix == ".parquet":
        return parquet.read_table(path)
    opened = pa.ipc.open_file if path.suffix == ".feather" else pa.ipc.open_stream
    return opened(path.read_bytes()).read_all()


def texts_in(path) -> bytes:
    """Return all bytes of a file, and the schema that Parquet keeps in base64."""
    content = path.read_bytes()
    if path.suffix == ".parquet":
        content += base64.b64decode(parquet.read_metadata(path).metadata[b"ARROW:schema"])
    return content


def originals_in(path) -> list[object]:
    content = texts_in(path)
    texts = [text for text in (*SSNS, UNUSED, UNDER_NULL, NOTED) if text.encode() in content]
    return texts + [n for n in ACCOUNTS if n.to_bytes(8, "little") in content]


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("kind", KINDS)
def test_no_byte_of_a_result_is_of_an_original_value(table, tmp_path, manager, kind):
    path, hidden = written(table, tmp_path / f"a{kind}"), tmp_path / f"h{kind}"
    assert set(originals_in(path)) >= {*SSNS, UNUSED, NOTED, *ACCOUNTS}
    columns = ["ssn", "account", "owner", "text"]
    anonymize_file(path, hidden, columns, key_manager=manager)
    assert originals_in(hidden) == []
    made = read(hidden)
    assert made["kept"].to_pylist() == table["kept"].to_pylist()
    assert made["text"].null_count == 1
    metadata = made.schema.metadata
    assert metadata[b"org.apache.spark.version"] == b"4.3"
    geo = {"version": "1.1.0", "primary_column": "kept", "columns": {"kept": {"encoding": "WKB"}}}
    assert json.loads(metadata[b"geo"]) == geo
    assert [each["name"] for each in json.loads(metadata[b"pandas"])["columns"]] == [
        "ssn",
        "account",
        "kept",
        "owner",
    ]
    about = {field.name: field.metadata for field in made.schema}
    assert about["kept"] == table.schema.field("kept").metadata
    assert about["ssn"] == {b"PARQUET:field_id": b"7"}
    back = tmp_path / f"b{kind}"
    reidentify_file(hidden, back, key_manager=manager)
    for name in columns:
        recovered = read(back)[name].to_pylist()
        assert recovered == table[name].to_pylist(), name
    assert manifest_of(hidden)["columns"].keys() == set(columns)


@pytest.mark.parametrize("kind", KINDS)
def test_metadata_that_are_named_stay(table, tmp_path, manager, kind):
    path, hidden = written(table, tmp_path / f"a{kind}"), tmp_path / f"h{kind}"
    kept = ["statistics", "PANDAS_ATTRS", "pandas"]
    anonymize_file(path, hidden, ["account"], keep_metadata=kept, key_manager=manager)
    metadata = read(hidden).schema.metadata
    assert metadata[b"statistics"] == table.schema.metadata[b"statistics"]
    assert json.loads(metadata[b"pandas"])["attributes"]["example"] == NOTED
    assert b"org.apache.spark.sql.parquet.row.metadata" not in metadata


def test_metadata_beside_a_schema_of_arrow_are_read(tmp_path, manager):
    path, hidden = tmp_path / "a.parquet", tmp_path / "h.parquet"
    table = pa.table({"ssn": SSNS})
    with parquet.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"note": "mine"})
    anonymize_file(path, hidden, ["ssn"], keep_metadata=["note"], key_manager=manager)
    assert parquet.read_schema(hidden).metadata[b"note"] == b"mine"


@pytest.mark.parametrize("kind", KINDS)
def test_columns_that_stay_keep_their_fields(tmp_path, manager, kind):
    fields = [
        pa.field("ssn", pa.string(), nullable=False),
        pa.field("n", pa.int32(), nullable=False, metadata={"PARQUET:field_id": "4", "unit": "m"}),
        pa.field("view", pa.string_view()),
        pa.field("lists", pa.list_(pa.field("item", pa.int8(), nullable=False))),
    ]
    columns = [SSNS, range(N), ["x" * 20] * N, [[1, 2], None] * (N // 2)]
    arrays = [pa.array(each, field.type) for each, field in zip(columns, fields, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    if kind == ".parquet" and int(pa.__version__.partition(".")[0]) < 20:
        table = table.drop_columns("view")  # which these versions do not write
    path, hidden = written(table, tmp_path / f"a{kind}"), tmp_path / f"h{kind}"
    before = read(path)
    anonymize_file(path, hidden, ["ssn"], key_manager=manager)
    made = read(hidden)
    for field in before.schema:
        if field.name != "ssn":
            assert made.schema.field(field.name).equals(field, check_metadata=True)
            assert made[field.name].equals(before[field.name])

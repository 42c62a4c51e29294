"""Parquet files there and back: types, metadata, and the manifest in the file itself."""

from __future__ import annotations

import datetime
import decimal
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from secureml import anonymize, reidentify
from secureml.errors import ManifestError, PseudonymizationError
from secureml.files import anonymize_file, manifest_of, preview_file, reidentify_file, rekey_file
from secureml.files.base import CHUNK_BYTES
from secureml.files.kinds import open_table

N = 400
DAY = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)


@pytest.fixture
def table() -> pa.Table:
    """One column of each kind that Parquet keeps."""
    return pa.table(
        {
            "ssn": pa.array([f"{100 + n}-{10 + n % 90}-{1000 + n}" for n in range(N)]),
            "large": pa.array(
                [None if n % 9 == 0 else f"Nr {n:08}" for n in range(N)], pa.large_string()
            ),
            "kind": pa.array([f"kind {n % 7:07}" for n in range(N)]).dictionary_encode(),
            "account": pa.array([10_000_000 + n for n in range(N)], pa.int64()),
            "small": pa.array([None if n % 5 else 10_000_000 + n for n in range(N)], pa.uint32()),
            "when": pa.array([DAY + datetime.timedelta(hours=n) for n in range(N)]),
            "price": pa.array([decimal.Decimal(n) / 4 for n in range(N)], pa.decimal128(10, 2)),
            "list": pa.array([[n, n + 1] for n in range(N)]),
            "float": pa.array([None if n % 3 else n / 7 for n in range(N)]),
            "number": pa.array([None if n % 3 else 10_000_000.0 + n for n in range(N)]),
            "seconds": pa.array([datetime.timedelta(seconds=n) for n in range(N)]),
        },
        metadata={"owner": "sales"},
    )


SENSITIVE = ["ssn", "large", "kind", "account", "small", "number"]


@pytest.mark.usefixtures("small_chunks")
def test_a_parquet_table_is_recovered_with_its_types_and_metadata(table, sheet, tmp_path, manager):
    path, hidden, again = sheet(table), tmp_path / "h.parquet", tmp_path / "r.parquet"
    written = anonymize_file(path, hidden, SENSITIVE, keep_metadata=["owner"], key_manager=manager)
    assert written.rows == N
    assert written.manifest_path is None
    made = parquet.read_table(hidden)
    assert made.schema.remove_metadata() == table.schema.remove_metadata()
    assert made.schema.metadata[b"owner"] == b"sales"
    for name in table.column_names:
        same = made[name].to_pylist() == table[name].to_pylist()
        assert same == (name not in SENSITIVE), name
        assert made[name].null_count == table[name].null_count
    reidentify_file(hidden, again, key_manager=manager)
    back = parquet.read_table(again)
    assert back.equals(table)
    assert back.schema.metadata == {b"owner": b"sales"}


@pytest.mark.usefixtures("small_chunks")
def test_pandas_finds_the_manifest_in_the_file_and_files_that_of_pandas(
    table, sheet, tmp_path, manager
):
    path, hidden, again = sheet(table), tmp_path / "h.parquet", tmp_path / "r.parquet"
    anonymize_file(path, hidden, ["ssn", "large"], key_manager=manager)
    frame = pd.read_parquet(hidden)
    assert frame.attrs["secureml"] == manifest_of(hidden)
    recovered = reidentify(frame, key_manager=manager)
    assert recovered["ssn"].tolist() == table["ssn"].to_pylist()

    plain = pd.DataFrame(
        {
            "n": np.arange(10_000_000, 10_000_300),
            "c": pd.Categorical([f"c {n % 5:08}" for n in range(300)]),
            "when": pd.date_range("2026-01-01", periods=300, tz="Europe/Berlin"),
        }
    )
    plain.attrs["note"] = "mine"
    anonymize(plain, sensitive_columns=["n", "c"], key_manager=manager).to_parquet(hidden)
    reidentify_file(hidden, again, key_manager=manager)
    back = pd.read_parquet(again)
    pd.testing.assert_frame_equal(back, plain)
    assert back.attrs == {"note": "mine"}


def test_dictionaries_are_in_the_order_of_their_pseudonyms(sheet, tmp_path, manager):
    kinds = [f"Country {number:02}" for number in range(40)]
    codes = pa.array([number * 7 % 37 for number in range(300)], pa.int8())
    path = sheet({"c": pa.DictionaryArray.from_arrays(codes, pa.array(kinds))})
    hidden, again = tmp_path / "h.parquet", tmp_path / "r.parquet"
    anonymize_file(path, hidden, ["c"], strategy="token", key_manager=manager)
    column = parquet.read_table(hidden)["c"]
    assert column.chunk(0).dictionary.to_pylist() == sorted(set(column.to_pylist()))
    reidentify_file(hidden, again, key_manager=manager)
    assert parquet.read_table(again)["c"].to_pylist() == parquet.read_table(path)["c"].to_pylist()


@pytest.mark.parametrize("work", [anonymize_file, preview_file])
def test_an_index_of_pandas_named_as_a_sensitive_column_is_refused(tmp_path, manager, work):
    frame = pd.DataFrame({"ssn": ["219-09-9999", "078-05-1120"], "n": [1, 2]})
    path, hidden = tmp_path / "a.parquet", tmp_path / "h.parquet"
    frame.set_index("ssn", drop=False).to_parquet(path)
    assert parquet.read_schema(path).names == ["ssn", "n", "__index_level_0__"]
    arguments = (path, hidden) if work is anonymize_file else (path,)
    with pytest.raises(PseudonymizationError, match="index of the table is named 'ssn'"):
        work(*arguments, sensitive_columns=["ssn"], key_manager=manager)
    assert not hidden.exists()


def test_an_ordered_dictionary_is_refused(sheet, tmp_path, manager):
    kinds = pa.DictionaryArray.from_arrays([1, 0], ["Low-Income", "High-Income"], ordered=True)
    path, hidden = sheet({"c": kinds}), tmp_path / "h.parquet"
    with pytest.raises(PseudonymizationError, match="it is an ordered categorical"):
        anonymize_file(path, hidden, ["c"], key_manager=manager)
    anonymize_file(path, hidden, ["c"], on_ordered="keep", key_manager=manager)
    column = parquet.read_table(hidden)["c"].chunk(0)
    assert column.type.ordered
    assert column.indices.to_pylist() == [1, 0]


@pytest.mark.usefixtures("small_chunks")
def test_tokens_of_a_column_of_numbers_are_recovered_as_numbers(sheet, tmp_path, manager):
    plain = pd.DataFrame({"n": pd.array([7, None, 10_000_000] * 100, "Int32")})
    path, hidden, again = tmp_path / "a.parquet", tmp_path / "h.parquet", tmp_path / "r.parquet"
    plain.to_parquet(path)
    anonymize_file(path, hidden, ["n"], small_domain="token", key_manager=manager)
    assert parquet.read_schema(hidden).field("n").type in (pa.string(), pa.large_string())
    assert len(pd.read_parquet(hidden)) == 300
    reidentify_file(hidden, again, key_manager=manager)
    assert parquet.read_table(again).equals(parquet.read_table(path))


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("dtype", ["Int64", "UInt64", "int64[pyarrow]", "int64", "datetime64[us]"])
def test_pandas_finds_the_dtypes_that_it_wrote(tmp_path, manager, dtype):
    large = 10**17 + 1  # no floating-point number
    values = [7, large, large + 1 if dtype == "int64" else None] * 100
    plain = pd.DataFrame({"x": pd.array(values, dtype), "y": pd.array([1, None, 3] * 100, "Int8")})
    path, hidden, again = tmp_path / "a.parquet", tmp_path / "h.parquet", tmp_path / "r.parquet"
    plain.to_parquet(path)
    anonymize_file(path, hidden, ["x"], strategy="token", key_manager=manager)
    rekey_file(hidden, to_key="other_key", key_manager=manager)
    made = pd.read_parquet(hidden)
    assert pd.api.types.infer_dtype(made["x"]) == "string"
    pd.testing.assert_series_equal(made["y"], plain["y"])
    reidentify_file(hidden, again, key_manager=manager)
    pd.testing.assert_frame_equal(pd.read_parquet(again), plain)
    before, after = (parquet.read_schema(one).pandas_metadata for one in (path, again))
    attributes = {"attributes": {}}  # which pyarrow 18 writes, and which may hold anything
    assert {**before, **attributes} == {**after, **attributes}


@pytest.mark.usefixtures("small_chunks")
def test_a_file_that_pandas_wrote_gets_the_dtypes_of_the_manifest(tmp_path, manager):
    plain = pd.DataFrame({"x": pd.array([7, 10**17 + 1, None] * 100, "Int64")})
    hidden, again = tmp_path / "h.parquet", tmp_path / "r.parquet"
    made = anonymize(plain, sensitive_columns=["x"], small_domain="token", key_manager=manager)
    made.to_parquet(hidden)
    rekey_file(hidden, to_key="other_key", key_manager=manager)
    reidentify_file(hidden, again, key_manager=manager)
    pd.testing.assert_frame_equal(pd.read_parquet(again), plain)


@pytest.mark.parametrize(
    "said",
    [
        "no JSON",
        "[]",
        '{"columns": 5, "secureml_columns": 5}',
        '{"columns": [5], "secureml_columns": [5]}',
        '{"columns": [{}], "secureml_columns": [{}, {"arrow_type": "int64"}]}',
    ],
)
def test_a_file_may_say_anything_in_the_place_of_dtypes(tmp_path, manager, said):
    path, hidden, again = tmp_path / "a.parquet", tmp_path / "h.parquet", tmp_path / "r.parquet"
    table = pa.table({"x": [123_456_789, 987_654_321]}).replace_schema_metadata({"pandas": said})
    parquet.write_table(table, path)
    anonymize_file(path, hidden, ["x"], strategy="token", key_manager=manager)
    reidentify_file(hidden, again, key_manager=manager)
    assert parquet.read_table(again).equals(table)


def test_an_empty_parquet_table_is_recovered_and_a_column_of_lists_is_refused(
    sheet, tmp_path, manager
):
    empty = sheet({"a": pa.array([], pa.string()), "b": pa.array([], pa.int8())})
    hidden, again = tmp_path / "h.parquet", tmp_path / "r.parquet"
    assert anonymize_file(empty, hidden, ["a", "b"], key_manager=manager).rows == 0
    reidentify_file(hidden, again, key_manager=manager)
    assert parquet.read_table(again).equals(parquet.read_table(empty))
    with pytest.raises(PseudonymizationError, match=r"'a' is no column .* name 'a\[\]'"):
        anonymize_file(sheet({"a": [[1, 2]]}), tmp_path / "x.parquet", ["a"], key_manager=manager)


def test_a_parquet_file_without_a_manifest_takes_one_that_is_given(sheet, tmp_path, manager):
    path = sheet({"a": ["123456789"]})
    with pytest.raises(ManifestError, match="holds no manifest"):
        reidentify_file(path, tmp_path / "r.parquet", key_manager=manager)
    hidden = tmp_path / "h.parquet"
    document = anonymize_file(path, hidden, ["a"], key_manager=manager).manifest
    bare = sheet(parquet.read_table(hidden).replace_schema_metadata(None), "bare.parquet")
    manifest = tmp_path / "m.json"
    manifest.write_text(json.dumps(document))
    for given in (manifest, document):
        reidentify_file(
            bare, tmp_path / "r.parquet", manifest=given, force=True, key_manager=manager
        )
        assert parquet.read_table(tmp_path / "r.parquet")["a"].to_pylist() == ["123456789"]


@pytest.mark.usefixtures("small_chunks")
def test_rekey_replaces_a_parquet_file_and_keeps_its_schema(table, sheet, tmp_path, manager):
    path, hidden, again = sheet(table), tmp_path / "h.parquet", tmp_path / "r.parquet"
    anonymize_file(path, hidden, SENSITIVE, key_manager=manager)
    before = parquet.read_table(hidden)
    written = rekey_file(hidden, to_key="other_key", key_manager=manager)
    assert (written.rows, written.manifest["key"]["name"]) == (N, "other_key")
    after = parquet.read_table(hidden)
    assert after.schema.remove_metadata() == before.schema.remove_metadata()
    assert after["ssn"] != before["ssn"]
    reidentify_file(hidden, again, key_manager=manager)
    assert parquet.read_table(again).equals(table)
    assert not list(tmp_path.glob("*.rekey"))


@pytest.mark.parametrize("codec", ["NONE", "GZIP", "ZSTD"])
def test_the_compression_of_a_parquet_file_is_kept(tmp_path, manager, codec):
    path, hidden = tmp_path / "a.parquet", tmp_path / "h.parquet"
    parquet.write_table(pa.table({"a": ["123456789"]}), path, compression=codec)
    anonymize_file(path, hidden, ["a"], key_manager=manager)
    about = parquet.ParquetFile(hidden).metadata.row_group(0).column(0)
    assert about.compression == ("UNCOMPRESSED" if codec == "NONE" else codec)


@pytest.mark.parametrize("groups", [1, 4])
def test_the_memory_for_a_parquet_file_does_not_grow_with_it(sheet, groups):
    rows = 300_000
    octets = np.random.default_rng(1).integers(0, 256, (rows, 40), dtype=np.uint8)
    path = sheet({"a": []})
    column = pa.table({"a": [bytes(row).hex() for row in octets]})
    parquet.write_table(column, path, row_group_size=rows // groups)
    del column
    assert path.stat().st_size > 20 << 20
    before = pa.total_allocated_bytes()
    held = max(pa.total_allocated_bytes() - before for _ in open_table(path).chunks())
    assert held < 3 * CHUNK_BYTES


@pytest.mark.parametrize("codec", [63, 3, 8])  # none that is known, LZO, none that is known
def test_a_codec_that_can_not_be_read_is_an_error_that_names_the_file(sheet, codec):
    path = sheet({"ssn": ["123-45-6789"] * 30})
    content = path.read_bytes()
    place = content.rindex(b"\x15\x02\x16")  # in a column's metadata: SNAPPY, then the next field
    path.write_bytes(content[: place + 1] + bytes([2 * codec]) + content[place + 2 :])
    program = """
import sys
from secureml.errors import PseudonymizationError
from secureml.files.kinds import open_table
try:
    open_table(sys.argv[1])
except PseudonymizationError as error:
    print(error)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert str(path) in ran.stdout


@pytest.mark.parametrize(
    "kept",
    [
        {b"PANDAS_ATTRS": b"[" * 100_000},
        {b"PANDAS_ATTRS": b'{"secureml":' + b"[" * 100_000},
        {b"pandas": b'{"columns": [{"field_name": []}, {"field_name": {}}, 1, {}]}'},
    ],
)
def test_odd_metadata_of_pandas_is_no_obstacle(sheet, tmp_path, manager, kept):
    table = pa.table({"ssn": ["123-45-6789"]}).replace_schema_metadata(kept)
    hidden = tmp_path / "hidden.parquet"
    anonymize_file(sheet(table), hidden, ["ssn"], key_manager=manager)
    reidentify_file(hidden, tmp_path / "back.parquet", key_manager=manager)
    assert parquet.read_table(tmp_path / "back.parquet")["ssn"].to_pylist() == ["123-45-6789"]


@pytest.mark.parametrize("dtype", ["object", "category", "Int64"])
def test_a_column_of_nulls_alone_keeps_no_other_from_being_recovered(
    sheet, tmp_path, manager, dtype
):
    """Parquet has a type for nulls alone, which becomes of objects and categories."""
    people = pd.DataFrame(
        {"ssn": ["123-45-6789"], "x": pd.Series([None], dtype=object).astype(dtype)}
    )
    hidden = anonymize(
        people, sensitive_columns=["ssn", "x"], small_domain="permute", key_manager=manager
    )
    document = hidden.attrs["secureml"]
    nothing = pa.table({"ssn": hidden["ssn"].tolist(), "x": pa.nulls(1)})
    path, back = sheet(nothing), tmp_path / "back.parquet"
    reidentify_file(path, back, manifest=document, key_manager=manager)
    assert parquet.read_table(back).to_pylist() == [{"ssn": "123-45-6789", "x": None}]


def test_a_column_of_nulls_alone_is_pseudonymized_and_recovered(sheet, tmp_path, manager):
    plain = pa.table({"ssn": ["123-45-6789"], "x": pa.nulls(1)})
    hidden, back = tmp_path / "hidden.parquet", tmp_path / "back.parquet"
    anonymize_file(sheet(plain), hidden, ["ssn", "x"], key_manager=manager)
    reidentify_file(hidden, back, key_manager=manager)
    assert parquet.read_table(back).equals(plain)


def test_columns_that_stay_are_never_converted(sheet, tmp_path, manager):
    """They may hold what pandas can't."""
    broken = pa.array([b"\xff\xfe", b"x"]).view(pa.string())
    plain = pa.table({"broken": broken, "ssn": ["123-45-6789", "219-09-9999"]})
    hidden, back = tmp_path / "hidden.parquet", tmp_path / "back.parquet"
    anonymize_file(sheet(plain), hidden, ["ssn"], key_manager=manager)
    rekey_file(hidden, to_key="other_key", key_manager=manager)
    reidentify_file(hidden, back, key_manager=manager)
    again = parquet.read_table(back)
    assert again["broken"].cast(pa.binary()).to_pylist() == [b"\xff\xfe", b"x"]
    assert again["ssn"].to_pylist() == ["123-45-6789", "219-09-9999"]


def test_fields_that_stay_keep_what_the_schema_says_of_them(tmp_path, manager):
    fields = [
        pa.field("n", pa.int64(), nullable=False, metadata={"unit": "years"}),
        pa.field("ssn", pa.string()),
    ]
    path, hidden = tmp_path / "a.parquet", tmp_path / "h.parquet"
    parquet.write_table(pa.table({"n": [1], "ssn": ["123-45-6789"]}, pa.schema(fields)), path)
    anonymize_file(path, hidden, ["ssn"], key_manager=manager)
    field = parquet.read_schema(hidden).field("n")
    assert not field.nullable
    assert field.metadata[b"unit"] == b"years"


@pytest.mark.usefixtures("small_chunks")
def test_a_wide_table_has_few_row_groups(sheet, tmp_path, manager):
    columns = {f"c{number}": pa.array(range(300)) for number in range(300)}
    ssns = [f"{n}-12-3456" for n in range(100, 400)]
    path, hidden = sheet(columns | {"ssn": ssns}), tmp_path / "hidden.parquet"
    anonymize_file(path, hidden, ["ssn"], key_manager=manager)
    assert parquet.read_metadata(hidden).num_row_groups == 1

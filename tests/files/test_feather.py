"""Feather files and Arrow streams there and back, with the manifest in their schema."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from secureml.errors import PseudonymizationError
from secureml.files import (
    anonymize_file,
    key_usage,
    manifest_of,
    preview_file,
    reidentify_file,
    rekey_file,
)

N = 400
SSNS = [None if n % 50 == 1 else f"{100 + n}-{10 + n % 90}-{1000 + n}" for n in range(N)]


@pytest.fixture
def table() -> pa.Table:
    kinds = pa.array([f"kind {n % 7:07}" for n in range(N)])
    return pa.table(
        {
            "ssn": SSNS,
            "kind": kinds.dictionary_encode(),
            "other": kinds.dictionary_encode(),
            "lists": pa.array([[{"a": 1}], None] * (N // 2)),
            "words": pa.ListArray.from_arrays(
                pa.array(range(N + 1), pa.int32()), kinds.dictionary_encode()
            ),
            "view": pa.array([f"{n:030}" for n in range(N)], pa.string_view()),
            "moment": pa.array(range(N), pa.timestamp("ns", "Europe/Berlin")),
            "months": pa.array([pa.MonthDayNano([1, 2, n]) for n in range(N)]),
            "nulls": pa.nulls(N),
        }
    )


def write(table: pa.Table, path, compression=None, rows=90):
    options = pa.ipc.IpcWriteOptions(compression=compression, unify_dictionaries=True)
    new = pa.ipc.new_stream if path.suffix == ".arrows" else pa.ipc.new_file
    with new(path, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=rows)
    return path


def read(path) -> pa.Table:
    opened = pa.ipc.open_stream if path.suffix == ".arrows" else pa.ipc.open_file
    return opened(path.read_bytes()).read_all()


def codecs_in(path) -> set[str]:
    """Return which magic bytes of compressed buffers are in a file."""
    content = path.read_bytes()
    marks = {"lz4": b"\x04\x22\x4d\x18", "zstd": b"\x28\xb5\x2f\xfd"}
    return {name for name, mark in marks.items() if mark in content}


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("kind", [".feather", ".arrows"])
def test_a_table_is_recovered_with_its_types_and_compression(
    table, tmp_path, manager, kind, compression
):
    path = write(table, tmp_path / f"a{kind}", compression)
    hidden, back = tmp_path / f"h{kind}", tmp_path / f"b{kind}"
    written = anonymize_file(path, hidden, ["ssn", "kind"], key_manager=manager)
    assert (written.rows, written.manifest_path) == (N, None)
    made = read(hidden)
    assert made.schema.remove_metadata() == table.schema
    assert manifest_of(hidden) == written.manifest
    for name in table.column_names:
        same = made[name].to_pylist() == table[name].to_pylist()
        assert same == (name not in ("ssn", "kind")), name
        assert made[name].null_count == table[name].null_count
    assert codecs_in(hidden) == ({compression} if compression else set())
    rekey_file(hidden, to_key="other_key", key_manager=manager)
    assert read(hidden)["ssn"] != made["ssn"]
    assert dict(key_usage(hidden).versions) == {1: N}
    reidentify_file(hidden, back, key_manager=manager)
    recovered = read(back)
    assert recovered.schema == table.schema
    assert not recovered.schema.metadata
    assert recovered["kind"].to_pylist() == table["kind"].to_pylist()
    assert recovered.drop_columns("kind").equals(table.drop_columns("kind"))


@pytest.mark.parametrize("kind", [".feather", ".arrows"])
def test_pseudonyms_are_those_of_parquet(table, tmp_path, manager, kind):
    path, hidden = write(table, tmp_path / f"a{kind}"), tmp_path / f"h{kind}"
    parquet.write_table(table.select(["ssn", "kind"]), tmp_path / "a.parquet")
    anonymize_file(path, hidden, ["ssn", "kind"], key_manager=manager)
    anonymize_file(
        tmp_path / "a.parquet", tmp_path / "h.parquet", ["ssn", "kind"], key_manager=manager
    )
    expected = parquet.read_table(tmp_path / "h.parquet")
    assert read(hidden).select(["ssn", "kind"]).to_pylist() == expected.to_pylist()


@pytest.mark.parametrize("kind", [".feather", ".arrows"])
def test_an_empty_table_is_recovered(table, tmp_path, manager, kind):
    path = write(table.slice(0, 0), tmp_path / f"a{kind}")
    hidden, back = tmp_path / f"h{kind}", tmp_path / f"b{kind}"
    assert anonymize_file(path, hidden, ["ssn"], key_manager=manager).rows == 0
    reidentify_file(hidden, back, key_manager=manager)
    assert read(back).equals(table.slice(0, 0))


def test_pandas_finds_the_manifest_in_the_attributes_of_feather(tmp_path, manager):
    frame = pd.DataFrame({"ssn": SSNS, "n": pd.array(range(N), "Int8" if N < 128 else "Int32")})
    path, hidden, back = (tmp_path / f"{name}.feather" for name in "ahb")
    frame.attrs = {"mine": 1}
    frame.to_feather(path)
    if pd.read_feather(path).attrs != frame.attrs:
        pytest.skip("these versions of pandas and pyarrow restore no attributes of Feather")
    frame.attrs = {}
    frame.to_feather(path)
    anonymize_file(path, hidden, ["ssn"], key_manager=manager)
    assert pd.read_feather(hidden).attrs["secureml"] == manifest_of(hidden)
    reidentify_file(hidden, back, key_manager=manager)
    pd.testing.assert_frame_equal(pd.read_feather(back), frame)
    assert pd.read_feather(back).attrs == {}


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("deltas", [True, False])
def test_dictionaries_that_grow_or_change_are_read(tmp_path, manager, deltas):
    path, hidden, back = (tmp_path / f"{name}.arrows" for name in "ahb")
    names = [f"Name {n:06}" for n in range(60)]
    schema = pa.schema([(name, pa.dictionary(pa.int8(), pa.string())) for name in ("a", "b")])
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=deltas)
    with pa.ipc.new_stream(path, schema, options=options) as writer:
        for end in (20, 40, 60):
            known = pa.array(names[:end] if deltas else names[end - 20 : end])
            codes = pa.array(range(len(known)), pa.int8())
            column = pa.DictionaryArray.from_arrays(codes, known)
            writer.write_batch(pa.record_batch([column, column], schema=schema))
    anonymize_file(path, hidden, ["a"], key_manager=manager)
    assert read(hidden)["b"].to_pylist() == read(path)["b"].to_pylist()
    reidentify_file(hidden, back, key_manager=manager)
    assert read(back).to_pylist() == read(path).to_pylist()


def test_a_file_of_several_batches_has_one_dictionary(table, tmp_path, manager):
    path, hidden = write(table, tmp_path / "a.feather"), tmp_path / "h.feather"
    anonymize_file(path, hidden, ["kind"], key_manager=manager)
    assert len({chunk.dictionary.to_pylist()[0] for chunk in read(hidden)["kind"].chunks}) == 1
    assert len(pd.read_feather(hidden)) == N


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("work", [anonymize_file, preview_file])
@pytest.mark.parametrize("kind", [".feather", ".arrows"])
def test_a_file_that_was_cut_off_anywhere_is_refused(tmp_path, manager, kind, work):
    few = pa.table({"ssn": SSNS[:20], "n": range(20)})
    whole = write(few, tmp_path / f"a{kind}", rows=7).read_bytes()
    hidden, path = tmp_path / f"h{kind}", tmp_path / f"cut{kind}"
    arguments = (path, hidden, ["ssn"]) if work is anonymize_file else (path, ["ssn"])
    for size in range(8, len(whole), 8):
        path.write_bytes(whole[:size])
        with pytest.raises(PseudonymizationError, match="is not a whole Feather file") as caught:
            work(*arguments, key_manager=manager)
        assert caught.value.__context__ is None
        assert not hidden.exists()
    path.write_bytes(whole + whole)
    if kind == ".arrows":
        with pytest.raises(PseudonymizationError, match="is not a whole Feather file"):
            anonymize_file(path, hidden, ["ssn"], key_manager=manager)


def test_values_out_of_their_bounds_are_refused(tmp_path, manager):
    path = write(pa.table({"ssn": ["123-45-6789"] * 3}), tmp_path / "a.feather")
    content = path.read_bytes()
    ends = b"".join((11 * n).to_bytes(4, "little") for n in range(4))
    assert content.count(ends) == 1
    path.write_bytes(content.replace(ends, ends[:-4] + (1 << 30).to_bytes(4, "little")))
    with pytest.raises(PseudonymizationError, match="is not a whole Feather file"):
        anonymize_file(path, tmp_path / "h.feather", ["ssn"], key_manager=manager)


def test_the_first_version_of_feather_is_refused(tmp_path, manager):
    path = tmp_path / "a.feather"
    path.write_bytes(b"FEA1\0\0\0\0" + b"123-45-6789" + b"\0FEA1")
    with pytest.raises(PseudonymizationError, match="Feather file of the first version"):
        anonymize_file(path, tmp_path / "h.feather", ["ssn"], key_manager=manager)

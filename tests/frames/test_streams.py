"""What comes in batches: Arrow readers, datasets and C streams, and Polars LazyFrames."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adbc_driver_sqlite.dbapi
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from secureml import anonymize, preview, reidentify, rekey
from secureml.errors import (
    InvalidValueError,
    PseudonymizationError,
    SecretNotFoundError,
    UncheckedTableWarning,
)
from secureml.key_management import KeyManager, configure_default_key_manager
from secureml.keys import Key
from secureml.stores import MemoryStore

ROWS = 300
BATCH = 100
unchecked = pytest.mark.filterwarnings("ignore::secureml.errors.UncheckedTableWarning")


@pytest.fixture(scope="module")
def table() -> pa.Table:
    numbers = range(123_456_789, 123_456_789 + ROWS * 1000, 1000)
    ssns = [f"{n // 10**6}-{n // 10**4 % 100:02}-{n % 10**4:04}" for n in numbers]
    return pa.table(
        {
            "ssn": pa.array([None, *ssns[1:]], pa.string()),
            "id": pa.array([*list(numbers)[:-1], None], pa.int64()),
            "name": pa.array([f"name number {n % 7}" for n in numbers]).dictionary_encode(),
            "rest": [[n] for n in numbers],
        }
    )


class Foreign:
    """What has nothing but a C stream."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def chunked(table: pa.Table) -> pa.Table:
    return pa.Table.from_batches(table.to_batches(max_chunksize=BATCH))


KINDS: dict[str, Callable[[pa.Table], Any]] = {
    "reader": lambda table: table.to_reader(max_chunksize=BATCH),
    "dataset": lambda table: ds.dataset(chunked(table)),
    "C stream": lambda table: Foreign(chunked(table)),
    "LazyFrame": lambda table: pl.from_arrow(table).lazy(),
}


def read(stream: Any) -> pa.Table:
    return stream.collect().to_arrow() if isinstance(stream, pl.LazyFrame) else stream.read_all()


@pytest.mark.parametrize("kind", KINDS)
@unchecked
def test_a_stream_gives_what_the_whole_table_does(manager, table, kind) -> None:
    arguments: dict[str, Any] = {
        "sensitive_columns": ["ssn", "id", "name"],
        "key_manager": manager,
    }
    whole = anonymize(table, **arguments)
    stream, manifest = anonymize(KINDS[kind](table), return_manifest=True, **arguments)
    assert isinstance(stream, pl.LazyFrame if kind == "LazyFrame" else pa.RecordBatchReader)
    made = read(stream)
    assert made.to_pydict() == whole.to_pydict()
    assert "rows" not in manifest["columns"]["ssn"]
    again = reidentify(KINDS[kind](made), manifest, key_manager=manager)
    assert read(again).to_pydict() == table.to_pydict()
    moved, new = rekey(
        KINDS[kind](made), "other_key", manifest, return_manifest=True, key_manager=manager
    )
    under_new = read(moved)
    assert under_new["ssn"].to_pylist()[1] != made["ssn"].to_pylist()[1]
    assert new["key"]["name"] == "other_key"
    again = reidentify(KINDS[kind](under_new), new, key_manager=manager)
    assert read(again).to_pydict() == table.to_pydict()


@unchecked
def test_a_reader_carries_the_manifest_and_keeps_schema_and_batches(manager, table) -> None:
    table = table.replace_schema_metadata({"mine": "kept"})
    reader = anonymize(KINDS["reader"](table), sensitive_columns=["ssn"], key_manager=manager)
    assert reader.schema.names == table.schema.names
    assert reader.schema.types == table.schema.types
    assert reader.schema.metadata[b"mine"] == b"kept"
    assert reader.schema.metadata[b"secureml"]
    assert [len(batch) for batch in reader] == [BATCH] * (ROWS // BATCH)
    reader = anonymize(KINDS["reader"](table), sensitive_columns=["ssn"], key_manager=manager)
    again = reidentify(reader, key_manager=manager)
    assert again.schema.metadata == {b"mine": b"kept"}
    assert again.read_all().equals(table)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_wrong_with_the_plan_is_told_at_the_call(manager, table, kind) -> None:
    for arguments, error in [
        ({"sensitive_columns": ["snn"]}, PseudonymizationError),
        ({"sensitive_columns": ["rest"]}, PseudonymizationError),
        ({"sensitive_columns": ["ssn"], "master_key_name": "none_such"}, SecretNotFoundError),
    ]:
        with pytest.raises(error):
            anonymize(KINDS[kind](table), key_manager=manager, **arguments)


def test_the_key_is_fetched_once(manager, table) -> None:
    asked = []

    class Counting:
        def get_key(self, *arguments: Any, **named: Any) -> Any:
            asked.append(arguments)
            return manager.get_key(*arguments, **named)

        def __getattr__(self, name: str) -> Any:
            return getattr(manager, name)

    reader = anonymize(KINDS["reader"](table), sensitive_columns=["ssn"], key_manager=Counting())
    at_the_call = len(asked)
    assert at_the_call
    reader.read_all()
    assert len(asked) == at_the_call


@pytest.mark.parametrize("strategy", ["fpe", "token"])
@unchecked
def test_no_batch_derives_keys_again(manager, table, monkeypatch, strategy) -> None:
    arguments: dict[str, Any] = {"sensitive_columns": ["ssn", "id"], "key_manager": manager}
    purposes: list[str] = []
    derive = manager.derive_own_key

    def noted(key: Key, purpose: str, size: int) -> bytes:
        purposes.append(purpose)
        return derive(key, purpose, size)

    monkeypatch.setattr(manager, "derive_own_key", noted)
    hidden = table
    for work in (
        lambda reader: anonymize(reader, strategy=strategy, **arguments),
        lambda reader: rekey(reader, "other_key", key_manager=manager),
        lambda reader: reidentify(reader, key_manager=manager),
    ):
        reader = work(KINDS["reader"](hidden))
        batches = [reader.read_next_batch()]
        purposes.clear()
        hidden = pa.Table.from_batches([*batches, *reader])
        assert purposes == []
    assert hidden.to_pydict() == table.to_pydict()


def test_a_wrong_value_is_told_with_its_place_and_ends_the_stream(manager, table) -> None:
    values = table["ssn"].to_pylist()
    values[150] = "secret text"
    wrong = table.set_column(0, "ssn", pa.array(values))
    reader = anonymize(
        KINDS["reader"](wrong),
        sensitive_columns=["ssn"],
        formats={"ssn": "ssn"},
        key_manager=manager,
    )
    assert len(reader.read_next_batch()) == BATCH
    with pytest.raises(
        InvalidValueError, match=r"rows 101 to 200: .*1 row is not .* row 51"
    ) as caught:
        reader.read_next_batch()
    assert caught.value.column == "ssn"
    assert "secret" not in str(caught.value)
    with pytest.raises(StopIteration):
        reader.read_next_batch()


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_a_wrong_value_in_a_lazy_frame_is_our_error(manager, table, engine) -> None:
    frame = pl.LazyFrame({"ssn": ["078-05-1120", "secret text"]})
    hidden = anonymize(
        frame, sensitive_columns=["ssn"], formats={"ssn": "ssn"}, key_manager=manager
    )
    with pytest.raises(InvalidValueError, match=r"in a batch of . rows?: column 'ssn'"):
        hidden.collect(engine=engine)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("small", [True, False])
@unchecked
def test_numbers_that_may_become_tokens_are_text_in_every_batch(manager, kind, small) -> None:
    table = pa.table({"id": [*range(10_000_000, 10_000_200), *([5] * 100 if small else [])]})
    stream, manifest = anonymize(
        KINDS[kind](table),
        sensitive_columns=["id"],
        small_domain="token",
        return_manifest=True,
        key_manager=manager,
    )
    made = read(stream)
    assert made.schema.field("id").type in (pa.large_string(), pa.string())
    again = reidentify(KINDS[kind](made), manifest, key_manager=manager)
    assert read(again).to_pydict() == table.to_pydict()


@unchecked
def test_a_reader_can_be_written_to_every_kind_of_file(manager, table, tmp_path) -> None:
    arguments: dict[str, Any] = {"sensitive_columns": ["ssn", "name"], "key_manager": manager}
    whole = anonymize(table, **arguments)

    def hidden() -> pa.RecordBatchReader:
        return anonymize(KINDS["reader"](table), **arguments)

    ds.write_dataset(hidden(), tmp_path / "folder", format="parquet")
    assert ds.dataset(tmp_path / "folder").to_table().to_pydict() == whole.to_pydict()
    reader = hidden()
    with pq.ParquetWriter(tmp_path / "one.parquet", reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
    read_again = pq.read_table(tmp_path / "one.parquet")
    assert reidentify(read_again, key_manager=manager).to_pydict() == table.to_pydict()
    file = io.BytesIO()
    reader = hidden()
    with pa.ipc.new_stream(file, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
    assert pa.ipc.open_stream(file.getvalue()).read_all().to_pydict() == whole.to_pydict()
    assert duckdb.from_arrow(hidden()).to_arrow_table().to_pydict() == whole.to_pydict()


def test_a_function_of_the_caller_s_is_called_for_every_batch(manager, table) -> None:
    reader = anonymize(
        KINDS["reader"](table),
        strategy=lambda array: pa.compute.utf8_slice_codeunits(array, 0, 3),
        sensitive_columns=["ssn"],
        key_manager=manager,
    )
    assert set(reader.read_all()["ssn"].to_pylist()) == {None, "123"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_function_that_returns_other_types_for_rows_is_refused(manager, table, kind) -> None:
    def changing(column: Any) -> Any:
        cast = column.cast
        if isinstance(column, pl.Series):
            return column.str.len_chars() if len(column) else column
        return pa.compute.utf8_length(column) if len(column) else cast(pa.large_string())

    stream = anonymize(
        KINDS[kind](table), strategy=changing, sensitive_columns=["ssn"], key_manager=manager
    )
    with pytest.raises(PseudonymizationError, match=r"(?i)'ssn' is .*, not .*string"):
        read(stream)


@pytest.mark.parametrize("kind", KINDS)
def test_preview_reads_the_first_rows(manager, table, kind) -> None:
    shown = preview(KINDS[kind](table), 3, sensitive_columns=["ssn"], key_manager=manager)
    assert len(shown.rows) == 3
    assert shown.columns[0].rows == 3


@unchecked
def test_rows_of_several_versions(table) -> None:
    manager = KeyManager(environment="development", store=MemoryStore())
    manager.generate_key("master_key")
    reader, manifest = anonymize(
        KINDS["reader"](table),
        sensitive_columns=["ssn"],
        key_versions=True,
        return_manifest=True,
        key_manager=manager,
    )
    made = reader.read_all()
    assert set(made["ssn__key_version"].to_pylist()) == {1}
    manager.rotate_key("master_key")
    again = reidentify(KINDS["reader"](made), manifest, key_manager=manager)
    assert again.schema.names == table.schema.names
    assert again.read_all().to_pydict() == table.to_pydict()


def test_recovery_of_a_stream_warns_once(manager, table) -> None:
    reader = anonymize(KINDS["reader"](table), sensitive_columns=["ssn"], key_manager=manager)
    with pytest.warns(UncheckedTableWarning) as caught:
        reidentify(reader, key_manager=manager).read_all()
    assert len(caught) == 1


@pytest.mark.parametrize("kind", [pd.DataFrame, pa.table], ids=["pandas", "Arrow"])
def test_categories_that_no_row_has_are_not_refused(manager, kind) -> None:
    ssns = pd.Categorical(["219-09-9999"], categories=["219-09-9999", "no SSN", "x"])
    for format in ("ssn", "class"):
        hidden = anonymize(
            kind({"ssn": ssns}),
            sensitive_columns=["ssn"],
            formats={"ssn": format},
            key_manager=manager,
        )
        assert len(hidden["ssn"]) == 1


def test_the_result_of_an_adbc_cursor_is_a_stream(manager) -> None:
    with adbc_driver_sqlite.dbapi.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT '078-05-1120' AS ssn, 7 AS id")
        reader = anonymize(cursor.fetch_arrow(), sensitive_columns=["ssn"], key_manager=manager)
        assert isinstance(reader, pa.RecordBatchReader)
        made = reader.read_all().to_pydict()
    assert made["id"] == [7]
    assert made["ssn"] != ["078-05-1120"]


class TestLazyFrames:
    @pytest.fixture
    def file(self, table: pa.Table, tmp_path: Path) -> Path:
        path = tmp_path / "table.parquet"
        pl.from_arrow(table).write_parquet(path, row_group_size=BATCH)
        return path

    @pytest.fixture
    def expected(self, manager: KeyManager, file: Path) -> pl.DataFrame:
        return anonymize(pl.read_parquet(file), sensitive_columns=["ssn"], key_manager=manager)

    def test_nothing_is_read_before_it_is_collected(self, manager, file, expected) -> None:
        hidden = anonymize(pl.scan_parquet(file), sensitive_columns=["ssn"], key_manager=manager)
        assert hidden.collect_schema() == expected.schema
        assert "DF" not in hidden.explain()
        assert hidden.collect(engine="streaming").equals(expected)

    def test_sinks_and_batches(self, manager, file, expected, tmp_path) -> None:
        hidden = anonymize(pl.scan_parquet(file), sensitive_columns=["ssn"], key_manager=manager)
        hidden.sink_parquet(tmp_path / "out.parquet")
        assert pl.read_parquet(tmp_path / "out.parquet").equals(expected)
        hidden.drop("rest").sink_csv(tmp_path / "out.csv")
        assert pl.read_csv(tmp_path / "out.csv")["ssn"].equals(expected["ssn"])
        assert pl.concat(hidden.collect_batches()).equals(expected)

    def test_what_is_asked_of_the_result_is_asked_of_pseudonyms(
        self, manager, file, expected
    ) -> None:
        hidden = anonymize(pl.scan_parquet(file), sensitive_columns=["ssn"], key_manager=manager)
        one = expected["ssn"][5]
        assert hidden.filter(pl.col("ssn") == one).select("id").collect().rows() == [
            (expected["id"][5],)
        ]
        assert hidden.select("id").head(3).collect().equals(expected.select("id").head(3))

    def test_the_query_pickles_without_the_key(self, table) -> None:
        manager = configure_default_key_manager(environment="development", store=MemoryStore())
        material = manager.generate_key("master_key")
        assert material
        key = manager.get_encryption_key()
        frame = pl.from_arrow(table).lazy()
        hidden, manifest = anonymize(frame, sensitive_columns=["ssn"], return_manifest=True)
        text = pickle.dumps(hidden)
        assert key not in text
        assert key.hex().encode() not in text
        made = pickle.loads(text).collect()
        assert made.equals(hidden.collect())
        again = pickle.loads(pickle.dumps(reidentify(made.lazy(), manifest, check_table=False)))
        assert again.collect()["ssn"].to_list() == table["ssn"].to_pylist()
        moved = pickle.loads(pickle.dumps(rekey(made.lazy(), manifest=manifest, check_table=False)))
        assert moved.collect().equals(made)


@pytest.mark.parametrize(
    "data",
    [pa.chunked_array([[1]]), pl.Series([1]), pl.LazyFrame({"a": [1]}).lazy],
    ids=["chunks", "series", "method"],
)
def test_columns_are_no_tables(manager, data) -> None:
    with pytest.raises(TypeError, match="must be a table"):
        anonymize(data, sensitive_columns=["a"], key_manager=manager)


def test_pandas_is_not_imported(tmp_path) -> None:
    program = """
import sys
import polars as pl
import pyarrow as pa
from secureml import KeyManager, anonymize, reidentify, rekey
from secureml.stores import MemoryStore
manager = KeyManager(store=MemoryStore(), environment="development")
manager.generate_key("master_key")
manager.generate_key("other_key")
frame = pl.DataFrame({
    "text": ["078-05-1120", None], "id": [1_234_567, None],
    "category": pl.Series(["long enough", None], dtype=pl.Categorical),
})
arguments = dict(sensitive_columns=frame.columns, key_manager=manager)
def reader():
    return pa.RecordBatchReader.from_stream(frame)
def through(given):
    hidden, manifest = anonymize(given, return_manifest=True, **arguments)
    hidden = hidden.collect() if isinstance(hidden, pl.LazyFrame) else hidden.read_all()
    back = reidentify(hidden, manifest, check_table=False, key_manager=manager)
    rekey(hidden, "other_key", manifest, check_table=False, key_manager=manager)
through(reader())
assert "pandas" not in sys.modules
through(frame.lazy())
assert "pandas" not in sys.modules
hidden = anonymize(reader().read_next_batch(), **arguments)
reidentify(hidden, key_manager=manager)
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, cwd=tmp_path)

"""The expressions of Polars."""

from __future__ import annotations

import importlib
import io
import pickle
import sys

import polars as pl
import pyarrow as pa
import pytest

from helpers.frames import KEYS
from helpers.functions import (
    COLUMNS,
    REVERSIBLE,
    default_manager_of_rules,
    manager_of_rules,
    rotate,
    store_of,
)
from secureml import anonymize
from secureml.engines.functions import Functions
from secureml.errors import (
    ArgumentError,
    InvalidValueError,
    ManifestError,
    MissingExtraError,
    PseudonymizationError,
    WrongKeyError,
)
from secureml.polars import pinned

FRAME = pl.DataFrame(
    {"ssn": ["123-45-6789", None, "219-09-9999", "078-05-1120"], "group": [1, 2, 1, 2]}
)


@pytest.fixture
def functions() -> Functions:
    return pinned(key_manager=manager_of_rules())


def frame_of(name: str) -> tuple[str, pl.DataFrame]:
    rule, array = COLUMNS[name]
    return rule, pl.from_arrow(pa.table({rule: array}))


@pytest.mark.parametrize("name", COLUMNS)
def test_pseudonyms_are_those_of_anonymize(name: str) -> None:
    rule, frame = frame_of(name)
    manager = manager_of_rules()
    hidden = anonymize(frame, sensitive_columns=[rule], key_manager=manager)
    made = frame.select(pl.col(rule).secureml.protect(rule, pinned(key_manager=manager)))
    assert made.equals(hidden)
    assert made.schema == frame.schema


@pytest.mark.parametrize("name", REVERSIBLE)
def test_values_are_recovered(functions: Functions, name: str) -> None:
    rule, frame = frame_of(name)
    hidden = frame.lazy().select(pl.col(rule).secureml.protect(rule, functions))
    recovered = hidden.select(pl.col(rule).secureml.recover(rule, functions))
    assert recovered.collect().equals(frame)
    assert recovered.collect_schema() == frame.schema


def test_a_stream_of_many_batches_is_complete_and_in_order(tmp_path, functions: Functions) -> None:
    rows = 300_000
    clear = pl.select(pl.int_range(1_000_000, 1_000_000 + rows).alias("number"))
    clear.write_parquet(tmp_path / "clear.parquet", row_group_size=20_000)
    query = pl.scan_parquet(tmp_path / "clear.parquet").with_columns(
        pl.col("number").secureml.protect("number", functions).alias("hidden")
    )
    assert "STREAMING" not in query.explain()
    query.sink_parquet(tmp_path / "hidden.parquet")
    hidden = pl.read_parquet(tmp_path / "hidden.parquet")
    recovered = hidden.select("number", pl.col("hidden").secureml.recover("number", functions))
    assert (recovered["number"] == recovered["hidden"]).all()
    assert hidden["number"].equals(clear["number"])


def test_groups_get_the_pseudonyms_of_the_whole_column(functions: Functions) -> None:
    hidden = pl.col("ssn").secureml.protect("ssn", functions)
    whole = FRAME.with_columns(hidden).group_by("group", maintain_order=True).agg("ssn")
    assert FRAME.group_by("group", maintain_order=True).agg(hidden).equals(whole)
    assert FRAME.with_columns(hidden.over("group")).equals(FRAME.with_columns(hidden))
    counted = FRAME.group_by("group", maintain_order=True).agg(hidden.drop_nulls().first())
    assert counted.height == 2


@pytest.mark.parametrize("when", ["some", "all"])
def test_nulls_stay(functions: Functions, when: str) -> None:
    frame = FRAME if when == "some" else FRAME.with_columns(ssn=pl.lit(None, pl.String))
    made = frame.select(pl.col("ssn").secureml.protect("ssn", functions))["ssn"]
    assert made.is_null().equals(frame["ssn"].is_null())


def test_a_frame_without_rows_keeps_its_schema(functions: Functions) -> None:
    empty = FRAME.clear()
    assert empty.with_columns(pl.col("ssn").secureml.protect("ssn", functions)).equals(empty)


def test_categories_are_replaced_and_stay_categories(functions: Functions) -> None:
    frame = FRAME.with_columns(pl.col("ssn").cast(pl.Categorical))
    made = frame.select(pl.col("ssn").secureml.protect("ssn", functions))
    plain = FRAME.select(pl.col("ssn").secureml.protect("ssn", functions))
    assert made["ssn"].dtype == pl.Categorical
    assert made["ssn"].cast(pl.String).equals(plain["ssn"])


def test_an_enum_is_refused_as_pseudonyms_are_none_of_its_categories(functions: Functions) -> None:
    kind = pl.Enum(FRAME["ssn"].drop_nulls())
    with pytest.raises(PseudonymizationError, match="cast the values to String first"):
        FRAME.select(pl.col("ssn").cast(kind).secureml.protect("ssn", functions))


def test_a_column_keeps_its_name(functions: Functions) -> None:
    frame = FRAME.rename({"ssn": "other"})
    assert frame.select(pl.col("other").secureml.protect("ssn", functions)).columns == ["other"]


def test_an_expression_pins_the_version_that_is_the_newest_when_it_is_made() -> None:
    store = store_of()
    default_manager_of_rules(store)
    expression = pl.col("ssn").secureml.protect("ssn")
    before = FRAME.select(expression)
    rotate(store)
    assert FRAME.select(expression).equals(before)
    assert not FRAME.select(pl.col("ssn").secureml.protect("ssn")).equals(before)


def test_nothing_is_recovered_if_nobody_tells_which_version_pseudonyms_are_of() -> None:
    store = store_of()
    first = pinned(key_manager=manager_of_rules(store))
    hidden = FRAME.with_columns(pl.col("ssn").secureml.protect("ssn", first))
    rotate(store)
    default_manager_of_rules(store)
    with pytest.raises(ManifestError, match="master_key_version"):
        pl.col("ssn").secureml.recover("ssn")
    later = pinned(manifest=first.manifest)
    assert hidden.with_columns(pl.col("ssn").secureml.recover("ssn", later)).equals(FRAME)


def test_another_key_is_refused_before_any_row(functions: Functions) -> None:
    with pytest.raises(WrongKeyError):
        pinned(manifest=functions.manifest, key_manager=manager_of_rules(store_of(KEYS[1:])))


def test_a_rule_that_there_is_not_is_refused_when_the_expression_is_made(
    functions: Functions,
) -> None:
    with pytest.raises(ArgumentError, match="did you mean 'ssn'"):
        pl.col("ssn").secureml.protect("sssn", functions)


def test_values_that_are_not_of_the_format_are_refused(functions: Functions) -> None:
    frame = pl.DataFrame({"ssn": ["123-45-6789", "Smith"]})
    with pytest.raises(InvalidValueError, match="column 'ssn'") as caught:
        frame.lazy().select(pl.col("ssn").secureml.protect("ssn", functions)).collect()
    assert "Smith" not in str(caught.value)


def test_a_query_travels_without_the_key(functions: Functions) -> None:
    default_manager_of_rules()
    query = FRAME.lazy().with_columns(pl.col("ssn").secureml.protect("ssn", functions))
    expected = query.collect()
    travelled = pl.LazyFrame.deserialize(io.BytesIO(query.serialize()))
    assert travelled.collect().equals(expected)
    expression = pickle.loads(pickle.dumps(pl.col("ssn").secureml.protect("ssn", functions)))
    assert FRAME.with_columns(expression).equals(expected)
    default_manager_of_rules(store_of(KEYS[1:]))
    other = pickle.dumps(
        pl.col("ssn").secureml.protect("ssn", pinned(key_manager=manager_of_rules()))
    )
    with pytest.raises(WrongKeyError):
        FRAME.with_columns(pickle.loads(other))


def test_without_polars_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    monkeypatch.delitem(sys.modules, "secureml.polars")
    with pytest.raises(MissingExtraError, match=r"secureml\[polars\]"):
        importlib.import_module("secureml.polars")

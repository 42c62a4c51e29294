"""Polars DataFrames in and out."""

from __future__ import annotations

import datetime as dt
import io
import subprocess
import sys
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from secureml import anonymize, preview, reidentify, rekey
from secureml.errors import ManifestError, PseudonymizationError
from secureml.key_management import KeyManager
from secureml.stores import MemoryStore

SSNS = ["078-05-1120", None, "219-09-9999", "457-55-5462"]


@pytest.fixture
def people() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ssn": SSNS,
            "id": pl.Series([1_234_567, -7_654_321, None, 99_999_999], dtype=pl.Int32),
            "born": [dt.date(1970, 2, 3), None, dt.date(1999, 12, 31), dt.date(2001, 1, 1)],
            "anything": pl.Series([object()] * 4, dtype=pl.Object),
            "wide": pl.Series([1, None, 3, 4], dtype=pl.Int128),
            "grade": pl.Series(["a", "b", None, "a"], dtype=pl.Enum(["b", "a"])),
            "nested": [{"of": [1, 2]}, None, {"of": []}, {"of": None}],
        }
    )


def test_a_frame_becomes_one_of_the_same_columns_and_dtypes_and_back(manager, people) -> None:
    names = ["ssn", "id", "born"]
    hidden, manifest = anonymize(
        people,
        sensitive_columns=names,
        small_domain="permute",
        return_manifest=True,
        key_manager=manager,
    )
    assert type(hidden) is pl.DataFrame
    assert hidden.schema == people.schema
    for name in names:
        assert not hidden[name].equals(people[name])
        assert hidden[name].is_null().equals(people[name].is_null())
    back = reidentify(hidden, manifest, key_manager=manager)
    assert back.select(names).equals(people.select(names))
    assert people["ssn"].to_list() == SSNS


def test_columns_that_are_not_replaced_are_the_same_buffers(manager, people) -> None:
    hidden = anonymize(people, sensitive_columns=["ssn"], key_manager=manager)
    assert hidden["anything"].to_list() == people["anything"].to_list()
    assert hidden["wide"].equals(people["wide"])
    assert [buffer.address for buffer in hidden["id"].to_arrow().buffers()] == [
        buffer.address for buffer in people["id"].to_arrow().buffers()
    ]


def test_the_pseudonyms_are_those_of_pandas(manager) -> None:
    pytest.importorskip("pandas")
    frame = pl.DataFrame({"ssn": SSNS, "id": [1_234_567, 7, None, 99_999_999]})
    arguments: dict[str, Any] = {"small_domain": "permute", "key_manager": manager}
    arguments["sensitive_columns"] = ["ssn"]
    ours = anonymize(frame, **arguments)["ssn"].to_list()
    theirs = anonymize(frame.to_pandas(), **arguments)["ssn"]
    assert [one for one in ours if one] == theirs.dropna().tolist()


@pytest.mark.parametrize(
    "series",
    [
        pl.Series(["jane@example.com", "", None]),
        pl.Series(["alpha@example.com", "beta@example.com", None], dtype=pl.Categorical),
        pl.Series(
            ["alpha@example.com", "beta@example.com", None],
            dtype=pl.Categorical(pl.Categories.random()),
        ),
        pl.Series([1_234_567, 7_654_321, None], dtype=pl.UInt32),
        pl.Series([1_234_567, -7_654_321, None], dtype=pl.Int64),
        pl.Series([1_234_567.0, 7_654_321.0, None], dtype=pl.Float64),
        pl.Series([Decimal("12345678.90"), None, Decimal("-99999999.01")], dtype=pl.Decimal(38, 2)),
        pl.Series([dt.date(1970, 2, 3), None, dt.date(1999, 12, 31)]),
        pl.Series([dt.datetime(1970, 2, 3, 4, 5), None, dt.datetime(1999, 12, 31)]),
        pl.Series([dt.datetime(1970, 2, 3, 4, 5), None]).dt.replace_time_zone("Europe/Rome"),
        pl.Series([dt.datetime(1970, 2, 3, 4, 5), None], dtype=pl.Datetime("ms")),
    ],
    ids=lambda series: str(series.dtype).partition("(")[0],
)
def test_every_dtype_comes_back(manager, series) -> None:
    frame = pl.concat([series, series], rechunk=False).alias("it").to_frame()[1:]
    hidden, manifest = anonymize(
        frame,
        sensitive_columns=["it"],
        small_domain="permute",
        return_manifest=True,
        key_manager=manager,
    )
    assert hidden.schema == frame.schema
    assert not hidden.equals(frame)
    assert reidentify(hidden, manifest, key_manager=manager).equals(frame)


def test_an_enum_becomes_a_categorical_without_an_order(manager) -> None:
    names = ["zoe smith lives", "adam jones lives"]
    frame = pl.DataFrame({"name": pl.Series([*names, None], dtype=pl.Enum(names))})
    hidden, manifest = anonymize(
        frame, sensitive_columns=["name"], return_manifest=True, key_manager=manager
    )
    assert isinstance(hidden["name"].dtype, pl.Categorical)
    back = reidentify(hidden, manifest, key_manager=manager)
    assert back.cast(frame.schema).equals(frame)


@pytest.mark.parametrize("strategy", ["fpe", "token", "hash", "redact"])
@pytest.mark.parametrize("name", ["anything", "wide"])
def test_dtypes_that_arrow_lacks_are_refused_by_name(manager, people, name, strategy) -> None:
    with pytest.raises(PseudonymizationError, match=f"{name!r}.*{people[name].dtype}"):
        anonymize(people, strategy=strategy, sensitive_columns=[name], key_manager=manager)


def test_a_function_in_place_of_a_strategy_gets_a_series_and_returns_one(manager, people) -> None:
    hidden = anonymize(
        people,
        strategy=lambda series: series.str.head(3).cast(pl.Categorical),
        sensitive_columns=["ssn"],
        key_manager=manager,
    )
    assert hidden["ssn"].to_list() == ["078", None, "219", "457"]
    assert hidden["ssn"].dtype == pl.Categorical


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (lambda series: series.to_list(), "returned list, not a Series"),
        (lambda series: series.head(1), "returned 1 values for 4 rows"),
        (lambda series: pl.Series([object()] * 4, dtype=pl.Object), "Object"),
    ],
)
def test_a_function_that_returns_no_such_series_is_refused(manager, people, returned, told) -> None:
    with pytest.raises(PseudonymizationError, match=told):
        anonymize(people, strategy=returned, sensitive_columns=["ssn"], key_manager=manager)


def test_numbers_may_become_tokens(manager) -> None:
    frame = pl.DataFrame({"id": [1, 12_345_678]})
    hidden, manifest = anonymize(
        frame,
        sensitive_columns=["id"],
        small_domain="token",
        return_manifest=True,
        key_manager=manager,
    )
    assert hidden.schema == {"id": pl.String}
    assert reidentify(hidden, manifest, key_manager=manager).equals(frame)


def test_rows_of_several_versions_come_back(manager) -> None:
    manager = KeyManager(environment="development", store=MemoryStore())
    manager.generate_key("master_key")
    arguments: dict[str, Any] = {
        "sensitive_columns": ["ssn"],
        "key_versions": True,
        "return_manifest": True,
        "key_manager": manager,
    }
    frame = pl.DataFrame({"ssn": SSNS})
    first, one = anonymize(frame, **arguments)
    manager.rotate_key("master_key")
    second, two = anonymize(frame.reverse(), **arguments)
    from secureml import merge_manifests

    manifest = merge_manifests([one, two], key_manager=manager)
    both = pl.concat([first, second])[::-1]
    back = reidentify(both, manifest, key_manager=manager)
    assert back.equals(pl.concat([frame, frame.reverse()])[::-1])


def test_rekey_and_preview(manager, people) -> None:
    arguments: dict[str, Any] = {"sensitive_columns": ["ssn"], "key_manager": manager}
    hidden, manifest = anonymize(people, return_manifest=True, **arguments)
    moved, new = rekey(hidden, "other_key", manifest, return_manifest=True, key_manager=manager)
    assert new["key"]["name"] == "other_key"
    assert reidentify(moved, new, key_manager=manager)["ssn"].equals(people["ssn"])
    shown = preview(people, 2, **arguments).rows
    assert shown["ssn, after"].tolist()[0] == hidden["ssn"][0]


def test_a_frame_carries_no_manifest(manager, people) -> None:
    hidden = anonymize(people, sensitive_columns=["ssn"], key_manager=manager)
    with pytest.raises(ManifestError, match="return_manifest=True"):
        reidentify(hidden, key_manager=manager)


@pytest.mark.parametrize("rows", [0, 1, (1 << 16) + 1])
def test_frames_of_any_length(manager, rows) -> None:
    frame = pl.select(id=pl.int_range(10_000_000, 10_000_000 + rows))
    hidden, manifest = anonymize(
        frame, sensitive_columns=["id"], return_manifest=True, key_manager=manager
    )
    assert hidden.schema == frame.schema
    assert hidden["id"].n_unique() == rows
    assert reidentify(hidden, manifest, key_manager=manager).equals(frame)


def test_nothing_of_the_values_is_in_what_is_written(manager) -> None:
    clear = ["PLAINTEXT ONE LONG", "PLAINTEXT TWO LONG", None]
    frame = pl.DataFrame(
        {
            "text": clear,
            "category": pl.Series(clear, dtype=pl.Categorical),
            "enum": pl.Series(clear, dtype=pl.Enum(clear[:2])),
            "masked": clear,
        }
    ).with_columns(pl.when(pl.lit(value=False)).then("masked").otherwise(None).alias("masked"))
    hidden = anonymize(frame, sensitive_columns=frame.columns, key_manager=manager)
    for write in (hidden.write_parquet, hidden.write_ipc):
        file = io.BytesIO()
        write(file)
        assert b"PLAIN" not in file.getvalue()
    for series in hidden.get_columns():
        array = series.to_arrow()
        arrays = [array, array.dictionary] if hasattr(array, "dictionary") else [array]
        buffers = [buffer for one in arrays for buffer in one.buffers() if buffer]
        assert not any(b"PLAIN" in buffer.to_pybytes() for buffer in buffers)


def test_pandas_is_not_imported(tmp_path) -> None:
    program = """
import datetime, decimal, sys
import polars as pl
from secureml import KeyManager, anonymize, reidentify, rekey
from secureml.stores import MemoryStore
manager = KeyManager(store=MemoryStore(), environment="development")
manager.generate_key("master_key")
manager.generate_key("other_key")
frame = pl.DataFrame({
    "text": ["078-05-1120", None], "id": [1_234_567, None], "float": [1_234_567.0, None],
    "day": [datetime.date(1970, 1, 2), None], "moment": [datetime.datetime(1970, 1, 2), None],
    "price": [decimal.Decimal("1234567.89"), None], "other": ["long enough", None],
    "category": pl.Series(["long enough", None], dtype=pl.Categorical), "gone": [1, None],
    "enum": pl.Series(["long enough", None], dtype=pl.Enum(["long enough"])),
    "called": ["long", None], "redacted": [1, None],
})
how = {"gone": "null", "redacted": "redact", "called": lambda series: series.str.head(2)}
hidden, manifest = anonymize(
    frame, strategy=how, sensitive_columns=frame.columns,
    small_domain="permute", return_manifest=True, key_manager=manager)
import warnings
warnings.simplefilter("ignore")
reidentify(hidden, manifest, key_manager=manager)
rekey(hidden, "other_key", manifest, key_manager=manager)
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, cwd=tmp_path)

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest

from secureml import KeyManager, anonymize
from secureml import preview as preview_of
from secureml.anonymization.previewing import Preview
from secureml.errors import DomainTooSmallError
from secureml.stores import MemoryStore

TABLE = pd.DataFrame(
    {
        "ssn": ["123-45-6789", "987-65-4321", None, "123-45-6789"],
        "zip": ["90210", "K1A 0B1", "", "90210"],
        "email": ["a@example.com", "b@example.com", "c@example.com", "a@example.com"],
        "size": pd.Categorical(["XXL", "S", "S", "M"]),
        "score": [1.5, 2.5, 3.5, None],
        "number": pd.array([1, 22, None, 12345678], dtype="Int64"),
    }
)
HOW = {"email": "hash", "score": "null", "size": lambda series: series.astype(str).str.lower()}


@pytest.fixture
def keys() -> KeyManager:
    made = KeyManager(store=MemoryStore())
    made.generate_key("master_key")
    return made


@pytest.fixture
def preview(keys: KeyManager) -> Preview:
    return anonymize(
        TABLE, strategy=HOW, sensitive_columns=list(TABLE.columns), preview=3, key_manager=keys
    )


def test_a_preview_shows_what_anonymize_makes(keys: KeyManager, preview: Preview) -> None:
    ssn = anonymize(TABLE[["ssn"]], sensitive_columns=["ssn"], key_manager=keys)["ssn"]
    assert len(preview.rows) == 3
    assert preview.rows["ssn, before"].tolist()[:2] == ["123-45-6789", "987-65-4321"]
    assert preview.rows["ssn, after"].tolist()[:2] == ssn.tolist()[:2]
    assert preview.rows["size, after"].tolist() == ["xxl", "s", "s"]
    assert preview.rows["score, after"].isna().all()


def test_anonymize_with_preview_returns_what_preview_returns(keys: KeyManager) -> None:
    how = {"sensitive_columns": ["ssn", "zip"], "key_manager": keys}
    shown, called = preview_of(TABLE, 2, **how), anonymize(TABLE, preview=2, **how)
    pd.testing.assert_frame_equal(shown.rows, called.rows)
    assert shown.columns == called.columns
    assert len(shown.rows) == 2


def test_a_preview_refuses_nothing_and_says_what_would_be(
    keys: KeyManager, preview: Preview
) -> None:
    with pytest.raises(DomainTooSmallError):
        anonymize(TABLE, sensitive_columns=["zip"], key_manager=keys)
    assert not preview.passes
    figures = {one.column: one for one in preview.columns}
    zips = figures["zip"]
    assert (zips.rows, zips.nulls, zips.distinct, zips.small) == (4, 0, 3, 2)
    refused, code, empty = preview.rows["zip, after"]
    assert (refused, empty) == ("<refused>", "")
    assert len(code) == 7
    assert "as few as 100,000" in zips.remark
    assert (figures["number"].small, figures["number"].valid) == (2, 1)
    assert preview.rows["number, after"].tolist()[:2] == ["<refused>", "<refused>"]
    assert figures["ssn"].domain_size == 10**9
    assert figures["ssn"].valid == 3
    assert "128 bits" in figures["email"].remark
    assert figures["email"].reversible is False
    assert figures["score"].nulled == 3


def test_a_preview_prints_as_two_tables(preview: Preview) -> None:
    text = str(preview)
    assert "ssn, before" in text
    assert "1,000,000,000" in text
    assert "class/1" in text
    assert "can't be turned back" in text


def test_a_preview_says_that_a_table_passes(keys: KeyManager) -> None:
    table = TABLE[["ssn"]]
    assert anonymize(table, sensitive_columns=["ssn"], preview=2, key_manager=keys).passes


def test_dates_that_python_does_not_have_are_shown(keys: KeyManager) -> None:
    days = pa.array([0, 2_932_897, None], pa.int32()).cast(pa.date32())
    shown = preview_of(pa.table({"born": days}), 3, key_manager=keys, sensitive_columns=["born"])
    assert shown.rows["born, before"].tolist()[:2] == ["1970-01-01", "10000-01-01"]
    assert "10000-01-01" in str(shown)


def test_values_that_are_equal_up_to_a_nul_are_counted_apart(keys: KeyManager) -> None:
    names = pd.Series(["Somebody\0b", "Somebody\0c", "Somebody"], dtype=object)
    how = {"sensitive_columns": ["name"], "preview": 1, "key_manager": keys}
    assert anonymize(names.to_frame("name"), **how).columns[0].distinct == 3

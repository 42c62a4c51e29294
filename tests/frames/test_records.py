"""A dict of lists and a list of dicts, in and out."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from secureml import anonymize, preview, reidentify, rekey
from secureml.errors import PseudonymizationError

SSNS = ["078-05-1120", None, "219-09-9999"]
ROWS: list[dict[str, Any]] = [
    {"ssn": "078-05-1120", "more": {"deep": [1]}},
    {"id": 1_234_567, "more": object()},
    {"id": 7_654_321, "ssn": None},
    {},
]


@pytest.mark.parametrize(
    "values",
    [
        ["jane@example.com", "", None],
        [1_234_567, -7_654_321, None],
        [1_234_567.0, 7_654_321.0, None],
        [Decimal("12345678.90"), None, Decimal("-99.01")],
        [dt.date(1970, 2, 3), None],
        [dt.datetime(1970, 2, 3, 4, 5), None],
        [dt.datetime(1970, 2, 3, 4, 5, tzinfo=dt.UTC), None],
        [None, None],
    ],
    ids=lambda values: type(values[0]).__name__,
)
def test_values_come_back_as_the_objects_of_python_that_they_were(manager, values) -> None:
    data = {"it": values, "other": [object()] * len(values)}
    hidden, manifest = anonymize(
        data,
        sensitive_columns=["it"],
        small_domain="permute",
        return_manifest=True,
        key_manager=manager,
    )
    assert list(map(type, hidden["it"])) == list(map(type, values))
    assert hidden["it"] != values or not any(values)
    assert hidden["other"] == data["other"]
    assert hidden["other"] is not data["other"]
    back = reidentify(hidden, manifest, key_manager=manager)
    assert back == data
    assert repr(back["it"]) == repr(values) or isinstance(values[0], dt.datetime | Decimal)


def test_rows_keep_their_keys_and_their_objects(manager) -> None:
    hidden, manifest = anonymize(
        ROWS, sensitive_columns=["ssn", "id"], return_manifest=True, key_manager=manager
    )
    assert [list(row) for row in hidden] == [list(row) for row in ROWS]
    assert hidden[0]["more"] is ROWS[0]["more"]
    assert hidden[0]["ssn"] != ROWS[0]["ssn"]
    assert hidden[1]["id"] != ROWS[1]["id"]
    assert reidentify(hidden, manifest, key_manager=manager) == ROWS
    moved, new = rekey(hidden, "other_key", manifest, return_manifest=True, key_manager=manager)
    assert reidentify(moved, new, key_manager=manager) == ROWS


@pytest.mark.parametrize("kind", ["dict", "list"])
def test_the_pseudonyms_are_those_of_pandas(manager, kind) -> None:
    arguments: dict[str, Any] = {"sensitive_columns": ["ssn"], "key_manager": manager}
    data = {"ssn": SSNS} if kind == "dict" else [{"ssn": one} for one in SSNS]
    hidden = anonymize(data, **arguments)
    ours = hidden["ssn"] if kind == "dict" else [row["ssn"] for row in hidden]
    theirs = anonymize(pd.DataFrame(data), **arguments)["ssn"]
    assert [one for one in ours if one] == theirs.dropna().tolist()


def test_columns_of_key_versions_are_added_and_dropped(manager) -> None:
    hidden, manifest = anonymize(
        ROWS,
        sensitive_columns=["ssn"],
        key_versions=True,
        return_manifest=True,
        key_manager=manager,
    )
    assert [row["ssn__key_version"] for row in hidden] == [1] * 4
    assert reidentify(hidden, manifest, key_manager=manager) == ROWS


def test_a_function_gets_a_list_and_returns_one(manager) -> None:
    hidden = anonymize(
        {"ssn": SSNS},
        strategy=lambda values: [one and one[:3] for one in values],
        sensitive_columns=["ssn"],
        key_manager=manager,
    )
    assert hidden == {"ssn": ["078", None, "219"]}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"a": ["text", 1]}, "'a': it holds values of several types"),
        ({"a": [object()]}, "'a': it holds values of several types"),
        ({"a": ["\ud800"]}, "'a': it holds values of several types"),
        ({"a": [1 << 70]}, "'a': it holds values of several types"),
        ({"a": ["text"], "b": []}, "0 to 1 rows"),
        ([{"a": "text"}, {"a": b"text"}], "'a'"),
    ],
    ids=["kinds", "objects", "surrogates", "large", "lengths", "records"],
)
def test_what_no_column_can_hold_is_refused_without_its_values(manager, data, told) -> None:
    with pytest.raises(PseudonymizationError, match=told) as caught:
        anonymize(data, sensitive_columns=["a"], key_manager=manager)
    assert "text" not in str(caught.value).replace("made of text", "")
    assert caught.value.__context__ is None


@pytest.mark.parametrize("data", [[], [1], [{}, 1], {"a": 1}, {"a": "text"}, {"a": (1,)}], ids=repr)
def test_other_objects_are_no_tables(manager, data) -> None:
    with pytest.raises(TypeError, match="must be a table"):
        anonymize(data, sensitive_columns=["a"], key_manager=manager)


def test_preview(manager) -> None:
    shown = preview(ROWS, 2, sensitive_columns=["ssn"], key_manager=manager)
    assert shown.columns[0].rows == 4

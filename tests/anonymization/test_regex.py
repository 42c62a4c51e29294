"""Columns of the format ``regex`` in whole tables, and those of its first version."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from secureml import anonymize, reidentify, rekey
from secureml.errors import DomainTooSmallError, MissingColumnWarning, PseudonymizationError
from secureml.key_management import KeyManager
from secureml.pseudonymization.manifest import Manifest
from secureml.stores import MemoryStore

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "regex_1.json").read_text("utf-8"))
"""A table of the first version, hidden under Python 3.11."""


@pytest.fixture
def manager() -> KeyManager:
    """A manager with two versions of the key, the first of which hid the table."""
    store = MemoryStore()
    for key in GOLDEN["keys"]:
        store.write("master_key", {"value": key, "encoding": "hex"}, cas=None)
    return KeyManager(environment=GOLDEN["environment"], store=store)


def table(part: str, *columns: str) -> pd.DataFrame:
    return pd.DataFrame(GOLDEN[part], dtype="string")[list(columns)]


SETTLED = ["code", "name", "plan"]


def test_a_table_of_the_first_version_is_recovered(manager: KeyManager) -> None:
    with pytest.warns(MissingColumnWarning):
        back = reidentify(table("after", *SETTLED), GOLDEN["manifest"], key_manager=manager)
    pd.testing.assert_frame_equal(back, table("before", *SETTLED))


def test_what_versions_of_python_read_in_different_ways_is_refused(manager: KeyManager) -> None:
    with pytest.raises(PseudonymizationError, match=r"column 'word': 3 values .* of Python"):
        reidentify(table("after", "word"), GOLDEN["manifest"], key_manager=manager)


def test_rekey_makes_the_second_version_of_the_regex_format(manager: KeyManager) -> None:
    new = rekey(
        table("after", *SETTLED),
        manifest=GOLDEN["manifest"],
        drop_missing=True,
        key_manager=manager,
    )
    columns = new.attrs["secureml"]["columns"]
    assert {one["format"] for one in columns.values()} == {"regex/2"}
    assert {one["tables"] for one in columns.values()} == {"18.0.0"}
    assert (new["code"] != table("after", "code")["code"]).any()
    back = reidentify(new, key_manager=manager)
    pd.testing.assert_frame_equal(back, table("before", *SETTLED))


def test_tables_of_another_unicode_are_refused(manager: KeyManager) -> None:
    frame = table("before", "code")
    formats = {"code": r"regex:ID-(\d{7})"}
    hidden = anonymize(frame, sensitive_columns=["code"], formats=formats, key_manager=manager)
    recipe = Manifest.parse(hidden.attrs["secureml"]).columns["code"].recipe
    assert recipe.tables == "18.0.0"
    with pytest.raises(PseudonymizationError, match=r"tables of Unicode '19\.0\.0'"):
        replace(recipe, tables="19.0.0").check()


def test_a_pattern_that_leaves_too_few_is_refused(manager: KeyManager) -> None:
    frame = pd.DataFrame({"plan": ["203700000", "293709999"]})
    formats = {"plan": r"regex:([2-2]\d370\d\d\d\d)"}
    with pytest.raises(DomainTooSmallError, match="as few as 100000"):
        anonymize(frame, sensitive_columns=["plan"], formats=formats, key_manager=manager)
    hidden = anonymize(
        frame,
        sensitive_columns=["plan"],
        formats=formats,
        small_domain="permute",
        key_manager=manager,
    )
    assert hidden["plan"].str.fullmatch(r"2\d370\d{4}").all()
    pd.testing.assert_frame_equal(reidentify(hidden, key_manager=manager), frame)


def test_another_python_would_normalize_what_this_one_does_not_know(manager: KeyManager) -> None:
    frame = pd.DataFrame({"name": ["Émile", "\u0378\u0301abcdefgh"]})
    with pytest.raises(PseudonymizationError, match=r"column 'name': 1 values .* does not know"):
        anonymize(frame, sensitive_columns=["name"], normalize="NFC", key_manager=manager)

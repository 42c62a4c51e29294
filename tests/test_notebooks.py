"""What notebooks show: HTML without markup of values, and without secrets."""

from __future__ import annotations

import pickle
import re
from copy import copy, deepcopy
from pathlib import Path

import pandas as pd
import pytest

from helpers.frames import KEYS, manager_of
from secureml import Pseudonymizer, anonymize
from secureml.files import anonymize_file, manifest_of
from secureml.notebooks import html_table
from secureml.settings import Settings


def cells(html: str) -> list[str]:
    """Return what is in the cells of a table."""
    return re.findall(r"<t[hd]>(.*?)</t[hd]>", html)


def test_nothing_in_a_value_is_markup() -> None:
    html = html_table(["<b>"], [["<script>&", None]])
    assert cells(html) == ["&lt;b&gt;", "&lt;script&gt;&amp;", ""]


def test_a_key_shows_its_fields_and_no_material() -> None:
    key = manager_of().get_key("master_key")
    shown = cells(key.info._repr_html_())
    assert ["version", str(key.info.version)] == shown[4:6]
    assert key.info.fingerprint in shown
    assert key.reveal().hex() not in "".join(shown)


def test_settings_show_where_they_come_from() -> None:
    settings = manager_of().settings
    assert isinstance(settings, Settings)
    shown = cells(settings._repr_html_())
    assert shown[:3] == ["setting", "value", "origin"]
    assert len(shown) == 3 * (1 + len(settings.describe()))


def test_a_preview_shows_rows_and_figures() -> None:
    frame = pd.DataFrame({"ssn": ["123-45-6789", "987-65-4321"]})
    made = anonymize(frame, sensitive_columns=["ssn"], preview=2, key_manager=manager_of())
    shown = cells(made._repr_html_())
    assert "123-45-6789" in shown
    assert "domain size" in shown


@pytest.fixture
def hidden() -> pd.DataFrame:
    frame = pd.DataFrame({"<b>ssn": ["123-45-6789", None], "name": ["Ann", "Zoë"], "age": [7, 8]})
    return anonymize(
        frame,
        sensitive_columns=["<b>ssn", "name"],
        formats={"<b>ssn": "ssn"},
        strategy={"name": "mask"},
        domains={"<b>ssn": "person"},
        options={"name": {"keep_first": 1}},
        tweaks={"<b>ssn": "age"},
        key_manager=manager_of(),
    )


def test_a_manifest_shows_its_key_and_its_columns(hidden: pd.DataFrame) -> None:
    manifest = hidden.attrs["secureml"]
    check = manifest["versions"][0]["check"]
    shown = cells(manifest._repr_html_())
    assert shown[:12] == [
        *("field", "value", "environment", "development", "key", "master_key"),
        *("version", f"3 (check {check})", "schema", "3", "MAC", manifest["mac"]),
    ]
    assert shown[12:24] == [
        *("column", "strategy", "format", "domain", "domain_prefix", "tweak", "reversible"),
        *("rows", "nulls", "empty", "tokens", "nulled"),
    ]
    ssn = ["&lt;b&gt;ssn", "fpe", "ssn/1", "person", "", "age", "yes", "2", "1", "0", "0", "0"]
    assert shown[24:36] == ssn
    assert shown[36:44] == ["name", "mask", "", "name", "", "", "no", "2"]


def test_a_manifest_shows_neither_values_nor_key_material(hidden: pd.DataFrame) -> None:
    shown = hidden.attrs["secureml"]._repr_html_()
    values = [*hidden["<b>ssn"].dropna(), *hidden["name"], "123-45-6789", "Zoë", *KEYS]
    assert [value for value in values if value in shown] == []


def test_every_manifest_that_is_handed_out_is_shown(tmp_path: Path, hidden: pd.DataFrame) -> None:
    rows, returned = anonymize(
        [{"ssn": "123-45-6789"}],
        sensitive_columns=["ssn"],
        key_manager=manager_of(),
        return_manifest=True,
    )
    plan = Pseudonymizer(["ssn"], key_manager=manager_of()).fit(pd.DataFrame(rows))
    (tmp_path / "plain.csv").write_text("ssn\n123-45-6789\n")
    anonymize_file(tmp_path / "plain.csv", tmp_path / "b.csv", ["ssn"], key_manager=manager_of())
    of_file = manifest_of(tmp_path / "b.csv")
    of_part = hidden[hidden["age"] > 7].attrs["secureml"]
    for manifest in (returned, plan.manifest_, of_file, of_part, deepcopy(of_part)):
        assert "master_key" in cells(getattr(manifest, "_repr_html_", str)())


def test_a_manifest_of_rows_that_nobody_has_read_shows_no_counts() -> None:
    plan = Pseudonymizer(["ssn"], key_manager=manager_of())
    plan.fit(pd.DataFrame({"ssn": ["123-45-6789"]}))
    assert cells(getattr(plan.manifest_, "_repr_html_", str)())[-6:] == ["yes", *[""] * 5]


def test_a_manifest_is_a_dict_to_whoever_has_no_secureml(hidden: pd.DataFrame) -> None:
    manifest = hidden.attrs["secureml"]
    for plain in (pickle.loads(pickle.dumps(manifest)), copy(manifest), dict(manifest)):
        assert type(plain) is dict
        assert plain == manifest
    assert repr(manifest) == repr(dict(manifest))


def test_what_is_no_manifest_any_longer_is_shown_as_a_dict(hidden: pd.DataFrame) -> None:
    manifest = hidden.attrs["secureml"]
    manifest["columns"]["name"]["strategy"] = "<script>"
    assert manifest._repr_html_() is None

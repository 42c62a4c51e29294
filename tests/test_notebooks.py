"""What notebooks show: HTML without markup of values, and without secrets."""

from __future__ import annotations

import re

import pandas as pd

from helpers.frames import manager_of
from secureml import anonymize
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

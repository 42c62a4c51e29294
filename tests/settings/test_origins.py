from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from secureml.secret_types import SecretText
from secureml.settings import Layers, Settings, load_settings
from secureml.settings.origins import Origin, Place

if TYPE_CHECKING:
    from conftest import Write

TEXT = """\
production-eu = { vault_url = "a" }
[default] # first
cache_ttl = 1
vault_username = '''
[production]
cache_ttl = 3
'''
profiles.lab.columns = {}

[production]
# cache_ttl = 5
master_key_name = "k"

[production.columns."s.s n"]
strategy = "fpe"
written = [
  "a",
]
[production.profiles.lab.columns.a]
strategy = "fpe"
"""


@pytest.mark.parametrize(
    ("section", "name", "line"),
    [
        ("production-eu", "vault_url", 1),
        ("default", "cache_ttl", 3),
        ("default", "vault_username", 4),
        ("default", "profiles", 8),
        ("production", "master_key_name", 12),
        ("production", "columns", 14),
        ("production", "profiles", 19),
        ("production", "cache_ttl", None),
        ("staging", "cache_ttl", None),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_line_of_a_setting_is_that_of_its_first_statement(
    write: Write, section: str, name: str, line: int | None, end: str, mark: str
) -> None:
    path = write(mark + TEXT.replace("\n", end))
    assert Place("", path, section).line(name) == line


def test_a_setting_of_no_file_has_no_line(tmp_path: Path) -> None:
    assert Place("argument").line("cache_ttl") is None
    assert Place("", tmp_path / "none.toml", "default").line("cache_ttl") is None


def test_merged_rules_name_every_layer_that_is_part_of_them(write: Write) -> None:
    write(
        "[default.columns.a]\nstrategy = 'fpe'\n[default.profiles.lab.columns]\n"
        "[production.columns.b]\nstrategy = 'fpe'\n"
    )
    settings = load_settings(
        Layers(environment="production", arguments={"columns": {"c": {"strategy": "keep"}}})
    )
    assert (
        settings.origins["columns"]
        == "settings.toml [default], settings.toml [production], argument"
    )
    assert settings.origins["profiles"] == "settings.toml [default]"
    assert load_settings(Layers(environment="staging")).origins["columns"] == (
        "settings.toml [default]"
    )


def test_files_of_one_name_are_told_apart(write: Write) -> None:
    first, second = (
        write("[default]\ncache_ttl = 1\n", "a/settings.toml"),
        write("[default]\ncache_size = 1\n", "b/settings.toml"),
    )
    settings = load_settings(Layers(files=(first, second)))
    assert settings.origins["cache_ttl"] == f"{first} [default]"
    assert settings.origins["cache_size"] == f"{second} [default]"


def test_replaced_values_are_arguments_and_others_keep_their_origin(write: Write) -> None:
    write("[default]\ncache_ttl = 1\nvault_url = 'http://a'\nmaster_key_name = 'k'\n")
    settings = load_settings(Layers(arguments={"vault_token": "t"}))
    for source in (
        settings,
        pickle.loads(pickle.dumps(dataclasses.replace(settings, vault_token=None))),
    ):
        other = dataclasses.replace(
            source, environment="staging", cache_ttl=2, vault_url=None, vault_token=SecretText("u")
        )
        found = {name: other.origins[name] for name in ("cache_ttl", "vault_url", "vault_token")}
        assert found == dict.fromkeys(("cache_ttl", "vault_token"), "argument") | {
            "vault_url": "default"
        }
        assert other.origins["environment"] == "argument"
        assert other.origins["master_key_name"] == "settings.toml [default]"
    assert dataclasses.replace(settings, vault_url="http://a").origins == settings.origins


def test_origins_are_text_that_can_be_pickled(write: Write) -> None:
    path = write("[default]\ncache_ttl = 1\n")
    origin = pickle.loads(pickle.dumps(load_settings(Layers()).origins))["cache_ttl"]
    assert origin == "settings.toml [default]"
    assert isinstance(origin, Origin)
    assert origin.places == (Place(origin, path, "default"),)
    assert pickle.loads(pickle.dumps(Settings().origins)) == Settings().origins

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from secureml.settings import Layers, Settings, differences, history, read_layers
from secureml.settings.merge import load_settings

Write = Callable[..., Path]

TEXT = """\
[default]
cache_ttl = 1
vault_token_file = "a"
columns.a.strategy = "fpe"
[production]
cache_ttl = 2
columns.b.strategy = "keep"
"""


def said(layers: Layers, record: dict[str, object] | None = None, **environ: str):
    read = read_layers(layers, environ=environ)
    found = history(read, read.merged(record), record)
    return {
        name: [(each.value, str(each.origin), each.in_force) for each in entries]
        for name, entries in found.items()
    }


def test_every_layer_has_its_say_and_the_strongest_is_in_force(write: Write) -> None:
    write(TEXT)
    layers = Layers(environment="production", arguments={"cache_ttl": 9})
    found = said(layers, {"cache_ttl": 5}, SECUREML_CACHE_TTL="7")
    assert found["cache_ttl"] == [
        (300.0, "default", False),
        (1.0, "settings.toml [default]", False),
        (2.0, "settings.toml [production]", False),
        (5.0, "Vault secret/secureml/production/settings", False),
        (7.0, "SECUREML_CACHE_TTL", False),
        (9.0, "argument", True),
    ]
    assert found["use_env_fallback"] == [
        (True, "default", False),
        (False, "default [production]", True),
    ]
    assert found["cache_size"] == [(1024, "default", True)]


def test_of_settings_that_mean_one_thing_the_weaker_are_not_in_force(write: Write) -> None:
    write(TEXT)
    found = said(Layers(), VAULT_TOKEN="t")
    assert [each[1:] for each in found["vault_token_file"]] == [
        ("default", True),
        ("settings.toml [default]", False),
    ]
    assert [each[1:] for each in found["vault_token"]] == [
        ("default", False),
        ("VAULT_TOKEN", True),
    ]


def test_all_layers_that_a_table_is_made_of_are_in_force(write: Write) -> None:
    write(TEXT)
    assert [each[1:] for each in said(Layers(environment="production"))["columns"]] == [
        ("default", False),
        ("settings.toml [default]", True),
        ("settings.toml [production]", True),
    ]


def test_differences_are_values_and_keys_of_rules_with_their_origins(write: Write) -> None:
    write(
        TEXT + "columns.a = { strategy = 'fpe', format = 'ssn' }\n[staging]\nvault_token = 't'\n"
        "[staging.profiles.lab]\ndomain_prefix = 'p'\n"
    )
    one, other = (
        load_settings(Layers(environment=name), environ={}) for name in ("staging", "production")
    )
    found = {
        (setting.name, *keys): ((here.value, str(here.origin)), (there.value, str(there.origin)))
        for setting, keys, here, there in differences(one, other)
    }
    staging, production, default = (
        f"settings.toml [{name}]" for name in ("staging", "production", "default")
    )
    assert list(found) == [
        ("vault_token",),
        ("vault_token_file",),
        ("use_env_fallback",),
        ("cache_ttl",),
        ("columns", "a", "format"),
        ("columns", "b", "strategy"),
        ("profiles", "lab", "domain_prefix"),
    ]
    assert found["cache_ttl",] == ((1.0, default), (2.0, production))
    assert found["columns", "a", "format"] == ((None, ""), ("ssn", production))
    assert found["profiles", "lab", "domain_prefix"] == (("p", staging), (None, ""))
    assert "'t'" not in repr(list(differences(one, other)))


def test_settings_that_are_equal_have_no_differences() -> None:
    assert list(differences(Settings(environment="staging"), Settings(environment="staging"))) == []

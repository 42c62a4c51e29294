"""Dynaconf runs the layers as its loaders, and its history tells where values come from."""

from __future__ import annotations

from typing import Any

import dynaconf
import pytest
from dynaconf.base import Settings as Merged

from secureml.settings import Layers, load_settings
from secureml.settings.layers import Layer
from secureml.settings.merge import read_layers


def run(*layers: Layer) -> Any:
    merged = Merged(dynaconf_skip_loaders=True, dynaconf_skip_validators=True)
    merged.execute_loaders(env="production", loaders=layers)
    return merged


def test_layers_run_in_any_dynaconf_object_with_the_last_one_on_top() -> None:
    merged = run(
        Layer("first", {"vault_path": "a", "cache_ttl": 1}), Layer("last", {"cache_ttl": 2})
    )
    assert (merged.vault_path.value, merged.cache_ttl.value) == ("a", 2.0)
    told = [entry["identifier"] for entry in dynaconf.get_history(merged, "cache_ttl")]
    assert told == ["first", "last"]


def test_a_stronger_layer_unsets_other_settings_of_the_same_meaning() -> None:
    merged = run(Layer("first", {"vault_token": "t"}), Layer("last", {"vault_token_file": "/t"}))
    assert "vault_token" not in merged
    again = run(
        *[
            Layer(f"{n}", {name: "/x"})
            for n, name in enumerate(("vault_token", "vault_token_file", "vault_token"))
        ]
    )
    assert "vault_token_file" not in again
    assert "vault_token" in again


def test_dynaconf_shows_no_secret_and_holds_none_in_its_history() -> None:
    layers = (
        Layer("file", {"vault_token": "hunter2"}),
        Layer("argument", {"vault_token": "hunter2", "vault_password": "hunter2"}),
    )
    merged = run(*layers)
    shown = (
        dynaconf.inspect_settings(merged),
        dynaconf.get_history(merged, include_internal=True),
        merged.as_dict(),
        merged.loaded_by_loaders,
        layers,
    )
    assert "hunter2" not in repr(shown)


def test_the_layers_stand_in_one_order_with_vaults_below_the_variables() -> None:
    read = read_layers(
        Layers(files=(), environment="production", host={"vault_path": "h"}),
        environ={"VAULT_ADDR": "http://a", "SECUREML_CACHE_TTL": "1"},
    )
    assert [layer.origin for layer in read.loaders] == [
        "default",
        "default [production]",
        "host application",
        "Vault",
        *["environment variable"] * 3,
        "argument",
    ]


def test_a_layer_is_read_once_and_merged_as_often_as_the_record_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = read_layers(Layers(files=()), environ={"SECUREML_VAULT_PATH": "p"})
    assert read.merged({"cache_ttl": "1"}).cache_ttl == 1.0
    assert read.merged().cache_ttl == 300.0
    assert read.merged({"cache_ttl": "2"}).origins["cache_ttl"] == "Vault secret/p/settings"


def test_a_setting_that_was_unset_again_has_its_declared_default() -> None:
    layers = Layers(files=(), arguments={"vault_client_cert": "/b.pem"})
    variables = {"SECUREML_VAULT_CLIENT_CERT": "/a.pem", "SECUREML_VAULT_CLIENT_KEY": "/a.key"}
    settings = load_settings(layers, environ=variables)
    assert (settings.vault_client_cert, settings.vault_client_key) == ("/b.pem", None)
    assert settings.origins["vault_client_key"] == "default"
    assert settings.origins["vault_client_cert"] == "argument"

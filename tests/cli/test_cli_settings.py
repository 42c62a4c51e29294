"""``settings show`` and ``settings schema``."""

from __future__ import annotations

import json

from secureml.settings import SETTINGS, json_schema


def test_show_lists_every_setting_with_its_origin(run, tmp_path, monkeypatch):
    (tmp_path / "settings.toml").write_text("[staging]\ncache_ttl = 60\n")
    monkeypatch.setenv("SECUREML_VAULT_URL", "http://127.0.0.1:8200")
    ran = run("settings", "show", "--env", "stage")
    assert ran.code == 0
    rows = {line.split()[0]: line.split(None, 2)[1:] for line in ran.out.splitlines()}
    assert set(rows) == {"environment", *(setting.name for setting in SETTINGS)}
    assert rows["environment"] == ["staging", "argument"]
    assert rows["cache_ttl"] == ["60", "settings.toml [staging]"]
    assert rows["vault_url"] == ["http://127.0.0.1:8200", "SECUREML_VAULT_URL"]


def test_json_has_values_of_their_types(run, monkeypatch):
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", "a-secret-token")
    found = json.loads(run("settings", "show", "--json").out)
    assert found["environment"] == {"value": None, "origin": "default"}
    assert found["use_default_fallback"]["value"] is False
    assert found["cache_ttl"]["value"] == 300.0
    assert found["vault_url"]["value"] is None
    assert found["vault_token"] == {"value": "<hidden>", "origin": "SECUREML_VAULT_TOKEN"}


def test_secrets_stay_hidden(run, monkeypatch):
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", "a-secret-token")
    for form in ([], ["--json"]):
        ran = run("settings", "show", *form)
        assert "a-secret-token" not in ran.out + ran.err


def test_a_value_from_vault_is_shown_with_its_origin(run, vault, monkeypatch):
    vault.client().secrets.kv.v2.create_or_update_secret(
        "secureml/settings", secret={"master_key_name": "key_2030"}
    )
    for name, value in {
        "VAULT_URL": vault.url,
        "VAULT_TOKEN": vault.token,
        "VAULT_NAMESPACE": vault.namespace or "",
        "VAULT_SETTINGS": "true",
    }.items():
        monkeypatch.setenv(f"SECUREML_{name}", value)
    found = json.loads(run("settings", "show", "--json").out)
    assert found["master_key_name"] == {
        "value": "key_2030",
        "origin": "Vault secret/secureml/settings",
    }


def test_schema(run):
    assert json.loads(run("settings", "schema").out) == json_schema()

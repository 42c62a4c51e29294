"""``settings show`` and ``settings schema``."""

from __future__ import annotations

import json

import pytest

from secureml.settings import SETTINGS, json_schema


def test_show_lists_every_setting_with_its_origin(run, tmp_path, monkeypatch):
    file = tmp_path / "settings.toml"
    file.write_text(
        "[default.columns.a]\nstrategy = 'fpe'\n[staging]\ncache_ttl = 60\n"
        "columns.b.strategy = 'keep'\n"
    )
    monkeypatch.setenv("SECUREML_VAULT_URL", "http://127.0.0.1:8200")
    ran = run("settings", "show", "--env", "stage")
    assert ran.code == 0
    rows = {line.split()[0]: line.split(None, 2)[1:] for line in ran.out.splitlines()}
    assert set(rows) == {"environment", *(setting.name for setting in SETTINGS)}
    assert rows["environment"] == ["staging", "argument"]
    assert rows["cache_ttl"] == ["60", "settings.toml [staging] line 4"]
    both = "rules    settings.toml [default] line 1, settings.toml [staging] line 5"
    assert rows["columns"][1].split() == both.split()
    assert rows["vault_url"] == ["http://127.0.0.1:8200", "SECUREML_VAULT_URL"]


def test_show_as_json_has_values_of_their_types(run, monkeypatch):
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", "a-secret-token")
    found = json.loads(run("settings", "show", "--json").out)
    assert found["environment"] == {"value": None, "origin": "default"}
    assert found["use_default_fallback"]["value"] is False
    assert found["cache_ttl"]["value"] == 300.0
    assert found["vault_url"]["value"] is None
    assert found["vault_token"] == {"value": "<hidden>", "origin": "SECUREML_VAULT_TOKEN"}


def test_show_as_json_tells_file_section_and_line(run, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text("[default]\ncache_ttl = 60\n")
    found = json.loads(run("settings", "show", "--json").out)
    assert found["cache_ttl"] == {
        "value": 60.0,
        "origin": "settings.toml [default]",
        "files": [{"file": str(file), "section": "default", "line": 2}],
    }
    assert found["cache_size"] == {"value": 1024, "origin": "default"}


def test_values_and_places_can_not_steer_the_terminal(run, tmp_path, monkeypatch):
    (tmp_path / "settings.toml").write_text('[default]\naudit_log = "/a\\u001b[2J"\n')
    ran = run("settings", "show")
    assert "\x1b" not in ran.out
    assert r"/a\x1b[2J" in ran.out


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_show_prints_the_other_layers_while_vault_is_down(run, tmp_path, form):
    (tmp_path / "settings.toml").write_text(
        "[default]\nvault_settings = true\nvault_url = 'http://127.0.0.1:9'\n"
        "vault_token = 't'\ncache_ttl = 60\n"
    )
    ran = run("settings", "show", *form)
    assert ran.code == 5
    assert "settings.toml [default]" in ran.out
    assert "cache_ttl" in ran.out
    assert "note: the record in Vault is not among these settings" in ran.err
    assert "error: Vault at http://127.0.0.1:9 can't be reached" in ran.err


def test_show_prints_the_other_layers_if_vaults_record_is_wrong(run, write_record):
    write_record({"master_key_name": "vault_token"})
    ran = run("settings", "show")
    assert ran.code == 2
    assert "SECUREML_VAULT_URL" in ran.out
    assert "master_key_name can't be the name of a setting" in ran.err


def test_show_prints_nothing_but_an_error_if_local_layers_are_wrong(run, monkeypatch):
    monkeypatch.setenv("SECUREML_CACHE_TTL", "soon")
    ran = run("settings", "show")
    assert (ran.code, ran.out) == (2, "")
    assert "note:" not in ran.err


def test_show_prints_no_secret(run, monkeypatch):
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", "a-secret-token")
    for form in ([], ["--json"]):
        ran = run("settings", "show", *form)
        assert "a-secret-token" not in ran.out + ran.err


def test_a_value_from_vault_is_shown_with_its_origin(run, write_record):
    write_record({"master_key_name": "key_2030"})
    found = json.loads(run("settings", "show", "--json").out)
    assert found["master_key_name"] == {
        "value": "key_2030",
        "origin": "Vault secret/secureml/settings",
    }


def test_settings_schema_prints_the_json_schema(run):
    assert json.loads(run("settings", "schema").out) == json_schema()


LAYERED = "[default]\nvault_url = 'http://a'\n[staging]\nvault_url = 'http://b'\n"


def test_overridden_prints_what_each_layer_says_and_marks_what_is_in_force(
    run, tmp_path, monkeypatch
):
    (tmp_path / "settings.toml").write_text(LAYERED)
    (tmp_path / "settings.local.toml").write_text("[default]\nvault_token = 'hunter2'\n")
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", "hunter3")
    ran = run("settings", "show", "--overridden", "--env", "staging")
    assert (ran.code, ran.err) == (0, "")
    assert (
        ran.out
        == """\
vault_url
     <not set>  default
     http://a   settings.toml [default] line 2
  *  http://b   settings.toml [staging] line 4
vault_token
     <not set>  default
     <hidden>   settings.local.toml [default] line 2
  *  <hidden>   SECUREML_VAULT_TOKEN
"""
    )


def test_overridden_as_json_adds_the_layers_to_each_setting(run, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text(LAYERED)
    found = json.loads(run("settings", "show", "--overridden", "--json").out)
    assert found["vault_url"]["layers"] == [
        {"value": None, "origin": "default", "in_force": False},
        {
            "value": "http://a",
            "origin": "settings.toml [default]",
            "files": [{"file": str(file), "section": "default", "line": 2}],
            "in_force": True,
        },
    ]
    assert found["cache_size"]["layers"] == [{"value": 1024, "origin": "default", "in_force": True}]
    plain = json.loads(run("settings", "show", "--json").out)
    for entry in found.values():
        entry.pop("layers", None)
    assert plain == found

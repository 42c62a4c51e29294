"""``settings explain``: all there is to know of one setting."""

from __future__ import annotations

import json

import pytest

from secureml.settings import SETTINGS

TEXT = "[default]\ncache_ttl = 60\n[production]\n# slower\ncache_ttl = 90\n"


def test_it_tells_what_a_setting_is_and_where_it_is_set(run, tmp_path):
    (tmp_path / "settings.toml").write_text(TEXT)
    ran = run("settings", "explain", "cache_ttl", "--env", "prod")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "cache_ttl: Seconds for which a fetched secret is reused.",
        "  type      number",
        "  default   300",
        "  variable  SECUREML_CACHE_TTL",
        "  in Vault  can be set",
        "layers, the strongest last:",
        "     300  default",
        "     60   settings.toml [default] line 2",
        "  *  90   settings.toml [production] line 5",
    ]


def test_it_tells_the_allowed_values_and_the_defaults_of_environments(run):
    out = run("settings", "explain", "vault_auth").out
    assert "type      one of token, token_file, approle, ldap, " in out
    out = run("settings", "explain", "use_env_fallback").out
    assert "default   true (false in production and environments that" in out
    out = run("settings", "explain", "columns").out
    assert "variable  none: it is a table" in out
    assert "default   none" in out


@pytest.mark.parametrize("name", ["SECUREML_CACHE_TTL", "Cache_TTL", "cache-ttl"])
def test_a_setting_can_be_named_as_its_variable_is(run, name):
    assert run("settings", "explain", name).out.startswith("cache_ttl: ")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_can_be_explained(run, setting):
    found = json.loads(run("settings", "explain", setting.name, "--json").out)
    assert (found["name"], found["meaning"]) == (setting.name, setting.doc)
    assert found["layers"][-1]["in_force"] is True


def test_json_has_all_of_it(run, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text(TEXT)
    place = {"file": str(file), "section": "default", "line": 2}
    value = {"value": 60.0, "origin": "settings.toml [default]", "files": [place]}
    assert json.loads(run("settings", "explain", "cache_ttl", "--json").out) == {
        "name": "cache_ttl",
        "meaning": "Seconds for which a fetched secret is reused.",
        "type": "number",
        "allowed": None,
        "default": 300.0,
        "variable": "SECUREML_CACHE_TTL",
        "settable_in_vault": True,
        "secret": False,
        **value,
        "layers": [
            {"value": 300.0, "origin": "default", "in_force": False},
            {**value, "in_force": True},
        ],
    }


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_secret_stays_hidden(run, tmp_path, monkeypatch, form):
    (tmp_path / "settings.toml").write_text("[default]\nvault_token = 'hunter2'\n")
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", "hunter3")
    ran = run("settings", "explain", "vault_token", *form)
    assert ran.out.count("<hidden>") == (2 if not form else 3)
    assert "hunter" not in ran.out + ran.err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vault_auht", "there is no setting 'vault_auht'; did you mean 'vault_auth'?"),
        ("colour", "there is no setting 'colour'"),
        ("env", "the environment is chosen by SECUREML_ENV or in code"),
        ("\x1b[2J" + "x" * 5000, "there is no setting '\\\\x1b[2Jx"),
    ],
)
def test_an_unknown_name_is_wrong_usage_with_the_nearest_one(run, name, said):
    ran = run("settings", "explain", name)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert len(ran.err) < 500


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_if_the_settings_are_wrong_it_tells_what_is_known_without_them(run, tmp_path, form):
    (tmp_path / "settings.toml").write_text("[default]\ncache_ttl = 'soon'\n")
    ran = run("settings", "explain", "cache_ttl", *form)
    assert ran.code == 2
    assert "Seconds for which a fetched secret is reused" in ran.out
    assert "layers" not in ran.out
    assert "cache_ttl must be a number, and is text" in ran.err


def test_while_vault_is_down_it_tells_the_other_layers(run, tmp_path):
    (tmp_path / "settings.toml").write_text(
        "[default]\nvault_settings = true\nvault_url = 'http://127.0.0.1:9'\nvault_token = 't'\n"
    )
    ran = run("settings", "explain", "vault_url")
    assert ran.code == 5
    assert "*  http://127.0.0.1:9  settings.toml [default] line 3" in ran.out
    assert "note: the record in Vault is not among these layers" in ran.err


def test_a_value_of_vaults_record_is_a_layer(run, write_record):
    write_record({"master_key_name": "key_2030"})
    out = run("settings", "explain", "master_key_name").out
    assert "     master_key  default\n  *  key_2030    Vault secret/secureml/settings\n" in out

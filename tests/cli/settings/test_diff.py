"""``settings diff``: what two environments have differently."""

from __future__ import annotations

import json

import pytest

TEXT = """\
[default]
vault_token = "hunter2"
columns.a.strategy = "fpe"
[development]
vault_url = "http://127.0.0.1:8200"
[production]
vault_url = "https://v"
vault_token = "hunter3"
columns.a = { strategy = "fpe", format = "ssn" }
"""


def test_it_prints_both_values_with_their_places(run, tmp_path):
    (tmp_path / "settings.toml").write_text(TEXT)
    ran = run("settings", "diff", "dev", "production")
    assert ran.code == 0
    assert "hunter" not in ran.err
    assert (
        ran.out
        == """\
vault_url
  development  http://127.0.0.1:8200  settings.toml [development] line 5
  production   https://v              settings.toml [production] line 7
vault_token
  development  <hidden>  settings.toml [default] line 2
  production   <hidden>  settings.toml [production] line 8
use_env_fallback
  development  true   default
  production   false  default [production]
columns.a.format
  development  <not set>
  production   ssn        settings.toml [production] line 9
"""
    )


def test_json_has_all_of_it(run, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text(TEXT)
    ran = run("settings", "diff", "production", "--env", "staging", "--json")
    found = json.loads(ran.out)
    assert set(found) == {"vault_url", "vault_token", "use_env_fallback", "columns.a.format"}
    place = {"file": str(file), "section": "production", "line": 9}
    assert found["columns.a.format"]["production"] == {
        "value": "ssn",
        "origin": "settings.toml [production]",
        "files": [place],
    }
    assert found["vault_token"]["production"]["value"] == "<hidden>"
    assert "hunter" not in ran.out


def test_environments_that_are_equal_do_not_differ(run, tmp_path):
    (tmp_path / "settings.toml").write_text("[production-eu]\n")
    ran = run("settings", "diff", "production-eu", "production")
    assert "use_env_fallback" not in ran.out
    ran = run("settings", "diff", "staging", "development")
    assert (ran.code, ran.out) == (0, "nothing differs between staging and development\n")
    assert json.loads(run("settings", "diff", "staging", "development", "--json").out) == {}


def test_variables_would_hide_a_difference_and_do_not_count(run, tmp_path, monkeypatch):
    (tmp_path / "settings.toml").write_text("[staging]\ncache_ttl = 1\n")
    monkeypatch.setenv("SECUREML_CACHE_TTL", "5")
    assert "cache_ttl\n" in run("settings", "diff", "development", "staging").out
    ran = run("settings", "diff", "development", "staging", "--variables")
    assert ran.out == "nothing differs between development and staging\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("production",), "Give two environments, or one and --env."),
        (("staging", "production", "--env", "dev"), "Give two environments, or one and --env."),
        (("staging", "prodution"), "did you mean 'production'?"),
        ((), "Missing argument 'ENVIRONMENT'"),
    ],
)
def test_wrong_environments_are_wrong_usage(run, arguments, said):
    ran = run("settings", "diff", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_wrong_settings_are_an_error_that_names_every_problem(run, tmp_path):
    (tmp_path / "settings.toml").write_text("[staging]\ncache_ttl = 'x'\ncolour = 1\n")
    ran = run("settings", "diff", "staging", "production")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: 2 problems in the settings:")

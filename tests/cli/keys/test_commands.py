"""Keys made, read, listed and rotated on a real server."""

from __future__ import annotations

import base64
import json

import pytest

import secureml
from helpers.vault import Vault
from secureml.key_management import KeyManager


@pytest.fixture
def configured(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Vault:
    """The variables that lead to the test's own namespace."""
    monkeypatch.setenv("SECUREML_VAULT_URL", vault.url)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", vault.token)
    monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", vault.namespace or "")
    return vault


def stored(vault, path="secureml/master_key", version=None):
    answer = vault.client().secrets.kv.v2.read_secret_version(
        path, version=version, raise_on_deleted_version=True
    )
    return answer["data"]["data"]


def facts_in(text):
    lines = (line.split(":", 1) for line in text.splitlines())
    return {name: value.strip() for name, value in lines}


def test_generate_key_prints_the_path_and_not_the_key(run, configured):
    ran = run("keys", "generate-key", "--key-name", "master_key")
    assert ran.code == 0
    material = stored(configured)["value"]
    assert len(bytes.fromhex(material)) == 32
    with KeyManager() as manager:
        fingerprint = manager.key_info("master_key").fingerprint
    facts = facts_in(ran.out)
    assert facts["path"] == "secret/secureml/master_key"
    assert facts["version"] == "1"
    assert facts["fingerprint"] == fingerprint
    assert material not in ran.out + ran.err


def test_generate_key_refuses_to_overwrite(run, configured):
    assert run("keys", "generate-key", "--key-name", "master_key").code == 0
    before = stored(configured)
    again = run("keys", "generate-key", "--key-name", "master_key")
    assert again.code == 1
    assert again.out == ""
    assert again.err.startswith("error: secret/secureml/master_key exists already")
    assert stored(configured) == before


def test_generate_key_takes_a_length_and_an_encoding(run, configured):
    line = "keys generate-key --key-name archive --length 64 --encoding base64 --env staging"
    assert run(*line.split()).code == 0
    kept = stored(configured, "secureml/staging/archive")
    assert kept["encoding"] == "base64"
    assert len(base64.b64decode(kept["value"], validate=True)) == 64


def test_generate_key_without_a_name_makes_the_master_key_of_the_settings(
    run, configured, monkeypatch
):
    monkeypatch.setenv("SECUREML_MASTER_KEY_NAME", "other_key")
    assert run("keys", "generate-key").code == 0
    assert stored(configured, "secureml/other_key")


@pytest.mark.parametrize("length", ["0", "15", "8161"])
def test_generate_key_refuses_an_impossible_length(run, configured, length):
    ran = run("keys", "generate-key", "--length", length)
    assert ran.code == 2
    assert "Invalid value for '--length'" in ran.err
    assert "16<=x<=8160" in ran.err


def test_get_key_prints_the_key_alone(run, configured):
    run("keys", "generate-key")
    ran = run("keys", "get-key", "--key-name", "master_key")
    material = stored(configured)["value"]
    assert (ran.code, ran.out) == (0, material + "\n")
    assert ran.err.startswith("note: master_key, version 1, from vault secret/secureml/master_key")
    assert material not in ran.err


def test_get_key_prints_base64_on_request(run, configured):
    run("keys", "generate-key")
    ran = run("keys", "get-key", "--encoding", "base64")
    assert base64.b64decode(ran.out, validate=False).hex() == stored(configured)["value"]


def test_get_key_as_json_holds_key_and_provenance(run, configured):
    run("keys", "generate-key", "--env", "development")
    ran = run("keys", "get-key", "--json", "--env", "dev")
    found = json.loads(ran.out)
    assert found.pop("key") == stored(configured, "secureml/development/master_key")["value"]
    assert found.pop("created").startswith("20")
    assert len(found.pop("fingerprint")) == 16
    assert found == {
        "encoding": "hex",
        "name": "master_key",
        "version": 1,
        "source": "vault",
        "environment": "development",
        "path": "secret/secureml/development/master_key",
        "stale": False,
        "state": "enabled",
        "purpose": None,
        "created_by": f"secureml {secureml.__version__}",
        "rotation_period": None,
        "due": None,
        "transit_key": None,
        "deletion_time": None,
    }
    assert ran.err == ""


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_get_key_info_is_provenance_without_the_key(run, configured, form):
    run("keys", "generate-key", "--length", "64")
    ran = run("keys", "get-key", "--info", *form)
    assert ran.code == 0
    assert "secret/secureml/master_key" in ran.out
    assert stored(configured)["value"] not in ran.out + ran.err


def test_rotate_leaves_older_versions_readable(run, configured):
    run("keys", "generate-key")
    first = run("keys", "get-key").out
    rotated = run("keys", "rotate")
    assert rotated.code == 0
    assert facts_in(rotated.out)["version"] == "2"
    newest = run("keys", "get-key").out
    assert newest != first
    assert newest.strip() not in rotated.out + rotated.err
    assert run("keys", "get-key", "--version", "1").out == first


def test_get_key_of_a_missing_version_exits_with_3(run, configured):
    run("keys", "generate-key")
    ran = run("keys", "get-key", "--version", "7")
    assert (ran.code, ran.out) == (3, "")
    assert "version 7" in ran.err


def test_rotate_of_a_missing_key_exits_with_3(run, configured):
    assert run("keys", "rotate", "--key-name", "nothing").code == 3


def test_list_names_the_keys_and_shows_none(run, configured):
    run("keys", "generate-key", "--key-name", "one")
    run("keys", "generate-key", "--key-name", "two")
    run("keys", "rotate", "--key-name", "two")
    ran = run("keys", "list")
    assert [line.split("  ")[:2] for line in ran.out.splitlines()] == [
        ["one", "version 1"],
        ["two", "version 2"],
    ]
    for name in ("one", "two"):
        assert stored(configured, f"secureml/{name}")["value"] not in ran.out + ran.err
    found = json.loads(run("keys", "list", "--json").out)
    assert [(key["name"], key["version"]) for key in found] == [("one", 1), ("two", 2)]


def test_list_says_that_there_are_no_keys(run, configured):
    assert run("keys", "list").err == "note: there are no keys\n"
    assert run("keys", "list", "--json").out == "[]\n"


def test_env_beats_the_variable(run, configured, monkeypatch):
    monkeypatch.setenv("SECUREML_ENV", "production")
    run("keys", "generate-key", "--env", "staging")
    assert stored(configured, "secureml/staging/master_key")
    assert run("keys", "get-key").code == 3


def test_get_key_of_a_deleted_key_exits_with_3(run, configured):
    run("keys", "generate-key")
    configured.client().secrets.kv.v2.delete_latest_version_of_secret("secureml/master_key")
    ran = run("keys", "get-key")
    assert (ran.code, ran.out) == (3, "")
    assert "was deleted" in ran.err


def test_get_key_of_another_length_is_an_error(run, configured):
    run("keys", "generate-key", "--length", "16")
    ran = run("keys", "get-key")
    assert (ran.code, ran.out) == (1, "")
    assert len(run("keys", "get-key", "--length", "16").out.strip()) == 32


def test_get_key_with_a_token_that_may_not_read_exits_with_4(run, configured, monkeypatch):
    token = configured.policy_token('path "auth/token/lookup-self" { capabilities = ["read"] }')
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", token)
    ran = run("keys", "get-key")
    assert (ran.code, ran.out) == (4, "")
    assert "denies 'read'" in ran.err
    assert token not in ran.err


def test_get_key_with_a_wrong_token_exits_with_4(run, configured, monkeypatch):
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", "wrong-token")
    ran = run("keys", "get-key")
    assert (ran.code, ran.out) == (4, "")
    assert "wrong-token" not in ran.err


def test_commands_on_keys_exit_with_5_if_no_server_answers(run, monkeypatch, unused_port):
    monkeypatch.setenv("SECUREML_VAULT_URL", f"http://127.0.0.1:{unused_port}")
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", "token")
    assert run("keys", "get-key").code == 5
    assert run("keys", "generate-key").code == 5


def test_a_fallback_warns_on_standard_error(run, monkeypatch, unused_port):
    monkeypatch.setenv("SECUREML_VAULT_URL", f"http://127.0.0.1:{unused_port}")
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", "token")
    monkeypatch.setenv("SECUREML_MASTER_KEY", "ab" * 32)
    ran = run("keys", "get-key")
    assert ran.out == "ab" * 32 + "\n"
    assert ran.err.startswith("warning: Vault at ")
    assert "ab" * 32 not in ran.err


def test_a_development_key_says_what_it_is(run, tmp_path):
    (tmp_path / "settings.toml").write_text("[development]\nuse_default_fallback = true\n")
    ran = run("keys", "get-key", "--env", "development")
    assert ran.code == 0
    assert len(ran.out.strip()) == 64
    assert "warning: 'master_key' is the development default" in ran.err
    assert "no version, from development default" in ran.err

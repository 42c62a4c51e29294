"""Keys that a transit engine wraps, by command, on a real server."""

from __future__ import annotations

import json

import pytest

from helpers.vault import Vault
from secureml.key_management import KeyManager


@pytest.fixture
def configured(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Vault:
    """The variables that lead to the test's own namespace, set up for wrapped keys."""
    monkeypatch.setenv("SECUREML_VAULT_URL", vault.url)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", vault.token)
    monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", vault.namespace or "")
    monkeypatch.setenv("SECUREML_KEY_BACKEND", "transit")
    monkeypatch.setenv("SECUREML_ENV", "staging")
    return vault


def facts(run, *arguments: str) -> dict[str, object]:
    ran = run("keys", *arguments, "--json")
    assert ran.code == 0, ran.err
    found: dict[str, object] = json.loads(ran.out)
    return found


def test_the_commands_make_and_rotate_a_wrapped_key(run, configured):
    assert run("vault", "bootstrap", "--environments", "staging", "--transit").code == 0
    assert run("keys", "generate-key").code == 0
    first = facts(run, "info")
    assert first["transit_key"] == "transit/secureml.staging.master_key"
    second = facts(run, "rotate")
    assert (second["version"], second["fingerprint"]) == (2, first["fingerprint"])
    third = facts(run, "rotate", "--new-material")
    assert (third["version"], third["fingerprint"] == first["fingerprint"]) == (3, False)
    assert facts(run, "info") == third
    refused = run(
        *("keys", "destroy", "--key-name", "master_key", "--version", "1"),
        *("--fingerprint", str(first["fingerprint"]), "--yes"),
    )
    assert refused.code == 1
    assert "only deleting the transit key destroys them all" in refused.err
    with KeyManager() as manager:
        key = manager.get_key(version=1)
        assert key.fingerprint == first["fingerprint"]
    assert key.reveal().hex() not in refused.out + refused.err


def test_rotate_refuses_new_material_for_all_due_keys(run):
    ran = run("keys", "rotate", "--all-due", "--new-material")
    assert ran.code == 2
    assert "--all-due and --new-material can't both be given" in ran.err


@pytest.mark.parametrize("flag", [(), ("--transit",)])
def test_bootstrap_mounts_the_engine_for_the_flag_or_the_setting(
    run, configured, monkeypatch, flag
):
    if flag:
        monkeypatch.delenv("SECUREML_KEY_BACKEND")
    ran = run("vault", "bootstrap", "--environments", "staging", *flag)
    assert ran.code == 0
    assert "created  secrets engine transit/" in ran.out
    printed = run("vault", "bootstrap", "--environments", "staging", "--print-hcl", *flag)
    assert 'path "transit/decrypt/secureml.staging.*"' in printed.out


def test_bootstrap_without_both_leaves_transit_alone(run, configured, monkeypatch):
    monkeypatch.delenv("SECUREML_KEY_BACKEND")
    ran = run("vault", "bootstrap", "--environments", "staging")
    assert ran.code == 0
    assert "transit" not in ran.out
    assert "transit/" not in configured.client().read("sys/mounts")["data"]


def test_generate_key_without_the_transit_engine_makes_no_key(run, configured):
    ran = run("keys", "generate-key")
    assert ran.code == 1
    assert "no transit engine at 'transit'" in ran.err
    assert run("keys", "list").out == ""

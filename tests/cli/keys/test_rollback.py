"""A Vault that went back, by command: what status tells, and how it is accepted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.vault import Vault
from secureml.key_management import KeyManager
from secureml.vault.devserver.server import DevServer


@pytest.fixture
def configured(vault: Vault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Vault:
    monkeypatch.setenv("SECUREML_VAULT_URL", vault.url)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", vault.token)
    monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", vault.namespace or "")
    monkeypatch.setenv("SECUREML_KNOWN_KEYS", str(tmp_path / "known"))
    return vault


@pytest.fixture
def gone_back(configured: Vault, tmp_path: Path) -> str:
    """A key of one version, of which this machine saw a second; its fingerprint."""
    with KeyManager() as manager:
        first = manager.generate_key("master_key")
    line = json.loads((tmp_path / "known").read_text())
    seen = line | {"version": 2, "fingerprint": "0123456789abcdef"}
    with (tmp_path / "known").open("a") as file:
        file.write(json.dumps(seen) + "\n")
    assert first.fingerprint is not None
    return first.fingerprint


def test_status_tells_what_vault_lost_until_that_is_accepted(
    run: Callable[..., Any], gone_back: str
) -> None:
    ran = run("vault", "status")
    assert "attention:  secret/secureml/master_key: version 2 (0123456789abcdef)" in ran.out
    ran = run("keys", "get-key")
    assert ran.code == 1
    assert "keys accept-rollback" in ran.err
    ran = run("keys", "accept-rollback", "--key-name", "master_key", "--yes")
    assert (ran.code, ran.out) == (0, "master_key, version 2, is given up\n")
    ran = run("vault", "status", "--json")
    assert json.loads(ran.out)["findings"] == []
    assert run("keys", "get-key").code == 0
    ran = run("keys", "rotate", "--json")
    assert json.loads(ran.out)["version"] == 3
    assert "passed over" in ran.err
    assert "problem" not in run("vault", "status").out


def test_status_tells_of_a_version_that_was_written_at_another_time(
    run: Callable[..., Any], configured: Vault
) -> None:
    with KeyManager() as manager:
        manager.generate_key("master_key")
        key = manager.get_key()
        kv = manager.vault_client.secrets.kv.v2
        kv.delete_metadata_and_all_versions("secureml/master_key")
        kv.create_or_update_secret("secureml/master_key", {"value": key.reveal().hex()})
    out = run("vault", "status").out
    assert f"version 1 ({key.fingerprint}) was created at {key.created}, and Vault has" in out


def test_accept_rollback_changes_nothing_without_a_rollback_or_a_confirmation(
    run: Callable[..., Any], configured: Vault
) -> None:
    with KeyManager() as manager:
        manager.generate_key("master_key")
    ran = run("keys", "accept-rollback", "--key-name", "master_key", "--yes")
    assert (ran.code, "nothing was changed" in ran.err) == (1, True)
    assert run("keys", "accept-rollback", "--key-name", "master_key").code == 2
    ran = run(
        "keys", "accept-rollback", "--key-name", "master_key", "--highest", "2", "--yes", "--json"
    )
    assert json.loads(ran.out) == {"name": "master_key", "lost": [2]}


def test_status_tells_of_two_active_clusters(
    run: Callable[..., Any], bao: DevServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DevServer(tmp_path / "second") as second:
        monkeypatch.setenv("SECUREML_VAULT_URL", f"{bao.url},{second.url}")
        monkeypatch.setenv("SECUREML_VAULT_TOKEN", bao.root_token.reveal())
        out = run("vault", "status").out
    assert f"attention:  {bao.url} and {second.url} are all active" in out

from __future__ import annotations

from collections.abc import Callable

import pytest

from helpers.vault import Vault


@pytest.fixture
def write_record(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Writes the record of settings in Vault, which commands then read."""

    def write(record: dict[str, str]) -> None:
        vault.client().secrets.kv.v2.create_or_update_secret("secureml/settings", secret=record)
        monkeypatch.setenv("SECUREML_VAULT_URL", vault.url)
        monkeypatch.setenv("SECUREML_VAULT_TOKEN", vault.token)
        monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", vault.namespace or "")
        monkeypatch.setenv("SECUREML_VAULT_SETTINGS", "true")

    return write

"""A table pseudonymized with keys from a real server."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from helpers.vault import Vault
from secureml import KeyManager, anonymize, reidentify, rekey
from secureml.errors import (
    AccessDeniedError,
    ManifestError,
    SecretDeletedError,
    VaultUnavailableError,
)

NAMES = pd.DataFrame(
    {"name": ["José Müller", "Anna-Lena O'Neil", "山田太郎", None], "ssn": ["078-05-1120"] * 4}
)
BOTH = ["name", "ssn"]
READ_ONLY = 'path "secret/data/secureml/*" { capabilities = ["read"] }'


@pytest.fixture
def manager(vault: Vault) -> KeyManager:
    manager = KeyManager(
        vault.url, vault.token, vault_namespace=vault.namespace, environment="production"
    )
    manager.generate_key("master_key")
    return manager


def test_a_rotation_changes_pseudonyms_and_old_tables_are_recovered(manager: KeyManager) -> None:
    old = anonymize(NAMES, sensitive_columns=BOTH, key_manager=manager)
    manager.rotate_key("master_key")
    new = anonymize(NAMES, sensitive_columns=BOTH, key_manager=manager)
    assert old.attrs["secureml"]["key"]["version"] == 1
    assert new.attrs["secureml"]["key"]["version"] == 2
    assert not set(old["ssn"]) & set(new["ssn"])
    for table in (old, new, rekey(old, key_manager=manager)):
        pd.testing.assert_frame_equal(reidentify(table, key_manager=manager), NAMES)
    pd.testing.assert_frame_equal(rekey(old, key_manager=manager), new)


def test_a_key_version_that_was_destroyed(manager: KeyManager) -> None:
    table = anonymize(NAMES, sensitive_columns=BOTH, key_manager=manager)
    fingerprint = manager.get_key("master_key").fingerprint
    manager.rotate_key("master_key")
    manager.destroy_key_version("master_key", 1, confirm=fingerprint)
    for recover in (reidentify, rekey):
        with pytest.raises(SecretDeletedError):
            recover(table, key_manager=manager)


def test_a_token_that_may_only_read_is_enough(vault: Any, manager: KeyManager) -> None:
    token = vault.policy_token(READ_ONLY)
    reader = KeyManager(vault.url, token, vault_namespace=vault.namespace, environment="production")
    table = anonymize(NAMES, sensitive_columns=BOTH, key_manager=reader)
    pd.testing.assert_frame_equal(reidentify(table, key_manager=manager), NAMES)


def test_a_token_without_the_right(vault: Any, manager: KeyManager) -> None:
    token = vault.policy_token('path "auth/token/lookup-self" { capabilities = ["read"] }')
    stranger = KeyManager(
        vault.url, token, vault_namespace=vault.namespace, environment="production"
    )
    with pytest.raises(AccessDeniedError):
        anonymize(NAMES, sensitive_columns=BOTH, key_manager=stranger)
    table = anonymize(NAMES, sensitive_columns=BOTH, key_manager=manager)
    with pytest.raises(AccessDeniedError):
        reidentify(table, key_manager=stranger)


def test_environments_have_their_own_keys(vault: Any, manager: KeyManager) -> None:
    staging = KeyManager(
        vault.url, vault.token, vault_namespace=vault.namespace, environment="staging"
    )
    staging.generate_key("master_key")
    table = anonymize(NAMES, sensitive_columns=BOTH, key_manager=manager)
    with pytest.raises(ManifestError, match=r"'production', and .* 'staging'"):
        reidentify(table, key_manager=staging)


def test_anonymize_without_a_server_is_an_outage(vault: Any, manager: KeyManager) -> None:
    nowhere = KeyManager(
        "http://127.0.0.1:9", vault.token, vault_timeout=1.0, environment="production"
    )
    with pytest.raises(VaultUnavailableError):
        anonymize(NAMES, sensitive_columns=BOTH, key_manager=nowhere)

"""Tables whose key never leaves Vault: the manifest carries it wrapped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from helpers.vault import Vault
from secureml import KeyManager, anonymize, merge_manifests, reidentify, rekey
from secureml.errors import (
    KeyDisabledError,
    KeyMaterialError,
    ManifestError,
    SecretDeletedError,
    SecretNotFoundError,
)

if TYPE_CHECKING:
    import hvac

TABLE = pd.DataFrame({"ssn": ["123-45-6789", "987-65-4321", None]})
KEY = "secureml.staging.master_key"


@pytest.fixture
def client(vault: Vault) -> hvac.Client:
    made = vault.client()
    made.sys.enable_secrets_engine("transit")
    return made


@pytest.fixture
def keys(vault: Vault, client: hvac.Client) -> Iterator[KeyManager]:
    with KeyManager(
        vault.url,
        vault.token,
        vault_namespace=vault.namespace,
        environment="staging",
        key_backend="transit",
        use_env_fallback=False,
        cache_ttl=0,
    ) as made:
        made.generate_key("master_key")
        yield made


def hide(keys: KeyManager) -> pd.DataFrame:
    return anonymize(TABLE, sensitive_columns=["ssn"], key_manager=keys)


def envelope(table: pd.DataFrame) -> dict[str, str]:
    return table.attrs["secureml"]["versions"][-1]["envelope"]


def test_the_manifest_carries_the_key_wrapped(keys) -> None:
    hidden = hide(keys)
    assert envelope(hidden)["transit_key"] == f"transit/{KEY}"
    assert envelope(hidden)["wrapped"].startswith("vault:v1:")
    pd.testing.assert_frame_equal(reidentify(hidden, key_manager=keys), TABLE)


def test_tables_of_one_key_can_be_joined(keys) -> None:
    assert hide(keys)["ssn"].equals(hide(keys)["ssn"])


def test_data_outlives_the_record_of_its_key(keys, client) -> None:
    hidden = hide(keys)
    client.secrets.kv.v2.delete_metadata_and_all_versions("secureml/staging/master_key")
    keys.invalidate()
    with pytest.raises(SecretNotFoundError):
        keys.get_key()
    pd.testing.assert_frame_equal(reidentify(hidden, key_manager=keys), TABLE)


def test_parts_outlive_the_record_of_their_key(keys, client) -> None:
    parts = [
        anonymize(part, sensitive_columns=["ssn"], key_manager=keys)
        for part in (TABLE.iloc[:1], TABLE.iloc[1:])
    ]
    client.secrets.kv.v2.delete_metadata_and_all_versions("secureml/staging/master_key")
    keys.invalidate()
    merged = merge_manifests((part.attrs["secureml"] for part in parts), key_manager=keys)
    assert merged["versions"] == parts[0].attrs["secureml"]["versions"]
    back = reidentify(pd.concat(parts), merged, key_manager=keys)
    pd.testing.assert_frame_equal(back, TABLE)


def test_data_does_not_outlive_the_transit_key(keys, client) -> None:
    hidden = hide(keys)
    client.adapter.post(f"/v1/transit/keys/{KEY}/config", json={"deletion_allowed": True})
    client.delete(f"transit/keys/{KEY}")
    with pytest.raises(SecretDeletedError):
        reidentify(hidden, key_manager=keys)


def test_rekey_after_a_rotation_wraps_the_key_anew_and_leaves_the_data(keys, client) -> None:
    hidden = hide(keys)
    keys.rotate_key("master_key")
    moved = rekey(hidden, key_manager=keys)
    pd.testing.assert_frame_equal(moved, hidden)
    assert moved.attrs["secureml"]["key"]["version"] == 2
    assert envelope(moved)["wrapped"].startswith("vault:v2:")
    client.adapter.post(f"/v1/transit/keys/{KEY}/config", json={"min_decryption_version": 2})
    client.secrets.kv.v2.delete_metadata_and_all_versions("secureml/staging/master_key")
    keys.invalidate()
    pd.testing.assert_frame_equal(reidentify(moved, key_manager=keys), TABLE)
    with pytest.raises(KeyDisabledError):
        reidentify(hidden, key_manager=keys)


def test_new_material_moves_the_data(keys) -> None:
    hidden = hide(keys)
    keys.rotate_key("master_key", new_material=True)
    moved = rekey(hidden, key_manager=keys)
    assert not (moved["ssn"].dropna() == hidden["ssn"].dropna()).any()
    for table in (hidden, moved):
        pd.testing.assert_frame_equal(reidentify(table, key_manager=keys), TABLE)


def test_rows_of_an_older_version_outlive_its_record(keys, client) -> None:
    parts = []
    for _ in range(2):
        parts.append(
            anonymize(TABLE, sensitive_columns=["ssn"], key_versions=True, key_manager=keys)
        )
        keys.rotate_key("master_key", new_material=True)
        keys.invalidate()
    merged = merge_manifests((part.attrs["secureml"] for part in parts), key_manager=keys)
    client.secrets.kv.v2.delete_metadata_and_all_versions("secureml/staging/master_key")
    keys.invalidate()
    back = reidentify(pd.concat(parts), merged, key_manager=keys)
    pd.testing.assert_frame_equal(back, pd.concat([TABLE, TABLE]))


def test_a_table_moves_from_a_key_in_the_clear_to_a_wrapped_one(keys) -> None:
    with KeyManager(settings=keys.settings) as other:
        other.generate_key("wrapped")
    plain = KeyManager(
        keys.settings.vault_url,
        keys.settings.vault_token,
        vault_namespace=keys.settings.vault_namespace,
        environment="staging",
    )
    with plain:
        plain.generate_key("clear")
        hidden = anonymize(
            TABLE, sensitive_columns=["ssn"], master_key_name="clear", key_manager=plain
        )
        assert envelope(hidden) is None
        moved = rekey(hidden, to_key="wrapped", key_manager=plain)
        assert envelope(moved)["wrapped"].startswith("vault:v1:")
        pd.testing.assert_frame_equal(reidentify(moved, key_manager=plain), TABLE)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"wrapped": "vault:v1:AAAA"}, KeyMaterialError),
        ({"wrapped": "plain"}, ManifestError),
        ({"transit_key": "elsewhere/key"}, KeyMaterialError),
        ({"more": "fields"}, ManifestError),
    ],
)
def test_a_changed_envelope_opens_nothing(keys, client, change, error) -> None:
    hidden = hide(keys)
    hidden.attrs["secureml"]["versions"][-1]["envelope"] |= change
    client.secrets.kv.v2.delete_metadata_and_all_versions("secureml/staging/master_key")
    keys.invalidate()
    with pytest.raises(error) as caught:
        reidentify(hidden, key_manager=keys)
    assert caught.value.__context__ is None
    assert "AAAA" not in str(caught.value)

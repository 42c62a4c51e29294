"""Versions that Vault is to delete by itself: refused for keys, and told where they are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from helpers.vault import Vault
from secureml.errors import ConfigurationError, SecretDeletedError, SecretError
from secureml.stores import Finding

PATH = "secureml/staging/k"

EVERYTHING_BUT_THE_MOUNT = """
path "secret/data/*" { capabilities = ["create", "read", "update"] }
path "secret/metadata/*" { capabilities = ["create", "list", "patch", "read", "update"] }
"""


@pytest.fixture
def delete_after(vault: Vault) -> Callable[[str], object]:
    """Have the mount delete each version after some time; ``0s`` for never."""
    return lambda time: vault.client().write("secret/config", delete_version_after=time)


def test_no_key_is_made_on_a_mount_that_deletes_versions(manager, kv, delete_after):
    kv.create_or_update_secret(PATH, {"value": "ab" * 32})
    delete_after("720h")
    for attempt in (
        lambda: manager.generate_key("new"),
        lambda: manager.import_key("new", "ab" * 32),
        lambda: manager.rotate_key("k"),
    ):
        with pytest.raises(ConfigurationError, match="delete_version_after") as caught:
            attempt()
        assert "720h" in str(caught.value)
    assert [info.version for info in manager.key_history("k")] == [1]
    assert kv.list_secrets("secureml/staging")["data"]["keys"] == ["k"]


@pytest.mark.parametrize("time", ["0s", "-1s"])
def test_a_mount_that_deletes_none_takes_keys(manager, delete_after, time):
    delete_after(time)
    manager.generate_key("k")
    assert manager.rotate_key("k").deletion_time is None


def test_a_program_without_rights_on_the_mount_is_told_of_the_planned_deletion(
    manager_with, vault, delete_after
):
    delete_after("1h")
    manager = manager_with(vault.policy_token(EVERYTHING_BUT_THE_MOUNT, no_default_policy=False))
    with pytest.raises(SecretError, match=r"version 1 .* deletes it at") as caught:
        manager.generate_key("k")
    assert "delete_version_after" in str(caught.value)
    (info,) = manager.key_history("k")
    left = info.deletion_time - datetime.now(UTC)
    assert timedelta(minutes=50) < left < timedelta(minutes=70)


def test_a_planned_deletion_in_the_metadata_of_a_key_is_removed(manager, kv):
    kv.create_or_update_secret(PATH, {"value": "ab" * 32})
    kv.update_metadata(PATH, delete_version_after="2h")
    kv.update_metadata("secureml/staging/new", delete_version_after="2h")
    assert manager.rotate_key("k").deletion_time is None
    assert manager.generate_key("new").deletion_time is None
    for name in ("k", "new"):
        found = kv.read_secret_metadata(f"secureml/staging/{name}")["data"]
        assert found["delete_version_after"] == "0s"


def test_a_planned_deletion_is_told(manager, kv, delete_after):
    delete_after("1h")
    kv.create_or_update_secret(PATH, {"value": "ab" * 32})
    delete_after("0s")
    manager.rotate_key("k")
    first, second = manager.key_history("k")
    assert first.deletion_time > datetime.now(UTC)
    assert second.deletion_time is None
    assert manager.key_info("k", 1).deletion_time == first.deletion_time


def test_a_key_whose_newest_version_is_deleted_is_listed(manager, kv):
    manager.generate_key("k")
    kv.create_or_update_secret("secureml/staging/password", {"value": "x"})
    for name in ("k", "password"):
        kv.delete_latest_version_of_secret(f"secureml/staging/{name}")
    (info,) = manager.list_keys()
    assert (info.name, info.version, info.state) == ("k", 1, "deleted")
    assert info.fingerprint is None
    assert info.deletion_time < datetime.now(UTC)


def test_a_destroyed_key_is_listed(manager):
    made = manager.generate_key("k")
    manager.destroy_key_version("k", 1, made.fingerprint)
    (info,) = manager.list_keys()
    assert (info.state, info.deletion_time) == ("destroyed", None)


def test_rotate_due_names_a_deleted_key_that_has_a_period(manager, kv):
    manager.generate_key("k", rotation_period=30)
    manager.generate_key("other", rotation_period=30)
    kv.delete_latest_version_of_secret(PATH)
    with pytest.raises(SecretDeletedError, match=r"1 of 2 keys that are due .* 'k'"):
        manager.rotate_due(datetime.now(UTC) + timedelta(days=31))
    assert manager.key_info("other").version == 2
    assert manager._connection.store().read("k").finding is Finding.DELETED

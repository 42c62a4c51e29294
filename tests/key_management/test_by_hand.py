"""What operators do with Vault's own commands: copies of a version, notes, replaced metadata."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from secureml.errors import KeyDisabledError, SecureMLWarning
from secureml.key_management import KeyManager

if TYPE_CHECKING:
    from hvac.api.secrets_engines import KvV2

PATH = "secureml/staging/k"


def states(manager):
    return [info.state for info in manager.key_history("k")]


def content(vault, version=""):
    return vault.client().read(f"secret/data/{PATH}?version={version}")["data"]["data"]


def details(act):
    """Do something; return the details of the warnings that it gave."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SecureMLWarning)
        act()
    return [warning.message.details for warning in caught]


def replace_custom_metadata(kv):
    """Do as ``vault kv metadata put -custom-metadata=owner=data`` does."""
    kv.update_metadata(PATH, custom_metadata={"owner": "data"})


# Versions with the same key.


def test_whoever_takes_a_version_out_of_use_hears_of_others_with_the_same_key(manager, kv, vault):
    made = manager.generate_key("k")
    kv.create_or_update_secret(PATH, content(vault) | {"owner": "data"})
    (told,) = details(lambda: manager.disable_key_version("k", 1))
    assert told.endswith("version 1 is disabled, and the same key is still in version 2 (enabled)")
    assert details(lambda: manager.disable_key_version("k", 2)) == []
    (told,) = details(lambda: manager.destroy_key_version("k", 1, made.fingerprint))
    assert told.endswith(
        "version 1 is destroyed, and the same key is still in version 2 (disabled)"
    )
    assert details(lambda: manager.destroy_key_version("k", 2, made.fingerprint)) == []


def test_destroying_a_version_names_a_later_one_with_the_same_key(manager, kv, vault):
    made = manager.generate_key("k")
    manager.rotate_key("k")
    kv.create_or_update_secret(PATH, content(vault, 1))
    (told,) = details(lambda: manager.destroy_key_version("k", 1, made.fingerprint))
    assert "version 3 (enabled)" in told


# Fields beside the key.


@pytest.mark.parametrize("backend", ["kv", "transit"])
def test_a_rotation_keeps_what_an_operator_wrote_beside_the_key(manager_with, vault, kv, backend):
    vault.client().sys.enable_secrets_engine("transit")
    kv.create_or_update_secret(PATH, {"value": "ab" * 32, "owner": "data", "ticket": 7})
    manager = manager_with(key_backend=backend)
    manager.rotate_key("k")
    fields = content(vault)
    assert (fields["owner"], fields["ticket"]) == ("data", 7)
    assert fields.get("value") != "ab" * 32
    manager.rotate_key("k", new_material=True)
    assert content(vault)["owner"] == "data"
    made = manager.key_info("k")
    if backend == "kv":
        manager.destroy_key_version("k", 3, made.fingerprint)
        manager.rotate_key("k")
        assert content(vault)["owner"] == "data"


# Custom metadata that somebody has replaced.


@pytest.fixture
def wiped(manager: KeyManager, kv: KvV2) -> KeyManager:
    """A key of three versions, the first disabled, whose custom metadata was replaced."""
    manager.generate_key("k", purpose="orders", rotation_period=30)
    manager.rotate_key("k")
    manager.rotate_key("k")
    manager.disable_key_version("k", 1)
    replace_custom_metadata(kv)
    manager.invalidate()
    return manager


@pytest.mark.parametrize("version", [1, 2, None])
def test_no_version_is_used_if_its_states_were_lost(wiped, manager_with, version):
    for manager in (wiped, manager_with()):
        with pytest.raises(KeyDisabledError, match="somebody has replaced the custom metadata"):
            manager.get_key("k", version)


def test_a_reader_without_rights_on_metadata_notices_that_states_were_lost(
    wiped, manager_with, vault
):
    policy = f'path "secret/data/{PATH}" {{ capabilities = ["read"] }}'
    reader = manager_with(vault.policy_token(policy, no_default_policy=False))
    with pytest.raises(KeyDisabledError, match="replaced the custom metadata"):
        reader.get_key("k", 1)


def test_the_history_calls_lost_states_unknown(wiped):
    assert states(wiped) == ["unknown"] * 3
    assert [info.state for info in wiped.list_keys()] == ["unknown"]


def test_rotate_due_names_a_key_that_lost_its_rotation_period(wiped):
    wiped.generate_key("other", rotation_period=30)
    with pytest.raises(KeyDisabledError, match="1 of 2 keys that are due"):
        wiped.rotate_due(datetime.now(UTC) + timedelta(days=31))
    assert wiped.key_info("other").version == 2
    with pytest.raises(KeyDisabledError, match="replaced"):
        wiped.rotate_key("k")


def test_only_enabled_versions_are_in_use_again_after_states_were_lost(wiped, kv):
    wiped.enable_key_version("k", 3)
    assert states(wiped) == ["disabled", "disabled", "enabled"]
    wiped.enable_key_version("k", 2)
    assert states(wiped) == ["disabled", "decrypt-only", "enabled"]
    assert wiped.get_key("k").version == 3
    assert wiped.rotate_key("k").version == 4
    found = kv.read_secret_metadata(PATH)["data"]["custom_metadata"]
    assert found["owner"] == "data"


def test_disabling_a_version_after_states_were_lost_leaves_all_disabled(wiped):
    wiped.disable_key_version("k", 2)
    assert states(wiped) == ["disabled"] * 3


def test_a_note_that_an_operator_adds_to_metadata_changes_no_state(manager, kv, vault):
    manager.generate_key("k")
    vault.client().adapter.request(
        "patch",
        f"/v1/secret/metadata/{PATH}",
        json={"custom_metadata": {"owner": "data"}},
        headers={"Content-Type": "application/merge-patch+json"},
    )
    kv.update_metadata(PATH, max_versions=200_000)
    manager.invalidate()
    assert manager.get_key("k").version == 1


def test_a_key_that_an_operator_wrote_needs_no_custom_metadata(manager, kv):
    kv.create_or_update_secret(PATH, {"value": "ab" * 32})
    replace_custom_metadata(kv)
    assert manager.rotate_key("k").version == 2
    replace_custom_metadata(kv)
    manager.invalidate()
    assert manager.get_key("k").version == 2

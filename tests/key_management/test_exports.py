"""Whole keys in a file: out of one Vault, into another, and nothing of it to be read or changed."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from helpers.vault import Vault
from secureml.errors import (
    ConfigurationError,
    KeyDisabledError,
    KeyMaterialError,
    SecretDeletedError,
    SecretError,
    SecretExistsError,
    SecretNotFoundError,
    SecureMLWarning,
)
from secureml.key_management import KeyManager
from secureml.stores import MemoryStore

if TYPE_CHECKING:
    from hvac.api.secrets_engines import KvV2

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def manager_with(vault: Vault) -> Iterator[Callable[..., KeyManager]]:
    managers = []

    def make(**more: Any) -> KeyManager:
        more = {"vault_namespace": vault.namespace, "environment": "staging", **more}
        managers.append(KeyManager(vault.url, vault.token, **more))
        return managers[-1]

    yield make
    for each in managers:
        each.close()


@pytest.fixture
def kv(vault: Vault) -> KvV2:
    return vault.client().secrets.kv.v2


@pytest.fixture
def manager(manager_with: Callable[..., KeyManager], kv: KvV2) -> KeyManager:
    """A key with a gap, a disabled version, notes beside it, a purpose and a period."""
    manager = manager_with()
    manager.generate_key("k", purpose="orders", rotation_period=90)
    for _ in range(4):
        manager.rotate_key("k")
    manager.disable_key_version("k", 3)
    manager.destroy_key_version("k", 2, manager.key_history("k")[1].fingerprint)
    return manager


@pytest.fixture
def elsewhere(vault: Vault, manager_with: Callable[..., KeyManager]) -> KeyManager:
    """A manager on another mount of the same Vault."""
    vault.client().sys.enable_secrets_engine("kv", "other", options={"version": "2"})
    return manager_with(vault_mount="other")


@pytest.fixture
def memory() -> Iterator[KeyManager]:
    with KeyManager(store=MemoryStore(), environment="staging") as manager:
        manager.generate_key("k")
        yield manager


def export(manager, name="k", **protection):
    """Export a key that has a destroyed version."""
    protection = protection or {"passphrase": PASSPHRASE}
    with pytest.warns(SecureMLWarning, match="exported without their content") as caught:
        file = manager.export_key(name, **protection)
    assert "without the content of versions 2:" in caught[0].message.details
    return file


def key_pair():
    private = x25519.X25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), public


def told(history):
    """What must be the same on both sides."""
    return [
        (each.version, each.state, each.fingerprint, each.purpose, each.rotation_period)
        for each in history
    ]


def of_versions(history):
    return [(each.version, each.state, each.fingerprint) for each in history]


def protections():
    private, public = key_pair()
    return [
        ({"passphrase": PASSPHRASE}, {"passphrase": PASSPHRASE}),
        ({"public_key": public}, {"private_key": private}),
        ({"transit_key": "transit/backup"}, {"transit_key": "transit/backup"}),
    ]


@pytest.mark.parametrize(("sealing", "opening"), protections(), ids=["phrase", "public", "transit"])
def test_a_restored_key_equals_the_exported_one(manager, elsewhere, vault, sealing, opening):
    vault.client().sys.enable_secrets_engine("transit")
    vault.client().write("transit/keys/backup", derived=True)
    file = export(manager, **sealing)
    restored = elsewhere.restore_key(elsewhere.read_export(file, **opening))
    assert told(restored) == told(manager.key_history("k"))
    assert [each.state for each in restored] == [
        "decrypt-only",
        "destroyed",
        "disabled",
        "decrypt-only",
        "enabled",
    ]
    for version in (1, 4, 5, None):
        expected = manager.get_encryption_key("k", version=version)
        assert elsewhere.get_encryption_key("k", version=version) == expected
    with pytest.raises(KeyDisabledError):
        elsewhere.get_key("k", 3)
    with pytest.raises(SecretDeletedError):
        elsewhere.get_key("k", 2)
    info = elsewhere.key_info("k")
    assert (info.purpose, info.rotation_period) == ("orders", timedelta(days=90))
    assert elsewhere.rotate_key("k").version == 6


def test_an_export_holds_no_material_in_the_clear(manager):
    keys = [manager.get_key("k", version).reveal() for version in (1, 4, 5)]
    file = export(manager)
    for key in keys:
        assert key.hex().encode() not in file
    shown = json.loads(file)
    assert [each["version"] for each in shown["versions"]] == [1, 2, 3, 4, 5]
    assert file != export(manager)


def test_a_key_that_an_operator_wrote_keeps_its_notes_and_its_encoding(manager_with, kv, vault):
    vault.client().sys.enable_secrets_engine("kv", "other", options={"version": "2"})
    kv.create_or_update_secret("secureml/staging/k", {"value": "ab" * 32, "owner": "data"})
    file = manager_with().export_key("k", passphrase=PASSPHRASE)
    other = manager_with(vault_mount="other")
    other.restore_key(other.read_export(file, passphrase=PASSPHRASE))
    found = vault.client().read("other/data/secureml/staging/k")["data"]["data"]
    assert (found["value"], found["owner"]) == ("ab" * 32, "data")


@pytest.mark.parametrize(("source", "target"), [("transit", "kv"), ("kv", "transit")])
def test_a_wrapped_key_and_one_in_the_clear_become_each_other(manager_with, vault, source, target):
    vault.client().sys.enable_secrets_engine("transit")
    vault.client().sys.enable_secrets_engine("kv", "other", options={"version": "2"})
    manager = manager_with(key_backend=source)
    manager.generate_key("k")
    manager.rotate_key("k", new_material=True)
    file = manager.export_key("k", passphrase=PASSPHRASE)
    other = manager_with(key_backend=target, vault_mount="other", vault_path="elsewhere")
    other.restore_key(other.read_export(file, passphrase=PASSPHRASE))
    assert of_versions(other.key_history("k")) == of_versions(manager.key_history("k"))
    for version in (1, 2):
        key = other.get_key("k", version)
        assert key.material == manager.get_key("k", version).material
        assert (key.envelope is not None) == (target == "transit")


def test_another_server_restores_an_export(manager, private_bao):
    with KeyManager(private_bao.url, private_bao.root_token, environment="staging") as other:
        file = export(manager)
        other.restore_key(other.read_export(file, passphrase=PASSPHRASE))
        assert told(other.key_history("k")) == told(manager.key_history("k"))


def test_nothing_is_written_over_an_existing_key(manager, elsewhere, vault):
    found = elsewhere.read_export(export(manager), passphrase=PASSPHRASE)
    made = elsewhere.generate_key("k")
    client = vault.client()
    for change in (
        lambda: None,
        lambda: client.delete("other/data/secureml/staging/k"),
        lambda: elsewhere.destroy_key_version("k", 1, made.fingerprint),
    ):
        change()
        with pytest.raises(SecretExistsError, match="nothing was written"):
            elsewhere.restore_key(found)
        assert len(elsewhere.key_history("k")) == 1
        client.write("other/undelete/secureml/staging/k", versions=[1])


def test_no_version_is_used_before_all_are_restored(manager, elsewhere, manager_with, monkeypatch):
    found = elsewhere.read_export(export(manager), passphrase=PASSPHRASE)
    store = elsewhere._connection.store()
    write = store.write
    reader = manager_with(vault_mount="other")
    seen = []

    def watched(name, fields, *, cas):
        record = write(name, fields, cas=cas)
        with pytest.raises(SecretError) as caught:
            reader.get_key("k")
        seen.append(type(caught.value))
        return record

    monkeypatch.setattr(store, "write", watched)
    elsewhere.restore_key(found)
    assert seen == [KeyDisabledError] * 5
    reader.invalidate()
    assert reader.get_key("k").version == 5


def test_a_key_that_is_restored_in_part_is_told_and_not_used(
    manager, elsewhere, manager_with, monkeypatch
):
    found = elsewhere.read_export(export(manager), passphrase=PASSPHRASE)
    store = elsewhere._connection.store()
    write = store.write

    def failing(name, fields, *, cas):
        if cas == 3:
            raise SecretError("out of order")
        return write(name, fields, cas=cas)

    monkeypatch.setattr(store, "write", failing)
    with pytest.raises(SecretError, match=r"restored in part, and not used: .* out of order"):
        elsewhere.restore_key(found)
    with pytest.raises(KeyDisabledError):
        manager_with(vault_mount="other").get_key("k", 1)


def test_unknown_states_are_restored_as_unknown(manager, elsewhere, kv):
    kv.update_metadata("secureml/staging/k", custom_metadata={"owner": "data"})
    file = export(manager)
    restored = elsewhere.restore_key(elsewhere.read_export(file, passphrase=PASSPHRASE))
    states = ["unknown", "destroyed", "unknown", "unknown", "unknown"]
    assert [each.state for each in restored] == states


def changed(file, **more):
    return json.dumps(json.loads(file) | more).encode()


def test_an_export_that_was_changed_is_refused(manager):
    private, public = key_pair()
    file = export(manager, public_key=public)
    document = json.loads(file)
    states = [{**each, "state": "enabled"} for each in document["versions"]]
    for other in (
        changed(file, name="other"),
        changed(file, environment="production"),
        changed(file, custom_metadata={}),
        changed(file, versions=states),
        changed(file, versions=document["versions"][:1]),
        changed(file, nonce="00" * 12),
        changed(file, sealed=document["sealed"][:-8] + "AAAAAAA="),
        changed(file, more="x"),
    ):
        with pytest.raises(KeyMaterialError, match="was changed, or the passphrase") as caught:
            manager.read_export(other, private_key=private)
        assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "change",
    [
        {"format": "x"},
        {"schema": 2},
        {"versions": []},
        {"versions": [{"version": "1"}]},
        {"versions": [{"version": 10**9, "state": "enabled"}]},
        {"protection": "x"},
        {"protection": {"kind": "x25519"}},
        {"protection": {"kind": "\x1b[2J"}},
        {"nonce": 5},
        {"sealed": "\u00e4"},
        {"custom_metadata": {"a": 5}},
        {"environment": 5},
    ],
)
def test_a_file_that_is_no_export_is_refused(memory, change):
    private, public = key_pair()
    file = changed(memory.export_key("k", public_key=public), **change)
    with pytest.raises(KeyMaterialError, match="the export") as caught:
        memory.read_export(file, private_key=private)
    assert caught.value.__context__ is None
    assert "\x1b" not in str(caught.value)


def test_an_export_that_is_no_json_is_refused(memory):
    for file in (b"", b"\xff", b"[]", b"[" * 100_000):
        with pytest.raises(KeyMaterialError, match="the export"):
            memory.read_export(file, private_key=key_pair()[0])


def test_another_passphrase_or_key_does_not_open_an_export(manager):
    private, public = key_pair()
    file = export(manager)
    with pytest.raises(KeyMaterialError, match="was changed, or the passphrase"):
        manager.read_export(file, passphrase=PASSPHRASE + "!")
    with pytest.raises(KeyMaterialError, match="protected by passphrase, and not by x25519"):
        manager.read_export(file, private_key=private)
    file = export(manager, public_key=public)
    with pytest.raises(KeyMaterialError, match="was changed, or the passphrase or key"):
        manager.read_export(file, private_key=key_pair()[0])


def test_an_export_takes_exactly_one_sound_protection(manager):
    for wrong in ({}, {"passphrase": PASSPHRASE, "transit_key": "transit/x"}):
        with pytest.raises(ConfigurationError, match="exactly one of passphrase"):
            manager.export_key("k", **wrong)
    with pytest.raises(KeyMaterialError, match="12 characters"):
        manager.export_key("k", passphrase="short")
    other = ed25519.Ed25519PrivateKey.generate().public_key()
    pem = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for wrong in (b"x", pem):
        with pytest.raises(KeyMaterialError, match="no X25519 key"):
            manager.export_key("k", public_key=wrong)


def test_a_passphrase_or_private_key_of_another_type_is_a_type_error(memory):
    with pytest.raises(TypeError, match="a passphrase is a str"):
        memory.export_key("k", passphrase=5)
    with pytest.raises(TypeError, match="a passphrase is a str"):
        memory.read_export(b"{}", passphrase=5)
    with pytest.raises(TypeError, match="a private key is bytes"):
        memory.read_export(b"{}", private_key=5)


def test_a_version_that_holds_no_key_is_exported_without_its_content():
    store = MemoryStore()
    with KeyManager(store=store, environment="staging") as manager:
        manager.generate_key("k")
        store.write("k", {"value": "hunter2"}, cas=1)
        file = export(manager)
    versions = json.loads(file)["versions"]
    assert [each["state"] for each in versions] == ["decrypt-only", "no key"]
    assert versions[1]["fingerprint"] is None
    assert b"hunter2" not in file


def test_a_key_that_does_not_exist_can_not_be_exported(manager_with, kv):
    manager = manager_with()
    with pytest.raises(SecretNotFoundError):
        manager.export_key("nothing", passphrase=PASSPHRASE)
    made = manager.generate_key("gone")
    manager.destroy_key_version("gone", 1, made.fingerprint)
    with pytest.raises(SecretDeletedError):
        manager.export_key("gone", passphrase=PASSPHRASE)


def test_an_export_does_not_go_to_another_environment(manager, manager_with):
    other = manager_with(environment="production")
    found = other.read_export(export(manager), passphrase=PASSPHRASE)
    with pytest.raises(ConfigurationError, match="'staging', and 'production' is selected"):
        other.restore_key(found)


def test_a_store_in_memory_restores_an_export(manager):
    with KeyManager(store=MemoryStore(), environment="staging") as other:
        found = other.read_export(export(manager), passphrase=PASSPHRASE)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert of_versions(other.restore_key(found)) == of_versions(manager.key_history("k"))

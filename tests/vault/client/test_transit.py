"""The transit engine of a real server: what it wraps, what it refuses, and how that is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from helpers.vault import Vault
from secureml.errors import (
    AccessDeniedError,
    ConfigurationError,
    KeyDisabledError,
    KeyMaterialError,
    MalformedAnswerError,
    SecretDeletedError,
    SecretError,
    VaultSealedError,
    VaultUnavailableError,
)
from secureml.secret_types import SecretBytes
from secureml.settings import Settings
from secureml.vault.client.session import VaultSession
from secureml.vault.client.transit import DATA_KEY_SIZES, TransitEngine

if TYPE_CHECKING:
    import hvac

KEY = "transit/k"
HERE, ELSEWHERE = b"staging/k", b"production/k"


def session_of(vault, token: str | None = None) -> VaultSession:
    return VaultSession(
        Settings(
            vault_url=vault.url,
            vault_token=vault.token if token is None else token,
            vault_namespace=vault.namespace,
        )
    )


@pytest.fixture
def client(vault: Vault) -> hvac.Client:
    made = vault.client()
    made.sys.enable_secrets_engine("transit")
    return made


@pytest.fixture
def engine(vault: Vault, client: hvac.Client) -> Iterator[TransitEngine]:
    session = session_of(vault)
    made = TransitEngine(session)
    made.ensure_key(KEY)
    yield made
    session.close()


def config(client, **traits: object) -> None:
    client.adapter.post("/v1/transit/keys/k/config", json=traits)


def test_a_transit_key_can_not_leave_vault(engine, client):
    traits = client.read("transit/keys/k")["data"]
    assert traits["type"] == "aes256-gcm96"
    assert traits["derived"]
    assert not traits["exportable"]
    assert not traits["allow_plaintext_backup"]
    engine.ensure_key(KEY)
    assert client.read("transit/keys/k")["data"] == traits


@pytest.mark.parametrize(
    ("traits", "message"),
    [
        ({}, "derived=true"),
        ({"type": "ed25519", "derived": True}, "of the type ed25519, and not aes256-gcm96"),
        ({"type": "aes128-gcm96", "derived": True}, "of the type aes128-gcm96"),
        ({"type": "chacha20-poly1305", "derived": True}, "of the type chacha20-poly1305"),
        ({"derived": True, "convergent_encryption": True}, "is convergent"),
        ({"derived": True, "exportable": True}, "may leave Vault"),
        ({"derived": True, "allow_plaintext_backup": True}, "may leave Vault"),
    ],
)
def test_a_transit_key_of_another_kind_is_refused(engine, client, traits, message):
    client.adapter.post("/v1/transit/keys/other", json=traits)
    with pytest.raises(ConfigurationError, match=message):
        engine.ensure_key("transit/other")


@pytest.mark.parametrize("size", DATA_KEY_SIZES)
def test_a_data_key_is_what_unwrapping_gives(engine, size):
    material, wrapped = engine.data_key(KEY, size, HERE)
    assert len(material) == size
    assert wrapped.startswith("vault:v1:")
    assert engine.decrypt(KEY, wrapped, HERE) == material
    assert engine.data_key(KEY, size, HERE)[0] != material


def test_a_key_made_elsewhere_is_wrapped_as_well(engine):
    material = SecretBytes(bytes(range(24)))
    assert engine.decrypt(KEY, engine.encrypt(KEY, material, HERE), HERE) == material


def test_a_rewrapped_key_is_the_same_key_under_the_newest_version(engine):
    material, old = engine.data_key(KEY, 32, HERE)
    engine.rotate_key(KEY)
    new = engine.rewrap(KEY, old, HERE)
    assert new.startswith("vault:v2:")
    assert engine.decrypt(KEY, new, HERE) == engine.decrypt(KEY, old, HERE) == material


def test_the_oldest_version_that_decrypts_can_be_raised(engine, client):
    material, old = engine.data_key(KEY, 32, HERE)
    engine.rotate_key(KEY)
    new = engine.rewrap(KEY, old, HERE)
    config(client, min_decryption_version=2)
    assert engine.decrypt(KEY, new, HERE) == material
    for attempt in (engine.decrypt, engine.rewrap):
        with pytest.raises(KeyDisabledError, match="min_decryption_version"):
            attempt(KEY, old, HERE)
    config(client, min_decryption_version=1)
    assert engine.decrypt(KEY, old, HERE) == material


def test_a_wrapped_key_is_bound_to_its_context(engine):
    _, wrapped = engine.data_key(KEY, 32, HERE)
    for attempt in (engine.decrypt, engine.rewrap):
        with pytest.raises(KeyMaterialError, match="copied from elsewhere"):
            attempt(KEY, wrapped, ELSEWHERE)


def test_a_transit_key_that_is_gone_is_told_as_deleted(engine, client):
    _, wrapped = engine.data_key(KEY, 32, HERE)
    config(client, deletion_allowed=True)
    client.delete("transit/keys/k")
    for attempt in (
        lambda: engine.decrypt(KEY, wrapped, HERE),
        lambda: engine.rewrap(KEY, wrapped, HERE),
        lambda: engine.data_key(KEY, 32, HERE),
        lambda: engine.rotate_key(KEY),
    ):
        with pytest.raises(SecretDeletedError, match="no transit key 'transit/k'"):
            attempt()
    assert client.read("transit/keys/k") is None
    engine.ensure_key(KEY)
    with pytest.raises(KeyMaterialError, match="copied from elsewhere"):
        engine.decrypt(KEY, wrapped, HERE)


def test_a_transit_key_that_was_made_anew_lacks_the_version(engine, client):
    engine.rotate_key(KEY)
    _, wrapped = engine.data_key(KEY, 32, HERE)
    config(client, deletion_allowed=True)
    client.delete("transit/keys/k")
    engine.ensure_key(KEY)
    with pytest.raises(KeyMaterialError, match="made anew"):
        engine.decrypt(KEY, wrapped, HERE)


@pytest.mark.openbao("soft deletion of transit keys")
def test_a_soft_deleted_transit_key_can_be_restored(engine, client):
    material, wrapped = engine.data_key(KEY, 32, HERE)
    client.delete("transit/keys/k/soft-delete")
    with pytest.raises(KeyDisabledError, match="restore"):
        engine.decrypt(KEY, wrapped, HERE)
    client.adapter.post("/v1/transit/keys/k/soft-delete-restore")
    assert engine.decrypt(KEY, wrapped, HERE) == material


@pytest.mark.parametrize("wrapped", ["nonsense", "vault:v1:AAAA", "vault:v0:AAAA", "vault:v1:!"])
def test_text_that_is_no_wrapped_key_is_refused(engine, wrapped):
    with pytest.raises(KeyMaterialError) as caught:
        engine.decrypt(KEY, wrapped, HERE)
    assert wrapped not in str(caught.value)


def test_a_mount_without_a_transit_engine_is_named(vault, engine):
    for attempt in (
        lambda: engine.ensure_key("nowhere/k"),
        lambda: engine.decrypt("nowhere/k", "vault:v1:AAAA", HERE),
    ):
        with pytest.raises(SecretError, match="no transit engine at 'nowhere'") as caught:
            attempt()
        assert type(caught.value) is SecretError


def test_a_transit_denial_names_the_right_that_the_token_lacks(vault, engine):
    _, wrapped = engine.data_key(KEY, 32, HERE)
    token = vault.policy_token(
        'path "auth/token/lookup-self" { capabilities = ["read"] }\n'
        'path "transit/rewrap/k" { capabilities = ["update"] }'
    )
    session = session_of(vault, token)
    limited = TransitEngine(session)
    assert limited.rewrap(KEY, wrapped, HERE).startswith("vault:v1:")
    with pytest.raises(AccessDeniedError) as caught:
        limited.decrypt(KEY, wrapped, HERE)
    assert caught.value.path == "transit/decrypt/k"
    assert caught.value.capability == "update"
    session.close()


def test_transit_at_a_sealed_vault_says_that_it_is_sealed(private_bao):
    session = VaultSession(Settings(vault_url=private_bao.url, vault_token=private_bao.root_token))
    private_bao.seal()
    with pytest.raises(VaultSealedError):
        TransitEngine(session).decrypt(KEY, "vault:v1:AAAA", HERE)
    session.close()


@pytest.mark.parametrize(
    "data", [{}, {"plaintext": 5}, {"plaintext": "!"}, {"plaintext": ""}, {"ciphertext": 5}]
)
def test_an_answer_that_is_not_the_transit_engines_is_malformed(faulty, data):
    server = faulty(json.dumps({"data": data}).encode())
    engine = TransitEngine(VaultSession(Settings(vault_url=server.url, vault_auth="none")))
    with pytest.raises(MalformedAnswerError):
        engine.decrypt(KEY, "vault:v1:AAAA", HERE)
    with pytest.raises(MalformedAnswerError):
        engine.rewrap(KEY, "vault:v1:AAAA", HERE)


def test_an_unknown_refusal_of_transit_repeats_nothing_of_the_answer(faulty):
    server = faulty(json.dumps({"errors": ["hunter2"]}).encode(), status="400 Bad Request")
    engine = TransitEngine(VaultSession(Settings(vault_url=server.url, vault_auth="none")))
    with pytest.raises(MalformedAnswerError) as caught:
        engine.decrypt(KEY, "vault:v1:AAAA", HERE)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("encryption key not found", "400 Bad Request"),
        ("version is too new", "400 Bad Request"),
        ("no handler for route", "404 Not Found"),
    ],
)
def test_a_standby_that_lags_behind_is_not_believed(faulty, text, status):
    """It does not know the engine, the transit key or its newest version yet."""
    unknown = {"body": json.dumps({"errors": [text]}).encode(), "status": status}
    standby = {"body": json.dumps({"is_self": False, "ha_enabled": True}).encode()}
    right = json.dumps({"data": {"ciphertext": "vault:v2:AAAA"}}).encode()
    server = faulty(right, first=[unknown, standby])
    engine = TransitEngine(VaultSession(Settings(vault_url=server.url, vault_auth="none")))
    assert engine.rewrap(KEY, "vault:v1:AAAA", HERE) == "vault:v2:AAAA"


def wrapped_as(version: int) -> dict[str, bytes]:
    return {"body": json.dumps({"data": {"ciphertext": f"vault:v{version}:AAAA"}}).encode()}


@pytest.mark.parametrize("told", [{"latest_version": 3}, None])
def test_a_standby_that_wraps_under_an_older_version_is_not_believed(faulty, told):
    traits = {"type": "aes256-gcm96", "derived": True}
    there = {"body": json.dumps({"data": traits}).encode()}
    rotated = {"body": json.dumps({"data": told}).encode()}
    standby = {"body": json.dumps({"is_self": False, "ha_enabled": True}).encode()}
    first = [there, rotated, wrapped_as(2), standby]
    server = faulty(wrapped_as(3)["body"], first=first)
    engine = TransitEngine(VaultSession(Settings(vault_url=server.url, vault_auth="none")))
    engine.rotate_key(KEY, 2)
    assert engine.rewrap(KEY, "vault:v2:AAAA", HERE) == "vault:v3:AAAA"


def test_the_active_node_is_believed_if_the_transit_key_was_made_anew(faulty):
    active = {"body": json.dumps({"is_self": True, "ha_enabled": True}).encode()}
    server = faulty(wrapped_as(1)["body"], first=[wrapped_as(5), wrapped_as(1), active])
    engine = TransitEngine(VaultSession(Settings(vault_url=server.url, vault_auth="none")))
    assert engine.rewrap(KEY, "vault:v5:AAAA", HERE) == "vault:v5:AAAA"
    assert engine.rewrap(KEY, "vault:v1:AAAA", HERE) == "vault:v1:AAAA"


def test_transit_at_a_vault_that_is_down_is_an_outage(black_hole):
    settings = Settings(vault_url=black_hole, vault_token="t", vault_timeout=0.3)
    with pytest.raises(VaultUnavailableError):
        TransitEngine(VaultSession(settings)).rotate_key(KEY)

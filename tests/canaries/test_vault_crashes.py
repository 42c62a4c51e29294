"""Errors on the way to Vault while a key is being read or written: no report shows the key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from helpers.vault import Vault
from secureml.errors import (
    AccessDeniedError,
    KeyMaterialError,
    MalformedAnswerError,
    SecretError,
    SecretExistsError,
    SecureMLError,
    VaultUnavailableError,
)
from secureml.key_management import KeyManager

if TYPE_CHECKING:
    from conftest import Scene

METADATA = {"version": 1, "created_time": "2026-01-01T00:00:00Z", "deletion_time": ""}
FOUND = {"data": {"data": {"value": "KEY", "encoding": "hex"}, "metadata": METADATA}}

ODD_ANSWERS = {
    "no version": lambda: {"data": {**FOUND["data"], "metadata": {"destroyed": False}}},
    "a version that is no number": lambda: {
        "data": {**FOUND["data"], "metadata": {**METADATA, "version": "KEY"}}
    },
    "no metadata": lambda: {"data": {"data": {"value": "KEY"}}},
    "data that is no object": lambda: {"data": {"data": ["KEY"], "metadata": METADATA}},
    "an odd status": lambda: FOUND,
    "half of it": lambda: FOUND,
}


def manager_of(url: str, **more) -> KeyManager:
    arguments = {"vault_token": "t", "environment": "staging", "vault_timeout": 1.0} | more
    return KeyManager(url, use_env_fallback=False, **arguments)


@pytest.mark.parametrize("odd", ODD_ANSWERS)
def test_an_odd_answer_with_the_key_in_it_leaks_nothing(faulty, scene, leaks, odd):
    body = json.dumps(ODD_ANSWERS[odd]()).replace("KEY", scene.material().hex()).encode()
    status = "202 Accepted" if odd == "an odd status" else "200 OK"
    server = faulty(body[: len(body) // 2] if odd == "half of it" else body, status=status)
    del body
    with manager_of(server.url) as manager, pytest.raises(MalformedAnswerError) as caught:
        manager.get_key("k")
    assert not leaks(caught.value)


@pytest.mark.parametrize("status", ["400 Bad Request", "500 Internal Server Error", "403 Denied"])
def test_an_error_that_repeats_what_was_sent(faulty, scene, leaks, status):
    answer = {"errors": [f"no: {scene.material().hex()}"]}
    server = faulty(json.dumps(answer).encode(), status=status)
    del answer
    with manager_of(server.url) as manager, pytest.raises(SecretError) as caught:
        manager.import_key("k", scene.material())
    assert not leaks(caught.value)


def test_a_write_that_is_not_answered(faulty, scene, leaks):
    absent = {"body": b'{"errors":[]}', "status": "404 Not Found"}
    server = faulty(silent=True, first=[*[absent] * 6, {"body": b'{"data":{}}'}])
    with manager_of(server.url) as manager, pytest.raises(VaultUnavailableError) as caught:
        manager.import_key("k", scene.material())
    assert any(scene.material().hex().encode() in request for request in server.received)
    assert not leaks(caught.value)


@pytest.fixture
def manager(vault: Vault, scene: Scene) -> Iterator[KeyManager]:
    with KeyManager(
        vault.url, vault.token, vault_namespace=vault.namespace, environment="staging"
    ) as made:
        made.import_key("k", scene.material())
        made.get_key("k")
        yield made


def test_a_denied_write_leaks_nothing(vault, manager, scene, leaks):
    policy = 'path "secret/data/secureml/staging/*" { capabilities = ["read"] }'
    token = vault.policy_token(policy, no_default_policy=False)
    with KeyManager(
        vault.url, token, vault_namespace=vault.namespace, environment="staging"
    ) as reader:
        reader.get_key("k")
        with pytest.raises(AccessDeniedError) as caught:
            reader.rotate_key("k")
    assert not leaks(caught.value)


def test_a_key_that_exists(manager, scene, leaks):
    with pytest.raises(SecretExistsError) as caught:
        manager.import_key("k", scene.material())
    assert not leaks(caught.value)


def test_a_server_that_is_gone_while_a_key_is_cached(private_bao, scene, leaks):
    token = private_bao.root_token
    with KeyManager(private_bao.url, token, environment="staging", vault_timeout=1.0) as manager:
        manager.import_key("k", scene.material())
        manager.get_key("k")
        private_bao.kill()
        with pytest.raises(VaultUnavailableError) as caught:
            manager.key_history("k")
    assert not leaks(caught.value)


def test_a_manager_of_a_real_server_does_not_show_what_it_holds(manager, leaks):
    shown = [repr(manager), repr(vars(manager))]
    for each in vars(manager).values():
        shown.append(repr(vars(each)) if hasattr(each, "__dict__") else "")
    assert not leaks("".join(shown))


@pytest.fixture
def wrapping(vault: Vault, scene: Scene) -> Iterator[KeyManager]:
    """A manager that keeps the key wrapped under a key of the transit engine."""
    vault.client().sys.enable_secrets_engine("transit")
    with KeyManager(
        vault.url,
        vault.token,
        vault_namespace=vault.namespace,
        environment="staging",
        key_backend="transit",
    ) as made:
        made.import_key("k", scene.material())
        yield made


def test_a_wrapped_key_is_the_key_that_is_looked_for(wrapping, scene):
    assert wrapping.get_key("k").reveal() == scene.material()


@pytest.mark.parametrize(
    "crash",
    [
        lambda manager, material: manager.import_key("k", material()),
        lambda manager, material: manager.get_key("k", key_bytes=16),
        lambda manager, material: manager.get_encryption_key("k", encoding="rot13"),
        lambda manager, material: manager.derive_key(manager.get_key("k"), ""),
        lambda manager, material: manager.destroy_key_version("k", 1, "0" * 16),
    ],
    ids=["exists", "length", "encoding", "purpose", "confirmation"],
)
def test_a_crash_with_a_wrapped_key(wrapping, scene, leaks, crash):
    with pytest.raises(SecureMLError) as caught:
        crash(wrapping, scene.material)
    assert not leaks(caught.value)


def test_a_denied_wrap_leaks_nothing(vault, wrapping, scene, leaks):
    policy = 'path "secret/*" { capabilities = ["create", "read", "update", "patch"] }'
    token = vault.policy_token(policy, no_default_policy=False)
    with (
        KeyManager(
            vault.url,
            token,
            vault_namespace=vault.namespace,
            environment="staging",
            key_backend="transit",
        ) as manager,
        pytest.raises(AccessDeniedError) as caught,
    ):
        manager.import_key("new", scene.material())
    assert not leaks(caught.value)


def test_a_wrapped_key_that_was_copied_elsewhere(vault, wrapping, leaks):
    kv = vault.client().secrets.kv.v2
    stored = kv.read_secret_version("secureml/staging/k", raise_on_deleted_version=True)
    del stored["data"]["data"]["states"]
    kv.create_or_update_secret("secureml/staging/copied", stored["data"]["data"])
    assert not leaks(json.dumps(stored))
    with pytest.raises(KeyMaterialError) as caught:
        wrapping.get_key("copied")
    assert not leaks(caught.value)


def nested(material) -> dict[str, object]:
    return {"a": {"b": [{"c": material().hex()}]}, "d": (material().hex(),), "e": [material()[0]]}


def test_a_denied_write_of_a_structured_secret(vault, scene, leaks):
    policy = 'path "secret/+/secureml/staging/*" { capabilities = ["read"] }'
    token = vault.policy_token(policy, no_default_policy=False)
    with (
        KeyManager(
            vault.url, token, vault_namespace=vault.namespace, environment="staging"
        ) as manager,
        pytest.raises(AccessDeniedError) as caught,
    ):
        manager.set_secret("odd", nested(scene.material))
    assert not leaks(caught.value)


def test_a_structured_secret_and_a_server_that_is_sealed_and_then_gone(private_bao, scene, leaks):
    token = private_bao.root_token
    with KeyManager(private_bao.url, token, environment="staging", vault_timeout=1.0) as manager:
        manager.set_secret("odd", {"a": {"b": scene.material().hex()}})
        with pytest.raises(KeyMaterialError) as caught:
            manager.get_key("odd")
        assert not leaks(caught.value)
        private_bao.seal()
        with pytest.raises(VaultUnavailableError) as caught:
            manager.set_secret("odd", nested(scene.material))
        assert not leaks(caught.value)
        private_bao.kill()
        with pytest.raises(VaultUnavailableError) as caught:
            manager.set_secret("odd", nested(scene.material))
    assert not leaks(caught.value)

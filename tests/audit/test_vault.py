"""Events beside Vault's own audit log: logins, denials, and the ids of requests."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from helpers.audit import KEY
from secureml.errors import AccessDeniedError, AuthenticationError, SecretDeletedError, SecretError
from secureml.key_management import KeyManager
from secureml.vault.devserver.server import DevServer


@pytest.fixture(scope="module")
def audited_bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with DevServer(tmp_path_factory.mktemp("audited"), audit=True) as server:
        yield server


def at(server: DevServer, **more) -> KeyManager:
    return KeyManager(server.url, server.root_token, environment="staging", **more)


def servers_log(server: DevServer) -> dict[str, dict]:
    """What the server's audit log says of each request, by its id."""
    lines = (server.directory / "audit.log").read_text("utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    return {entry["request"]["id"]: entry for entry in entries if entry["type"] == "response"}


def test_the_servers_own_audit_log_has_the_request_of_each_access(audited_bao, log):
    with at(audited_bao, audit_log=log.path) as manager:
        manager.generate_key("joined")
        manager.get_key("joined")
        manager.get_key("joined")
        manager.derive_key(manager.get_key("joined"), "purpose")
        manager.rotate_key("joined")
        manager.set_secret("plain", "x")
        manager.get_secret("plain")
    theirs = servers_log(audited_bao)
    joined = [
        (event["operation"], theirs[event["request_id"]]["request"])
        for event in log.events()
        if event["outcome"] != "attempt"
    ]
    folder = "secret/data/secureml/staging"
    assert [(name, request["operation"], request["path"]) for name, request in joined] == [
        ("generate_key", "update", f"{folder}/joined"),  # its metadata came first
        ("get_key", "read", f"{folder}/joined"),
        ("get_key", "read", f"{folder}/joined"),
        ("get_key", "read", f"{folder}/joined"),
        ("derive_key", "read", f"{folder}/joined"),
        ("rotate_key", "update", f"{folder}/joined"),
        ("set_secret", "create", f"{folder}/plain"),
        ("get_secret", "read", f"{folder}/plain"),
    ]
    # A key held in memory names the request that fetched it.
    identities = [request["id"] for _, request in joined]
    assert len(set(identities[1:5])) == 1
    assert len(set(identities)) == 5


def test_each_unwrapping_is_an_event_with_the_request_of_the_transit_engine(audited_bao, log):
    with at(audited_bao) as operator:
        operator.vault_client.sys.enable_secrets_engine("transit")
    with at(audited_bao, key_backend="transit", audit_log=log.path) as manager:
        manager.generate_key("wrapped")
        envelope = manager.get_key("wrapped").envelope
        manager.get_key("wrapped")  # from memory
        manager.unwrap_key(envelope, "wrapped")
    unwrapped = [event for event in log.events() if event["operation"] == "unwrap"]
    assert [(event["name"], event["outcome"]) for event in unwrapped] == [("wrapped", "ok")] * 2
    theirs = servers_log(audited_bao)
    requests = [theirs[event["request_id"]]["request"] for event in unwrapped]
    assert {request["path"] for request in requests} == {"transit/decrypt/secureml.staging.wrapped"}
    assert requests[0]["id"] != requests[1]["id"]


def test_no_key_is_unwrapped_whose_event_can_not_be_written(vault, tmp_path):
    vault.client().sys.enable_secrets_engine("transit")
    options = {
        "vault_namespace": vault.namespace,
        "environment": "staging",
        "key_backend": "transit",
    }
    with KeyManager(vault.url, vault.token, **options) as manager:
        manager.generate_key("k")
    options |= {"audit_log": tmp_path, "audit_required": True}
    with (
        KeyManager(vault.url, vault.token, **options) as manager,
        pytest.raises(SecretError, match="the event of unwrap can't be written"),
    ):
        manager.get_key("k")


def test_a_login_is_an_event_with_the_accessor_of_its_token(audited_bao, log):
    with at(audited_bao) as operator:
        client = operator.vault_client
        client.sys.enable_auth_method("userpass")
        client.auth.userpass.create_or_update_user("alice", "hunter2")
    login = {"vault_auth": "userpass", "vault_username": "alice", "vault_token": None}
    options = {"environment": "staging", "audit_log": log.path, **login}
    wrong = KeyManager(audited_bao.url, vault_password="wrong", **options)
    with wrong, pytest.raises(AuthenticationError):
        wrong.get_key("k")
    members = ("operation", "name", "outcome", "accessor", "request_id")
    failed = tuple(log.events()[0][member] for member in members)
    assert failed == ("login", "userpass", "AuthenticationError", None, None)
    right = KeyManager(audited_bao.url, vault_password="hunter2", **options)
    with right, pytest.raises(AccessDeniedError):
        right.get_key("k")
    event = next(each for each in log.events() if each["outcome"] == "ok")
    assert (event["operation"], event["name"]) == ("login", "userpass")
    theirs = servers_log(audited_bao)[event["request_id"]]
    assert theirs["request"]["path"] == "auth/userpass/login/alice"
    assert event["accessor"] == log.events()[-1]["accessor"]


def test_a_login_whose_event_is_required_and_can_not_be_written_leaves_no_token(
    audited_bao, tmp_path
):
    with at(audited_bao) as operator:
        client = operator.vault_client
        client.sys.enable_auth_method("userpass", path="others")
        client.auth.userpass.create_or_update_user("bob", "hunter2", mount_point="others")
        before = client.list("auth/token/accessors")["data"]["keys"]
        login = {
            "vault_auth": "userpass",
            "vault_auth_mount": "others",
            "vault_username": "bob",
            "vault_password": "hunter2",
        }
        required = {"audit_log": tmp_path, "audit_required": True}
        manager = KeyManager(audited_bao.url, environment="staging", **login, **required)
        with manager, pytest.raises(SecretError, match="the event of login can't be written"):
            _ = manager.vault_client
        assert client.list("auth/token/accessors")["data"]["keys"] == before


def test_a_destroyed_version_names_the_requests_that_told_of_it(audited_bao, log):
    with at(audited_bao, audit_log=log.path) as manager:
        info = manager.generate_key("doomed")
        manager.destroy_key_version("doomed", 1, info.fingerprint)
        with pytest.raises(SecretDeletedError) as caught:
            manager.get_key("doomed")
    assert log.last("outcome", "request_id") == ("SecretDeletedError", caught.value.request_id)
    theirs = servers_log(audited_bao)
    for event in log.events()[-2:]:
        request = theirs[event["request_id"]]["request"]
        path = "secret/data/secureml/staging/doomed"
        assert (request["operation"], request["path"]) == ("read", path)


def test_a_denied_access_is_an_event_without_an_id_as_vault_tells_none(vault, log):
    token = vault.policy_token('path "auth/token/lookup-self" { capabilities = ["read"] }')
    with (
        KeyManager(
            vault.url,
            token,
            vault_namespace=vault.namespace,
            environment="staging",
            audit_log=log.path,
        ) as manager,
        pytest.raises(AccessDeniedError),
    ):
        manager.get_key("k")
    assert log.last("name", "outcome", "request_id") == ("k", "AccessDeniedError", None)


def test_a_change_that_vault_denies_has_the_id_of_the_read_before_it(vault, log):
    there = {"vault_namespace": vault.namespace, "environment": "staging"}
    with KeyManager(vault.url, vault.token, **there) as manager:
        manager.generate_key("k")
    token = vault.policy_token("""
        path "auth/token/lookup-self" { capabilities = ["read"] }
        path "secret/data/*" { capabilities = ["read"] }
        path "secret/metadata/*" { capabilities = ["read"] }
    """)
    with KeyManager(vault.url, token, audit_log=log.path, **there) as manager:
        read = manager.get_key("k").request_id
        with pytest.raises(AccessDeniedError):
            manager.rotate_key("k")
    members = ("operation", "version", "outcome")
    assert log.last(*members) == ("rotate_key", 1, "AccessDeniedError")
    assert log.last("request_id") not in {(read,), (None,)}


@pytest.mark.parametrize("told", ["s.the-token", KEY.hex(), None, "A" * 36])
def test_only_what_has_the_form_of_a_request_id_is_taken_for_one(faulty, log, told):
    body = {
        "request_id": told,
        "data": {"data": {"value": KEY.hex()}, "metadata": {"version": 1}},
    }
    server = faulty(json.dumps(body).encode())
    with KeyManager(server.url, "t", environment="staging", audit_log=log.path) as manager:
        assert manager.get_key("k").request_id is None
    assert log.last("version", "outcome", "request_id") == (1, "ok", None)

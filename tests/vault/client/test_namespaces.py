"""A namespace on a server that has none is an error; whether it has some is asked once."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.faults import FOUND, TOKEN, asked, assert_tells_nothing, read, value_of
from secureml.errors import ConfigurationError, VaultUnavailableError

COMMUNITY = {"body": b'{"initialized": true, "sealed": false, "enterprise": false}'}
NO_NAMESPACE = {"status": "404 Not Found", "body": b'{"errors": ["namespace not found"]}'}


@pytest.mark.parametrize("auth", ["token", "userpass"])
def test_a_namespace_on_a_server_that_has_none_is_an_error(
    faulty: Any, session_of: Any, caplog: Any, auth: str
) -> None:
    server = faulty(**COMMUNITY)
    login = {"vault_auth": auth, "vault_username": "u", "vault_password": "p"}
    session = session_of(server.url, vault_namespace="team-a", **login)
    for _ in range(2):
        with pytest.raises(
            ConfigurationError, match=r"'team-a', and Vault .* no namespaces"
        ) as caught:
            read(session)
    assert_tells_nothing(caught.value, caplog)
    assert all(each.startswith(b"GET /v1/sys/health?") for each in server.received)
    assert TOKEN.encode() not in b"".join(server.received)


@pytest.mark.parametrize(
    "health",
    [
        {"body": b'{"enterprise": true}'},
        {"body": b'{"initialized": true}'},
        NO_NAMESPACE,
        {"status": "403 No", "body": b"{}"},
        {"body": b"<html>", "kind": "text/html"},
    ],
    ids=["enterprise", "OpenBao", "no namespace", "denied", "HTML"],
)
def test_whether_there_are_namespaces_is_asked_once(
    faulty: Any, session_of: Any, health: Any
) -> None:
    server = faulty(**FOUND, first=[health])
    session = session_of(server.url, vault_namespace="team-a")
    assert [value_of(session) for _ in range(3)] == ["v"] * 3
    assert sum(b"sys/health" in each for each in server.received) == 1


def test_without_a_namespace_nobody_asks_whether_there_are_namespaces(
    faulty: Any, session_of: Any
) -> None:
    server = faulty(**FOUND)
    assert value_of(session_of(server.url)) == "v"
    assert asked(server) == 1


def test_an_outage_leaves_open_whether_there_are_namespaces(faulty: Any, session_of: Any) -> None:
    server = faulty(**COMMUNITY, first=[{"status": "501 No", "body": b"{}"}])
    session = session_of(server.url, vault_namespace="team-a")
    with pytest.raises(VaultUnavailableError, match="not initialized"):
        read(session)
    with pytest.raises(ConfigurationError, match="no namespaces"):
        read(session)

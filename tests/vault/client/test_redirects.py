"""Redirects are followed inside of a cluster alone."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.faults import FOUND, TOKEN, assert_tells_nothing, moved, read, value_of
from secureml.errors import MalformedAnswerError


@pytest.mark.parametrize("status", ["301 M", "302 M", "303 M", "307 M", "308 M"])
def test_a_redirect_to_the_same_host_is_followed(faulty: Any, session_of: Any, status: str) -> None:
    leader = faulty(**FOUND)
    standby = faulty(**moved(leader.url, status))
    assert value_of(session_of(standby.url)) == "v"
    assert TOKEN.encode() in leader.received[0]


@pytest.mark.parametrize("listed", ["localhost", "LocalHost:{port}", "x.invalid, localhost:{port}"])
def test_a_redirect_to_a_host_of_the_cluster_is_followed(
    faulty: Any, session_of: Any, listed: str
) -> None:
    leader = faulty(**FOUND)
    port = leader.url.rpartition(":")[2]
    standby = faulty(**moved(f"http://localhost:{port}"))
    hosts = listed.format(port=port)
    assert value_of(session_of(standby.url, vault_cluster_hosts=hosts)) == "v"


@pytest.mark.parametrize(
    ("location", "hosts"),
    [
        ("http://localhost:{port}", None),
        ("http://localhost:{port}", "localhost:1"),
        ("http://localhost.evil:{port}", "localhost"),
        ("http://127.0.0.1@localhost:{port}", None),
        ("http://127.0.0.1:1@127.0.0.1:{port}", None),
        ("//localhost:{port}", None),
        ("ftp://127.0.0.1:{port}", None),
        ("http://localhost:{port}:9", "localhost"),
        ("http://evil.example[127.0.0.1]:{port}", None),
        ("http://127.1:{port}", None),
        ("", "localhost"),
    ],
)
def test_a_redirect_to_another_host_is_refused(
    faulty: Any, session_of: Any, caplog: Any, location: str, hosts: str | None
) -> None:
    elsewhere = faulty(**FOUND)
    port = elsewhere.url.rpartition(":")[2]
    standby = faulty(**moved(location.format(port=port)))
    with pytest.raises(MalformedAnswerError, match="vault_cluster_hosts") as caught:
        read(session_of(standby.url, vault_cluster_hosts=hosts))
    assert elsewhere.received == []
    assert_tells_nothing(caught.value, caplog)


def test_a_redirect_from_https_to_http_is_refused(
    bao_tls: Any, faulty: Any, session_of: Any
) -> None:
    from secureml.vault.client.addresses import parse_addresses, redirect_target

    (asked,) = parse_addresses("https://vault.example:8200")
    known = (asked,)
    assert redirect_target("http://vault.example:8200/v1/x", asked, known, ()) is None
    assert redirect_target("https://vault.example:8200/v1/x", asked, known, ()) is not None


def test_a_redirect_from_this_machine_to_plain_http_on_another_is_refused(
    faulty: Any, session_of: Any
) -> None:
    agent = faulty(**moved("http://vault.invalid:8200"))
    with pytest.raises(MalformedAnswerError, match="to a plain one"):
        read(session_of(agent.url, vault_cluster_hosts="vault.invalid"))


def test_a_redirect_to_a_node_that_redirects_is_not_followed_but_repeated(
    faulty: Any, session_of: Any
) -> None:
    leader = faulty(**FOUND)
    former = faulty(**moved(leader.url))
    standby = faulty(**moved(leader.url), first=[moved(former.url)])
    assert value_of(session_of(standby.url, vault_timeout=5)) == "v"
    assert len(former.received) == 1


def test_a_login_follows_the_same_redirects(faulty: Any, session_of: Any) -> None:
    login = {"body": b'{"auth": {"client_token": "s.new", "lease_duration": 60}}'}
    leader = faulty(**FOUND, first=[login])
    there = {"extra": f"Location: {leader.url}/v1/auth/userpass/login/a\r\n"}
    standby = faulty(**FOUND, first=[{"status": "307 Moved", **there}])
    more = {"vault_auth": "userpass", "vault_username": "a", "vault_password": "p"}
    session = session_of(standby.url, None, **more)
    assert value_of(session) == "v"
    assert b"s.new" in standby.received[1]
    elsewhere = {"extra": f"Location: http://localhost:{leader.url.rpartition(':')[2]}/v1/x\r\n"}
    evil = faulty(status="307 Moved", **elsewhere)
    before = len(leader.received)
    with pytest.raises(MalformedAnswerError, match="vault_cluster_hosts"):
        read(session_of(evil.url, None, **more))
    assert len(leader.received) == before
    leader.close()

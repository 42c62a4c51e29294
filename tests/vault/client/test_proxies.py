"""Proxies, sockets, netrc files and cookies: what leads to Vault, and what does not."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from helpers.faults import FAILING, FOUND, asked, assert_tells_nothing, moved, read, value_of
from helpers.network import Relay
from secureml.errors import ConfigurationError, InsecureConnectionWarning, VaultUnavailableError


def test_no_netrc_file_or_cookie_changes_a_request(
    faulty: Any, session_of: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login canary password canary")
    monkeypatch.setenv("NETRC", str(netrc))
    server = faulty(**FOUND, extra="Set-Cookie: canary=1; Path=/\r\n")
    session = session_of(server.url)
    assert [value_of(session) for _ in range(2)] == ["v", "v"]
    for request in server.received:
        assert b"canary-token" in request
        assert b"Cookie" not in request
        assert b"Authorization" not in request


def test_a_proxy_is_used_if_it_is_set(faulty: Any, session_of: Any) -> None:
    proxy = faulty(**FOUND)
    with pytest.warns(InsecureConnectionWarning):
        session = session_of("http://vault.invalid:8200", vault_proxy=proxy.url)
    assert value_of(session) == "v"
    assert proxy.received[0].startswith(b"GET http://vault.invalid:8200/v1/secret/data/k")


def test_the_environments_proxy_is_used_if_the_settings_say_so(
    faulty: Any, session_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, direct = faulty(**FOUND), faulty(**FOUND)
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.warns(InsecureConnectionWarning):
        away = session_of("http://vault.invalid:8200", vault_proxy="environment")
    assert value_of(away) == "v"
    assert asked(proxy) == 1
    assert value_of(session_of(direct.url, vault_proxy="environment")) == "v"
    assert asked(direct) == 1
    with pytest.warns(InsecureConnectionWarning):
        both = session_of(f"{direct.url},http://vault.invalid:8200", vault_proxy="environment")
    assert value_of(both) == "v"
    assert (asked(direct), asked(proxy)) == (2, 1)


@pytest.mark.parametrize("proxy", ["named", "environment"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_proxy_sees_what_stays_on_this_machine(
    faulty: Any, session_of: Any, monkeypatch: pytest.MonkeyPatch, proxy: str, host: str
) -> None:
    elsewhere, direct = faulty(**FAILING), faulty(**FOUND)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, elsewhere.url)
    monkeypatch.delenv("no_proxy", raising=False)
    session = session_of(
        direct.url.replace("127.0.0.1", host),
        vault_proxy=elsewhere.url if proxy == "named" else proxy,
        environment="production",
    )
    assert value_of(session) == "v"
    assert session.client.secrets.kv.v2.read_secret_version("k", raise_on_deleted_version=True)
    assert elsewhere.received == []


def test_no_proxy_sees_a_redirect_that_stays_on_this_machine(faulty: Any, session_of: Any) -> None:
    leader = faulty(**FOUND)
    proxy = faulty(**moved(leader.url))
    with pytest.warns(InsecureConnectionWarning):
        session = session_of(
            "http://vault.invalid:8200", vault_proxy=proxy.url, vault_cluster_hosts="127.0.0.1"
        )
    assert value_of(session) == "v"
    assert (asked(proxy), asked(leader)) == (1, 1)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "http://a..b:3128", "http://"])
def test_a_proxy_of_the_environment_that_is_none_is_a_wrong_setting(
    session_of: Any, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(ConfigurationError, match="vault_proxy"):
        session_of("https://vault.invalid", vault_proxy="environment")


def test_a_proxy_that_is_down_is_an_outage(dead: str, session_of: Any, caplog: Any) -> None:
    session = session_of("https://vault.invalid", vault_proxy=dead)
    with pytest.raises(VaultUnavailableError, match="its proxy refused the connection") as caught:
        read(session)
    assert_tells_nothing(caught.value, caplog)


@pytest.fixture
def unix(
    relay: Callable[..., Relay], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., str]:
    """Give a server a unix socket; return its path."""

    def start(url: str) -> str:
        path = str(tmp_path_factory.mktemp("unix") / "s")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        relay(url, listener=listener)
        return path

    return start


def test_a_unix_socket_leads_to_vault(vault: Any, unix: Any, session_in: Any) -> None:
    vault.client().secrets.kv.v2.create_or_update_secret("k", {"value": "v"})
    session = session_in(f"unix://{unix(vault.url)}")
    assert value_of(session) == "v"


def test_a_unix_socket_is_not_behind_the_proxy(
    vault: Any, unix: Any, dead: str, faulty: Any, session_in: Any
) -> None:
    proxy = faulty(**FOUND)
    session = session_in(f"unix://{unix(vault.url)},{dead}", vault_proxy=proxy.url)
    assert read(session).status == 404
    assert proxy.received == []


def test_a_unix_socket_that_is_not_there_is_an_outage(session_of: Any, caplog: Any) -> None:
    with pytest.raises(VaultUnavailableError, match="there is no such socket") as caught:
        read(session_of("unix:///nowhere"))
    assert_tells_nothing(caught.value, caplog)


def test_a_unix_socket_that_nobody_answers_is_an_outage(
    faulty: Any, unix: Any, session_of: Any
) -> None:
    path = unix(faulty(silent=True).url)
    with pytest.raises(VaultUnavailableError, match="did not answer"):
        read(session_of(f"unix://{path}"))

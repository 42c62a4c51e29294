"""Faults of the network and of Vault: each ends in time, and what can be read is read."""

from __future__ import annotations

import gzip
import logging
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hvac
import pytest

from helpers.faults import (
    FAILING,
    FOUND,
    TOKEN,
    asked,
    assert_tells_nothing,
    read,
    settings_of,
    value_of,
    write,
)
from helpers.vault import Vault
from secureml.errors import (
    MalformedAnswerError,
    SecretExistsError,
    VaultSealedError,
    VaultUnavailableError,
)
from secureml.secret_types import SecretText
from secureml.stores.vault import VaultStore
from secureml.vault.auth import AuthMethod, Login
from secureml.vault.client.failures import Failure
from secureml.vault.client.session import VaultSession
from secureml.vault.devserver.server import DevServer

# One deadline: each of these faults would go on for minutes.


def test_a_body_that_drips_ends_at_the_deadline(faulty: Any, session_of: Any, caplog: Any) -> None:
    server = faulty(FOUND["body"] + b" " * 5000, drip=0.05)
    with caplog.at_level(logging.DEBUG), pytest.raises(VaultUnavailableError) as caught:
        read(session_of(server.url))
    assert "did not answer within 0.5 s" in str(caught.value)
    assert_tells_nothing(caught.value, caplog)


def test_headers_that_drip_end_at_the_deadline(faulty: Any, session_of: Any, caplog: Any) -> None:
    server = faulty(**FOUND, extra=f"X-Long: {'x' * 5000}\r\n", drip=0.05)
    with pytest.raises(VaultUnavailableError, match=r"did not answer within 0\.5 s") as caught:
        read(session_of(server.url))
    assert_tells_nothing(caught.value, caplog)


def test_a_tls_handshake_that_drips_ends_at_the_deadline(
    bao_tls: Any, relay: Any, session_of: Any, caplog: Any
) -> None:
    slow = relay(bao_tls.server.url, drip=0.05)
    session = session_of(slow.url, bao_tls.server.root_token, vault_ca_cert=str(bao_tls.ca))
    with pytest.raises(VaultUnavailableError, match=r"did not answer within 0\.5 s") as caught:
        read(session)
    assert_tells_nothing(caught.value, caplog, bao_tls.server.root_token.reveal())


def test_a_body_that_drips_over_tls_ends_at_the_deadline(
    bao_tls: Any, relay: Any, session_of: Any
) -> None:
    slow = relay(bao_tls.server.url)
    session = session_of(slow.url, bao_tls.server.root_token, vault_ca_cert=str(bao_tls.ca))
    assert read(session).status == 404
    slow.drip = 0.05
    with pytest.raises(VaultUnavailableError, match=r"did not answer within 0\.5 s"):
        read(session)


def test_a_proxy_that_drips_its_consent_is_an_outage(faulty: Any, session_of: Any) -> None:
    proxy = faulty(extra=f"X-Long: {'x' * 5000}\r\n", drip=0.05)
    session = session_of("https://vault.invalid", vault_proxy=proxy.url)
    with pytest.raises(VaultUnavailableError):
        read(session)
    assert proxy.received[0].startswith(b"CONNECT vault.invalid:443")


def test_a_full_accept_queue_is_an_outage(black_hole: str, session_of: Any, caplog: Any) -> None:
    session = session_of(black_hole, vault_connect_timeout=0.2)
    with pytest.raises(VaultUnavailableError, match="does not accept connections") as caught:
        read(session)
    assert_tells_nothing(caught.value, caplog)


def test_a_host_whose_many_addresses_are_all_black_holes_is_an_outage(
    black_hole: str, session_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(black_hole.rpartition(":")[2])
    place = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [place] * 1000)
    session = session_of("http://localhost:1", vault_connect_timeout=0.2)
    with pytest.raises(VaultUnavailableError, match=r"accept connections|did not answer"):
        read(session)


def test_the_second_address_of_a_host_is_tried(
    dead: str, faulty: Any, session_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = [int(url.rpartition(":")[2]) for url in (dead, faulty(**FOUND).url)]
    places = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: places)
    assert value_of(session_of("http://localhost:1")) == "v"


def test_a_thread_does_not_wait_past_its_deadline_for_the_login_of_another(
    faulty: Any, session_of: Any
) -> None:
    stuck, release = threading.Event(), threading.Event()

    class Stuck(AuthMethod):
        def login(self, client: Any) -> Login:
            stuck.set()
            release.wait()
            return Login(token=SecretText(TOKEN))

    session = session_of(faulty(**FOUND).url, auth=Stuck())
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(value_of, session)
        stuck.wait()
        with pytest.raises(VaultUnavailableError, match="another thread"):
            read(session)
        release.set()
        assert first.exception() is not None or first.result() == "v"


def test_hvacs_own_client_keeps_its_timeout(faulty: Any, session_of: Any) -> None:
    import requests

    server = faulty(silent=True)
    with pytest.raises(requests.exceptions.ReadTimeout):
        session_of(server.url).client.sys.read_seal_status()


@pytest.mark.parametrize(
    "status", ["412 Behind", "429 Slow", "500 Error", "502 Bad", "503 Down", "504 Late"]
)
def test_a_read_is_repeated_until_it_works(faulty: Any, session_of: Any, status: str) -> None:
    failing = {**FAILING, "status": status}
    # The question whether it is sealed follows a 503.
    asides = [{"body": b'{"sealed": false}'}] if status.startswith("503") else []
    server = faulty(**FOUND, first=[failing, *asides, failing, *asides])
    assert value_of(session_of(server.url, vault_timeout=5)) == "v"
    assert sum(b"/v1/secret/data/k" in request for request in server.received) == 3


def test_a_read_is_repeated_after_a_broken_connection(
    vault: Any, relay: Any, session_in: Any
) -> None:
    vault.client().secrets.kv.v2.create_or_update_secret("k", {"value": "v"})
    between = relay(vault.url)
    session = session_in(between.url)
    assert value_of(session) == "v"
    between.cut = True
    assert value_of(session) == "v"
    assert between.connections == 2


def test_retry_after_is_waited_for(
    faulty: Any, session_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("secureml.vault.client.failover.time.sleep", waited.append)
    slow = {**FAILING, "status": "429 Slow", "extra": "Retry-After: 3\r\n"}
    server = faulty(**FOUND, first=[slow])
    assert value_of(session_of(server.url, vault_timeout=5)) == "v"
    assert len(waited) == 1
    assert 3 <= waited[0] < 3.2


def test_pauses_spread_ever_wider_while_vault_limits_the_rate_and_only_then(
    faulty: Any, session_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[float, float]] = []

    def uniform(shortest: float, longest: float) -> float:
        drawn.append((shortest, longest))
        return 0.0

    monkeypatch.setattr("secureml.vault.client.failover.random.uniform", uniform)
    slow, late = ({**FAILING, "status": status} for status in ("429 Slow", "504 Late"))
    for failing, widest in ((slow, 12.5), (late, 0.5)):
        drawn.clear()
        server = faulty(**FOUND, first=[failing] * 12)
        assert value_of(session_of(server.url, vault_timeout=100)) == "v"
        assert [longest for _, longest in drawn[:4]] == [0.05, 0.1, 0.2, 0.4]
        assert drawn[-1][1] == pytest.approx(widest, rel=0.1)
        assert all(
            shortest == (0 if failing is slow else longest / 2) for shortest, longest in drawn
        )


def test_all_of_many_clients_get_through_a_limit_on_the_rate(
    private_bao: DevServer, session_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = private_bao.root_token.reveal()
    admin = hvac.Client(private_bao.url, token=token)
    admin.secrets.kv.v2.create_or_update_secret("k", {"value": "v"})
    quota = {"rate": 20, "interval": "1s", "path": "secret/"}
    admin.adapter.post("/v1/sys/quotas/rate-limit/keys", json=quota)
    admin.adapter.close()
    refused: list[bool] = []
    given = Failure.is_limit.fget
    monkeypatch.setattr(
        Failure, "is_limit", property(lambda self: refused.append(given(self)) or refused[-1])
    )
    sessions = [session_of(private_bao.url, token, vault_timeout=60) for _ in range(40)]
    with ThreadPoolExecutor(40) as threads:
        assert list(threads.map(value_of, sessions)) == ["v"] * 40
    assert all(refused)
    assert len(refused) >= 20


def test_retry_after_beyond_the_deadline_fails_at_once(
    faulty: Any, session_of: Any, caplog: Any
) -> None:
    slow = {**FAILING, "status": "429 Slow", "extra": "Retry-After: 3600\r\n"}
    server = faulty(**FOUND, first=[slow])
    with pytest.raises(VaultUnavailableError, match="limits the rate") as caught:
        read(session_of(server.url, vault_timeout=5))
    assert len(server.received) == 1
    assert_tells_nothing(caught.value, caplog)


@pytest.mark.parametrize("text", ["-1", "soon", "1e9", "٣", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_retry_after_that_is_no_time_is_passed_over(
    faulty: Any, session_of: Any, text: str
) -> None:
    head = {"status": "429 Slow", "extra": f"Retry-After: {text}\r\n"}
    server = faulty(**FOUND, first=[{**FAILING, **head}])
    assert value_of(session_of(server.url, vault_timeout=5)) == "v"


def test_a_malformed_answer_is_not_asked_for_again(faulty: Any, session_of: Any) -> None:
    server = faulty(**FOUND, first=[{"body": b"<html></html>", "kind": "text/html"}])
    with pytest.raises(MalformedAnswerError):
        read(session_of(server.url, vault_timeout=5))
    assert len(server.received) == 1


def bomb(size: int) -> bytes:
    """JSON that is small twice compressed and has so many bytes inflated."""
    inflated = b'{"data": "' + b"a" * size + b'"}'
    return gzip.compress(gzip.compress(inflated))


@pytest.mark.parametrize("where", ["read", "login", "sealed"])
def test_a_body_that_inflates_is_cut_off(faulty: Any, session_of: Any, where: str) -> None:
    large = {"body": bomb(1 << 28), "extra": "Content-Encoding: gzip, gzip\r\n"}
    assert len(large["body"]) < 10_000
    down = {"status": "503 Down", "body": FAILING["body"]}
    login = {"vault_auth": "userpass", "vault_username": "u", "vault_password": "p"}
    server = faulty(**large, first=[down] if where == "sealed" else [])
    more = login if where == "login" else {}
    session = session_of(server.url, vault_timeout=5, vault_max_response_bytes=1 << 20, **more)
    tracemalloc.start()
    try:
        with pytest.raises(VaultUnavailableError) as caught:
            read(session)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 25
    if where != "sealed":
        assert isinstance(caught.value, MalformedAnswerError)
        assert "more than vault_max_response_bytes, 1,048,576 bytes" in str(caught.value)
    assert caught.value.__context__ is None


def test_a_body_that_does_not_end_is_cut_off_as_well(faulty: Any, session_of: Any) -> None:
    server = faulty(b'{"data": "' + b"a" * 5000 + b'"}')
    session = session_of(server.url, vault_max_response_bytes=1024)
    with pytest.raises(MalformedAnswerError, match="vault_max_response_bytes"):
        read(session)
    assert read(session_of(server.url, vault_max_response_bytes=8192)).status == 200


def test_a_compressed_answer_is_read(faulty: Any, session_of: Any) -> None:
    packed = gzip.compress(FOUND["body"])
    assert value_of(session_of(faulty(packed, extra="Content-Encoding: gzip\r\n").url)) == "v"


def test_more_threads_than_connections_that_are_kept_make_no_noise(
    faulty: Any, session_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    session = session_of(faulty(**FOUND).url, vault_timeout=30)
    everybody = threading.Barrier(100, timeout=60)

    def read_at_once(_: int) -> Any:
        everybody.wait()
        return value_of(session)

    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(100) as threads:
        found = list(threads.map(read_at_once, range(200)))
    assert found == ["v"] * 200
    assert caplog.text == ""


@pytest.mark.parametrize(("asked", "attempts"), [("60", 1), ("0", 3)])
def test_a_login_heeds_the_time_that_a_limit_asks_for(
    faulty: Any, session_of: Any, asked: str, attempts: int
) -> None:
    slow = {"status": "429 Slow", "body": b"{}", "extra": f"Retry-After: {asked}\r\n"}
    token = {"body": b'{"auth": {"client_token": "t"}}'}
    server = faulty(**FOUND, first=[slow, slow, token])
    login = {"vault_auth": "userpass", "vault_username": "u", "vault_password": "p"}
    session = session_of(server.url, vault_timeout=10, **login)
    if attempts == 1:
        with pytest.raises(VaultUnavailableError, match="limits the rate") as caught:
            read(session)
        assert caught.value.retry_after == 60
    else:
        assert value_of(session) == "v"
    logins = [each for each in server.received if b"/login/" in each]
    assert len(logins) == attempts


def test_json_nested_without_end_is_malformed(faulty: Any, session_of: Any) -> None:
    server = faulty(b'{"data":' + b"[" * 200_000)
    with pytest.raises(MalformedAnswerError):
        read(session_of(server.url))


@pytest.fixture
def store_of(session_in: Callable[..., VaultSession], vault: Vault) -> Callable[..., VaultStore]:
    def make(url: str) -> VaultStore:
        session = session_in(url)
        return VaultStore(session, settings_of(url))

    return make


def test_a_write_whose_answer_was_lost_is_recognised(vault: Any, relay: Any, store_of: Any) -> None:
    between = relay(vault.url)
    store = store_of(between.url)
    store.read("warm-up")
    between.cut = True
    record = store.write("k", {"value": "ours"}, cas=0)
    assert record.version == 1
    assert not between.cut
    assert [each.version for each in store.versions("k")] == [1]


def test_a_write_that_came_second_is_not_taken_for_ours(
    vault: Any, relay: Any, store_of: Any
) -> None:
    between = relay(vault.url)
    store = store_of(between.url)
    store.read("warm-up")
    kv = vault.client().secrets.kv.v2
    kv.create_or_update_secret("secureml/k", {"value": "theirs"})
    between.cut = True
    with pytest.raises(SecretExistsError):
        store.write("k", {"value": "ours"}, cas=0)
    assert store.read("k").record.fields == {"value": "theirs"}


def test_a_write_without_check_and_set_is_not_repeated_if_it_may_have_happened(
    vault: Any, relay: Any, store_of: Any
) -> None:
    between = relay(vault.url)
    store = store_of(between.url)
    store.read("warm-up")
    between.cut = True
    with pytest.raises(VaultUnavailableError, match="broke the connection off"):
        store.write("k", {"value": "ours"}, cas=None)
    assert [each.version for each in store.versions("k")] == [1]


@pytest.mark.parametrize("status", ["500 Error", "502 Bad", "504 Late"])
def test_a_write_that_may_have_happened_is_not_sent_to_another_address(
    faulty: Any, session_of: Any, status: str
) -> None:
    first, second = faulty(**FAILING, status=status), faulty(**FOUND)
    with pytest.raises(VaultUnavailableError):
        write(session_of(f"{first.url},{second.url}"))
    assert len(first.received) == 1
    assert second.received == []


@pytest.mark.parametrize("status", ["429 Slow", "503 Down"])
def test_a_write_is_repeated_if_vault_has_not_begun_it(
    faulty: Any, session_of: Any, status: str
) -> None:
    asides = [{"body": b'{"sealed": false}'}] if status.startswith("503") else []
    server = faulty(**FOUND, first=[{**FAILING, "status": status}, *asides])
    assert write(session_of(server.url, vault_timeout=5)).status == 200


def test_a_write_goes_to_the_next_address_if_the_first_is_dead(
    dead: str, faulty: Any, session_of: Any
) -> None:
    server = faulty(**FOUND)
    assert write(session_of(f"{dead},{server.url}")).status == 200
    assert asked(server) == 1


def test_a_dead_address_is_passed_over_and_not_asked_again(
    dead: str, faulty: Any, session_of: Any, caplog: Any
) -> None:
    server = faulty(**FOUND)
    session = session_of(f"{dead},{server.url}")
    assert session.addresses == (dead, server.url)
    assert value_of(session) == "v"
    assert session.addresses == (server.url, dead)
    assert value_of(session) == "v"
    told = [record.getMessage() for record in caplog.records if record.name == "secureml.vault"]
    assert told == [
        f"Vault at {dead} can't be reached: it refused the connection; {server.url} is asked from "
        "here on"
    ]


def test_a_sealed_address_is_passed_over(
    private_bao: Any, faulty: Any, session_of: Any, caplog: Any
) -> None:
    private_bao.seal()
    server = faulty(**FOUND)
    both = f"{private_bao.url},{server.url}"
    assert value_of(session_of(both, vault_timeout=5)) == "v"
    server.close()
    with pytest.raises(VaultSealedError) as caught:
        read(session_of(both))
    assert_tells_nothing(caught.value, caplog)


def test_a_sealed_node_does_not_end_the_wait_for_another(
    private_bao: Any, faulty: Any, session_of: Any
) -> None:
    private_bao.seal()
    down, awake = {**FAILING, "status": "503 Down"}, {"body": b'{"sealed": false}'}
    electing = faulty(**FOUND, first=[down, awake, down, awake])
    session = session_of(f"{private_bao.url},{electing.url}", vault_timeout=5)
    assert value_of(session) == "v"


def test_a_black_hole_is_passed_over(black_hole: str, faulty: Any, session_of: Any) -> None:
    server = faulty(**FOUND)
    session = session_of(f"{black_hole},{server.url}", vault_connect_timeout=0.1)
    assert value_of(session) == "v"
    assert session.addresses[0] == server.url


def test_a_node_that_hangs_leaves_time_for_the_others(faulty: Any, session_of: Any) -> None:
    hanging, server = faulty(silent=True), faulty(**FOUND)
    session = session_of(f"{hanging.url},{server.url}")
    assert value_of(session) == "v"
    assert session.addresses[0] == server.url


def test_after_a_write_on_a_node_that_hangs_the_next_one_is_asked_first(
    faulty: Any, session_of: Any
) -> None:
    hanging, server = faulty(silent=True), faulty(**FOUND)
    session = session_of(f"{hanging.url},{server.url}")
    with pytest.raises(VaultUnavailableError):
        write(session)
    assert server.received == []
    assert write(session).status == 200


def test_a_standby_that_redirects_to_a_dead_leader_is_asked_again(
    dead: str, faulty: Any, session_of: Any
) -> None:
    redirect = {"status": "307 Moved", "extra": f"Location: {dead}/v1/secret/data/k\r\n"}
    standby, other = faulty(**FOUND, first=[redirect, redirect]), faulty(**FOUND)
    session = session_of(f"{standby.url},{other.url}", vault_timeout=5)
    assert value_of(session) == "v"
    assert session.addresses[0] == standby.url
    assert asked(standby) == 3
    assert other.received == []


def test_an_outage_of_every_address_tells_the_cause_and_no_token(
    dead: str, faulty: Any, session_of: Any, caplog: Any
) -> None:
    session = session_of(f"{dead},{faulty(**FAILING, status='500 Error').url}")
    with pytest.raises(VaultUnavailableError, match=r"status 500|refused") as caught:
        read(session)
    assert_tells_nothing(caught.value, caplog)


@pytest.mark.filterwarnings("ignore::secureml.errors.InsecureConnectionWarning")
@pytest.mark.parametrize("fault", ["refused", "unknown", "plain", "proxy", "socket"])
@pytest.mark.parametrize("repeatable", [True, False])
def test_a_cause_that_repetition_can_not_help_is_told_at_once(
    dead: str, faulty: Any, session_of: Any, fault: str, repeatable: bool
) -> None:
    addresses = {
        "refused": dead,
        "unknown": "http://vault.invalid:8200",
        "plain": faulty(b"{}").url.replace("http:", "https:"),
        "proxy": "https://vault.invalid",
        "socket": "unix:///nowhere",
    }
    more = {"vault_proxy": dead} if fault == "proxy" else {}
    session = session_of(addresses[fault], vault_timeout=60, **more)
    start = time.monotonic()
    with pytest.raises(VaultUnavailableError, match="can't be reached: "):
        read(session) if repeatable else write(session)
    assert time.monotonic() - start < 30


def test_an_address_that_is_gone_is_asked_again_if_there_are_others(
    faulty: Any, session_of: Any
) -> None:
    failing = faulty(status="503 Down")
    gone = socket.create_server(("127.0.0.1", 0))
    place = gone.getsockname()
    gone.close()
    session = session_of(f"http://127.0.0.1:{place[1]},{failing.url}", vault_timeout=30)
    back: list[Any] = []

    def come_back() -> None:
        while len(failing.received) < 3:
            assert time.monotonic() < end
        back.append(faulty(**FOUND, place=place))

    end = time.monotonic() + 30
    waiting = threading.Thread(target=come_back)
    waiting.start()
    assert value_of(session) == "v"
    waiting.join()


def test_several_addresses_that_all_are_gone_are_asked_until_the_deadline(
    dead: str, session_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = 0
    session = session_of(f"{dead},http://localhost:{dead.rpartition(':')[2]}")
    resolve = socket.getaddrinfo

    def counted(*arguments: Any) -> Any:
        nonlocal attempts
        attempts += 1
        return resolve(*arguments)

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    with pytest.raises(VaultUnavailableError, match="refused the connection"):
        session.request("get", "sys/seal-status")
    assert attempts > 2


def test_plain_http_to_a_port_that_speaks_tls_is_named(bao_tls: Any, session_of: Any) -> None:
    with pytest.raises(MalformedAnswerError, match="speaks TLS: write https://"):
        read(session_of(bao_tls.server.url.replace("https:", "http:")))

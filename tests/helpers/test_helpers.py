"""The helpers of the tests do what tests take from them."""

from __future__ import annotations

import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable

import click
import pytest

from helpers.commands import Ran, all_commands, in_process
from helpers.logins import free_port, listens
from helpers.network import FaultyServer, Relay
from helpers.processes import Child
from helpers.vault import Vault


def get(url: str, timeout: float = 10) -> bytes:
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        body: bytes = answer.read()
    return body


def test_answers_come_in_turn_and_the_last_one_again(faulty: Callable[..., FaultyServer]) -> None:
    server = faulty(b"last", first=[{"body": b"first"}, {"body": b"second"}])
    assert [get(server.url) for _ in range(4)] == [b"first", b"second", b"last", b"last"]
    assert len(server.received) == 4
    assert server.received[0].startswith(b"GET / HTTP/1.1")


def test_a_status_and_headers_are_sent_as_given(faulty: Callable[..., FaultyServer]) -> None:
    server = faulty(b"x", status="503 Sealed", extra="Retry-After: 7\r\n")
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(server.url)
    with caught.value as answer:
        assert (answer.code, answer.reason, answer.headers["Retry-After"]) == (503, "Sealed", "7")


def test_a_silent_server_takes_the_request_and_sends_nothing(
    faulty: Callable[..., FaultyServer],
) -> None:
    server = faulty(silent=True)
    with pytest.raises(TimeoutError):
        get(server.url, timeout=0.3)
    assert server.received


def test_a_reset_ends_the_connection(faulty: Callable[..., FaultyServer]) -> None:
    server = faulty(reset=True)
    with pytest.raises((ConnectionResetError, urllib.error.URLError)):
        get(server.url)


def test_the_body_of_a_request_is_received_with_it(faulty: Callable[..., FaultyServer]) -> None:
    server = faulty(b"ok")
    request = urllib.request.Request(server.url, data=b"x" * 100_000, method="POST")
    with urllib.request.urlopen(request, timeout=10):
        pass
    assert server.received[0].endswith(b"\r\n\r\n" + b"x" * 100_000)


def test_a_relay_passes_bytes_both_ways_and_counts_connections(
    faulty: Callable[..., FaultyServer], relay: Callable[..., Relay]
) -> None:
    through = relay(faulty(b"answer").url, drip=0.0001, piece=7)
    assert get(through.url) == b"answer"
    assert through.connections == 1


def test_a_cut_relay_throws_the_next_answer_away_after_the_server_had_the_request(
    faulty: Callable[..., FaultyServer], relay: Callable[..., Relay]
) -> None:
    server = faulty(b"answer")
    through = relay(server.url)
    through.cut = True
    with pytest.raises((ConnectionError, urllib.error.URLError)):
        get(through.url)
    assert len(server.received) == 1
    assert get(through.url) == b"answer"


def test_the_full_queue_answers_no_attempt_to_connect(black_hole: str) -> None:
    host, _, port = black_hole.removeprefix("http://").partition(":")
    with pytest.raises(TimeoutError), socket.create_connection((host, int(port)), timeout=0.3):
        pass


def test_the_child_reports_what_its_function_returns_or_raises(
    in_child: Callable[..., Child],
) -> None:
    assert in_child(lambda: 1 + 1).report() == "2"
    assert in_child(lambda: {}["x"]).report() == "KeyError('x')"


def test_a_child_that_hangs_is_killed(in_child: Callable[..., Child]) -> None:
    import threading

    assert in_child(threading.Event().wait).report(seconds=0.3) == "hangs"


def test_a_command_in_process_returns_its_exit_code_and_both_streams() -> None:
    program = "import sys; print(input()); print('told', file=sys.stderr); sys.exit(3)"
    assert in_process(sys.executable, "-c", program, data=b"x\n") == Ran(3, "x\n", "told\n")


def test_the_commands_of_nested_groups_are_found_with_their_paths() -> None:
    inner = click.Group("inner", commands={"leaf": click.Command("leaf")})
    group = click.Group("outer", commands={"inner": inner, "top": click.Command("top")})
    assert all_commands(group) == [("inner", "leaf"), ("top",)]


def test_a_free_port_listens_once_a_server_has_taken_it() -> None:
    port = free_port()
    assert not listens(port)
    with socket.create_server(("127.0.0.1", port)):
        assert listens(port)


def test_a_policy_token_has_its_policy_alone(vault: Vault) -> None:
    token = vault.policy_token('path "auth/token/lookup-self" { capabilities = ["read"] }')
    (policy,) = vault.client(token).auth.token.lookup_self()["data"]["policies"]
    assert policy.startswith("p-")

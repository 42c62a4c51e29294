"""Parent and children, and threads of each: none ever reads what another one asked for."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from secureml.settings import Layers, load_settings
from secureml.stores.vault import VaultStore
from secureml.vault.client import session
from secureml.vault.client.connections import DeadlineSocket
from secureml.vault.client.session import VaultSession
from secureml.vault.client.tls import Tls

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")


class Recorder:
    """Answers every read with the path's last part, and notes what came over which connection."""

    def __init__(self) -> None:
        requests: defaultdict[int, list[str]] = defaultdict(list)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                requests[self.client_address[1]].append(self.path)
                name = self.path.partition("?")[0].rpartition("/")[2]
                metadata = {"version": 1, "created_time": "2026-01-01T00:00:00Z"}
                data = {"data": {"value": name}, "metadata": metadata}
                body = json.dumps({"data": data}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.requests = requests
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    made = Recorder()
    yield made
    made.server.shutdown()
    made.server.server_close()


def store_at(url: str, token: str = "t", **more: Any) -> VaultStore:
    arguments = {"vault_url": url, "vault_token": token, "vault_timeout": 10, **more}
    settings = load_settings(Layers(arguments=arguments))
    return VaultStore(VaultSession(settings), settings)


def value_of(store: VaultStore, name: str) -> Any:
    outcome = store.read(name)
    assert outcome.record is not None, outcome.error
    return outcome.record.fields["value"]


def test_a_childs_first_request_goes_over_a_connection_of_its_own(
    recorder: Recorder, in_child: Any
) -> None:
    store = store_at(recorder.url)
    assert value_of(store, "mine") == "mine"
    assert in_child(lambda: value_of(store, "theirs")).report() == "'theirs'"
    assert value_of(store, "mine") == "mine"
    assert sorted(map(reads_in, recorder.requests.values())) == [1, 2]
    store.close()


def reads_in(paths: list[str]) -> int:
    """How many of a connection's requests read a secret; a token that was given is looked at."""
    return sum("/data/" in path for path in paths)


def test_threads_of_a_child_that_begin_together_use_nothing_of_the_parent(
    recorder: Recorder, in_child: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(recorder.url)
    assert value_of(store, "mine") == "mine"
    made = session.FailoverClient
    begun, second = threading.Event(), threading.Event()

    def slowly(*arguments: Any) -> Any:
        begun.set()
        # The second thread is done, or waits for this one: both is right, but no third thing.
        second.wait(0.3)
        return made(*arguments)

    def work() -> list[Any]:
        monkeypatch.setattr(session, "FailoverClient", slowly)
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(value_of, store, "first")
            assert begun.wait(10)
            other = pool.submit(value_of, store, "second")
            other.add_done_callback(lambda _: second.set())
            return [first.result(20), other.result(20)]

    assert in_child(work).report() == "['first', 'second']"
    over_the_parents = next(paths for paths in recorder.requests.values() if "mine" in str(paths))
    assert reads_in(over_the_parents) == 1
    store.close()


def test_a_client_that_a_child_inherits_opens_connections_of_its_own(
    recorder: Recorder, in_child: Any
) -> None:
    store = store_at(recorder.url)
    client = store.session.client

    def read(name: str) -> Any:
        answer = client.secrets.kv.v2.read_secret_version(name, raise_on_deleted_version=True)
        return answer["data"]["data"]["value"]

    assert read("mine") == "mine"
    pools = client.session.get_adapter(recorder.url).poolmanager.pools
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with pools.lock, client.session.cookies._cookies_lock:
            held.set()
            go_on.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    child = in_child(lambda: read("theirs"))
    assert child.report() == "'theirs'"
    go_on.set()
    holder.join()
    assert read("mine") == "mine"
    assert sorted(map(len, recorder.requests.values())) == [1, 2]
    store.close()


def test_a_connection_of_another_process_neither_sends_nor_receives(in_child: Any) -> None:
    ours, theirs = socket.socketpair()
    guarded = DeadlineSocket(fileno=ours.detach())
    theirs.sendall(b"answer")

    def work() -> list[str]:
        problems = []
        for use in (lambda: guarded.sendall(b"x"), lambda: guarded.recv_into(bytearray(9))):
            try:
                use()
            except Exception as error:
                problems.append(type(error).__name__)
        return problems

    assert in_child(work).report() == "['SecretError', 'SecretError']"
    assert guarded.recv_into(bytearray(9)) == len(b"answer")
    guarded.close()
    theirs.close()


@pytest.fixture(params=["http", "unix socket", "TLS"])
def storm_store(request: pytest.FixtureRequest) -> Iterator[Callable[[], VaultStore]]:
    """A store over each kind of connection, with the names k0 to k4 that hold their own names."""
    if request.param == "TLS":
        tls = request.getfixturevalue("bao_tls")
        url, token = tls.server.url, tls.server.root_token.reveal()
        more = {"vault_ca_cert": str(tls.ca)}
    else:
        vault = request.getfixturevalue("vault")
        url, token, more = vault.url, vault.token, {"vault_namespace": vault.namespace}
        if request.param == "unix socket":
            proxy = request.getfixturevalue("proxy")
            url, more = f"unix://{proxy.socket}", {"vault_namespace": vault.namespace}
    store = store_at(url, token, **more)
    for name in map("k{}".format, range(5)):
        store.write(name, {"value": name}, cas=None)
    yield store
    store.close()


def test_no_process_reads_what_another_one_asked_for(storm_store: Any, in_child: Any) -> None:
    swapped: list[str] = []
    for _ in range(10):
        assert value_of(storm_store, "k0") == "k0"
        gate, opened = os.pipe()

        def at_once(name: str, gate: int = gate) -> Any:
            os.read(gate, 1)
            return [value_of(storm_store, name) for _ in range(3)]

        names = [f"k{number}" for number in range(1, 5)]
        children = [in_child(lambda name=name: at_once(name)) for name in names]
        os.write(opened, bytes(5))
        swapped += {str(value) for value in at_once("k0")} - {"k0"}
        reports = [child.report() for child in children]
        expected = [str([name] * 3) for name in names]
        swapped += [each for each, right in zip(reports, expected, strict=True) if each != right]
        os.close(gate)
        os.close(opened)
    assert swapped == []


def test_tls_contexts_are_made_for_https_alone_and_no_child_is_forked_meanwhile(
    bao_tls: Any, in_child: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    begun = threading.Event()
    make = Tls.context

    def slowly(tls: Tls) -> Any:
        begun.set()
        # Time in which the fork comes, and has to wait.
        threading.Event().wait(0.2)
        made.append("context")
        return make(tls)

    monkeypatch.setattr(Tls, "context", slowly)
    store_at("http://127.0.0.1:9").close()
    assert made == []
    tls = {"vault_ca_cert": str(bao_tls.ca)}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(store_at, bao_tls.server.url, bao_tls.server.root_token, **tls)
        assert begun.wait(30)
        assert in_child(lambda: made).report() == "['context']"
        store = first.result(30)
    assert store.read("absent").error is None
    assert made == ["context"]
    store.close()

"""Measure what becomes of faults between secureml and Vault, and what a read costs.

Run by ``make bench-outages``; ``--quick`` takes the short deadline alone and fewer reads. The
servers that it puts in Vault's place are those of the tests (PYTHONPATH=tests).
docs/outages.md says how to read the tables.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import pickle
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import hvac
import requests
import trustme
from requests.adapters import HTTPAdapter

from helpers.cluster import DevCluster
from helpers.network import FaultyServer, Relay, full_queue, http_answer
from secureml import KeyManager
from secureml.errors import SecretError
from secureml.vault.devserver.server import DevServer

TOKEN, BODY = "s.canary-token-44d0", "canary-body-61e7"
KEY = "5a" * 32
THREADS = 16
LATE = 1.1
"""The share of the deadline after which an error is too late."""

FIRST_KEY = """
import sys
from secureml import KeyManager
manager = KeyManager(sys.argv[1], sys.argv[2], vault_ca_cert=sys.argv[3], use_env_fallback=False)
assert len(manager.get_encryption_key()) == 32
"""


@dataclass(frozen=True)
class Fault:
    """One line of the first table.

    Args:
        what: what is wrong.
        begin: makes it so; gives the settings that lead there.
    """

    what: str
    begin: Callable[[], contextlib.AbstractContextManager[dict[str, Any]]]


@dataclass(frozen=True)
class TlsVault:
    """A real server on HTTPS with a key in it."""

    server: DevServer
    ca: Path

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "vault_url": self.server.url,
            "vault_token": self.server.root_token.reveal(),
            "vault_ca_cert": str(self.ca),
        }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one deadline, fewer reads")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder, tls_vault(Path(folder) / "tls") as vault:
        print(f"Python {sys.version.split()[0]}, hvac {version('hvac')}, ", end="")
        print(f"requests {requests.__version__}\n")
        faults_table(vault, Path(folder), (1.0,) if quick else (1.0, 5.0))
        costs_table(vault, 200 if quick else 1000)
        failover_table(Path(folder) / "cluster", 1 if quick else 3)


# What becomes of each fault


def faults_table(vault: TlsVault, folder: Path, deadlines: tuple[float, ...]) -> None:
    """Print what each fault becomes, when, and whether the error tells a secret."""
    seconds = "  ".join(f"{f'after, of {each:g} s':>16}" for each in deadlines)
    print(f"{'fault':46} {'becomes':24} {seconds}  tells")
    for fault in [*faults_of_answers(), *faults_of_networks(vault), *faults_of_state(folder)]:
        with fault.begin() as settings:
            ends = [end_of(settings, deadline) for deadline in deadlines]
        shown = "  ".join(
            f"{took:12.3f} s {'!!' if took > LATE * limit else '  '}"
            for (_, took, _), limit in zip(ends, deadlines, strict=True)
        )
        kinds = " / ".join(sorted({kind for kind, _, _ in ends}))
        tells = "A SECRET" if any(leak for _, _, leak in ends) else "nothing"
        print(f"{fault.what:46} {kinds:24} {shown}  {tells}", flush=True)


def end_of(settings: dict[str, Any], deadline: float) -> tuple[str, float, bool]:
    """Read a key under a fault; return the error's name, its time, and whether it leaks."""
    arguments = {"vault_token": TOKEN, **settings, "vault_timeout": deadline}
    seen: list[str] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]  # a sink
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    manager = KeyManager(**arguments, cache_ttl=0, use_env_fallback=False)
    began = time.perf_counter()
    error: SecretError | None = None
    try:
        manager.get_key()
    except SecretError as caught:
        error = caught
    took = time.perf_counter() - began
    root.removeHandler(handler)
    if error is None:
        return "a key", took, False
    text = "".join(traceback.TracebackException.from_exception(error).format())
    everything = [text, repr(error), repr(vars(error)), repr(pickle.dumps(error)), *seen]
    secrets = [BODY, arguments["vault_token"]]
    leaks = any(secret in shown for secret in secrets for shown in everything)
    return type(error).__name__, took, leaks or error.__context__ is not None


def faults_of_answers() -> Iterator[Fault]:
    """Yield what answers wrongly."""
    errors = f'{{"errors": ["{BODY}"]}}'.encode()
    html = {"body": f"<html>{BODY}</html>".encode(), "kind": "text/html"}
    found = f'{{"data": {{"data": {{"value": "{BODY}"}}, "metadata": {{"version": 1}}}}}}'.encode()
    retry = {"extra": "Retry-After: 3600\r\n"}
    elsewhere = {"extra": "Location: http://localhost:1/v1/x\r\n"}
    answers: dict[str, dict[str, Any]] = {
        "never answers": {"silent": True},
        "drips its body": {"body": found + b" " * 9000, "drip": 0.01},
        "drips its headers": {"body": found, "extra": f"X-Long: {'x' * 9000}\r\n", "drip": 0.01},
        "resets the connection": {"reset": True},
        "speaks no HTTP": {"status": "\x00\x00"},
        "HTML with 200": html,
        "cut-off JSON": {"body": found[:-20]},
        "JSON that is no object": {"body": b"[1, 2]"},
        "204 without content": {"status": "204 No Content"},
        "HTML with 404": {**html, "status": "404 Not Resolved"},
        "HTML with 502": {**html, "status": "502 Bad Gateway"},
        "412 not yet replicated": {"body": errors, "status": "412 Behind"},
        "429 rate limit": {"body": errors, "status": "429 Slow"},
        "429 with Retry-After: 3600": {"body": errors, "status": "429 Slow", **retry},
        "500": {"body": errors, "status": "500 Error"},
        "503": {"body": errors, "status": "503 Down"},
        "504": {"body": errors, "status": "504 Late"},
        "redirect to another host": {"status": "307 Moved", **elsewhere},
    }
    for what, fault in answers.items():
        yield Fault(what, lambda fault=fault: faulty(**fault))


def faults_of_networks(vault: TlsVault) -> Iterator[Fault]:
    """Yield what is wrong on the way."""

    @contextlib.contextmanager
    def slow_handshake() -> Iterator[dict[str, Any]]:
        relay = Relay(vault.server.url, drip=0.01)
        yield {**vault.settings, "vault_url": relay.url}
        relay.close()

    @contextlib.contextmanager
    def slow_body() -> Iterator[dict[str, Any]]:
        # The handshake takes half a second so, and the large answer a minute.
        relay = Relay(vault.server.url, drip=0.05, piece=512)
        yield {**vault.settings, "vault_url": relay.url, "vault_path": "large"}
        relay.close()

    @contextlib.contextmanager
    def plain() -> Iterator[dict[str, Any]]:
        with faulty(body=b"{}") as there:
            yield {"vault_url": there["vault_url"].replace("http://", "https://")}

    @contextlib.contextmanager
    def queue() -> Iterator[dict[str, Any]]:
        with full_queue() as url:
            yield {"vault_url": url}

    def fixed(**settings: Any) -> Callable[[], contextlib.AbstractContextManager[dict[str, Any]]]:
        return lambda: contextlib.nullcontext(settings)

    untrusted = {**vault.settings, "vault_ca_cert": None}
    yield Fault("nobody listens", fixed(vault_url="http://127.0.0.1:1"))
    yield Fault("the accept queue is full", queue)
    yield Fault("no such host", fixed(vault_url="https://vault.invalid:8200"))
    yield Fault("no such unix socket", fixed(vault_url="unix:///nowhere"))
    yield Fault(
        "a proxy that is down",
        fixed(vault_url="https://v.invalid", vault_proxy="http://127.0.0.1:1"),
    )
    yield Fault("no TLS where https is asked for", plain)
    yield Fault("an untrusted certificate", fixed(**untrusted))
    yield Fault("a TLS handshake that drips", slow_handshake)
    yield Fault("a body that drips inside TLS", slow_body)


def faults_of_state(folder: Path) -> Iterator[Fault]:
    """Yield the states of a real server."""

    @contextlib.contextmanager
    def sealed() -> Iterator[dict[str, Any]]:
        with DevServer(folder / "sealed") as server:
            server.seal()
            yield {"vault_url": server.url, "vault_token": server.root_token.reveal()}

    @contextlib.contextmanager
    def stopped() -> Iterator[dict[str, Any]]:
        with DevServer(folder / "stopped") as server:
            settings = {"vault_url": server.url, "vault_token": server.root_token.reveal()}
            server.kill()
            yield settings

    yield Fault("sealed", sealed)
    yield Fault("killed", stopped)


@contextlib.contextmanager
def faulty(
    body: bytes = b"", *, silent: bool = False, reset: bool = False, drip: float = 0, **head: str
) -> Iterator[dict[str, Any]]:
    answer = None if silent else http_answer(body, **head)
    server = FaultyServer([answer], reset=reset, drip=drip)
    yield {"vault_url": server.url}
    server.close()


# What a read costs


def costs_table(vault: TlsVault, reads: int) -> None:
    """Print what reads cost beside those of bare hvac."""
    print(f"\n{'over TLS, cache off':46} {'secureml':>12} {'hvac':>12}  {'share':>6}  target")
    client = bare_client(vault)
    with KeyManager(**vault.settings, cache_ttl=0, use_env_fallback=False) as manager:

        def ours() -> None:
            assert manager.get_secret("master_key") == KEY

        def theirs() -> None:
            answer = client.secrets.kv.v2.read_secret_version(
                "secureml/master_key", raise_on_deleted_version=True
            )
            assert answer["data"]["data"]["value"] == KEY

        one, other = per_read(ours, theirs, reads)
        line("one read, one thread: microseconds", one * 1e6, other * 1e6, one / other, "<= 1.15")
        fast, bare = rates(ours, theirs, reads)
        line(f"{THREADS} threads x {reads:,} reads: reads/s", fast, bare, fast / bare, ">= 0.9")
    settings = vault.settings
    command = [sys.executable, "-c", FIRST_KEY, *(settings.values())]
    times = []
    for _ in range(7):
        began = time.perf_counter()
        subprocess.run(command, check=True)
        times.append(time.perf_counter() - began)
    print(
        f"{'new process, import, first key':46} {statistics.median(times):10.3f} s {'':20} < 0.6 s"
    )


def line(what: str, one: float, other: float, share: float, target: str) -> None:
    print(f"{what:46} {one:12,.0f} {other:12,.0f}  {share:6.2f}  {target}", flush=True)


def bare_client(vault: TlsVault) -> hvac.Client:
    """An hvac client as a careful user makes it for many threads."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(vault.ca)
    session.mount("https://", HTTPAdapter(pool_maxsize=32))
    token = vault.server.root_token.reveal()
    return hvac.Client(vault.server.url, token=token, session=session)


def per_read(ours: Callable[[], None], theirs: Callable[[], None], reads: int) -> list[float]:
    """Return the median seconds of each. They take turns, so that noise falls on both alike."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(2 * reads + 40):
        for work, taken in zip((ours, theirs), times, strict=True):
            began = time.perf_counter()
            work()
            if number >= 40:
                taken.append(time.perf_counter() - began)
    return [statistics.median(taken) for taken in times]


def rates(ours: Callable[[], None], theirs: Callable[[], None], reads: int) -> list[float]:
    """Return the reads per second of each, in rounds that take turns."""
    rounds = 4
    spent = [0.0, 0.0]

    def many(work: Callable[[], None]) -> None:
        for _ in range(reads // rounds):
            work()

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(rounds):
            for number, work in enumerate((ours, theirs)):
                began = time.perf_counter()
                for done in [pool.submit(many, work) for _ in range(THREADS)]:
                    done.result()
                spent[number] += time.perf_counter() - began
    return [THREADS * (reads // rounds) * rounds / each for each in spent]


# What the loss of a leader costs


def failover_table(folder: Path, kills: int) -> None:
    """Kill the leader of a cluster while threads read; print how long they miss it."""
    print(f"\n{f'the leader is killed under {THREADS} threads':46} ", end="")
    print(
        f"{'election':>9} {'resumed after it':>17} {'longest gap':>12} {'errors':>7} {'wrong':>6}"
    )
    with DevCluster(folder) as cluster:
        token = cluster.root_token.reveal()
        client = hvac.Client(cluster.leader().url, token=token)
        client.secrets.kv.v2.create_or_update_secret("secureml/master_key", {"value": KEY})
        for number in range(kills):
            leader = cluster.leader()
            others = [server.url for server in cluster.servers if server is not leader]
            urls = ",".join([leader.url, *others])
            with KeyManager(urls, token, cache_ttl=0, use_env_fallback=False) as manager:
                figures = failover(cluster, manager)
            leader.start()
            election, resumed, gap, errors, wrong = figures
            print(
                f"{f'kill {number + 1}':46} {election:7.2f} s {resumed:15.3f} s {gap:10.2f} s ",
                end="",
            )
            print(f"{errors:7} {wrong:6}", flush=True)


def failover(cluster: DevCluster, manager: KeyManager) -> tuple[float, float, float, int, int]:
    stop = threading.Event()
    moments: list[list[float]] = [[] for _ in range(THREADS)]
    errors, wrong = [], []

    def reads(mine: list[float]) -> None:
        while not stop.is_set():
            try:
                right = manager.get_secret("master_key") == KEY
            except SecretError as error:
                errors.append(error)
                continue
            mine.append(time.monotonic())
            if not right:
                wrong.append(mine[-1])

    threads = [threading.Thread(target=reads, args=(mine,)) for mine in moments]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    killed = time.monotonic()
    cluster.leader().kill()
    cluster.leader()
    elected = time.monotonic()
    time.sleep(3)
    stop.set()
    for thread in threads:
        thread.join()
    resumed = max(min(moment for moment in mine if moment > elected) for mine in moments) - elected
    gap = max(after - before for mine in moments for before, after in pairwise(mine))
    return elected - killed, resumed, gap, len(errors), len(wrong)


@contextlib.contextmanager
def tls_vault(folder: Path) -> Iterator[TlsVault]:
    """Run a server on HTTPS, with a small key and a large secret."""
    folder.mkdir()
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    ca, chain, key = folder / "ca.pem", folder / "server.pem", folder / "server.key"
    authority.cert_pem.write_to_path(str(ca))
    issued.private_key_pem.write_to_path(str(key))
    chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    with DevServer(folder / "bao", certificate=(chain, key)) as server:
        vault = TlsVault(server, ca)
        kv = bare_client(vault).secrets.kv.v2
        kv.create_or_update_secret("secureml/master_key", {"value": KEY})
        kv.create_or_update_secret("large/master_key", {"value": BODY, "padding": "x" * 500_000})
        yield vault


if __name__ == "__main__":
    main()

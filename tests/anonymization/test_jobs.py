"""Functions of batches in other processes: the key is fetched there, once for a job."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from helpers.frames import KEYS, manager_of
from secureml import anonymize
from secureml.anonymization import jobs
from secureml.anonymization.apply import Replacement
from secureml.anonymization.jobs import JobFunction
from secureml.anonymization.plan import plan_table
from secureml.errors import SecretNotFoundError, WrongKeyError
from secureml.frames.arrow import ArrowTable
from secureml.key_management import configure_default_key_manager
from secureml.stores import MemoryStore

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

"""Two workers of Dask, each with a login of its own: what comes of a job, and what travels."""

from __future__ import annotations

import os
import pickle
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import secureml
from helpers.workers import (
    KEY,
    LOOPBACK,
    OTHER_KEY,
    WORKERS_WITHOUT,
    Employer,
    found_in,
    listening,
)
from secureml import Pseudonymizer, anonymize, reidentify, rekey
from secureml.errors import AccessDeniedError, InvalidValueError, UncheckedTableWarning
from secureml.key_management import get_default_key_manager

pytest.importorskip("distributed", reason="Dask is not installed: the extra dask brings it")

import cloudpickle
import dask
import dask.dataframe as dd
from distributed import Client, Nanny, Scheduler, SpecCluster, wait

ROLES = ("worker-0", "worker-1")
PARTITIONS = 12

SETTINGS = {
    # All of what a worker keeps goes to its disk, where it is searched for keys.
    "distributed.worker.memory.target": 1e-9,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 65536,
}


def people(rows: int = 600) -> pd.DataFrame:
    """A table of all that Dask has types for, with an index and its gaps."""
    generator = np.random.default_rng(7)
    numbers = generator.integers(110 * 10**6, 650 * 10**6, rows)
    frame = pd.DataFrame(
        {
            "ssn": [f"{n // 10**6:03}-{n % 99 + 1:02}-{n % 9999 + 1:04}" for n in numbers],
            "id": numbers * 7919,
            "plan": pd.Categorical.from_codes(numbers % 4, [f"tariff-{n:07}" for n in range(5)]),
            "born": pd.Timestamp("1961-07-30") + pd.to_timedelta(numbers % 20_000, "D"),
            "stays": numbers / 3,
        },
        index=pd.RangeIndex(0, 3 * rows, 3, name="row"),
    )
    frame.loc[[3, 600], "ssn"] = None
    return frame


ARGUMENTS: dict[str, Any] = {
    "sensitive_columns": ["ssn", "id", "plan", "born"],
    "small_domain": "permute",
}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where workers write what they keep."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def client(employer: Employer, scratch: Path) -> Iterator[Client]:
    """A client of a cluster with two workers."""
    options = {"host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"}
    workers = {
        role: {
            "cls": Nanny,
            "options": options
            | {
                "nthreads": 2,
                "memory_limit": "1GB",
                "local_directory": str(scratch / role),
                "env": employer.environment(role),
            },
        }
        for role in ROLES
    }
    scheduler = {"cls": Scheduler, "options": options | {"port": 0}}
    with (
        dask.config.set(SETTINGS),
        SpecCluster(workers, scheduler, silence_logs="ERROR") as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(len(ROLES), timeout=60)
        yield client


def given(frame: pd.DataFrame | None = None) -> dd.DataFrame:
    return dd.from_pandas(people() if frame is None else frame, npartitions=PARTITIONS)


def same(made: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Compare tables; Dask has strings as Arrow's, and orders categories by where they occur."""
    plain = [frame.astype({"plan": "str", "ssn": "str"}) for frame in (made, expected)]
    pd.testing.assert_frame_equal(*plain)


def worker(client: Client, role: str) -> str:
    """Return the address of the worker of a role."""
    names = client.run(lambda dask_worker: dask_worker.name)
    return next(address for address, name in names.items() if name == role)


def configure(client: Client, address: str, variables: dict[str, str]) -> None:
    """Change variables in a worker, which forgets what it has read."""

    def change() -> None:
        os.environ.update(variables)
        secureml.reset()

    client.run(change, workers=[address])


def test_everything_listens_on_loopback_alone(client: Client) -> None:
    workers = client.run(os.getpid)
    nannies = client.run(os.getpid, nanny=True)
    for pid in {*workers.values(), *nannies.values()}:
        assert listening(pid)
        assert set(listening(pid)) <= LOOPBACK


def test_a_job_makes_what_pandas_makes_and_reads_the_key_once_in_each_process(
    client: Client, employer: Employer
) -> None:
    frame = given()
    made, document = anonymize(
        frame, return_manifest=True, key_manager=employer.driver, **ARGUMENTS
    )
    assert made.divisions == frame.divisions
    assert made.dtypes.map(str).to_dict() == frame.dtypes.map(str).to_dict()
    before = employer.reads()
    computed = made.compute()
    assert employer.reads() - before == Counter(dict.fromkeys(ROLES, 1))
    same(computed, anonymize(people(), key_manager=employer.driver, **ARGUMENTS))
    assert computed.attrs["secureml"] == document


# Dask reads the schema of a folder so, with pandas 3.
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame:DeprecationWarning")
def test_what_was_hidden_comes_back_from_parquet_without_being_told_how(
    client: Client, employer: Employer, tmp_path: Path
) -> None:
    made = anonymize(given(), key_manager=employer.driver, **ARGUMENTS)
    made.to_parquet(tmp_path / "hidden")
    read = dd.read_parquet(tmp_path / "hidden", calculate_divisions=True)
    assert read.divisions == made.divisions
    with pytest.warns(UncheckedTableWarning):
        back = reidentify(read, key_manager=employer.driver)
    computed = back.compute()
    same(computed, people())
    assert "secureml" not in computed.attrs
    assert back.dtypes.map(str).to_dict() == given().dtypes.map(str).to_dict()


def test_a_key_moves_and_a_plan_is_applied_on_the_cluster(
    client: Client, employer: Employer
) -> None:
    manager, columns = employer.driver, ["ssn", "id"]
    manager.get_key()
    plan = Pseudonymizer(columns, key_manager=manager).fit(given())
    made = plan.transform(given())
    assert isinstance(made, dd.DataFrame)
    with pytest.warns(UncheckedTableWarning):
        moved = rekey(made, to_key="second_key", key_manager=manager)
    expected = anonymize(
        people(), sensitive_columns=columns, master_key_name="second_key", key_manager=manager
    )
    same(moved.compute(), expected)
    with pytest.warns(UncheckedTableWarning):
        same(plan.inverse_transform(made).compute(), people())


def test_an_error_about_values_names_the_partition_and_arrives_whole(
    client: Client, employer: Employer
) -> None:
    frame = people()
    frame.loc[900, "ssn"] = "none that I know of"
    made = anonymize(
        given(frame),
        sensitive_columns=["ssn"],
        formats={"ssn": "ssn"},
        key_manager=employer.driver,
    )
    with pytest.raises(InvalidValueError, match=r"^partition 6: column 'ssn': ") as told:
        made.compute()
    assert told.value.column == "ssn"
    assert told.value.rows == 1


@pytest.mark.parametrize("what", WORKERS_WITHOUT)
def test_a_job_fails_with_the_error_of_a_worker_without_it_and_writes_nothing_in_clear(
    what: str, client: Client, employer: Employer, tmp_path: Path
) -> None:
    variables, kind, remedy = WORKERS_WITHOUT[what]
    made = anonymize(given(), key_manager=employer.driver, **ARGUMENTS)
    address = worker(client, "worker-1")
    configure(client, address, variables)
    if what == "access":
        employer.allow("worker-1", ())
    try:
        with pytest.raises(kind, match=remedy) as told:
            made.to_parquet(tmp_path / "hidden", compression=None)
    finally:
        configure(client, address, dict.fromkeys(variables, "development"))
        employer.allow("worker-1")
    assert type(told.value) is kind
    if isinstance(told.value, AccessDeniedError):
        assert told.value.capability == "read"
    assert not found_in(tmp_path, people()["ssn"].dropna())
    # Dask remembers that the tasks failed; those of another job do not.
    again = anonymize(given(), key_manager=employer.driver, **ARGUMENTS)
    same(again.compute(), anonymize(people(), key_manager=employer.driver, **ARGUMENTS))


def test_a_rotation_amid_a_job_changes_nothing(client: Client, employer: Employer) -> None:
    made = anonymize(given(), key_manager=employer.driver, **ARGUMENTS)
    expected = anonymize(people(), key_manager=employer.driver, **ARGUMENTS)
    first, second = (worker(client, role) for role in ROLES)
    configure(client, second, {})
    parts = made.partitions[:4], made.partitions[4:]
    begun = client.compute(parts[0], workers=[first]).result()
    employer.write("development", OTHER_KEY)
    ended = client.compute(parts[1], workers=[second]).result()
    same(pd.concat([begun, ended]), expected)


def test_a_worker_that_is_killed_amid_a_job_leaves_no_gap(
    client: Client, employer: Employer, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"

    def kill_once(frame: pd.DataFrame, partition_info: Any = None) -> pd.DataFrame:
        if partition_info is not None and partition_info["number"] == 7 and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return frame

    frame = given()
    dying = frame.map_partitions(kill_once, meta=frame._meta)
    made = anonymize(dying, key_manager=employer.driver, **ARGUMENTS)
    pids = set(client.run(os.getpid).values())
    same(made.compute(), anonymize(people(), key_manager=employer.driver, **ARGUMENTS))
    assert killed.exists()
    client.wait_for_workers(len(ROLES), timeout=60)
    assert len(pids & set(client.run(os.getpid).values())) == 1


def test_no_key_and_no_token_is_in_what_travels_or_is_spilled(
    client: Client, employer: Employer, scratch: Path, tmp_path: Path
) -> None:
    made = anonymize(given(), key_manager=employer.driver, **ARGUMENTS)
    kept = made.persist()
    with pytest.warns(UncheckedTableWarning):
        back = reidentify(made, key_manager=employer.driver).persist()
    wait([kept, back])

    def token() -> str:
        manager = get_default_key_manager()
        return manager.vault_client.token

    def tasks(dask_scheduler: Scheduler) -> list[bytes]:
        return [pickle.dumps(task.run_spec) for task in dask_scheduler.tasks.values()]

    tokens = client.run(token).values()
    assert len({*tokens}) == len(ROLES)
    secrets = [KEY, *tokens, employer.driver.vault_client.token]
    sent = client.run_on_scheduler(tasks)
    assert any(b"JobFunction" in one for one in sent)
    (tmp_path / "tasks").write_bytes(b"".join(sent))
    (tmp_path / "graph").write_bytes(cloudpickle.dumps((made, back)))
    (tmp_path / "logs").write_text(
        repr((client.get_worker_logs(), client.get_scheduler_logs(), made.dask, back.dask))
    )
    assert not found_in(tmp_path, secrets)
    assert not found_in(scratch, secrets)
    hidden = kept.partitions[0].compute()["ssn"].iloc[0]
    assert found_in(scratch, [hidden])

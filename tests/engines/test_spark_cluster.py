"""Two workers of Spark's, each with a login of its own: what comes of a job, and what travels."""

from __future__ import annotations

import os
import signal
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from helpers.spark import Cluster, Sessions
from helpers.workers import ENVIRONMENTS, KEY, LOOPBACK, OTHER_KEY, Employer, found_in, listening
from secureml import anonymize, reidentify, rekey

pytest.importorskip("pyspark", reason="Spark is not installed: the extra spark brings it")

from pyspark import TaskContext
from pyspark.errors import PythonException

pytestmark = [
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas"),
    pytest.mark.filterwarnings("ignore::secureml.errors.UncheckedTableWarning"),
]

ROLES = ("worker-0", "worker-1")
PARTITIONS = 8
PROCESSES = 3
"""How many Python processes an executor has: no plan here has as many steps in Python."""
PEOPLE = f"""
    select id, format_string('%09d', id * 1009 % 1000000000) as ssn, id * 7919 + 1000000 as number
    from range(0, 4000, 1, {PARTITIONS})
"""


@pytest.fixture(scope="module")
def cluster(
    employer: Employer, spark_sessions: Sessions, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start({role: {**employer.environment(role), **NO_CACHE} for role in ROLES})
        yield cluster
    finally:
        spark_sessions.close()
        cluster.close()


NO_CACHE = {"SECUREML_CACHE_TTL": "0"}
"""So that each read of a job's is one that the server sees."""


@pytest.fixture
def spark(cluster: Cluster, spark_sessions: Sessions) -> Any:
    return session_on(cluster, spark_sessions)


def session_on(cluster: Cluster, sessions: Sessions, **variables: str) -> Any:
    """Return a session on the cluster that writes all that can be searched, and compresses nothing.

    Args:
        cluster: the cluster.
        sessions: those of this process.
        variables: of its executors, over those of the workers.
    """
    events = cluster.folder / "events"
    events.mkdir(exist_ok=True)
    settings = {
        "spark.executor.memory": "512m",
        "spark.ui.enabled": "true",
        "spark.ui.port": "0",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": events.as_uri(),
        "spark.eventLog.compress": "false",
        "spark.eventLog.logBlockUpdates.enabled": "true",
        "spark.broadcast.compress": "false",
        "spark.shuffle.compress": "false",
        "spark.shuffle.spill.compress": "false",
        "spark.local.dir": str(cluster.folder / "driver"),
        **{f"spark.executorEnv.{name}": value for name, value in variables.items()},
    }
    session = sessions.session(settings, cluster.url)
    wait_for(lambda: executors(session) == len(ROLES))
    return session


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def executors(session: Any) -> int:
    """Return how many executors there are beside the driver."""
    return session.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1


@pytest.fixture
def people(spark: Any) -> Any:
    return spark.sql(PEOPLE)


ARGUMENTS: dict[str, Any] = {"sensitive_columns": ["ssn", "number"]}


def on_workers(spark: Any, work: Callable[[], str]) -> list[str]:
    """Run a function in the Python processes of each executor, and return what it says."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        said = work()
        yield from batches
        yield pa.record_batch({"said": [said]})

    frame = spark.range(0, len(ROLES), 1, len(ROLES)).selectExpr(
        "if(id >= 0, 'start', null) as said"
    )
    for _ in range(PROCESSES):  # which are used at once, and again
        frame = frame.mapInArrow(run, "said string", barrier=True)
    said = [row.said for row in frame.collect() if row.said != "start"]
    assert len(said) == PROCESSES * len(ROLES)
    return said


def same(made: Any, expected: pa.Table) -> None:
    assert made.toArrow().to_pydict() == expected.to_pydict()


def test_a_job_makes_what_one_machine_makes_and_reads_the_key_once_in_each_process(
    people: Any, spark: Any, employer: Employer
) -> None:
    expected = anonymize(people.toArrow(), key_manager=employer.driver, **ARGUMENTS)
    made = anonymize(people, key_manager=employer.driver, **ARGUMENTS)
    assert made.rdd.getNumPartitions() == PARTITIONS
    before = employer.reads()
    same(made, expected)
    assert employer.reads() - before == Counter(dict.fromkeys(ROLES, 1))
    # Processes that are used again have the key of the job.
    same(made.where("id >= 0"), expected)
    assert employer.reads() - before == Counter(dict.fromkeys(ROLES, 1))
    loaded = on_workers(spark, lambda: " ".join(sys.modules.keys() & {"pandas", "secureml"}))
    assert sorted(loaded) == [""] * 4 + ["secureml"] * 2


def test_everything_listens_on_loopback_alone(people: Any, cluster: Cluster) -> None:
    people.mapInArrow(lambda batches: batches, people.schema).count()
    pids = [process.pid for process in cluster.processes]
    pids += [child for pid in pids for child in descendants(pid)]
    pids = [pid for pid in pids if Path(f"/proc/{pid}/net/tcp").exists()]
    places = [place for pid in pids for place in listening(pid)]
    assert len(places) >= 2 * len(cluster.processes)
    assert set(places) <= LOOPBACK


def test_what_was_hidden_comes_back_from_parquet_without_being_told_how(
    people: Any, spark: Any, employer: Employer, tmp_path: Path
) -> None:
    made = anonymize(people, key_manager=employer.driver, **ARGUMENTS)
    made.write.parquet(str(tmp_path / "hidden"))
    back = reidentify(spark.read.parquet(str(tmp_path / "hidden")), key_manager=employer.driver)
    same(back.orderBy("id"), people.toArrow())


def test_a_rotation_amid_a_job_changes_nothing_and_rekey_takes_both_versions(
    people: Any, employer: Employer
) -> None:
    expected = anonymize(people.toArrow(), key_manager=employer.driver, **ARGUMENTS)
    made = anonymize(people, key_manager=employer.driver, **ARGUMENTS)
    later = anonymize(people, key_manager=employer.driver, **ARGUMENTS)
    same(made.where("id < 1000"), expected.slice(0, 1000))
    employer.write("development", "5d7c21f0" * 8)
    same(made, expected)
    same(later, expected)  # the key of which is read after the rotation
    moved = rekey(made, key_manager=employer.driver)
    new = anonymize(people.toArrow(), key_manager=employer.driver, **ARGUMENTS)
    assert new["ssn"] != expected["ssn"]
    same(moved, new)


def test_a_killed_worker_and_a_killed_executor_leave_a_whole_result(
    people: Any, employer: Employer, spark: Any
) -> None:
    expected = anonymize(people.toArrow(), key_manager=employer.driver, **ARGUMENTS)
    made = anonymize(people, key_manager=employer.driver, **ARGUMENTS)

    def deadly(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        task = TaskContext.get()
        assert task is not None
        if task.attemptNumber() == 0 and task.partitionId() == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if task.attemptNumber() == 0 and task.partitionId() == 5:
            parent = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1]
            os.kill(int(parent), signal.SIGKILL)
        yield from batches

    same(made.mapInArrow(deadly, made.schema), expected)
    wait_for(lambda: executors(spark) == len(ROLES))


WORKERS_WITHOUT = {
    "that key": (
        {"SECUREML_VAULT_PATH": "secureml/others"},
        "WrongKeyError",
        "Use the environment",
    ),
    "that environment": ({"SECUREML_ENV": "staging"}, "WrongKeyError", "Use the environment"),
    "a key": ({"SECUREML_ENV": "production"}, "SecretNotFoundError", "production"),
    "access": ({}, "AccessDeniedError", "'read'.*secret/data/secureml/development/master_key"),
    "a login": ({"SECUREML_VAULT_ROLE_ID": "nobody"}, "AuthenticationError", "approle"),
}
LONG = {"a key", "a login"}
"""Those that add little to the others; each takes a session of its own."""


@pytest.mark.parametrize("what", WORKERS_WITHOUT)
def test_workers_without_it_tell_the_driver_why_and_write_nothing(
    what: str,
    cluster: Cluster,
    spark_sessions: Sessions,
    employer: Employer,
    tmp_path: Path,
    thorough: bool,
) -> None:
    if what in LONG and not thorough:
        pytest.skip("--thorough makes this run")
    variables, error, remedy = WORKERS_WITHOUT[what]
    people = session_on(cluster, spark_sessions, **variables).sql(PEOPLE)
    made = anonymize(people, key_manager=employer.driver, **ARGUMENTS)
    employer.write("others/development", OTHER_KEY)
    every = (*ENVIRONMENTS, "others/development", "production")
    for role in ROLES:
        employer.allow(role, ["nothing"] if what == "access" else every)
    try:
        with pytest.raises(PythonException, match=f"{error}: .*{remedy}") as told:
            made.write.parquet(str(tmp_path / "hidden"))
    finally:
        for role in ROLES:
            employer.allow(role)
    assert not list(tmp_path.rglob("*.parquet"))
    assert KEY not in str(told.value)


def test_no_key_and_no_token_is_in_what_travels_or_in_what_is_written(
    people: Any, spark: Any, employer: Employer, cluster: Cluster, tmp_path: Path
) -> None:
    made = anonymize(people, key_manager=employer.driver, **ARGUMENTS)
    shuffled = made.repartition(3).cache()
    shuffled.count()
    some = shuffled.first().ssn
    tokens = tmp_path / "tokens"
    tokens.mkdir()

    def keep_token() -> str:
        from secureml.key_management import get_default_key_manager

        place = tokens / str(os.getpid())
        place.write_text(str(get_default_key_manager().vault_client.token))
        return "kept"

    on_workers(spark, keep_token)
    secrets = [file.read_text() for file in tokens.iterdir()]
    assert len({*secrets}) >= len(ROLES)
    secrets += [KEY, str(employer.driver.vault_client.token)]
    secrets += [file.read_text() for file in employer.folder.iterdir()]
    seen = tmp_path / "seen"
    seen.mkdir()
    with urllib.request.urlopen(f"{spark.sparkContext.uiWebUrl}/environment/", timeout=30) as page:
        (seen / "environment.html").write_bytes(page.read())
    (seen / "plan").write_text(made._jdf.queryExecution().toString())
    dump(spark, seen / "driver.hprof")
    assert b"JobFunction" in (seen / "driver.hprof").read_bytes()
    assert found_in(cluster.folder, [some])
    for kind in ("shuffle_*.data", "events_*", "stderr"):
        assert list(cluster.folder.rglob(kind)), kind
    assert not found_in(cluster.folder, secrets)
    assert not found_in(seen, secrets)


def dump(spark: Any, path: Path) -> None:
    """Write all objects of the driver's JVM: plans, task binaries, broadcasts."""
    jvm = spark.sparkContext._jvm
    kind = jvm.java.lang.Class.forName("com.sun.management.HotSpotDiagnosticMXBean")
    jvm.java.lang.management.ManagementFactory.getPlatformMXBean(kind).dumpHeap(str(path), True)


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and theirs."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *descendants(child)]
    return found

"""Two workers of Ray, each with a login of its own: what comes of a job, and what travels."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import secureml
from helpers.workers import (
    KEY,
    LOOPBACK,
    OTHER_KEY,
    WORKERS_WITHOUT,
    Employer,
    children_of,
    found_in,
    listening,
)
from secureml import Pseudonymizer, anonymize, preview, reidentify, rekey
from secureml.errors import InvalidValueError, UncheckedTableWarning
from secureml.key_management import get_default_key_manager

started = pytest.importorskip(
    "helpers.ray_cluster", reason="Ray is not installed: the extra ray brings it"
).started

import ray  # noqa: E402

BLOCKS = 8
ARGUMENTS: dict[str, Any] = {
    "sensitive_columns": ["ssn", "id", "born"],
    "small_domain": "permute",
}


def people(rows: int = 400) -> pa.Table:
    """A table of text, numbers and dates, some of them null."""
    generator = np.random.default_rng(7)
    numbers = generator.integers(110 * 10**6, 650 * 10**6, rows)
    ssn = [f"{n // 10**6:03}-{n % 99 + 1:02}-{n % 9999 + 1:04}" for n in numbers]
    ssn[1] = ssn[200] = None
    born = pd.Timestamp("1961-07-30") + pd.to_timedelta(numbers % 20_000, "D")
    columns = {"row": range(rows), "ssn": ssn, "id": numbers * 7919, "born": born}
    return pa.table(columns | {"stays": numbers / 3})


@pytest.fixture(scope="module")
def session(employer: Employer) -> Iterator[Path]:
    """The folder of a session with two workers, which share a role."""
    with started(env_vars=employer.environment("worker")) as folder:
        yield folder


def given(table: pa.Table | None = None) -> ray.data.Dataset:
    table = people() if table is None else table
    size = len(table) // BLOCKS
    return ray.data.from_arrow([table.slice(at, size) for at in range(0, len(table), size)])


def read(dataset: ray.data.Dataset) -> pa.Table:
    """Return the rows of a dataset in the order that they had."""
    return pa.concat_tables(dataset.iter_batches(batch_format="pyarrow")).sort_by("row")


def settled(block: pa.Table, variables: dict[str, str]) -> pa.Table:
    """Change variables of a worker, which forgets what it has read."""
    os.environ.update(variables)
    secureml.reset()
    return block


def test_everything_listens_on_loopback_alone(session: Path) -> None:
    pids = children_of(os.getpid())
    addresses = [address for pid in pids for address in listening(pid)]
    assert len(addresses) > 3
    assert set(addresses) <= LOOPBACK


def test_a_job_makes_what_arrow_makes_and_reads_the_key_once_in_each_process(
    session: Path, employer: Employer
) -> None:
    made = anonymize(given(), key_manager=employer.driver, **ARGUMENTS)
    before = employer.reads()["worker"]
    result = read(made)
    expected = anonymize(people(), key_manager=employer.driver, **ARGUMENTS)
    assert result.equals(expected)
    assert employer.reads()["worker"] - before in (1, 2)  # as many workers as Ray has used


def test_what_was_hidden_comes_back_from_parquet_without_being_told_how(
    session: Path, employer: Employer, tmp_path: Path
) -> None:
    made = anonymize(given(), key_manager=employer.driver, **ARGUMENTS)
    made.write_parquet(str(tmp_path / "hidden"))
    hidden = ray.data.read_parquet(str(tmp_path / "hidden"))
    with pytest.warns(UncheckedTableWarning):
        back = reidentify(hidden, key_manager=employer.driver)
    assert read(back).equals(people())
    assert (back.schema().base_schema.metadata or {}).get(b"secureml") is None


def test_a_key_moves_and_a_plan_is_applied_on_the_cluster(
    session: Path, employer: Employer
) -> None:
    manager, columns = employer.driver, ["ssn", "id"]
    plan = Pseudonymizer(columns, key_manager=manager).fit(given())
    made = plan.transform(given())
    with pytest.warns(UncheckedTableWarning):
        moved = rekey(made, to_key="second_key", key_manager=manager)
    expected = anonymize(
        people(), sensitive_columns=columns, master_key_name="second_key", key_manager=manager
    )
    assert read(moved).equals(expected)
    shown = preview(given(), 5, sensitive_columns=columns, key_manager=manager)
    assert shown.passes


def test_blocks_of_pandas_become_those_of_arrow(session: Path, employer: Employer) -> None:
    frame = people().to_pandas()
    made = anonymize(
        ray.data.from_pandas(frame), sensitive_columns=["ssn"], key_manager=employer.driver
    )
    expected = anonymize(frame, sensitive_columns=["ssn"], key_manager=employer.driver)
    assert read(made)["ssn"].to_pylist() == expected["ssn"].replace({np.nan: None}).tolist()


def test_an_error_about_values_arrives_whole(session: Path, employer: Employer) -> None:
    table = people()
    wrong = pa.array(["none that I know of", *table["ssn"].to_pylist()[1:]])
    made = anonymize(
        given(table.set_column(1, "ssn", wrong)),
        sensitive_columns=["ssn"],
        formats={"ssn": "ssn"},
        key_manager=employer.driver,
    )
    with pytest.raises(InvalidValueError, match="a block of 50 rows: column 'ssn': ") as told:
        made.materialize()
    assert told.value.column == "ssn"
    assert told.value.rows == 1


def test_a_rotation_amid_a_job_changes_nothing(session: Path, employer: Employer) -> None:
    made = anonymize(given(), key_manager=employer.driver, **ARGUMENTS)
    expected = anonymize(people(), key_manager=employer.driver, **ARGUMENTS)
    assert len(made.take(1)) == 1
    employer.write("development", OTHER_KEY)
    assert read(made).equals(expected)


def test_a_worker_that_is_killed_amid_a_job_leaves_no_gap(
    session: Path, employer: Employer, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"

    def kill_once(block: pa.Table) -> pa.Table:
        if 300 in block["row"].to_pylist() and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return block

    dying = given().map_batches(kill_once, batch_format="pyarrow")
    made = anonymize(dying, key_manager=employer.driver, **ARGUMENTS)
    result = read(made)
    assert killed.exists()
    assert result.equals(anonymize(people(), key_manager=employer.driver, **ARGUMENTS))


def test_no_key_and_no_token_is_in_what_travels_or_is_spilled(
    session: Path, employer: Employer, tmp_path: Path
) -> None:
    def tell_token(block: pa.Table) -> pa.Table:
        token = get_default_key_manager().vault_client.token
        return pa.table({"token": [token]})

    made = anonymize(given(), key_manager=employer.driver, **ARGUMENTS)
    tokens = {
        row["token"] for row in made.map_batches(tell_token, batch_format="pyarrow").take_all()
    }
    kept = made.materialize()
    filling = [ray.put(np.full(40_000_000, fill, np.uint8)) for fill in range(4)]
    secrets = [KEY, employer.driver.vault_client.token]
    (tmp_path / "plan").write_bytes(cloudpickle.dumps(made))
    assert not found_in(tmp_path, [*secrets, *tokens])
    assert list(session.rglob("*spilled_objects*/*"))
    assert not found_in(session, secrets)
    for pid in children_of(os.getpid()):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            if "plasma" in os.fspath(file.readlink()):
                held = file.read_bytes()
                assert KEY.encode() not in held
                assert bytes.fromhex(KEY) not in held
    del kept, filling


# The last, as workers may keep what they are given here.
@pytest.mark.parametrize("what", WORKERS_WITHOUT)
def test_a_job_fails_with_the_error_of_a_worker_without_it_and_writes_nothing_in_clear(
    what: str, session: Path, employer: Employer, tmp_path: Path
) -> None:
    variables, kind, remedy = WORKERS_WITHOUT[what]
    before = dict.fromkeys(variables, "development")

    def configure(block: pa.Table) -> pa.Table:
        return settled(block, variables if 0 in block["row"].to_pylist() else before)

    def restore(block: pa.Table) -> pa.Table:
        return settled(block, before)

    source = given().map_batches(configure, batch_format="pyarrow")
    made = anonymize(source, key_manager=employer.driver, **ARGUMENTS)
    if what == "access":
        employer.allow("worker", ())
    try:
        with pytest.raises(kind, match=remedy) as told:
            made.write_parquet(str(tmp_path / "hidden"), compression="none")
    finally:
        employer.allow("worker")
    if what == "access":
        assert told.value.capability == "read"
    assert not found_in(tmp_path, people()["ssn"].drop_null().to_pylist())
    again = given().map_batches(restore, batch_format="pyarrow")
    result = read(anonymize(again, key_manager=employer.driver, **ARGUMENTS))
    assert result.equals(anonymize(people(), key_manager=employer.driver, **ARGUMENTS))

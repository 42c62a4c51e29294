"""A job that is killed leaves what was there; it is run again as if it had not been."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.postgres import Postgres

SCRIPT = Path(__file__).with_name("stopping.py")


def started(database: Postgres, method: str, last: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), database.url, method, str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def wait_until_alone(database: Postgres) -> None:
    """Wait until the server has noticed that its client is gone."""
    late = time.monotonic() + 30
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    while database.value(f"SELECT count(*) FROM pg_stat_activity WHERE {others}"):
        assert time.monotonic() < late
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("method", "last"),
    [
        ("run", 5),  # domains are being made
        ("write", 2),  # in the middle of the first table
        ("write", 4),  # the first rows of the second table
        ("commit", 1),
    ],
)
def test_a_killed_job_leaves_nothing_and_is_run_again(
    database: Postgres, method: str, last: int
) -> None:
    database.run(
        "CREATE TABLE people AS SELECT i AS id, lpad(i::text, 9, '0') AS ssn, i / 3.0 AS amount,"
        " repeat('x', 100) AS note FROM generate_series(1, 150000) i",
        "ALTER TABLE people ADD PRIMARY KEY (id)",
        "CREATE TABLE visits AS SELECT id AS person, ssn FROM people LIMIT 1000",
        "CREATE TABLE hidden AS SELECT 'before' AS text",
    )
    with started(database, method, last) as process:
        try:
            assert told(process) == "stopped"
        finally:
            process.kill()
    wait_until_alone(database)
    assert database.tables() == ["hidden", "people", "visits"]
    assert database.rows("SELECT * FROM hidden") == [("before",)]
    with started(database, method, 0) as again:
        assert int(told(again)) >= last
    assert database.tables() == ["hidden", "hidden_visits", "people", "visits"]
    clear = "SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE h.ssn = p.ssn) < 5"
    assert database.rows(f"{clear} FROM hidden h JOIN people p USING (id, amount, note)") == [
        (150_000, 150_000, True)
    ]
    assert database.value("SELECT count(*) FROM hidden JOIN hidden_visits ON id = person") == 1000

"""Measure what a table of PostgreSQL costs beside a plain copy by ADBC, and the memory it takes.

``python benchmarks/postgres.py --rows 10000000`` starts a server of its own, with the settings that
it comes with, and copies the same table in turns, from one table into another.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path

from measuring import Report, medians

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from helpers.postgres import Postgres, server
from secureml.key_management import KeyManager
from secureml.postgres import anonymize_tables
from secureml.stores import MemoryStore

_SHARE, _PEAK = 1.5, 512
_MADE = """
CREATE TABLE people AS SELECT i::bigint AS id,
    lpad((i::bigint * 7919 % 1000000000)::text, 9, '0') AS ssn,
    'Firstname Lastname ' || i % 977 AS name, 'somebody' || i || '@example.com' AS mail,
    DATE '1950-01-01' + i % 20000 AS born, now() AS seen, i % 100 AS visits,
    'a note of some words ' || i % 7 AS note
FROM generate_series(1, {rows}) i
"""


def measure(report: Report, runs: int, rows: int) -> None:
    """Print the figures.

    Args:
        report: where they go.
        runs: how often each copy is made.
        rows: of the table.
    """
    with server() as database:
        database.run(_MADE.format(rows=rows))
        how = (plain, hidden)
        peaks = {work.__name__: 0 for work in how}

        def made(name: str) -> None:
            peaks[name] = max(peaks[name], in_process(name, database))

        taken = medians(runs, [partial(made, name) for name in peaks])
    for work, seconds, peak in zip(how, taken, peaks.values(), strict=True):
        rate = f"{rows / seconds / 1e6:.3g} M rows/s"
        report.figure(f"{rows:,} rows, {work.__doc__}", f"{seconds:.1f} s", f"{rate}, {peak} MB")
    report.line(report.target("seconds beside plain", taken[1] / taken[0], _SHARE, most=True))
    report.line(report.target("peak memory in MB", peaks["hidden"], _PEAK, most=True))


def plain(database: Postgres) -> None:
    """read and adbc_ingest"""
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(database.url) as reading, dbapi.connect(database.url) as writing:
        with reading.cursor() as source, writing.cursor() as target:
            target.execute("DROP TABLE IF EXISTS copy")
            target.execute("CREATE TABLE copy (LIKE people)")
            source.execute("SELECT * FROM people")
            target.adbc_ingest("copy", source.fetch_record_batch(), mode="append")
        writing.commit()


def hidden(database: Postgres) -> None:
    """anonymize_tables, one column"""
    manager = KeyManager(store=MemoryStore(), environment="staging")
    manager.generate_key("master_key")
    tables = {"people": "hidden"}
    anonymize_tables(database.url, tables, None, ["ssn"], if_exists="replace", key_manager=manager)


def in_process(name: str, database: Postgres) -> int:
    """Make a copy in a process of its own, and return the most memory in MB that it took."""
    place = (str(database.folder), str(database.programs), str(database.port))
    done = subprocess.run(
        [sys.executable, __file__, "--copy", name, *place],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def _copy(name: str, folder: str, programs: str, port: str) -> None:
    globals()[name](Postgres(Path(folder), Path(programs), int(port)))
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(int(status.split("VmHWM:")[1].split()[0]) * 1024 // 10**6)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--copy", nargs=4)
    options = parser.parse_args()
    if options.copy:
        _copy(*options.copy)
    else:
        measure(Report(), options.runs, options.rows)

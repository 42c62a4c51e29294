"""What two cores gain for one file, beside what two independent jobs gain at the same time.

    python benchmarks/cores.py --rows 4000000

Every job is a process of its own, which begins to count when it has imported everything. The three
ways take turns: one job on one core; two jobs, each on a core of its own; one job on two cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from measuring import Report
from pyarrow import csv, parquet

TARGET = 0.9

JOB = """
import os, sys, time
os.sched_setaffinity(0, {int(core) for core in sys.argv[3].split(",")})
import secureml.anonymization.apply
from secureml.files import anonymize_file
workers = int(sys.argv[4]) or None
begin = time.perf_counter()
anonymize_file(sys.argv[1], sys.argv[2], ["ssn"], force=True, workers=workers)
print(time.perf_counter() - begin)
os.remove(sys.argv[2])
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0, help="0 for as many as pay")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise SystemExit("this takes two cores")
    report = Report()
    with tempfile.TemporaryDirectory(prefix="secureml-cores-") as name:
        folder = Path(name)
        for path in made(folder, arguments.rows):
            measure(report, path, cores, arguments.runs, arguments.workers)
    for missed in report.missed:
        print("missed:", missed)


def measure(report: Report, path: Path, cores: list[int], runs: int, workers: int) -> None:
    """Take the times of the three ways in turns, and print the gains."""
    one: list[float] = []
    two: list[float] = []
    whole: list[float] = []
    for _ in range(runs):
        one += waited(start(path, [cores[0]], 1))
        jobs = [start(path, [core], 1) for core in cores]
        two.append(max(seconds for job in jobs for seconds in waited(job)))
        whole += waited(start(path, cores, workers))
    alone, both, single = map(statistics.median, (one, two, whole))
    size = path.stat().st_size / (1 << 20)
    apart, together = 2 * alone / both, alone / single
    what = f"{path.suffix[1:]}, {size:.0f} MiB"
    report.figure(f"{what}: one core", f"{size / alone:.0f} MiB/s")
    report.figure(f"{what}: two independent jobs", f"{apart:.2f} times")
    against = report.target(f"{what}: two cores", together / apart, TARGET)
    report.figure(f"{what}: one job on two cores", f"{together:.2f} times", f"share {against}")


def start(path: Path, cores: list[int], workers: int) -> subprocess.Popen[str]:
    output = path.with_name(f"out-{cores[0]}{path.suffix}")
    variables = {"SECUREML_ENV": "development", "SECUREML_MASTER_KEY": "hex:" + "5a" * 32}
    return subprocess.Popen(
        [sys.executable, "-c", JOB, path, output, ",".join(map(str, cores)), str(workers)],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        text=True,
    )


def waited(job: subprocess.Popen[str]) -> list[float]:
    printed, _ = job.communicate(timeout=900)
    return [float(printed)]


def made(folder: Path, rows: int) -> list[Path]:
    """Write a table of eight columns as CSV and as Parquet."""
    chance = np.random.default_rng(20_260)
    numbers = chance.integers(0, 10**9, rows)
    texts = [f"{n // 10**6:03}-{n // 10**4 % 100:02}-{n % 10**4:04}" for n in numbers.tolist()]
    columns = {"id": pa.array(np.arange(rows)), "ssn": pa.array(texts)}
    for place in range(3):
        columns[f"amount_{place}"] = pa.array(chance.integers(0, 10**6, rows))
    for place, most in enumerate((50, 5_000, 500_000)):
        words = pa.array([f"word {number}" for number in range(most)])
        columns[f"word_{place}"] = words.take(pa.array(chance.integers(0, most, rows)))
    table = pa.table(columns)
    csv.write_csv(table, folder / "in.csv")
    parquet.write_table(table, folder / "in.parquet")
    return [folder / "in.csv", folder / "in.parquet"]


if __name__ == "__main__":
    main()

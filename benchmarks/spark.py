"""Measure what a column costs on Spark, beside a job whose workers give back what they get.

    python benchmarks/spark.py                     # times, with one worker and with two
    python benchmarks/spark.py --rows 100000000 --runs 1 --cores 2

Both jobs take turns in one session, at Spark's own size of batches, and write nothing. The last
line of each session tells how much memory its Python workers had at most.
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import medians

_SETTINGS = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "2g",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
_GAIN = 0.95
"""The least share of the identity's gain that a second worker is to bring."""
_MOST = 1.3
"""How many times as long as the identity a job may take."""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cores", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--session", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.session:
        _measure(asked.rows, asked.runs, *asked.cores)
        return
    times = {}
    for cores in asked.cores:  # a JVM has one number of cores
        identity, ours = times[cores] = _in_session(asked.rows, asked.runs, cores)
        ratio = ours / identity
        print(f"  {ratio:.2f} times the identity (target <= {_MOST})")
    if {1, 2} <= times.keys():
        gains = [one / two for one, two in zip(times[1], times[2], strict=True)]
        share = gains[1] / gains[0]
        print(f"a second worker gains {gains[0]:.2f} and {gains[1]:.2f} times:", end=" ")
        print(f"{share:.2f} of the identity's gain (target >= {_GAIN})")


def _in_session(rows: int, runs: int, cores: int) -> tuple[float, float]:
    command = [sys.executable, __file__, "--session", "--cores", str(cores)]
    command += ["--rows", str(rows), "--runs", str(runs)]
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_LOCAL_DIRS": home,
            "SECUREML_ENV": "development",
            "SECUREML_MASTER_KEY": secrets.token_hex(32),
        }
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
    print(f"{rows:,} rows, local[{cores}], medians of {runs}")
    print("".join(f"  {line}\n" for line in done.stdout.splitlines()[1:]), end="")
    identity, ours = map(float, done.stdout.splitlines()[0].split())
    return identity, ours


def _measure(rows: int, runs: int, cores: int) -> None:
    from pyspark.sql import SparkSession

    from secureml import anonymize

    builder = SparkSession.builder.master(f"local[{cores}]")
    for name, value in _SETTINGS.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")

    def jobs(count: int) -> list[Callable[[], Any]]:
        frame = spark.range(0, count, 1, 8).selectExpr(
            "lpad(cast(id * 7919 % 1000000007 as string), 9, '0') as ssn"
        )
        same = frame.mapInArrow(lambda batches: batches, frame.schema)
        hidden = anonymize(frame, sensitive_columns=["ssn"])
        return [
            lambda: frame.write.format("noop").mode("overwrite").save(),
            lambda: same.write.format("noop").mode("overwrite").save(),
            lambda: hidden.write.format("noop").mode("overwrite").save(),
        ]

    medians(2, jobs(min(rows, 200_000)))
    made, identity, ours = medians(runs, jobs(rows))
    print(identity, ours)
    print(f"made {made:.2f} s, identity {identity:.2f} s, one column {ours:.2f} s")
    peaks = sorted(_peak(pid) for pid in _workers())
    print(f"Python workers had at most {', '.join(map(str, peaks))} MB")
    spark.stop()


def _workers() -> list[int]:
    """Return the Python processes that Spark has started."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            environment = (place.parent / "environ").read_bytes()
            command = place.read_bytes()
        except OSError:
            continue
        if b"pyspark.daemon" in command and os.environb[b"SECUREML_MASTER_KEY"] in environment:
            found.append(int(place.parent.name))
    return found


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


if __name__ == "__main__":
    main()

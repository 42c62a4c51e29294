"""Measure what a column costs on Dask and on Ray, beside a job that hands its partitions on.

``python benchmarks/engines.py dask`` or ``ray``, each with an environment that has it; ``--rows``
and ``--runs`` say how much of it. The jobs take turns, with one worker and with two. Workers are
processes of this machine, and listen on loopback.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measuring import Report, medians

from secureml import anonymize

__all__ = ["main"]

_MOST = 1.3
"""Times the identity job that a column may take."""

_LEAST_GAIN = 0.95
"""The least share of the identity job's gain from two workers."""

_PARTS = 16
_KEY = {"SECUREML_ENV": "development", "SECUREML_MASTER_KEY": "5a" * 32}

Job = Callable[[], object]
Jobs = Callable[[Path, int], contextlib.AbstractContextManager[tuple[Job, Job]]]


def main() -> None:
    """Print the figures of one engine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=_ENGINES)
    parser.add_argument("--rows", type=int, default=10**7)
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    os.environ.update(_KEY)
    report, gains = Report(), []
    with tempfile.TemporaryDirectory(prefix="engines-") as name:
        folder = Path(name)
        _write(folder / "given", chosen.rows)
        for workers in (1, 2):
            with _ENGINES[chosen.engine](folder / "given", workers) as jobs:
                for job in jobs:  # which import what they take, and fetch the key
                    job()
                identity, hidden = medians(chosen.runs, jobs)
            gains.append((identity, hidden))
            what = f"{chosen.engine}, {workers} worker{'s' * (workers > 1)}"
            told = report.target(what, hidden / identity, _MOST, most=True)
            report.figure(f"{what}, identity", f"{identity:.2f} s")
            report.figure(f"{what}, one FPE column of 9 digits", f"{hidden:.2f} s", f"{told} times")
    (one, hidden_by_one), (two, hidden_by_two) = gains
    share = (hidden_by_one / hidden_by_two) / (one / two)
    report.figure("gain of two workers, identity", f"{one / two:.2f}")
    report.figure(
        "gain of two workers, one FPE column",
        f"{hidden_by_one / hidden_by_two:.2f}",
        report.target("gain of two workers", share, _LEAST_GAIN) + " of the identity job's",
    )
    for missed in report.missed:
        report.line(f"missed: {missed}")


def _write(folder: Path, rows: int) -> None:
    """Write files of numbers of nine digits, as text."""
    folder.mkdir()
    generator, size = np.random.default_rng(1), rows // _PARTS
    for part in range(_PARTS):
        numbers = pa.array(generator.integers(10**8, 10**9, size))
        table = pa.table({"ssn": numbers.cast(pa.string()), "stays": generator.random(size)})
        pq.write_table(table, folder / f"{part:02}.parquet")


@contextlib.contextmanager
def _dask(folder: Path, workers: int) -> Iterator[tuple[Job, Job]]:
    """Give the jobs of Dask: read files, work on partitions, count rows."""
    import dask.dataframe as dd
    from distributed import Client

    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "silence_logs": "ERROR"}
    with Client(n_workers=workers, threads_per_worker=1, **options):
        frame = dd.read_parquet(folder)

        yield (
            lambda: len(frame.map_partitions(_same, meta=frame._meta)),
            lambda: len(anonymize(frame, sensitive_columns=["ssn"])),
        )


@contextlib.contextmanager
def _ray(folder: Path, workers: int) -> Iterator[tuple[Job, Job]]:
    """Give the jobs of Ray: read files, work on blocks, hold the result."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    import ray

    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    ray.init(address="local", num_cpus=workers, **quiet)
    ray.data.DataContext.get_current().enable_progress_bars = False
    dataset = ray.data.read_parquet(str(folder))
    try:
        yield (
            lambda: dataset.map_batches(_same, batch_format="pyarrow").materialize(),
            lambda: anonymize(dataset, sensitive_columns=["ssn"]).materialize(),
        )
    finally:
        ray.shutdown()


def _same(part: Any) -> Any:
    return part


_ENGINES: dict[str, Jobs] = {"dask": _dask, "ray": _ray}

if __name__ == "__main__":
    main()

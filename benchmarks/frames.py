"""Measure what each kind of table costs beside pandas' ``str`` columns.

Run by ``make bench``; ``--quick`` takes a tenth of the rows and fewer runs. All kinds take turns,
on one core, with the key at hand.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from measuring import Report, medians, one_core

from secureml import KeyManager, anonymize
from secureml.stores import MemoryStore

__all__ = ["measure"]

_FEW = 1_000
_MOST_OF_FEW = 2.0
"""Milliseconds that a thousand rows may take."""

_RATES = {"pandas, object": 0.35, "pyarrow Table": 1.0, "Polars": 1.0, "LazyFrame to a file": 0.8}
"""The least share of the rate of pandas' ``str``."""


def measure(report: Report, runs: int, rows: int) -> None:
    """Print the figures of all kinds.

    Args:
        report: where they go.
        runs: how often each table is pseudonymized.
        rows: of the large tables.
    """
    with (
        KeyManager(environment="development", store=MemoryStore()) as manager,
        tempfile.TemporaryDirectory() as name,
        one_core(),
    ):
        manager.generate_key("master_key")
        folder = Path(name)
        few = _works(_FEW, manager, folder)
        times = medians(10 * runs, list(few.values()))
        for kind, taken in zip(few, times, strict=True):
            told = report.target(f"{_FEW:,} rows, {kind}", 1000 * taken, _MOST_OF_FEW, most=True)
            report.figure(f"{_FEW:,} rows, {kind}", "", f"{told} ms")
        many = _works(rows, manager, folder)
        times = medians(runs, list(many.values()))
        usual = times[0]
        for kind, taken in zip(many, times, strict=True):
            share = report.target(f"rate of {kind}", usual / taken, _RATES.get(kind))
            rate = f"{rows / taken / 1e6:.2f} M/s"
            report.figure(f"{rows:,} SSNs, {kind}", rate, f"{share} of pandas, str")


def _works(rows: int, manager: KeyManager, folder: Path) -> dict[str, Callable[[], object]]:
    """Return the work of each kind of table, first that of pandas' ``str``."""
    random = np.random.default_rng(1)
    parts = random.integers((1, 1, 1), (665, 99, 9999), (rows, 3)).tolist()
    ssns = [f"{area:03}-{group:02}-{serial:04}" for area, group, serial in parts]
    table = pa.table({"ssn": ssns, "n": np.arange(rows)})
    source, target = folder / f"{rows}.parquet", folder / f"{rows}.hidden.parquet"
    pl.from_arrow(table).write_parquet(source, row_group_size=1 << 17)

    def hidden(data: Any) -> Any:
        return anonymize(
            data,
            sensitive_columns=["ssn"],
            formats={"ssn": "class"},
            return_manifest=True,
            key_manager=manager,
        )[0]

    plain = pd.DataFrame({"ssn": pd.Series(ssns, dtype="str"), "n": np.arange(rows)})
    objects = plain.astype({"ssn": object})
    frame = pl.from_arrow(table)
    works: dict[str, Callable[[], object]] = {
        "pandas, str": lambda: hidden(plain),
        "pandas, object": lambda: hidden(objects),
        "pyarrow Table": lambda: hidden(table),
        "Polars": lambda: hidden(frame),
        "LazyFrame to a file": lambda: hidden(pl.scan_parquet(source)).sink_parquet(target),
        "RecordBatchReader": lambda: hidden(table.to_reader(1 << 17)).read_all(),
        "dict of lists": lambda: hidden({"ssn": ssns}),
    }
    for work in works.values():
        work()  # what is made once
    return works


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="take a tenth of the rows")
    quick = parser.parse_args().quick
    measure(Report(), *((3, 100_000) if quick else (7, 1_000_000)))

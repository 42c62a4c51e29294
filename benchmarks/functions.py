"""Measure the functions of DuckDB and the expressions of Polars beside ``anonymize`` on pandas.

``--quick`` takes a tenth of the rows and fewer runs. All take turns, on one core, with the key at
hand. DuckDB's function that returns its values as they are shows what a call of 2,048 rows costs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from measuring import Report, medians, one_core

import secureml.duckdb
import secureml.polars
from secureml import KeyManager, anonymize
from secureml.stores import MemoryStore

__all__ = ["measure"]

_RATES = {"DuckDB, secureml_protect": 0.7}
"""The least share of the rate of ``anonymize`` on pandas' ``str``."""


def measure(report: Report, runs: int, rows: int) -> None:
    """Print the figures.

    Args:
        report: where they go.
        runs: how often the column is pseudonymized.
        rows: of the column.
    """
    rules = {"id": {"strategy": "fpe"}}
    with (
        KeyManager(environment="development", store=MemoryStore(), columns=rules) as manager,
        duckdb.connect() as connection,
        one_core(),
    ):
        manager.generate_key("master_key")
        works = _works(rows, manager, connection)
        times = medians(runs, list(works.values()))
    for kind, taken in zip(works, times, strict=True):
        share = report.target(f"rate of {kind}", times[0] / taken, _RATES.get(kind))
        rate = f"{rows / taken / 1e6:.2f} M/s"
        report.figure(f"{rows:,} of 9 digits, {kind}", rate, f"{share} of anonymize, pandas str")


def _works(
    rows: int, manager: KeyManager, connection: duckdb.DuckDBPyConnection
) -> dict[str, Callable[[], object]]:
    """Return the work of each kind, first that of ``anonymize`` on pandas' ``str``."""
    numbers = np.random.default_rng(1).integers(0, 10**9, rows)
    table = pa.table({"id": [f"{number:09}" for number in numbers.tolist()]})
    plain = pd.DataFrame({"id": pd.Series(table["id"].to_pylist(), dtype="str")})
    frame = pl.from_arrow(table)
    functions = secureml.polars.pinned(key_manager=manager)
    secureml.duckdb.register(connection, key_manager=manager)
    kinds = {"type": "arrow", "null_handling": "special"}
    connection.create_function("same", _same, ["VARCHAR", "VARCHAR"], "VARCHAR", **kinds)
    connection.execute("SET threads = 1")
    connection.execute("CREATE TABLE ids AS SELECT id FROM frame")

    def counted(function: str) -> Callable[[], object]:
        query = f"SELECT count({function}(id, 'id')) FROM ids"
        return lambda: connection.execute(query).fetchall()

    expression = pl.col("id").secureml.protect("id", functions)
    works: dict[str, Callable[[], object]] = {
        "anonymize, pandas str": lambda: anonymize(
            plain, sensitive_columns=["id"], key_manager=manager
        ),
        "DuckDB, secureml_protect": counted("secureml_protect"),
        "DuckDB, secureml_recover": counted("secureml_recover"),
        "DuckDB, a function that does nothing": counted("same"),
        "Polars, protect": lambda: frame.select(expression),
        "Polars, protect, streaming": lambda: (
            frame.lazy().select(expression).collect(engine="streaming")
        ),
    }
    for work in works.values():
        work()  # what is made once
    return works


def _same(value: pa.ChunkedArray, rule: pa.ChunkedArray) -> pa.ChunkedArray:
    return value


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="take a tenth of the rows")
    quick = parser.parse_args().quick
    measure(Report(), *((3, 1_000_000) if quick else (5, 10_000_000)))

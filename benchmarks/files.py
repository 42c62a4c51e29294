"""Measure what files cost beside reading and writing them with pyarrow alone, and their memory.

Run by ``make bench``; ``--quick`` takes a tenth of the rows and fewer runs. Each file is written
and synced to the disk by both, in turns, on one core.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from measuring import Report, medians, one_core
from pyarrow import csv, parquet

from secureml import KeyManager
from secureml.files import anonymize_file
from secureml.stores import MemoryStore

__all__ = ["measure"]

_WIDE, _REPLACED = 5_000, 3
_GIGABYTE = 8_000_000
"""Rows of the eight columns that make about a gigabyte."""

_PEAK = 600
_PEAK_OF = "import sys; sys.path.insert(0, {!r}); import files; print(files.peak_of(sys.argv[1]))"


def measure(report: Report, runs: int, rows: int) -> None:
    """Print the figures of all kinds of files.

    Args:
        report: where they go.
        runs: how often each file is written.
        rows: of the files; a wide one has a 250th of them.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = people(rows)
        with one_core():
            for kind, quoting, most in (
                ("CSV", "none", 1.1),
                ("CSV, every cell in quotation marks", "all_valid", 1.5),
            ):
                path = folder / f"{quoting}.csv"
                csv.write_csv(_as_text(table), path, csv.WriteOptions(quoting_style="none"))
                if quoting != "none":
                    _rewrite_csv(path, path.with_suffix(".quoted"), quoting)
                    path.with_suffix(".quoted").replace(path)
                _compare(report, runs, path, kind, most, partial(_rewrite_csv, quoting=quoting))
            path = folder / "people.parquet"
            parquet.write_table(table, path)
            _compare(report, runs, path, "Parquet", 1.3, _rewrite_parquet)
            path = folder / "wide.parquet"
            parquet.write_table(wide(max(rows // 250, 400)), path)
            what = f"Parquet, {_REPLACED} of {_WIDE:,} columns"
            names = [f"s{number}" for number in range(_REPLACED)]
            _compare(report, runs, path, what, 1.5, _rewrite_parquet, names)
        if Path("/proc/self/status").exists():
            _memory(report, folder, min(_GIGABYTE, 8 * rows))


def people(rows: int) -> pa.Table:
    """Make a table of eight columns, of which one holds mostly distinct SSNs."""
    random = np.random.default_rng(1)
    number = np.arange(rows)
    digits = pa.array(random.integers(10**8, 10**9, rows)).cast(pa.string())
    parts = [_slice(digits, *bounds) for bounds in ((0, 3), (3, 5), (5, 9))]
    return pa.table(
        {
            "id": number + 1_000_000,
            "ssn": _joined("-", *parts),
            "name": _joined(" ", "Firstname", "Lastname", _text(number % 977)),
            "mail": _joined("", "somebody", _text(number % 9_999), "@example.com"),
            "amount": random.integers(0, 10**6, rows) / 100,
            "when": _joined("", "2026-01-", _text(number % 18 + 10), "T00:00:00"),
            "street": _joined(" ", "Some Street", _text(number % 200), "App", _text(number % 7)),
            "note": _joined(" ", "a note of some words", _text(number % 7)),
        }
    )


def wide(rows: int) -> pa.Table:
    """Make a table of many columns of numbers, and some of SSNs."""
    random = np.random.default_rng(1)
    columns = {f"c{number}": random.normal(size=rows) for number in range(_WIDE - _REPLACED)}
    ssn = people(rows)["ssn"]
    return pa.table(columns | {f"s{number}": ssn for number in range(_REPLACED)})


def peak_of(path: str) -> int:
    """Return the most memory in MB that a process takes that pseudonymizes a file."""
    _hide(Path(path), ["ssn"])
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 // 10**6


def _compare(
    report: Report,
    runs: int,
    path: Path,
    what: str,
    most: float,
    rewrite: Callable[[Path, Path], None],
    columns: list[str] | None = None,
) -> None:
    theirs = path.with_suffix(".out")
    times = medians(
        runs,
        [
            partial(rewrite, path, theirs),
            partial(_hide, path, ["ssn"] if columns is None else columns),
        ],
    )
    size = path.stat().st_size / 1e6
    told = report.target(what, times[1] / times[0], most, most=True)
    report.figure(
        f"{what}, {size:.0f} MB", f"{size / times[1]:.0f} MB/s", f"x {told} pyarrow's time"
    )


def _memory(report: Report, folder: Path, rows: int) -> None:
    for kind in ("csv", "parquet"):
        path = folder / f"large.{kind}"
        table = people(rows // 8)
        if kind == "csv":
            with csv.CSVWriter(path, table.schema) as writer:
                for _ in range(8):
                    writer.write_table(table)
        else:
            with parquet.ParquetWriter(path, table.schema) as writer:
                for _ in range(8):
                    writer.write_table(table)
        size = path.stat().st_size / 1e6
        del table
        program = _PEAK_OF.format(str(Path(__file__).parent))
        ran = subprocess.run(
            [sys.executable, "-c", program, str(path)], check=True, capture_output=True, text=True
        )
        what = f"peak memory, a {kind} file of {size:.0f} MB"
        told = report.target(what, float(ran.stdout), _PEAK, most=True)
        report.figure(what, f"{ran.stdout.strip()} MB", told)
        path.unlink()


def _hide(path: Path, columns: list[str]) -> None:
    with KeyManager(environment="development", store=MemoryStore()) as manager:
        manager.import_key("master_key", "5e" * 32)
        output = path.with_stem("hidden")
        anonymize_file(path, output, columns, force=True, key_manager=manager)


def _rewrite_csv(path: Path, output: Path, quoting: str) -> None:
    with output.open("wb") as file, csv.open_csv(path) as reader:
        options = csv.WriteOptions(quoting_style=quoting)
        schema = reader.schema
        if quoting != "none":  # numbers get no quotation marks otherwise
            schema = pa.schema([(name, pa.string()) for name in schema.names])
        with csv.CSVWriter(file, schema, write_options=options) as writer:
            for batch in reader:
                writer.write_table(pa.Table.from_batches([batch]).cast(schema))
        file.flush()
        os.fsync(file.fileno())


def _rewrite_parquet(path: Path, output: Path) -> None:
    with output.open("wb") as file:
        parquet.write_table(parquet.read_table(path), file)
        file.flush()
        os.fsync(file.fileno())


def _as_text(table: pa.Table) -> pa.Table:
    return table.cast(pa.schema([(name, pa.string()) for name in table.column_names]))


def _text(numbers: np.ndarray) -> pa.Array:
    return pa.array(numbers).cast(pa.string())


def _joined(separator: str, *parts: pa.Array | str) -> pa.Array:
    return pa.compute.binary_join_element_wise(*parts, separator)


def _slice(texts: pa.Array, start: int, stop: int) -> pa.Array:
    return pa.compute.utf8_slice_codeunits(texts, start, stop)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows and runs")
    runs, rows = (3, 100_000) if parser.parse_args().quick else (7, 1_000_000)
    report = Report()
    measure(report, runs, rows)
    report.line(f"targets missed: {len(report.missed)}")


if __name__ == "__main__":
    main()

"""Measure what secureml costs, beside its floor and its peers, and print one table.

Run by ``make bench``; ``--quick`` takes a tenth of the rows and three runs instead of seven.
README.md in this folder says how to read the table.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import costs
import tables
from measuring import Report, one_core

import files
import frames

RESULTS = Path(__file__).with_name("RESULTS.md")
PACKAGES = ("numpy", "pandas", "pyarrow", "cryptography")
PEERS = ("fastfpe", "ff3", "pyffx", "libffx", "presidio-anonymizer")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows and runs")
    parser.add_argument("--write", action="store_true", help=f"write the table to {RESULTS.name}")
    asked = parser.parse_args()
    runs, rows = (3, 100_000) if asked.quick else (7, 1_000_000)
    report, start = Report(), time.monotonic()
    report.line(f"medians of {runs}, on one core unless it says otherwise, {platform.machine()}")
    report.line(f"Python {sys.version.split()[0]}, {_versions(PACKAGES)}")
    report.line(f"peers: {_versions(PEERS)}")
    report.line()
    with one_core():
        tables.kinds(report, runs, rows)
        report.line()
        tables.others(report, runs, rows)
        report.line()
        costs.ciphers(report, runs, rows)
        costs.where_time_goes(report, rows)
        costs.overheads(report, runs)
        costs.longest(report)
        costs.precision(report)
    costs.memory(report, rows)
    costs.file_memory(report, rows)
    report.line()
    frames.measure(report, runs, rows)
    files.measure(report, runs, rows)
    report.line()
    report.line(f"targets missed: {len(report.missed)}")
    for missed in report.missed:
        report.line(f"  {missed}")
    report.line(f"all of it took {time.monotonic() - start:.0f} s")
    if asked.write:
        text = "\n".join(report.lines)
        RESULTS.write_text(f"# The last figures\n\n```text\n{text}\n```\n", encoding="utf-8")


def _versions(packages: tuple[str, ...]) -> str:
    return ", ".join(f"{package} {version(package)}" for package in packages)


if __name__ == "__main__":
    main()

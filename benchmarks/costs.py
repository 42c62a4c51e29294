"""Costs that are not counted in rows a second: memory, starts, the key, and where time goes."""

from __future__ import annotations

import cProfile
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from columns import KINDS, Kind, frame, rule_of
from measuring import Report, medians
from peers import KEY
from pyarrow import parquet
from scan_sets import scan_sets, scores
from tables import key_manager

from secureml import KeyManager, anonymize
from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.files import anonymize_file
from secureml.pseudonymization.ranking.pipeline import MOST_CHARACTERS
from secureml.scanning import scan

__all__ = [
    "ciphers",
    "file_memory",
    "longest",
    "memory",
    "overheads",
    "precision",
    "where_time_goes",
]

_PEAK = """
import sys, costs
print(costs.peak(sys.argv[1], sys.argv[2]))
"""
_FILE_PEAK = """
import sys, costs
print(costs.file_peak(sys.argv[1]))
"""
_Place = tuple[str, int, str]
_MODULES = {
    "update_into": "AES",
    "secureml/ciphers": "Feistel arithmetic around it",
    "secureml/pseudonymization": "ranks: characters to numbers and back",
    "secureml/frames": "columns: from pandas and to pandas",
    "secureml": "the call: rules, key, manifest",
}


def ciphers(report: Report, runs: int, rows: int) -> None:
    """Measure the ciphers alone, on numbers."""
    random = np.random.default_rng(1)

    def below(limit: int) -> np.ndarray:
        return random.integers(0, limit, rows).astype(np.uint64)

    works = {}
    for digits in (9, 16, 20):
        u = digits // 2
        halves = below(10**u), below(10 ** (digits - u))
        batch = IntegerFF1(KEY).prepare([10**digits], [b""], [(10, digits)])
        works[f"FF1, {digits} digits as halves"] = (
            rows,
            partial(batch.halves, 0, *halves, decrypt=False),
        )
    sizes = [26 ** random.integers(5, 11).item() * 10 for _ in range(1000)]
    batch = IntegerFF1(KEY).prepare(sizes, [number.to_bytes(40, "big") for number in range(1000)])
    group = random.integers(0, 1000, rows)
    base = batch.base[group]
    low, high = below(2**60) % base, below(2**60) % (base - base // 8)  # below N, whatever N is
    works["ranked FF1, 1,000 domains"] = (
        rows,
        partial(batch.halves, group, high, low, decrypt=False),
    )
    batch = IntegerFF1(KEY).prepare([26**28 * 10], [b""])
    ranks = [int(word) << 64 for word in random.integers(0, 2**62, rows // 10)]
    works["ranked FF1, a domain of 2**135, integers"] = (
        len(ranks),
        partial(batch.integers, 0, ranks, decrypt=False),
    )
    taken = medians(runs, [work for _, work in works.values()])
    for (what, (count, _)), seconds in zip(works.items(), taken, strict=True):
        report.figure(what, f"{count / seconds / 1e6:.3f} M/s")


def memory(report: Report, rows: int) -> None:
    """Measure the peak of resident memory, in a process of its own for each kind."""
    if not Path("/proc/self/clear_refs").exists():
        report.line("peak memory: not measured on this system")
        return
    for kind in KINDS:
        if not kind.known:
            continue
        with tempfile.TemporaryDirectory() as folder:
            # Made in another process, a column leaves no freed memory behind to be used again.
            file = Path(folder) / "column.feather"
            frame(kind, rows, kind.dtypes[0], repeated=False).to_feather(file, chunksize=rows)
            share = float(_python("-c", _PEAK, str(file), kind.name))
        told = report.target(f"{kind.name}, peak memory", share, 3, most=True)
        report.figure(f"peak memory, {kind.name}, {rows:,} rows", "", f"x {told} input plus output")


def peak(file: str, name: str) -> float:
    """Return what a call takes at its peak, over its input plus its output."""
    table, manager = pd.read_feather(file), key_manager()
    (kind,) = [kind for kind in KINDS if kind.name == name]
    _once(kind, table.head(1000), manager)
    given = int(table["x"].memory_usage(index=False, deep=True))
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    made = _once(kind, table, manager)
    taken = _resident("VmHWM") - before
    return taken / (given + int(made["x"].memory_usage(index=False, deep=True)))


def file_memory(report: Report, rows: int) -> None:
    """Measure whether a process that hides a file takes more if the file is larger."""
    if not Path("/proc/self/status").exists():
        return
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for blocks in (3, 9):
            file = Path(folder) / f"{blocks}.parquet"
            _write_blocks(file, blocks, rows)
            peaks.append(float(_python("-c", _FILE_PEAK, str(file))) / 1e6)
            size = file.stat().st_size / 1e6
            report.figure(f"peak memory, a Parquet file of {size:.0f} MB", f"{peaks[-1]:.0f} MB")
    told = report.target("Parquet files, growth of the peak", peaks[1] / peaks[0], 1.2, most=True)
    report.figure("three times the file takes", "", f"x {told} memory")


def file_peak(file: str) -> int:
    """Return the most memory that a process takes that pseudonymizes a file."""
    anonymize_file(file, f"{file}.hidden", ["x"], key_manager=key_manager())
    return _resident("VmHWM")


def _write_blocks(file: Path, blocks: int, rows: int) -> None:
    """Write blocks of 100 bytes a row, each a row group."""
    random = np.random.default_rng(1)
    schema = pa.schema({"x": pa.string(), "rest": pa.binary(92)})
    with parquet.ParquetWriter(file, schema) as writer:
        for _ in range(blocks):
            numbers = pd.Series(random.integers(10**8, 10**9, rows)).astype("str")
            rest = pa.Array.from_buffers(
                schema.field("rest").type, rows, [None, pa.py_buffer(random.bytes(92 * rows))]
            )
            table = pa.table([pa.array(numbers, pa.string()), rest], schema=schema)
            writer.write_table(table, row_group_size=rows)


def longest(report: Report) -> None:
    """Measure the longest value that each strategy and format takes, once."""
    cell, count = "q" * (4 << 20), MOST_CHARACTERS
    formats = {"class": "aB3é", "digits": "7", "letters": "aÉ", "regex:(.*)": "x"}
    cases: list[tuple[str, str, dict[str, Any]]] = [
        *((f"{name}, 4 MiB", cell, {"strategy": name}) for name in ("token", "hash", "mask")),
        *(
            (f"{name}, {count:,}", text * (count // len(text)), {"formats": {"x": name}})
            for name, text in formats.items()
        ),
    ]
    for what, value, how in cases:
        table, manager = pd.DataFrame({"x": [value]}), key_manager()
        (seconds,) = medians(
            1, [partial(anonymize, table, sensitive_columns=["x"], key_manager=manager, **how)]
        )
        report.figure(f"one value, {what} characters", f"{seconds:.2f} s")


def overheads(report: Report, runs: int) -> None:
    """Measure the key cache and the times to start."""
    manager, calls = key_manager(), 10_000
    (cached,) = medians(runs, [lambda: [manager.get_encryption_key() for _ in range(calls)]])
    micro = cached / calls * 1e6
    report.figure(
        "get_encryption_key, cached",
        f"{micro:.2f} us",
        report.target("cached key", micro, 10, most=True),
    )
    starts = [("-c", ""), ("-c", "import secureml"), ("-c", "import click")]
    starts.append(("-m", "secureml", "--help"))
    bare, library, click, command = medians(runs, [partial(_python, *start) for start in starts])
    over = (library - bare) * 1e3
    report.figure(
        "import secureml, over bare Python",
        f"{over:.1f} ms",
        report.target("import", over, 30, most=True),
    )
    times = command / click
    report.figure(
        "secureml --help, over python -c 'import click'",
        f"x {times:.2f}",
        report.target("secureml --help", times, 2, most=True),
    )


def where_time_goes(report: Report, rows: int) -> None:
    """Profile one call on SSNs, on one core, by packages of the library."""
    manager, kind = key_manager(), KINDS[0]
    table = frame(kind, rows, kind.dtypes[0], repeated=False)
    _once(kind, table, manager)
    profile = cProfile.Profile(time.process_time)
    profile.runcall(_once, kind, table, manager)
    spent = _by_package(pstats.Stats(profile).stats)  # type: ignore[attr-defined]  # not in typeshed
    total = sum(spent.values())
    for package, seconds in spent.most_common():
        report.figure(f"where time goes, SSN: {package}", f"{seconds / total:.0%}")


def precision(report: Report) -> None:
    """Measure what a scan finds in tables of which it is known."""
    for one in scan_sets():
        found = {proposal.column: proposal.kind for proposal in scan(one.table)}
        precise, recalled = scores(found, one.personal)
        columns = f"{len(one.personal)} of {len(one.table.columns)} columns are personal"
        report.figure(
            f"scan of {one.name}",
            f"{precise:.2f}, {recalled:.2f}",
            f"precision and recall; {columns}",
        )


def _once(kind: Kind, table: pd.DataFrame, manager: KeyManager) -> pd.DataFrame:
    return anonymize(table, **rule_of(kind), key_manager=manager)


def _by_package(stats: Mapping[_Place, tuple[int, int, float, float, Any]]) -> Counter[str]:
    """Sum seconds up by package; what a library does counts for the packages that called it."""
    shares: dict[_Place, Counter[str]] = {}

    def share(place: _Place) -> Counter[str]:
        if place in shares:
            return shares[place]
        named = f"{place[0]}:{place[2]}"
        package = next((said for part, said in _MODULES.items() if part in named), None)
        shares[place] = Counter()  # for what calls itself
        if package is not None:
            shares[place][package] = 1
            return shares[place]
        found: Counter[str] = Counter()
        for caller, (*_, cumulative) in stats[place][4].items():
            for whose, part in share(caller).items():
                found[whose] += part * cumulative
        total = sum(found.values())
        shares[place] = Counter({package: part / total for package, part in found.items() if total})
        return shares[place]

    spent: Counter[str] = Counter()
    for place, (_, _, own, _, _) in stats.items():
        for package, part in share(place).items():
            spent[package] += part * own
    return spent


def _python(*arguments: str) -> str:
    """Run Python beside this file, and return what it prints."""
    command = [sys.executable, *arguments]
    folder = Path(__file__).parent
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    return subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
    ).stdout


def _resident(name: str) -> int:
    """Return this process's resident memory in bytes: VmRSS now, VmHWM at its peak."""
    for entry in Path("/proc/self/status").read_text().splitlines():
        if entry.startswith(name):
            return int(entry.split()[1]) * 1024
    raise LookupError(name)

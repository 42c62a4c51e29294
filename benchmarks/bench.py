"""Measure what secureml costs, beside its floor and its peers, and print one table.

Run by ``make bench``; ``--quick`` takes a tenth of the values and three runs instead of seven.
README.md in this folder says how to read the table.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import fastfpe.ff1
import numpy as np
import pandas as pd
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from ff3 import FF3Cipher

from secureml import KeyManager, anonymize, reidentify
from secureml.ciphers.ff1 import FF1
from secureml.ciphers.ranked import RankedFF1
from secureml.sources import MemoryStore

FLOOR = "AES-256-ECB, 10 blocks a value: the floor"
PEERS = ("fastfpe: FF1 in Rust, 9 digits", "ff3: FF3-1, 9 digits")

KEY = bytes(range(32))
ROUNDS = 10
CHUNK = 1 << 15
CUSTOMERS = Path(__file__).parents[1] / "examples" / "customers.csv"
PEAK = """
import sys, bench
frame, manager = bench.pd.read_feather(sys.argv[1]), bench.key_manager()
bench.anonymize(frame.head(1000), sensitive_columns=["ssn"], key_manager=manager)
before = bench.resident("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
bench.anonymize(frame, sensitive_columns=["ssn"], key_manager=manager)
print((bench.resident("VmHWM") - before) / frame["ssn"].memory_usage(index=False, deep=True))
"""


@dataclass(frozen=True)
class Work:
    """One line of the table.

    Args:
        what: its name.
        values: how many values one run takes.
        run: does it once.
        target: what share of the floor it should reach.
    """

    what: str
    values: int
    run: Callable[[], object]
    target: float | None = None


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer values and runs")
    runs, values = (3, 100_000) if parser.parse_args().quick else (7, 1_000_000)
    print(f"medians of {runs}, one thread; Python {sys.version.split()[0]}, ", end="")
    print(f"pandas {pd.__version__}, numpy {np.__version__}\n")
    print(f"{'what':48} {'values':>9} {'measured':>14}  against")
    rates(runs, [floor(values), *peers(values // 50), *ciphers(values), *tables(values)])
    overheads(runs, values)


def medians(runs: int, works: Sequence[Callable[[], object]]) -> list[float]:
    """Return the median seconds of each. They take turns, so that noise falls on all alike."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(runs):
        for taken, work in zip(times, works, strict=True):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def rates(runs: int, works: Sequence[Work]) -> None:
    """Measure and print everything that is counted in values per second."""
    seconds = medians(runs, [work.run for work in works])
    rate = {work.what: work.values / taken for work, taken in zip(works, seconds, strict=True)}
    most, peer = rate[FLOOR], max(rate[what] for what in PEERS)
    for work in works:
        share = (
            f"{rate[work.what] / most:.3f} of the floor, {rate[work.what] / peer:.1f} x the peer"
        )
        against = "" if work.what in (FLOOR, *PEERS) else share
        if work.target is not None:
            against += f" (targets {work.target}, 40)"
        line(work.what, work.values, f"{rate[work.what] / 1e6:.3f} M/s", against)


def line(what: str, values: int | None, measured: str, against: str = "") -> None:
    """Print one line of the table."""
    count = "" if values is None else f"{values:,}"
    print(f"{what:48} {count:>9} {measured:>14}  {against}".rstrip(), flush=True)


def floor(values: int) -> Work:
    """The least that FF1 can cost: ten AES blocks a value."""
    return Work(FLOOR, values, partial(aes_blocks, values))


def aes_blocks(values: int) -> None:
    """Encrypt ten blocks a value, a round at a time, as FF1 has to."""
    encryptor = Cipher(algorithms.AES(KEY), modes.ECB()).encryptor()
    plain, out = bytearray(16 * CHUNK), bytearray(16 * CHUNK + 15)
    for start in range(0, values, CHUNK):
        octets = memoryview(plain)[: 16 * min(CHUNK, values - start)]
        for _ in range(ROUNDS):
            encryptor.update_into(octets, out)


def peers(count: int) -> list[Work]:
    """Other packages, on nine digits; they take one value a call."""
    texts = [f"{number:09d}" for number in range(count)]
    cipher = FF3Cipher(KEY.hex(), "0" * 14, 10)

    def ff1() -> None:
        for text in texts:
            fastfpe.ff1.encrypt(KEY.hex(), "", "0123456789", text)

    def ff3_1() -> None:
        for text in texts:
            cipher.encrypt(text)

    return [Work(PEERS[0], count, ff1), Work(PEERS[1], count, ff3_1)]


def ciphers(count: int) -> list[Work]:
    """The ciphers alone, on numbers."""
    random = np.random.default_rng(1)

    def below(limit: int) -> np.ndarray:
        return random.integers(0, limit, count).astype(np.uint64)

    works = []
    for digits in (9, 16, 20):
        u = digits // 2
        halves = below(10**u), below(10 ** (digits - u))
        run = partial(FF1(KEY, 10).encrypt_halves, *halves, digits)
        works.append(Work(f"FF1, {digits} digits as halves", count, run))

    sizes = [26 ** random.integers(5, 11).item() * 10 for _ in range(1000)]
    plan = RankedFF1(KEY).plan(sizes, [number.to_bytes(40, "big") for number in range(1000)])
    group = random.integers(0, 1000, count)
    base = plan.base[group]
    low, high = below(2**60) % base, below(2**60) % (base - base // 8)  # below N, whatever N is
    run = partial(plan.encrypt, group, high, low)
    works.append(Work("ranked FF1, 1,000 domains", count, run))

    plan = RankedFF1(KEY).plan([26**28 * 10], [b""])
    ranks = [int(word) << 64 for word in random.integers(0, 2**62, count // 10)]
    run = partial(plan.encrypt_wide, 0, ranks)
    works.append(Work("ranked FF1, a domain of 2**135", len(ranks), run))
    return works


def key_manager() -> KeyManager:
    """Make a manager with one key in memory."""
    manager = KeyManager(store=MemoryStore(), environment="development")
    manager.generate_key("master_key")
    return manager


def ssn_frame(count: int) -> pd.DataFrame:
    """Make distinct social security numbers."""
    numbers = (np.arange(count) * 982_451_653 % 10**9).tolist()
    texts = [f"{n // 10**6:03d}-{n // 10**4 % 100:02d}-{n % 10**4:04d}" for n in numbers]
    return pd.DataFrame({"ssn": pd.Series(texts, dtype="str")})


def tables(count: int) -> list[Work]:
    """Whole calls, from pandas to pandas."""
    manager, frame = key_manager(), ssn_frame(count)

    def encrypt(frame: pd.DataFrame) -> pd.DataFrame:
        return anonymize(
            frame, sensitive_columns=list(frame), small_domain="token", key_manager=manager
        )

    done = encrypt(frame)
    works = [
        Work("anonymize, SSNs", count, partial(encrypt, frame), target=0.2),
        Work("reidentify, SSNs", count, partial(reidentify, done, key_manager=manager)),
    ]
    customers = pd.read_csv(CUSTOMERS, dtype="str")
    copies = -(-count // 10 // len(customers))
    for column in ("name", "email", "phone"):
        values = pd.concat([customers[[column]]] * copies, ignore_index=True).dropna()
        works.append(Work(f"anonymize, {column}", len(values), partial(encrypt, values)))
    works.append(Work("anonymize, a short column", 1000, partial(encrypt, frame.head(1000))))
    return works


def overheads(runs: int, values: int) -> None:
    """Measure memory, the key cache and the times to start."""
    if Path("/proc/self/clear_refs").exists():
        with tempfile.TemporaryDirectory() as folder:
            # Made in another process, a column leaves no freed memory behind to be used again.
            file = Path(folder) / "ssn.feather"
            ssn_frame(values).to_feather(file)
            peak = f"x {float(python('-c', PEAK, str(file))):.1f}"
        line("peak memory of anonymize, SSNs", values, peak, "the column (target 6)")

    manager, calls = key_manager(), 10_000
    (cached,) = medians(runs, [lambda: [manager.get_encryption_key() for _ in range(calls)]])
    line("get_encryption_key, cached", None, f"{cached / calls * 1e6:.2f} us", "(target 10)")

    starts = [("-c", ""), ("-c", "import secureml"), ("-c", "import click")]
    starts.append(("-m", "secureml", "--help"))
    bare, library, click, command = medians(runs, [partial(python, *start) for start in starts])
    line(
        "import secureml", None, f"{(library - bare) * 1e3:.1f} ms", "over bare Python (target 30)"
    )
    line("secureml --help", None, f"x {command / click:.2f}", "python -c 'import click' (target 2)")


def python(*arguments: str) -> str:
    """Run Python beside this file, and return what it prints."""
    command = [sys.executable, *arguments]
    folder = Path(__file__).parent
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout


def resident(field: str) -> int:
    """Return this process's resident memory in bytes: VmRSS now, VmHWM at its peak."""
    for entry in Path("/proc/self/status").read_text().splitlines():
        if entry.startswith(field):
            return int(entry.split()[1]) * 1024
    raise LookupError(field)


if __name__ == "__main__":
    main()

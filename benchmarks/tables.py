"""Whole calls, from pandas to pandas, beside the floor and the peers: a block for each kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from columns import KINDS, OTHERS, Kind, frame, rule_of
from measuring import Report, all_cores, core_count, in_processes, medians
from peers import floor, peers

from secureml import KeyManager, anonymize, reidentify
from secureml.stores import MemoryStore

__all__ = ["key_manager", "kinds", "others"]

LARGEST = ("SSN", "card", "UUID", "integer", "date")
"""The kinds that are measured at ten times the rows too: the others take minutes for it."""

_THREADED = 500_000
"""Rows for which all cores are used; a call on fewer may be too short for a second thread."""

_CASES = ("distinct", "1 % distinct")
_CALLS = ("anonymize", "reidentify")
_FIRST = _CASES[0], _CALLS[0]
_Case = tuple[str, int, str, str]  # dtype, rows, which values, which call


def key_manager() -> KeyManager:
    """Make a manager with one key in memory."""
    manager = KeyManager(store=MemoryStore(), environment="development")
    manager.generate_key("master_key")
    return manager


def kinds(report: Report, runs: int, rows: int) -> None:
    """Measure the main kinds.

    Args:
        report: where to print.
        runs: of which to take the median.
        rows: of the largest tables but for those that have ten times as many.
    """
    report.line(f"{'millions of rows a second':47} {_CASES[0]:^23} {_CASES[1]:^23}")
    report.line(f"{'kind':10} {'dtype':25} {'rows':>10} {_cells(_CALLS * 2)}")
    manager = key_manager()
    for kind in KINDS:
        if kind.known:
            _kind(report, manager, kind, runs, rows)
        else:
            report.line(f"{kind.name:10} this version has no format {kind.format!r}")


def others(report: Report, runs: int, rows: int) -> None:
    """Measure the other formats, and other strategies, as ``str`` and distinct."""
    report.line(f"{'millions of rows a second, distinct':36} {'rows':>10} {_cells(_CALLS)}")
    manager = key_manager()
    for kind in OTHERS:
        if not kind.known:
            report.line(f"{kind.name:36} this version has no format {kind.format!r}")
            continue
        count = rows // kind.part
        cases = _calls(manager, kind, kind.dtypes[0], count, repeated=False)
        if kind.rule.get("strategy") in ("hash", "mask"):
            cases = cases[:1]
        rates = peers(kind, min(rows / 1_000_000, 1))
        taken = medians(runs, [*cases, *[work for _, work in rates.values()]])
        speed = [count / seconds / 1e6 for seconds in taken[: len(cases)]]
        against = _against(report, kind, speed[0], rates, taken[len(cases) :])
        shown = _cells([f"{one:.3f}" for one in speed] + [""] * (2 - len(speed)))
        report.line(f"{kind.name:36} {count:>10,} {shown}  {against}")


def _cells(texts: Sequence[str]) -> str:
    return " ".join(f"{text:>11}" for text in texts)


def _kind(report: Report, manager: KeyManager, kind: Kind, runs: int, rows: int) -> None:
    first, sizes = kind.dtypes[0], (1_000, rows // 10, rows)
    places: list[_Case] = []
    works: list[Callable[[], object]] = []

    def add(dtype: str, size: int, which: str) -> None:
        places.extend((dtype, size, which, call) for call in _CALLS)
        works.extend(_calls(manager, kind, dtype, size, repeated=which != _CASES[0]))

    for size in sizes:
        for dtype in kind.dtypes:
            for which in _CASES:
                add(dtype, size, which)
    most = rows * 10 if kind.name in LARGEST else rows
    if most > rows:
        add(first, most, _CASES[0])
    long = [size for size in dict.fromkeys((rows, most)) if size >= _THREADED]
    threaded = [works[places.index((first, size, *_FIRST))] for size in long]
    rates = peers(kind, min(rows / 1_000_000, 1))
    with in_processes(partial(_first_call, kind.name, most)) as crowd:
        # Each is measured behind a call as long, which leaves it memory that was touched before.
        pairs = [call for work in threaded for call in (work, partial(_on_all_cores, work))]
        extra = [*pairs, crowd, floor(rows)]
        taken = medians(runs, [*works, *extra, *[work for _, work in rates.values()]])
    speed = {place: place[1] / seconds / 1e6 for place, seconds in zip(places, taken, strict=False)}

    for dtype, size in dict.fromkeys(place[:2] for place in places):
        cases = [(dtype, size, which, call) for which in _CASES for call in _CALLS]
        shown = _cells([f"{speed[case]:.3f}" if case in speed else "" for case in cases])
        report.line(f"{kind.name:10} {dtype:25} {size:>10,} {shown}")
    paired = taken[len(works) : len(works) + len(pairs)]
    crowded, floored, *by_peer = taken[len(works) + len(pairs) :]
    main = speed[first, rows, *_FIRST]

    def told(what: str, value: float, wanted: float | None, *, most: bool = False) -> None:
        figure = report.target(f"{kind.name}, {what}", value, wanted, most=most)
        report.line(f"  {what}: {figure}")

    told("share of the floor", main / (rows / floored / 1e6), kind.share)
    report.line(f"  times the peers: {_against(report, kind, main, rates, by_peer)}")
    repeated = speed[first, rows, _CASES[1], _CALLS[0]] / main
    told("1 % distinct to all distinct", repeated, None if kind.few else 2)
    for size, alone, together in zip(long, paired[::2], paired[1::2], strict=True):
        told(f"all cores to one, {size:,} rows", alone / together, 1.6)
    if pairs:
        apart = core_count() * paired[-2] / crowded
        report.line(f"  as many processes, {most:,} rows each, to one: {apart:.3g}")
    flat = speed[first, rows // 10, *_FIRST] / speed[first, most, *_FIRST]
    told(f"cost of a row at {most:,} to {rows // 10:,}", flat, 1.2, most=True)
    told("milliseconds for 1,000 rows", 1e-3 / speed[first, 1_000, *_FIRST] * 1e3, 15, most=True)


def _calls(
    manager: KeyManager, kind: Kind, dtype: str, rows: int, *, repeated: bool
) -> list[Callable[[], object]]:
    table = frame(kind, rows, dtype, repeated=repeated)
    encrypt = partial(anonymize, table, **rule_of(kind), key_manager=manager)
    return [encrypt, partial(reidentify, encrypt(), key_manager=manager)]


def _first_call(name: str, rows: int) -> Callable[[], object]:
    """Return the first call that is measured of a kind of so many rows."""
    (kind,) = [kind for kind in KINDS if kind.name == name]
    return _calls(key_manager(), kind, kind.dtypes[0], rows, repeated=False)[0]


def _on_all_cores(work: Callable[[], Any]) -> None:
    with all_cores():
        work()


def _against(
    report: Report,
    kind: Kind,
    speed: float,
    rates: dict[str, tuple[int, Callable[[], object]]],
    taken: Sequence[float],
) -> str:
    """Tell how much faster that is than each peer, and the fastest first against the target."""
    times = {
        name: speed * 1e6 * seconds / count
        for (name, (count, _)), seconds in zip(rates.items(), taken, strict=True)
    }
    least, *rest = sorted(times, key=times.__getitem__)
    first = report.target(f"{kind.name}, times {least}", times[least], kind.times)
    return ", ".join([f"{least} {first}", *[f"{name} {times[name]:,.0f}" for name in rest]])

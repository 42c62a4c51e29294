"""Times that take turns, and the lines that they are printed in."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection

__all__ = ["Report", "all_cores", "core_count", "in_processes", "medians", "one_core"]


class Report:
    """Prints lines, keeps them, and collects the targets that were missed."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.missed: list[str] = []

    def line(self, text: str = "") -> None:
        """Print a line."""
        self.lines.append(text.rstrip())
        print(self.lines[-1], flush=True)

    def figure(self, what: str, measured: str, against: str = "") -> None:
        """Print one figure, and what to hold it against."""
        self.line(f"{what:56} {measured:>14}  {against}")

    def target(self, what: str, value: float, wanted: float | None, *, most: bool = False) -> str:
        """Return a figure beside its target, and note whether it was missed.

        Args:
            what: whose target.
            value: the figure.
            wanted: the least that it should be, None if there is no target.
            most: that is the most that it should be.
        """
        if wanted is None:
            return f"{value:.3g}"
        met = value <= wanted if most else value >= wanted
        relation = "<=" if most else ">="
        told = f"{value:.3g} (target {relation} {wanted:g}{'' if met else ', MISSED'})"
        if not met:
            self.missed.append(f"{what}: {told}")
        return told


def medians(runs: int, works: Sequence[Callable[[], object]]) -> list[float]:
    """Return the median seconds of each. They take turns, so that noise falls on all alike."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(runs):
        for taken, work in zip(times, works, strict=True):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


_CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def core_count() -> int:
    """Return how many processes ``in_processes`` starts: one for each core to choose from."""
    return max(len(_CORES), 1)


def one_core() -> contextlib.AbstractContextManager[None]:
    """Stay on one core, where the system lets a process choose: secureml uses those it may."""
    return _bound({min(_CORES)} if _CORES else set())


def all_cores() -> contextlib.AbstractContextManager[None]:
    """Use every core that the process had when it started."""
    return _bound(_CORES)


@contextlib.contextmanager
def _bound(cores: set[int]) -> Iterator[None]:
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def in_processes(make: Callable[[], Callable[[], object]]) -> Iterator[Callable[[], None]]:
    """Do the same in a process for each core, all at once: the most that cores can do together.

    Args:
        make: makes in each process what is to be done there; to be found by its name.

    Yields:
        A function that returns when all processes have done it once more.
    """
    context = multiprocessing.get_context("spawn")
    ends: list[Connection] = []
    workers = []
    for core in sorted(_CORES) or [None]:
        end, other = context.Pipe()
        worker = context.Process(target=_serve, args=(other, core, make), daemon=True)
        worker.start()
        other.close()
        ends.append(end)
        workers.append(worker)

    def once() -> None:
        for end in ends:
            end.send(True)
        for end in ends:
            end.recv()

    try:
        for end in ends:
            end.recv()
        yield once
    finally:
        for end, worker in zip(ends, workers, strict=True):
            end.close()
            worker.join()


def _serve(end: Connection, core: int | None, make: Callable[[], Callable[[], object]]) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    work = make()
    work()
    with contextlib.suppress(EOFError):
        while True:
            end.send(True)
            end.recv()
            work()

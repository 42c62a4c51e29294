"""Work on the parts of a column, on as many cores as the process may use.

Numpy and AES leave the interpreter free while they work, so threads share the cores.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST", "cores", "cut", "cut_weighted", "on_cores", "work_alone"]

FEWEST = 1 << 16
"""Rows from which on a thread is worth its start."""

_Part = TypeVar("_Part")
_Made = TypeVar("_Made")

_thread = threading.local()


def cores() -> int:
    """Return how many cores the process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cut(rows: int, longest: int) -> list[slice]:
    """Cut a column into parts of about one length.

    Args:
        rows: of the column.
        longest: of a part. If every core can have a part of FEWEST rows, each has one at least.
    """
    if rows <= min(FEWEST, longest):
        return [slice(0, rows)]
    parts = max(min(cores(), rows // FEWEST), -(-rows // longest))
    bounds = np.linspace(0, rows, parts + 1).astype(int).tolist()
    return [slice(*pair) for pair in pairwise(bounds)]


def cut_weighted(ends: NDArray[np.int64], most: int) -> list[slice]:
    """Cut a column into parts of about one weight, one at least for each core.

    Args:
        ends: the weight of the rows before each row, and that of all rows.
        most: of a part, about.
    """
    whole = int(ends[-1])
    marks = np.arange(0, whole, max(min(most, whole // cores()), 1))
    bounds = np.unique(np.append(np.searchsorted(ends, marks), len(ends) - 1))
    return [slice(*pair) for pair in pairwise(bounds.tolist())]


def on_cores(work: Callable[[_Part], _Made], parts: Sequence[_Part], rows: int) -> list[_Made]:
    """Return what a function makes of each part, in their order.

    Args:
        work: the function; several threads may call it.
        parts: of a column.
        rows: of the column; a short one is worked on by the calling thread alone, and so are the
            parts of what is a part already, and those that no thread can be started for.
    """
    threads = min(cores(), rows // FEWEST, len(parts))
    if threads < 2 or hasattr(_thread, "helps"):
        return [work(part) for part in parts]
    pool, futures = ThreadPoolExecutor(threads, initializer=work_alone), []
    try:
        # After the main thread has ended, or if the process has all its threads, none starts.
        with contextlib.suppress(RuntimeError):
            for part in parts:
                futures.append(pool.submit(work, part))
        rest = [work(part) for part in parts[len(futures) :]]
        return [future.result() for future in futures] + rest
    finally:
        pool.shutdown(cancel_futures=True)


def work_alone() -> None:
    """Let this thread work on all parts by itself, because others or other processes help."""
    _thread.helps = True

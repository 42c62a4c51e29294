"""One deadline for all that a call asks of Vault: logins, attempts, connections and reads."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["deadline", "deadline_fraction", "seconds_left"]

_moment: ContextVar[float] = ContextVar("deadline", default=math.inf)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Hold every request inside the block to one deadline; an outer one stays in force.

    Args:
        seconds: how long the requests may take in all.
    """
    if _moment.get() < math.inf:
        yield
        return
    token = _moment.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _moment.reset(token)


@contextmanager
def deadline_fraction(fraction: float) -> Iterator[None]:
    """Hold every request inside the block to a fraction of the time that is left.

    Args:
        fraction: how much of it, up to 1.
    """
    now = time.monotonic()
    token = _moment.set(now + (_moment.get() - now) * fraction)
    try:
        yield
    finally:
        _moment.reset(token)


def seconds_left() -> float:
    """Return the seconds until the deadline: infinity without one, 0 after it."""
    return max(0.0, _moment.get() - time.monotonic())

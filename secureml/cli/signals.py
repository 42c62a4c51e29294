"""Signals that end the process end it as an error does: what was begun is tidied up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["leave_if_stopped", "tidied_up"]

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGXCPU")
_DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)
_received: set[int] = set()
"""The signal that asked the process to end, if there was one."""


@contextmanager
def tidied_up() -> Iterator[None]:
    """Leave the block by an exception at the first signal that would end the process.

    Further ones can't disturb the tidying up. What is ignored stays so, as under `nohup`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # a thread can't set handlers
        return
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    ours = [number for number in numbers if before[number] in _DEFAULTS]

    def stop(number: int, _: FrameType | None) -> None:
        for one in ours:
            signal.signal(one, signal.SIG_IGN)
        _received.add(number)
        leave_if_stopped()

    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        _received.clear()
        for number in ours:
            signal.signal(number, before[number])


def leave_if_stopped() -> None:
    """Leave the work if a signal asked for it.

    The exception that its handler raised may be lost, such as in C code that imports a module and
    takes every error for a missing one.

    Raises:
        KeyboardInterrupt: it was Ctrl-C.
        SystemExit: it was another one.
    """
    for number in _received:
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

"""Signals that end the process end it as an error does: what was begun is tidied up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["tidied_up"]

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGXCPU")
_DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)


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
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])

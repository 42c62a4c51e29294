"""Forks of a process that are killed after a time, for the scripts beside this module."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable


def start(work: Callable[[], object]) -> int:
    """Do work in a fork of this process, and return its number."""
    process = os.fork()
    if not process:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return process


def wait(process: int, seconds: float) -> int:
    """Wait until a process ends, kill it after a time, and return its status."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.001)
    os.kill(process, signal.SIGKILL)
    return os.waitpid(process, 0)[1]

"""Forked children that report, and that a test can't leave behind."""

from __future__ import annotations

import os
import select
import signal
from dataclasses import dataclass


@dataclass
class Child:
    """A forked process; one that hangs is killed."""

    pid: int
    pipe: int

    def report(self, seconds: float = 30) -> str:
        """What its function returned or raised, as text; "hangs" if it did not end in time."""
        try:
            if not select.select([self.pipe], [], [], seconds)[0]:
                os.kill(self.pid, signal.SIGKILL)
                return "hangs"
            return os.read(self.pipe, 4000).decode()
        finally:
            os.close(self.pipe)
            os.waitpid(self.pid, 0)

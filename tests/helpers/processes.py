"""Processes beside that of a test: forked children that report, and what workers import from."""

from __future__ import annotations

import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path

import secureml

_TESTS = Path(__file__).parents[1]
WORKERS_PATH = os.pathsep.join(
    map(str, (Path(secureml.__file__).parents[1], _TESTS, _TESTS.parent))
)
"""Where workers import the package, the helpers and the tests from: what is installed comes first,
as the last of these folders has the package's source."""


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

"""A child process that does not outlive its parent."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["Child"]

_STOP_SECONDS = 10.0

# Linux ends the child when the thread that started it is gone, however that happened. One that
# asks for this too late sees another parent by then. (A `preexec_fn` would do the same within the
# forked copy of a process with threads, which isn't safe.)
_LAUNCHER = """\
import ctypes, os, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(sys.argv[2]))
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[3], sys.argv[3:])
"""


class Child:
    """Starts a command; it ends with this process, and on Linux with the thread that started it.

    Args:
        command: an executable's absolute path, and its arguments.
        directory: its working directory and home.
        log: the file that takes its output; emptied first.
    """

    def __init__(self, command: Sequence[str], *, directory: Path, log: Path) -> None:
        if sys.platform == "linux" and sys.executable:
            parent, end = str(os.getpid()), str(int(signal.SIGKILL))
            command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, parent, end, *command]
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603  # what to run is the caller's choice
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory,
                # Nothing else: no variable of ours may configure the child, and no proxy.
                env={"HOME": str(directory), "PATH": os.environ.get("PATH", os.defpath)},
                # Ctrl-C in a terminal is for this process, which then ends its child.
                start_new_session=True,
            )
        atexit.register(self.stop)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process.poll() is None

    def wait(self) -> None:
        """Wait until the process has ended by itself."""
        self._process.wait()

    def stop(self) -> None:
        """Ask the process to end, and end it by force if it does not."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        atexit.unregister(self.stop)

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self._process.kill()
        self._process.wait()
        atexit.unregister(self.stop)

"""Run ``secureml``, and stand still when the command has done some rows of a table.

Its arguments are "named" or "nameless", how new files are written, a signal that is ignored or
"none", and those of the command. It stands still in the first file, or in PAUSE_IN_FILE.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from secureml.cli import main
from secureml.cli.tables import running
from secureml.files.csv import table


@contextlib.contextmanager
def pausing(_title, *, quiet):
    def pause(done):
        if done.file == int(os.environ.get("PAUSE_IN_FILE", "1")):
            print("paused", flush=True)
            signal.pause()

    yield pause


if __name__ == "__main__":  # and not in a process that it starts
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGXCPU"):
        # Whatever this process inherited, as from a shell that runs it in the background.
        default = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
        signal.signal(getattr(signal, name), signal.SIG_IGN if name == sys.argv[2] else default)
    if sys.argv[1] == "named" and hasattr(os, "O_TMPFILE"):
        del os.O_TMPFILE
    table.CHUNK_BYTES = 1024
    running.progress = pausing
    main(sys.argv[3:], prog_name="secureml")

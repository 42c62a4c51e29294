"""What the commands for tables share: options, the manager, the progress, and Ctrl-C."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from secureml.cli.base import Interrupted
from secureml.cli.output import progress
from secureml.cli.signals import leave_if_stopped

if TYPE_CHECKING:
    from secureml.files import Done
    from secureml.key_management import KeyManager

__all__ = [
    "Run",
    "force_option",
    "manifest_option",
    "output_option",
    "quiet_option",
    "running",
    "table_check_option",
]

output_option = click.option(
    "-o",
    "--output",
    metavar="OUT",
    type=click.Path(),
    required=True,
    help="Where the result is written.",
)
manifest_option = click.option(
    "--manifest",
    metavar="M",
    type=click.Path(),
    help="The manifest; by default the one in the file or beside it.",
)
force_option = click.option("--force", is_flag=True, help="Replace an output that is there.")
table_check_option = click.option(
    "--no-table-check",
    "check_table",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Accept rows that the manifest was not made with.",
)
quiet_option = click.option("--quiet", is_flag=True, help="Show no progress and no summary.")


@dataclass
class Run:
    """The work of a command, as it goes on.

    Args:
        manager: where keys come from.
        show_progress: shows how much is done.
        bytes: how many bytes of the input are done.
        kept: the folder that holds what is done, if the next run can go on with it.
    """

    manager: KeyManager
    show_progress: Callable[[Done], object]
    bytes: int = 0
    kept: Path | None = None
    _started: float = field(default_factory=time.monotonic)

    def on_progress(self, done: Done) -> None:
        """Take how much is done, and leave the work at a signal that was lost."""
        leave_if_stopped()
        self.bytes = done.bytes
        self.show_progress(done)

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self._started


@contextlib.contextmanager
def running(
    environment: str | None, source: str, output: str | None, *, quiet: bool
) -> Iterator[Run]:
    """Lend a key manager and what shows the progress; after Ctrl-C, tell what was written.

    Args:
        environment: to work in.
        source: what is read.
        output: what is written; None for nothing.
        quiet: show no progress.

    Raises:
        Interrupted: by Ctrl-C.
    """
    from secureml.key_management import KeyManager

    before = _state(output)
    run = None
    try:
        with (
            KeyManager(environment=environment) as manager,
            progress(source, quiet=quiet) as show_progress,
        ):
            run = Run(manager, show_progress)
            yield run
            return
    except KeyboardInterrupt:
        state = "nothing was changed"
    if output is not None:
        state = f"{output} is " + ("as it was" if _state(output) == before else "written")
        if run is not None and run.kept is not None and run.kept.exists():
            state += f"; {run.kept} holds what is done, so run it again to go on"
    raise Interrupted(state)


def _state(path: str | None) -> tuple[int, ...] | None:
    """Return what tells whether a file was replaced; None for one that is not there."""
    try:
        found = Path(path or "").stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns

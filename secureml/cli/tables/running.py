"""What the commands for tables share: options, the manager, the progress, and Ctrl-C."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from secureml.cli.base import Interrupted
from secureml.cli.output import progress
from secureml.cli.signals import leave_if_stopped

if TYPE_CHECKING:
    from secureml.files import Done, Written
    from secureml.key_management import KeyManager

__all__ = [
    "STANDARD",
    "Run",
    "files_argument",
    "force_option",
    "manifest_option",
    "output_option",
    "quiet_option",
    "resume_option",
    "running",
    "several_files",
    "table_check_option",
    "workers_option",
]

STANDARD = "-"
"""Stands for standard input or output in the place of a file."""

files_argument = click.argument("files", metavar="FILE...", nargs=-1, required=True)
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
resume_option = click.option(
    "--resume", is_flag=True, help="Go on with several files after those that are complete."
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="How many processes work; by default as many as pay.",
)
quiet_option = click.option("--quiet", is_flag=True, help="Show no progress and no summary.")


def several_files(files: Sequence[str], output: str | None) -> bool:
    """Tell whether a command works on several files, whose results go into a folder.

    Args:
        files: those that it is given: files, folders, globs and URLs.
        output: where it is to write.

    Raises:
        UsageError: one of several is standard input.
        SecureMLError: nothing is there, or it can't be told.
    """
    from secureml.files.inputs import is_one_file

    if len(files) == 1 and files[0] == STANDARD:
        return False
    if STANDARD in files:
        raise click.UsageError("- for standard input stands alone")
    is_folder = output is not None and output.endswith("/") and output.strip("/") != ""
    return len(files) > 1 or is_folder or not is_one_file(files[0])


@dataclass
class Run:
    """The work of a command, as it goes on.

    Args:
        manager: where keys come from.
        show_progress: shows how much is done.
        done: how much is done; None before anything is.
        complete: how many files are complete.
        kept: the folder that holds what is done, if the next run can go on with it.
    """

    manager: KeyManager
    show_progress: Callable[[Done], object]
    done: Done | None = None
    complete: int = 0
    kept: Path | None = None
    _started: float = field(default_factory=time.monotonic)

    def on_progress(self, done: Done) -> None:
        """Take how much is done, and leave the work at a signal that was lost."""
        leave_if_stopped()
        self.done, self.complete = done, done.file - 1
        self.show_progress(done)

    def on_file(self, _: Written) -> None:
        """Take that a file of several is complete."""
        self.complete += 1

    @property
    def bytes(self) -> int:
        """How many bytes of the input are done."""
        return self.done.bytes if self.done else 0

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self._started


@contextlib.contextmanager
def running(
    environment: str | None,
    sources: Sequence[str],
    output: str | None,
    *,
    several: bool = False,
    quiet: bool,
) -> Iterator[Run]:
    """Lend a key manager and what shows the progress; after Ctrl-C, tell what was written.

    Args:
        environment: to work in.
        sources: what is read.
        output: what is written; None for nothing.
        several: whether the output is a folder of files.
        quiet: show no progress.

    Raises:
        Interrupted: by Ctrl-C.
    """
    from secureml.files.locations import shown
    from secureml.key_management import KeyManager

    before = _state(output)
    run = None
    title = shown(sources[0]) if len(sources) == 1 else f"{len(sources)} inputs"
    title = "standard input" if title == STANDARD else title
    try:
        with (
            KeyManager(environment=environment) as manager,
            progress(title, quiet=quiet) as show_progress,
        ):
            run = Run(manager, show_progress)
            yield run
            return
    except KeyboardInterrupt:
        state = "nothing was changed"
    if several and output is not None and run is not None and run.done is not None:
        state = f"{run.complete:,} of {run.done.files:,} files are complete in {shown(output)}; run"
        state += " it again with --resume to go on after them"
    elif output == STANDARD:
        state = "what went to standard output is not complete"
    elif output is not None and not several:
        state = f"{shown(output)} is " + ("as it was" if _state(output) == before else "written")
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

"""All that commands print goes through here, so that data can't steer the terminal.

Names of columns and files, cells, manifests and a server's answers are other people's text. What
is not printable in them (control characters, escape sequences, marks that reorder a line) is
printed as an escape such as ``\\x1b``.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from secureml.files import Done

__all__ = [
    "ask",
    "ask_for",
    "ask_hidden",
    "confirm",
    "discard",
    "is_terminal",
    "progress",
    "show",
    "show_error",
    "show_json",
    "show_table",
    "shown",
]


def shown(value: object) -> str:
    """Return a value as text on one line, with what is not printable escaped."""
    text = str(value)
    return text if text.isprintable() else "".join(map(_escaped, text))


def show(*lines: object, err: bool = False) -> None:
    """Print lines, each of which stays one, whatever it holds.

    Args:
        *lines: what to print.
        err: on standard error, and not on standard output.

    Raises:
        OSError: standard output can't be written.
    """
    stream = sys.stderr if err else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = "\n".join(map(shown, lines)).encode(encoding, "backslashreplace")
    # Nobody can be told of an error stream that is full or closed.
    with contextlib.suppress(OSError) if err else contextlib.nullcontext():
        # The stream is named, for click would write past the one that a progress bar puts there.
        click.echo(text.decode(encoding), file=stream, err=err)


def show_error(message: str, remedy: str = "") -> None:
    """Print an error: a plain line, or in colours and with its remedy on a terminal.

    Args:
        message: what is wrong; each of its lines stays one.
        remedy: what to do about it.
    """
    if not is_terminal(err=True):
        show(*f"error: {message}".split("\n"), err=True)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    lines = "\n".join(map(shown, message.split("\n")))
    # Text, so that nothing in a message is taken for markup.
    with contextlib.suppress(OSError):
        console.print(Text.assemble(("error: ", "bold red"), lines), soft_wrap=True)
        if remedy:
            console.print(Text(shown(remedy), "dim"), soft_wrap=True)


def show_json(value: object, *, err: bool = False) -> None:
    """Print a value as JSON, in ASCII alone."""
    show(*json.dumps(value, indent=2).split("\n"), err=err)


def show_table(
    names: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    whole: Sequence[str] = (),
    numbers: Sequence[str] = (),
    ruled: bool = True,
    err: bool = False,
) -> None:
    """Print a table as wide as the terminal, or wider if a value must not be cut.

    Args:
        names: of the columns.
        rows: their values; None is shown as nothing. An empty row is a line between others.
        whole: columns whose values stay on one line.
        numbers: columns whose values end below each other.
        ruled: with lines; without any, nothing is cut.
        err: on standard error.
    """
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    table = Table() if ruled else Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(
            name,
            overflow="fold",
            no_wrap=name in whole,
            justify="right" if name in numbers else "left",
        )
    for row in rows:
        if not row:
            table.add_section()
            continue
        # Text, so that nothing in a value is taken for markup.
        table.add_row(*(Text("" if value is None else shown(value)) for value in row))
    console = Console(color_system=None, highlight=False, stderr=err)
    without_end = console.options.update(max_width=sys.maxsize)
    measured = Measurement.get(console, without_end, table)
    console.width = max(console.width, measured.minimum if ruled else measured.maximum)
    with console.capture() as capture:
        console.print(table)
    show(*(line.rstrip() for line in capture.get().splitlines()), err=err)


def is_terminal(*, err: bool = False) -> bool:
    """Whether standard output, or standard error, is a terminal."""
    return (sys.stderr if err else sys.stdout).isatty()


@contextlib.contextmanager
def progress(
    title: str,
    *,
    quiet: bool = False,
    clock: Callable[[], float] = time.monotonic,
    every: float = 5.0,
) -> Iterator[Callable[[Done], object]]:
    """Show how far some work is: a bar on a terminal, and else a line now and then.

    Yields what takes how much is done.

    Args:
        title: what is worked on.
        quiet: show nothing.
        clock: tells the time in seconds.
        every: how many seconds are between two lines.
    """
    if quiet:
        yield lambda _: None
    elif is_terminal(err=True) and os.environ.get("TERM") != "dumb":
        with _bar(title, clock) as update:
            yield update
    else:
        yield _lines(title, clock, every)


@contextlib.contextmanager
def _bar(title: str, clock: Callable[[], float]) -> Iterator[Callable[[Done], object]]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.table import Column

    # A long title is cut off, and the figures are not.
    about = TextColumn("{task.description}", table_column=Column(no_wrap=True, max_width=24))
    line = Column(ratio=1)
    figures = TextColumn("{task.fields[figures]}", table_column=Column(no_wrap=True))
    columns = (about, BarColumn(None, table_column=line), TaskProgressColumn(), figures)
    # What goes to standard output may be a table itself.
    with Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        expand=True,
        redirect_stdout=False,
    ) as bar:
        task = bar.add_task(escape(shown(title)), total=1.0, figures="")
        start = clock()
        yield lambda done: bar.update(
            task, completed=float(done), figures=_figures(done, clock() - start)
        )


def _lines(title: str, clock: Callable[[], float], every: float) -> Callable[[Done], object]:
    start = last = clock()

    def update(done: Done) -> None:
        nonlocal last
        now = clock()
        if now - last >= every:
            last = now
            percent = f"{done:.0%}, " if done else ""
            show(f"{title}: {percent}{_figures(done, now - start)}", err=True)

    return update


def _figures(done: Done, seconds: float) -> str:
    """Return the number of the file, rows, bytes in a second, and the time that is left."""
    found = [f"file {done.file:,} of {done.files:,}"] if done.files > 1 else []
    found += [f"{done.rows:,} rows"]
    if seconds > 0:
        found += [f"{done.bytes / 1e6 / seconds:,.1f} MB/s"]
    if 0 < done < 1:
        left = timedelta(seconds=round(seconds * (1 - done) / done))
        found += [f"{left} left"]
    return ", ".join(found)


def discard() -> None:
    """Throw away what standard output still holds, so that the process can end without it."""
    with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def ask(question: str) -> str:
    """Return what is typed, without the blanks around it; empty if the input ended."""
    try:
        return str(_asked(click.prompt, question)).strip()
    except click.Abort:
        show("", err=True)
    return ""


def ask_for(question: str, default: str, check: Callable[[str], str]) -> str:
    """Return what is typed, or a default if that is nothing; ask again if a check refuses it.

    Args:
        question: the question.
        default: what an empty line stands for.
        check: returns what is meant, or raises ``click.UsageError``.

    Raises:
        click.Abort: the input ended.
    """
    how = {"default": default, "show_default": bool(default), "value_proc": check}
    return str(_asked(click.prompt, question, **how))


def ask_hidden(question: str) -> str:
    """Return what is typed, which is not shown.

    Raises:
        click.Abort: the input ended.
    """
    return str(_asked(click.prompt, question, hide_input=True))


def confirm(question: str) -> bool:
    """Return whether the user agrees; the end of the input is no."""
    try:
        return bool(_asked(click.confirm, question))
    except click.Abort:
        show("", err=True)
    return False


def _asked(function: Callable[..., Any], question: str, **how: Any) -> Any:
    try:
        # Some versions of Click print a question's last character to standard output all the same.
        with contextlib.redirect_stdout(sys.stderr):
            return function(shown(question), err=True, **how)
    except click.Abort as abort:
        interrupted = isinstance(abort.__context__, KeyboardInterrupt)
        if not interrupted:
            raise
    show("", err=True)
    raise KeyboardInterrupt


def _escaped(char: str) -> str:
    if char.isprintable() or unicodedata.category(char) == "Zs":
        return char
    return char.encode("unicode_escape", "surrogatepass").decode()

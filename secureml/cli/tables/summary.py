"""What a command for tables tells at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from secureml.cli.output import is_terminal, show, show_json, show_table

if TYPE_CHECKING:
    from secureml.cli.tables.running import Run
    from secureml.files import Written

__all__ = ["print_summary"]

_NUMBERS = ("rows", "tokens", "nulled", "seconds", "MB/s")


class _Column(NamedTuple):
    """What became of a column of a file."""

    column: str
    strategy: str
    format: str | None
    key: str
    versions: tuple[int | None, ...]
    tokens: int
    nulled: int


def print_summary(
    written: Written, run: Run, *, as_json: bool, quiet: bool, err: bool = False
) -> None:
    """Tell what was written.

    Args:
        written: the result.
        run: what it took.
        as_json: print one JSON object.
        quiet: print nothing else.
        err: print to standard error, because the table itself goes to standard output.
    """
    seconds = run.seconds
    rate = run.bytes / 1e6 / max(seconds, 1e-9)
    if as_json:
        took = {"seconds": round(seconds, 3), "megabytes_per_second": round(rate, 3)}
        show_json({**_facts(written), **took}, err=err)
    elif not quiet:
        _print_files([written], (f"{seconds:.1f}", f"{rate:.1f}"), err=err)
        _print_columns([written], err=err)


def _print_files(files: Sequence[Written], took: tuple[str, str], *, err: bool) -> None:
    # What was recovered has no manifest.
    names = ("file", "rows", "seconds", "MB/s", "manifest")[: 5 if files[0].manifest else 4]
    rows = [(_short(file.path), f"{file.rows:,}", *took, _place(file)) for file in files]
    lines = [row[: len(names)] for row in rows]
    show_table(names, lines, numbers=_NUMBERS, ruled=is_terminal(err=err), err=err)


def _print_columns(files: Sequence[Written], *, err: bool) -> None:
    """Print a line for each way in which columns of a name were replaced."""
    tokens: Counter[tuple[str, ...]] = Counter()
    nulled: Counter[tuple[str, ...]] = Counter()
    for file in files:
        for one in _columns(file):
            versions = ", ".join(str(number) for number in one.versions if number is not None)
            way = (one.column, one.format or one.strategy, one.key, versions)
            tokens[way] += one.tokens
            nulled[way] += one.nulled
    if not tokens:
        return
    if not (ruled := is_terminal(err=err)):
        show("", err=err)
    names = ("column", "replaced by", "key", "version", "tokens", "nulled")
    rows = [(*way, f"{tokens[way]:,}", f"{nulled[way]:,}") for way in tokens]
    show_table(names, rows, numbers=_NUMBERS, ruled=ruled, err=err)


def _facts(written: Written) -> dict[str, Any]:
    """Return what was written as values that JSON has."""
    facts: dict[str, Any] = {"path": str(written.path), "rows": written.rows}
    if written.manifest is not None:
        key = written.manifest["key"]
        facts |= {"key": key["name"], "version": key["version"]}
        facts |= {"columns": [column._asdict() for column in _columns(written)]}
    if written.manifest_path is not None:
        facts |= {"manifest": str(written.manifest_path)}
    return facts


def _columns(written: Written) -> Iterator[_Column]:
    if written.manifest is None:
        return
    key = written.manifest["key"]
    for name, entry in written.manifest["columns"].items():
        versions = tuple(sketch["version"] for sketch in entry["sketches"]) or (key["version"],)
        counts = entry["tokens"], entry["nulled"]
        yield _Column(name, entry["strategy"], entry["format"], key["name"], versions, *counts)


def _place(written: Written) -> str:
    path = written.manifest_path
    return "in the file" if path is None else _short(path)


def _short(path: Path) -> str:
    """Return a path below the working directory without what leads there."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)

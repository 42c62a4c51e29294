"""What a command for tables tells at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from secureml.cli.base import note
from secureml.cli.output import is_terminal, show, show_json, show_table
from secureml.cli.tables.running import STANDARD
from secureml.files import Written, WrittenFiles

if TYPE_CHECKING:
    from secureml.cli.tables.running import Run

__all__ = ["print_summary"]

_LISTED = 5  # names of files that are left out
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
    written: Written | WrittenFiles,
    run: Run,
    *,
    as_json: bool,
    quiet: bool,
    err: bool = False,
    what: str = "file",
) -> None:
    """Tell what was written.

    Args:
        written: the result, of one file or of several.
        run: what it took.
        as_json: print one JSON object.
        quiet: print nothing else.
        err: print to standard error, because the table itself goes to standard output.
        what: what was written, in a word.
    """
    seconds = run.seconds
    rate = run.bytes / 1e6 / max(seconds, 1e-9)
    if as_json:
        took = {"seconds": round(seconds, 3), "megabytes_per_second": round(rate, 3)}
        show_json({**_facts(written), **took}, err=err)
    elif not quiet:
        _print_files(written, what, (f"{seconds:.1f}", f"{rate:.1f}"), err=err)
        _print_columns(_files(written), err=err)
        _print_notes(written)


def _print_files(
    written: Written | WrittenFiles, what: str, took: tuple[str, str], *, err: bool
) -> None:
    files = _files(written)
    names: Sequence[str] = (what, "rows", "seconds", "MB/s", "manifest")
    rows: list[Sequence[object]]
    if isinstance(written, Written):
        rows = [(_short(written.path), f"{written.rows:,}", *took, _place(written))]
    else:
        rows = [(_short(file.path), f"{file.rows:,}", None, None, _place(file)) for file in files]
        rows += [
            (),
            (f"{len(files):,} {what}{'s' * (len(files) != 1)}", f"{written.rows:,}", *took, None),
        ]
    if not any(file.manifest for file in files):  # what was recovered has none
        names, rows = names[:-1], [row[:-1] for row in rows]
    show_table(names, rows, numbers=_NUMBERS, ruled=is_terminal(err=err), err=err)


def _print_notes(written: Written | WrittenFiles) -> None:
    for file in _files(written):
        if file.rejected:
            note(f"rejected rows: {file.rejected:,}, in clear in {_short(file.rejects)}")
    if isinstance(written, Written):
        return
    if written.done_before:
        note(f"{written.done_before:,} more were complete before")
    if written.left_out:
        count, listing = len(written.left_out), ", ".join(written.left_out[:_LISTED])
        more = ", ..." if count > _LISTED else ""
        note(f"left out: {listing}{more}")


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


def _facts(written: Written | WrittenFiles) -> dict[str, Any]:
    """Return what was written as values that JSON has."""
    if isinstance(written, WrittenFiles):
        return {
            "output": written.output,
            "rows": written.rows,
            "files": [_facts(file) for file in written.files],
            "done_before": written.done_before,
            "left_out": list(written.left_out),
        }
    facts: dict[str, Any] = {"path": str(written.path), "rows": written.rows}
    if written.manifest is not None:
        key = written.manifest["key"]
        facts |= {"key": key["name"], "version": key["version"]}
        facts |= {"columns": [column._asdict() for column in _columns(written)]}
    if written.rejected:
        facts |= {"rejected": written.rejected, "rejects": str(written.rejects)}
    if written.manifest_path is not None:
        facts |= {"manifest": str(written.manifest_path)}
    return facts


def _files(written: Written | WrittenFiles) -> Sequence[Written]:
    return [written] if isinstance(written, Written) else written.files


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


def _short(path: Path | str | None) -> str:
    """Return a path below the working directory without what leads there."""
    if str(path) == STANDARD:
        return "standard output"
    if isinstance(path, Path) and path.is_relative_to(here := Path.cwd()):
        return str(path.relative_to(here))
    return str(path)

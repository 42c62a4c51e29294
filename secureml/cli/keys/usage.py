"""``secureml keys usage``: the versions of keys that files need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from secureml.cli.base import command, fail, note, warn
from secureml.cli.options import delimiter_option, json_option
from secureml.cli.output import is_terminal, show, show_json, show_table
from secureml.errors import (
    ArgumentError,
    SecretError,
    SecretNotFoundError,
    SecureMLError,
    WrongKeyError,
)
from secureml.key_management import KeyManager

if TYPE_CHECKING:
    from secureml.files import KeyUsage
    from secureml.pseudonymization.keys import KeyReference

__all__ = ["States", "states_of", "usage", "usage_rows"]

_Row = dict[str, object]
States = Mapping[tuple[str | None, str], Mapping[int | None, str]]
"""By environment and name of a key: the states of its versions."""


@command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@delimiter_option
@json_option
def usage(
    environment: str | None, *, files: Sequence[str], delimiter: str | None, as_json: bool
) -> None:
    """Tell which versions of keys files need.

    Takes tables, and manifests alone. A version whose key has another number in Vault by now is
    listed with both. A version that is missing is listed too. If a file has no manifest that can be
    read, the exit code is 1.

    Examples:
      secureml keys usage hidden.csv archive/*.parquet
      secureml keys usage hidden.csv.manifest.json --json
    """
    from secureml.files import key_usage  # which loads pandas

    found: list[KeyUsage] = []
    broken: list[_Row] = []
    for file in files:
        try:
            found.append(key_usage(file, delimiter=delimiter))
        except ArgumentError:
            raise
        except SecureMLError as error:
            broken.append({"file": file, "error": str(error)})
    with KeyManager(environment=environment) as manager:
        states = states_of(manager, found)
        rows = [row for one in found for row in usage_rows(manager, one, states)]
    if as_json:
        show_json([*rows, *broken])
    else:
        _print(rows)
        for row in broken:
            warn(f"{row['file']}: {row['error']}")
    if broken:
        fail(f"which keys {len(broken)} of {len(files)} files need can't be told", 1)


def states_of(
    manager: KeyManager, found: Iterable[KeyUsage], tell: Callable[[str], object] = note
) -> States:
    """Return the states of all versions of the keys that files need, if they can be told.

    Args:
        manager: reads the keys.
        found: what the files need.
        tell: takes a sentence about each key whose states can't be told.
    """
    states: dict[tuple[str | None, str], dict[int | None, str]] = {}
    for key in dict.fromkeys((one.environment, one.key) for one in found if any(one.versions)):
        environment, name = key
        if environment != manager.environment:
            place = "no environment" if environment is None else f"the environment {environment!r}"
            tell(f"the states of the key {name!r} of {place} can't be told from here; see --env")
            continue
        try:
            versions = manager.key_versions(name)
            states[key] = {info.version: info.state for info in versions}
        except SecretNotFoundError:
            states[key] = {}
        except SecureMLError as error:
            tell(f"the states of the key {name!r} can't be told: {error}")
    return states


def usage_rows(
    manager: KeyManager, one: KeyUsage, states: States, tell: Callable[[str], object] = note
) -> Iterable[_Row]:
    """Return what a file needs, a row for each version of its key, with the state of that.

    Args:
        manager: reads the keys.
        one: what the file needs.
        states: those of all keys.
        tell: takes a sentence about each key that can't be read.
    """
    known = states.get((one.environment, one.key))
    for version, rows in one.versions.items():
        state, now = "unknown", None
        if known is not None and version is not None:
            state, now = _found(manager, one.references.get(version), version, known, tell)
        yield {
            "file": str(one.path),
            "key": one.key,
            "version": version,
            "version_now": now,
            "environment": one.environment,
            "state": state,
            "rows": rows,
            "columns": list(one.columns),
        }


def _found(
    manager: KeyManager,
    reference: KeyReference | None,
    version: int,
    known: Mapping[int | None, str],
    tell: Callable[[str], object],
) -> tuple[str, int | None]:
    """Tell the state of a key and the number that it has by now, None if that is not known.

    Without its check, and if the key can't be read, the state is that of the number.
    """
    from secureml.pseudonymization.keys import key_that_made  # which loads numpy

    by_number = known.get(version, "missing")
    if reference is None:
        return by_number, None
    try:
        now = key_that_made(manager, reference).version
    except WrongKeyError:
        return "missing", None
    except SecretError as error:
        if by_number not in ("missing", "deleted", "destroyed", "disabled"):
            tell(f"{reference} is shown by its number alone: {error}")
        return by_number, None
    return ("wrapped" if now is None else known.get(now, "missing")), now


def _print(rows: Sequence[_Row]) -> None:
    """Print as a table on a terminal, else a line for each."""
    if not rows:
        return
    names = ("file", "key", "version", "state", "rows", "columns")
    lines = [[_text(row[name]) for name in names] for row in rows]
    for row, line in zip(rows, lines, strict=True):
        if row["version_now"] not in (None, row["version"]):
            line[2] += f" (now {row['version_now']})"
    if is_terminal():
        show_table(names, lines, whole=("version",))
        return
    for file, key, version, state, count, columns in lines:
        counted = f"{count} row" + "s" * (count != "1")
        show(f"{file}  {key}  version {version}  {state}  {counted}  {columns}")


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return "-" if value is None else str(value)

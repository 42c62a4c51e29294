"""``secureml init``: the settings file that a project begins with."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from secureml.atomic_files import NewFile, check_replaceable, write_together
from secureml.cli.base import command, note, warn
from secureml.cli.options import csv_options
from secureml.cli.output import ask_for, show
from secureml.errors import ConfigurationError, SecureMLError
from secureml.settings import ENVIRONMENTS, Settings, find_files, json_schema
from secureml.settings.environments import resolve
from secureml.settings.schema import LOGIN_METHODS
from secureml.settings.variables import FILE_VARIABLE

if TYPE_CHECKING:
    from secureml.scanning import Proposal

__all__ = ["init"]

_QUESTIONS = {
    "vault_url": (
        "Address of Vault or OpenBao, such as https://vault.example.com:8200; empty for none yet",
        "",
    ),
    "vault_auth": (f"How programs log in there: {', '.join(LOGIN_METHODS)}", "token"),
    "master_key_name": ("Name of the master key", "master_key"),
}
"""By setting: the question, and what holds if nobody answers it."""


@command()
@click.argument("file", metavar="[FILE]", required=False, type=click.Path())
@click.option("--vault-url", metavar="URL", help="The address of Vault or OpenBao.")
@click.option("--vault-auth", metavar="METHOD", help="How programs log in, such as approle.")
@click.option("--key-name", "master_key_name", metavar="NAME", help="The name of the master key.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@csv_options
def init(
    environment: str | None,
    *,
    file: str | None,
    vault_url: str | None,
    vault_auth: str | None,
    master_key_name: str | None,
    yes: bool,
    **csv: Any,
) -> None:
    """Write the settings file that a project begins with.

    It has a section each for development, staging and production. In development it works at once,
    with public keys. With FILE, CSV or Parquet, it has rules for the columns that a scan proposes.
    The schema for editors is put beside it, and .gitignore gets the lines that it lacks. Nothing
    that is there is replaced.

    At a terminal, what no option says is asked: the address of Vault, how programs log in there,
    and the name of the master key.

    Examples:
      secureml init
      secureml init customers.csv
      secureml init customers.csv --yes --vault-url https://vault.example.com:8200 \\
          --vault-auth approle
    """
    from secureml.cli.settings.new_file import SCHEMA_FILE, first_settings, with_ignored
    from secureml.cli.settings.settings_file import is_tracked
    from secureml.cli.tables.scan import proposals_for, with_distinct_names

    environment = resolve(environment or "development", ENVIRONMENTS)
    target = Path.cwd() / "settings.toml"
    if os.path.lexists(target):
        raise SecureMLError(
            f"{target} is there already, and stays as it is; `secureml scan FILE --write` adds "
            "rules to it"
        )
    before = find_files(os.environ).main
    given = dict(zip(_QUESTIONS, (vault_url, vault_auth, master_key_name), strict=True))
    answers = {name: _checked(name, text) for name, text in given.items() if text is not None}
    ignore = target.with_name(".gitignore")
    ignored = _content_of(ignore)
    proposals = with_distinct_names(proposals_for(file, csv)) if file else []
    asks = sys.stdin.isatty() and not yes
    for name, (question, default) in _QUESTIONS.items():
        if name not in answers:
            answers[name] = ask_for(question, default, partial(_checked, name)) if asks else default

    text = first_settings(file=Path(file or "").name, proposals=proposals, **answers)
    schema = target.with_name(SCHEMA_FILE)
    files = [NewFile(target, text.encode(), fresh=True)]
    if not os.path.lexists(schema):
        content = json.dumps(json_schema(), indent=2) + "\n"
        files.append(NewFile(schema, content.encode(), fresh=True))
    if with_ignored(ignored) != ignored:
        files.append(NewFile(ignore, with_ignored(ignored)))
    write_together(files)

    for new in files:
        show(f"written: {new.path}")
    if proposals:
        columns = ", ".join(one.column for one in proposals)
        show(f"rules for: {columns}; read them before you rely on them")
    for private in ("settings.local.toml", ".secureml/vault-token"):
        if is_tracked(target.parent / private):
            warn(f"git does not ignore {private}; see .gitignore")
    if before is not None and os.environ.get(FILE_VARIABLE):
        warn(f"{FILE_VARIABLE} names {before}, which is read in place of the new file")
    elif before is not None:
        note(f"{before} is not read any more in this folder and below")
    _tell_next(environment, _first_command(environment, file, csv, proposals))


def _checked(name: str, text: str) -> str:
    """Return the value that a text is for a setting, which every environment must allow."""
    text = text.strip()
    if name == "vault_url" and not text:
        return text
    setting: dict[str, Any] = {name: text}
    value = text
    problems: tuple[str, ...] = ()
    try:
        for environment in (None, "production"):
            value = str(getattr(Settings(environment=environment, **setting), name))
    except ConfigurationError as error:
        problems = error.problems
    if problems:
        hint = "--key-name" if name == "master_key_name" else f"--{name.replace('_', '-')}"
        raise click.BadParameter("; ".join(problems), param_hint=hint)
    return value


def _content_of(path: Path) -> bytes:
    if not check_replaceable(path):
        return b""
    try:
        return path.read_bytes()
    except OSError as error:
        problem = f"{path} can't be read ({error.strerror})"
    raise SecureMLError(problem)


def _first_command(
    environment: str, file: str | None, csv: Mapping[str, Any], proposals: Sequence[Proposal]
) -> str:
    """Return what is to be tried first, for a shell."""
    if file is None or not proposals:
        return "secureml scan FILE --write"
    words = ["secureml", "anonymize", file, "-o", f"hidden-{Path(file).name}"]
    for option in ("delimiter", "encoding"):
        words += [f"--{option}", csv[option]] if csv[option] else []
    words += [] if csv["header"] else ["--no-header"]
    return shlex.join([*words, "--env", environment])


def _tell_next(environment: str, first: str) -> None:
    at_once = environment == "development"
    others = ("staging", "production") if at_once else (environment,)
    keys = [f"  secureml keys generate-key --env {other}" for other in others]
    if at_once:
        show("next:", f"  {first}", "and once Vault can be reached:", *keys)
    else:
        show("next, once Vault can be reached:", *keys, f"  {first}")
    show("in CI:", "  secureml settings validate")

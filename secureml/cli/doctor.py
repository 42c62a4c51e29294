"""``secureml doctor``: checks all that secureml needs, with what to do if it is not fine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import click

from secureml.cli.base import command, fail
from secureml.cli.options import json_option
from secureml.cli.output import show, show_json

__all__ = ["doctor"]


@command()
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path())
@json_option
def doctor(environment: str | None, *, files: Sequence[str], as_json: bool) -> None:
    """Check settings, Vault, keys and files.

    Prints a line for each check, and what to do if something is not fine. Tables and manifests
    that are named are checked for the keys that they need. Changes nothing, and reads one key:
    that of the settings. What can't be checked, such as rights while Vault is down, is unknown.

    Ends with the exit code of the worst: 0 if all is well, 1 if something needs attention, and else
    as every command does: 2 for wrong settings, 3 for an absent key, 4 if access is denied, 5 if
    Vault is unavailable.

    Examples:
      secureml doctor
      secureml doctor hidden.parquet hidden.csv.manifest.json --env production
      secureml doctor --json
    """
    from secureml.cli.checks import all_checks, worst  # which completing an option need not load

    checks = []
    for check in all_checks(environment, files, os.environ, datetime.now(UTC)):
        checks.append(check)
        if not as_json:
            remedy = f" -> {check.remedy}" if check.remedy else ""
            show(f"{check.state:<8} {check.name}: {check.text}{remedy}")
    code = worst(checks)
    if as_json:
        show_json({"checks": [asdict(check) for check in checks], "exit_code": code})
    problems = sum(check.state == "problem" for check in checks)
    if problems:
        fail(f"{problems} problem{'s' * (problems != 1)}", code)
    if code:
        raise click.exceptions.Exit(code)

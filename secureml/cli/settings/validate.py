"""``secureml settings validate``: every problem of settings files, for CI."""

from __future__ import annotations

from pathlib import Path

import click

from secureml.cli.base import command, fail
from secureml.cli.options import json_option
from secureml.cli.output import show, show_json
from secureml.cli.settings.places import environ_of, place_entry, variables_option
from secureml.errors import ConfigurationError
from secureml.settings import Layers, Problem, Validation
from secureml.settings import validate as check

__all__ = ["validate"]


@command()
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@variables_option
@json_option
def validate(environment: str | None, *, file: Path | None, variables: bool, as_json: bool) -> None:
    """Print every problem of the settings files, with its line.

    Vault is not asked, so that it works in CI. All environments that the files have a section for
    are checked, or --env alone. Without FILE, the files are those that a program finds here.
    SECUREML_ENV does not count; --variables has the other variables count.

    Ends with 2 if there is a problem.

    Examples:
      secureml settings validate
      secureml settings validate --env production
      secureml settings validate deploy/settings.toml --json
    """
    files = None if file is None else (file,)
    environ = environ_of(variables=variables, names_file=file is None)
    found = check(Layers(files=files, environment=environment), environ)
    if as_json:
        show_json(_document(found))
    if not found.files and not found.problems and not variables:
        raise ConfigurationError(
            "there is no settings file here or in a folder above; `secureml init` writes one"
        )
    if found.problems:
        if not as_json:
            show(*map(_line, found.problems))
        count = len(found.problems)
        fail(f"{count} problem{'s' * (count > 1)} in the settings", 2)
    if not as_json:
        checked = ", ".join(name or "no environment selected" for name in found.environments)
        show(f"no problem: {checked}")


def _line(problem: Problem) -> str:
    """Return a problem as editors and CI systems find files and lines in it."""
    place = problem.place
    if place is None or place.file is None:
        return problem
    here = Path.cwd()
    file = place.file.relative_to(here) if place.file.is_relative_to(here) else place.file
    line = "" if problem.line is None else f":{problem.line}"
    section = "" if place.section is None else f" [{place.section}]"
    return f"{file}{line}:{section} {problem.sentence}"


def _document(found: Validation) -> dict[str, object]:
    return {
        "files": [str(file) for file in found.files],
        "environments": found.environments,
        "problems": [
            {
                **place_entry(problem.place, problem.line),
                "keys": problem.keys,
                "problem": problem.sentence,
            }
            for problem in found.problems
        ],
    }

"""``secureml settings show`` and ``schema``: what is in force, where from, and what there is."""

from __future__ import annotations

from typing import Any

import click

from secureml.cli.base import command, note
from secureml.cli.options import json_option
from secureml.cli.output import show as print_line
from secureml.cli.output import show_json, shown
from secureml.cli.settings.places import Found, find, told
from secureml.settings import SETTINGS, json_schema

__all__ = ["schema", "show"]


@command()
@click.option(
    "--overridden", is_flag=True, help="Print what each layer says; * marks what is in force."
)
@json_option
def show(environment: str | None, *, overridden: bool, as_json: bool) -> None:
    """Print every setting and its origin.

    The origin is the layer that a value comes from, with the line of a file. Secrets stay hidden.
    If the record in Vault can't be used, the other layers are printed, and the exit code is not 0.

    With --overridden, the settings that any layer sets are printed, with what each layer says.

    Examples:
      secureml settings show
      secureml settings show --env production --json
      secureml settings show --overridden
    """
    found = find(environment)
    if as_json:
        show_json(_entries(found, overridden=overridden))
    elif overridden:
        _print_layers(found)
    else:
        _print(found)
    if found.failure is not None:
        note("the record in Vault is not among these settings, and nothing runs without it")
        raise found.failure


@command()
def schema(environment: str | None) -> None:
    """Print the JSON Schema of a settings file.

    It is for editors, and covers every environment.

    Examples:
      secureml settings schema > settings.schema.json
    """
    show_json(json_schema())


def _print(found: Found) -> None:
    settings = found.settings
    rows = [
        (name, shown(value), told(settings.origins[name], name))
        for name, value, _ in settings.describe()
    ]
    names, values = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, value, origin in rows:
        print_line(f"{name:<{names}}  {value:<{values}}  {origin}")


def _print_layers(found: Found) -> None:
    for setting in SETTINGS:
        if len(found.said[setting.name]) > 1:
            found.show_layers(setting, setting.name)


def _entries(found: Found, *, overridden: bool) -> dict[str, dict[str, Any]]:
    """Return value and origin of each setting by name, and what each layer says of it."""
    settings = found.settings
    chosen_by = settings.origins["environment"]
    entries: dict[str, dict[str, Any]] = {
        "environment": {"value": settings.environment, "origin": chosen_by}
    }
    for setting in SETTINGS:
        layers = {"layers": found.layers_of(setting)} if overridden else {}
        entries[setting.name] = found.entry_of(setting) | layers
    return entries

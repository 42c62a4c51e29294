"""``secureml settings``: what is in force and where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from secureml.cli.base import command
from secureml.cli.output import show as print_line
from secureml.cli.output import show_json, shown

if TYPE_CHECKING:
    from secureml.settings import Settings

__all__ = ["settings"]


@click.group()
def settings() -> None:
    """Show the settings and their schema."""


@settings.add_command
@command(
    "show",
    examples="""
secureml settings show
secureml settings show --env production --json
""",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(environment: str | None, as_json: bool) -> None:
    """Print every setting and its origin.

    The origin is the layer that a value comes from. Secrets stay hidden.
    """
    from secureml.configuration import configure

    settings = configure(environment=environment)
    if as_json:
        show_json(_entries(settings))
        return
    rows = [tuple(map(shown, row)) for row in settings.describe()]
    names, values = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, value, origin in rows:
        print_line(f"{name:<{names}}  {value:<{values}}  {origin}")


@settings.add_command
@command("schema", examples="secureml settings schema > settings.schema.json")
def schema(environment: str | None) -> None:
    """Print the JSON Schema of a settings file.

    It is for editors, and covers every environment.
    """
    from secureml.settings import json_schema

    show_json(json_schema())


def _entries(settings: Settings) -> dict[str, dict[str, object]]:
    """Return value and origin of each setting by name, with the types that JSON has."""
    from secureml.settings import SETTINGS

    values: dict[str, object] = {"environment": settings.environment}
    for setting in SETTINGS:
        value = getattr(settings, setting.name)
        if setting.secret and value:
            value = setting.shown(value)
        values[setting.name] = value if setting.read is None else value.document()
    return {
        name: {"value": value, "origin": settings.origins[name]} for name, value in values.items()
    }

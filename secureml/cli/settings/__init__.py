"""``secureml settings``: what is in force and where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from secureml.cli.base import command, note
from secureml.cli.output import show as print_line
from secureml.cli.output import show_json, shown
from secureml.errors import SecureMLError

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

    The origin is the layer that a value comes from, with the line of a file. Secrets stay hidden.
    While the record in Vault can't be used, the other layers are printed, and the exit code tells.
    """
    from secureml.configuration.process import configure
    from secureml.settings import Layers, load_settings

    failure = None
    try:
        settings = configure(environment=environment)
    except SecureMLError as error:
        failure = error
    if failure is not None:
        settings = load_settings(Layers(environment=environment))
    if as_json:
        show_json(_entries(settings))
    else:
        _print(settings)
    if failure is not None:
        note("the record in Vault is not among these settings, and nothing runs without it")
        raise failure


def _print(settings: Settings) -> None:
    rows = [
        (name, shown(value), shown(_told(settings.origins[name], name)))
        for name, value, _ in settings.describe()
    ]
    names, values = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, value, origin in rows:
        print_line(f"{name:<{names}}  {value:<{values}}  {origin}")


def _told(origin: str, name: str) -> str:
    """Return an origin with the lines at which a setting stands in files."""
    from secureml.settings import Origin

    places = Origin.of(origin).places
    lines = [place.line(name) for place in places]
    return ", ".join(
        f"{place.words} line {line}" if line else place.words
        for place, line in zip(places, lines, strict=True)
    )


@settings.add_command
@command("schema", examples="secureml settings schema > settings.schema.json")
def schema(environment: str | None) -> None:
    """Print the JSON Schema of a settings file.

    It is for editors, and covers every environment.
    """
    from secureml.settings import json_schema

    show_json(json_schema())


def _entries(settings: Settings) -> dict[str, dict[str, object]]:
    """Return value and origin of each setting by name, with the types that JSON has.

    Where files are among the origins, their full paths, sections and lines follow.
    """
    from secureml.settings import SETTINGS, Origin

    values: dict[str, object] = {"environment": settings.environment}
    for setting in SETTINGS:
        value = getattr(settings, setting.name)
        if setting.secret and value:
            value = setting.shown(value)
        values[setting.name] = value if setting.read is None else value.document()
    entries: dict[str, dict[str, object]] = {}
    for name, value in values.items():
        origin = settings.origins[name]
        entries[name] = {"value": value, "origin": origin}
        files = [
            {"file": str(place.file), "section": place.section, "line": place.line(name)}
            for place in Origin.of(origin).places
            if place.file is not None
        ]
        if files:
            entries[name]["files"] = files
    return entries

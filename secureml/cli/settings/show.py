"""``secureml settings show`` and ``schema``: what is in force, where from, and what there is."""

from __future__ import annotations

from secureml.cli.base import command, note
from secureml.cli.options import json_option
from secureml.cli.output import show as print_line
from secureml.cli.output import show_json, shown
from secureml.configuration.process import configure
from secureml.errors import SecureMLError
from secureml.settings import SETTINGS, Layers, Origin, Settings, json_schema, load_settings

__all__ = ["schema", "show"]


@command()
@json_option
def show(environment: str | None, as_json: bool) -> None:
    """Print every setting and its origin.

    The origin is the layer that a value comes from, with the line of a file. Secrets stay hidden.
    If the record in Vault can't be used, the other layers are printed, and the exit code is not 0.

    Examples:
      secureml settings show
      secureml settings show --env production --json
    """
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


@command()
def schema(environment: str | None) -> None:
    """Print the JSON Schema of a settings file.

    It is for editors, and covers every environment.

    Examples:
      secureml settings schema > settings.schema.json
    """
    show_json(json_schema())


def _print(settings: Settings) -> None:
    rows = [
        (name, shown(value), shown(_origin(settings, name)))
        for name, value, _ in settings.describe()
    ]
    names, values = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, value, origin in rows:
        print_line(f"{name:<{names}}  {value:<{values}}  {origin}")


def _origin(settings: Settings, name: str) -> str:
    """Return where a setting comes from, with the lines at which it stands in files."""
    places = [(place.words, place.line(name)) for place in Origin.of(settings.origins[name]).places]
    return ", ".join(f"{words} line {line}" if line else words for words, line in places)


def _entries(settings: Settings) -> dict[str, dict[str, object]]:
    """Return value and origin of each setting by name, with the types that JSON has.

    If files are among the origins, their full paths, sections and lines follow.
    """
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

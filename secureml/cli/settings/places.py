"""What the commands about settings share: layers as they are read, values and places as printed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from secureml.cli.base import note
from secureml.cli.output import show, shown
from secureml.configuration.process import open_store
from secureml.configuration.remote import read_record
from secureml.errors import SecureMLError
from secureml.settings import Layers, Origin, Place, Said, Setting, Settings, history, read_layers
from secureml.settings.variables import FILE_VARIABLE

__all__ = [
    "Found",
    "environ_of",
    "find",
    "json_value",
    "place_entry",
    "said_entry",
    "show_block",
    "told",
    "variables_option",
]

variables_option = click.option(
    "--variables",
    is_flag=True,
    help=f"Have the environment variables count, {FILE_VARIABLE} among them.",
)


def environ_of(*, variables: bool, names_file: bool = True) -> Mapping[str, str]:
    """Return the environment variables that count.

    Args:
        variables: whether they do.
        names_file: whether to say so if one is passed over that names the settings file.
    """
    if variables:
        return os.environ
    if names_file and os.environ.get(FILE_VARIABLE):
        note(f"{FILE_VARIABLE} does not count; --variables has it count")
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The settings in force.

    Attributes:
        settings: the settings.
        said: what each layer says of each, weakest first.
        failure: why the record in Vault is not among them, if it should be.
    """

    settings: Settings
    said: Mapping[str, list[Said]]
    failure: SecureMLError | None = None

    def entry_of(self, setting: Setting) -> dict[str, Any]:
        """Return value and origin of a setting for JSON."""
        origin = Origin.of(self.settings.origins[setting.name])
        return said_entry(setting, Said(getattr(self.settings, setting.name), origin))

    def layers_of(self, setting: Setting) -> list[dict[str, Any]]:
        """Return what each layer says of a setting for JSON."""
        said = self.said[setting.name]
        return [{**said_entry(setting, each), "in_force": each.in_force} for each in said]

    def show_layers(self, setting: Setting, title: str) -> None:
        """Print what each layer says of a setting, with a mark at what is in force."""
        show_block(
            title,
            (
                ("*" * each.in_force, setting.shown(each.value), told(each.origin, setting.name))
                for each in self.said[setting.name]
            ),
        )


def find(environment: str | None) -> Found:
    """Read all layers; if the record in Vault can't be used, all others.

    Raises:
        ConfigurationError: with every problem of the layers but Vault's.
    """
    read = read_layers(Layers(environment=environment))
    settings = read.merged()
    record, failure = None, None
    if settings.vault_settings:
        try:
            record = read_record(open_store(settings))
            settings = read.merged(record)
        except SecureMLError as error:
            record, failure = None, error
    read.warn(settings)
    return Found(settings=settings, said=history(read, settings, record), failure=failure)


def told(origin: str, *keys: str) -> str:
    """Return where a value comes from, with its line in each file.

    Args:
        origin: the layers.
        *keys: the setting, and keys inside of it.
    """
    places = [(place.words, place.line(*keys)) for place in Origin.of(origin).places]
    return shown(", ".join(f"{words} line {line}" if line else words for words, line in places))


def json_value(setting: Setting, value: Any) -> Any:
    """Return a value of a setting as JSON has it; a secret's is hidden."""
    if setting.read is not None and hasattr(value, "document"):
        return value.document()
    return setting.shown(value) if setting.secret and value is not None else value


def said_entry(setting: Setting, said: Said, *keys: str) -> dict[str, Any]:
    """Return value and origin for JSON; if files are among the origins, where in them it stands."""
    entry = {"value": json_value(setting, said.value), "origin": said.origin or None}
    places = [place for place in said.origin.places if place.file is not None]
    files = [place_entry(place, place.line(setting.name, *keys)) for place in places]
    return {**entry, "files": files} if files else entry


def place_entry(place: Place | None, line: int | None) -> dict[str, Any]:
    """Return file, section and line of a place for JSON."""
    file, section = (place.file, place.section) if place else (None, None)
    return {"file": None if file is None else str(file), "section": section, "line": line}


def show_block(title: str, rows: Iterable[tuple[str, str, str]]) -> None:
    """Print a title and rows of three cells below it, which begin below each other."""
    rows = [(shown(first), shown(value), place) for first, value, place in rows]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    show(title)
    for first, value, place in rows:
        show(f"  {first:<{widths[0]}}  {value:<{widths[1]}}  {place}".rstrip())

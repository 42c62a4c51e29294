"""The packaged defaults: what differs between environments if nobody sets anything."""

from __future__ import annotations

import functools
import importlib.resources
import tomllib
from collections.abc import Mapping

from secureml.settings.environments import ENVIRONMENTS

__all__ = ["default_in", "is_default", "packaged_defaults", "packaged_layers"]

_Values = Mapping[str, object]


@functools.cache
def packaged_defaults() -> Mapping[str, _Values]:
    """Return the sections of the package's own ``defaults.toml``."""
    file = importlib.resources.files("secureml.settings").joinpath("defaults.toml")
    return tomllib.loads(file.read_text("utf-8"))


def packaged_layers(environment: str | None) -> dict[str, _Values]:
    """Return the packaged defaults of an environment by their origin, weakest first.

    Args:
        environment: its canonical name; None if none is selected. One that a user declares is
            as strict as production.
    """
    sections = packaged_defaults()
    layers = {"default": sections["default"]}
    if environment is not None:
        like = environment if environment in ENVIRONMENTS else "production"
        layers[_origin(like)] = sections[like]
    return layers


def default_in(environment: str | None, name: str) -> tuple[object, str] | None:
    """Return the packaged default of a setting, and its origin; None if it has none.

    Args:
        environment: its canonical name; None if none is selected.
        name: the setting.
    """
    layers = packaged_layers(environment).items()
    return next(((v[name], origin) for origin, v in reversed(layers) if name in v), None)


def is_default(name: str, value: object, origin: str | None) -> bool:
    """Tell whether a setting has this value because the packaged defaults of some tier say so."""
    return any(
        values.get(name) == value and origin == _origin(section)
        for section, values in packaged_defaults().items()
        if name in values
    )


def _origin(section: str) -> str:
    return "default" if section == "default" else f"default [{section}]"

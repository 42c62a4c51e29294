"""The section of settings that a host application hands over, read and never changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from secureml.errors import ConfigurationError
from secureml.secret_types import reveal
from secureml.settings.layers import Layer

__all__ = ["Host", "host_layer"]

_TRIES = 50
_SETTLED = 0.02
"""Seconds for which a section stays the same before it counts as loaded."""


class Host:
    """The section of a host application, followed if it comes from a Dynaconf object.

    ``using_env`` and ``reload`` of Dynaconf put another section in the place of the one there was.
    A mapping that is no section at the top of a Dynaconf object stays what it is; a function is
    asked for the section at each use.

    Args:
        given: the section, or a function that returns it.

    Raises:
        TypeError: it is neither, or the function returns no mapping.
    """

    def __init__(self, given: Mapping[str, object] | Callable[[], Mapping[str, object]]) -> None:
        read, self._is_followed = _reader(given)
        if read is None:
            raise TypeError(
                "host must be a mapping, one section of the host's settings, or a function that "
                "returns it"
            )
        self._read = read

    def section(self) -> Any:
        """Return the section as it is by now; None while there is none."""
        try:
            return self._read()
        except (AttributeError, KeyError):
            return None

    def settled(self, *, pause: Callable[[float], None] = time.sleep) -> Any:
        """Return the section once it is loaded.

        Another thread may be reloading the host's settings: the section is missing meanwhile, or
        there without what the selected environment says.

        Args:
            pause: waits for some seconds.

        Raises:
            ConfigurationError: there is no such section, or another one each time.
        """
        if not self._is_followed:
            return self.section()
        section = None
        for _ in range(_TRIES):
            section = self.section()
            pause(_SETTLED)
            if isinstance(section, Mapping) and self.is_still(section):
                return section
        # No local may show what a section holds.
        del section
        raise ConfigurationError("host application: its settings have no section for secureml")

    def is_still(self, read: object) -> bool:
        """Tell whether the section is still the one that was read.

        Args:
            read: what ``settled`` returned.
        """
        section = self.section()
        return section is read or section == read


def host_layer(section: Mapping[str, object], problems: list[str]) -> Layer:
    """Return what the host's section sets, by names in lower case."""
    found: dict[Any, object] = {}
    for spelling in section:
        # Dynaconf evaluates what the host writes as `@format` at this access alone.
        value = section[spelling]
        name = spelling.lower() if isinstance(spelling, str) else spelling
        if value is None:
            continue
        if name in found:
            problems.append(f"host application: {name} is set in two spellings")
        found[name] = value
    return Layer("host application", found)


def _reader(given: object) -> tuple[Callable[[], Any] | None, bool]:
    """Return what reads the section, None if there is no section, and whether it may change.

    What is wrong may be a secret: it is in no frame of the error that tells of it.
    """
    given = reveal(given)
    store, key = _home(given)
    is_followed = store is not None or not isinstance(given, Mapping)
    read: Any = given
    if store is not None:
        read = partial(dict.get, store, key)  # without what Dynaconf does at each access
    elif isinstance(given, Mapping):
        read = partial(reveal, given)
    # A whole Dynaconf object can be called, and gives no section.
    is_object = hasattr(given, "execute_loaders")
    if is_object or not callable(read) or not isinstance(read(), Mapping):
        return None, False
    return read, is_followed


def _home(section: object) -> tuple[dict[str, object] | None, str]:
    """Return the store at whose top Dynaconf keeps a section, and the key there, if it does."""
    box = getattr(section, "_box_config", None)  # before Dynaconf 3.3
    meta = getattr(section, "__meta__", None)
    settings = box.get("box_settings") if isinstance(box, dict) else getattr(meta, "core", None)
    store = getattr(settings, "store", None)
    if isinstance(store, dict):
        for key, value in dict.items(store):
            if value is section:
                return store, key
    return None, ""

"""The recipe for settings: what is to be read, besides the environment variables and Vault."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from secureml.secret_types import conceal, reveal
from secureml.settings.host import Host
from secureml.settings.schema import BY_NAME
from secureml.settings.setting import absolute

__all__ = ["Layers"]


@dataclass(frozen=True, slots=True)
class Layers:
    """The recipe for settings: what to read besides the environment variables and Vault.

    Args:
        files: the settings files, weakest first, instead of those found; they must exist. Of one
            that is named twice the last place counts.
        environment: the environment, instead of ``SECUREML_ENV``.
        host: a section of the host application's own settings, keys in any case, or a function that
            returns it. It is read at every load and never changed; entries that are None are passed
            over.
        arguments: settings given in code, above all layers; those that are None are passed over.

    Raises:
        TypeError: an argument has the wrong Python type.
        ConfigurationError: a path is relative and the working directory is gone.
    """

    files: tuple[Path, ...] | None = None
    environment: str | None = None
    host: Host | Mapping[str, object] | Callable[[], Mapping[str, object]] | None = field(
        default=None, repr=False
    )
    arguments: Mapping[str, object] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.files, str | os.PathLike):
            raise TypeError("files must be a sequence of paths, not one path")
        if self.environment is not None and not isinstance(self.environment, str):
            raise TypeError("environment must be a str or None")
        if self.host is not None and not isinstance(self.host, Host):
            object.__setattr__(self, "host", Host(self.host))
        if self.files is not None:
            files = tuple(Path(absolute(str(Path(file)), "files")) for file in self.files)
            object.__setattr__(self, "files", files)
        arguments = {
            name: conceal(_located(name, value))
            for name, value in self.arguments.items()
            if value is not None
        }
        object.__setattr__(self, "arguments", MappingProxyType(arguments))


def _located(name: str, value: object) -> object:
    """Make a path absolute: where it is relative to must not change with the working directory."""
    if name not in BY_NAME or not BY_NAME[name].is_path:
        return value
    path = reveal(value)
    path = os.fspath(path) if isinstance(path, os.PathLike) else path
    return absolute(path, name) if isinstance(path, str) and path else value

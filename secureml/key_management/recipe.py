"""What another process needs to build an equal manager: names and files, and no secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secureml.configuration import process
from secureml.key_management.manager import KeyManager
from secureml.secret_types import reveal
from secureml.settings.schema import BY_NAME

__all__ = ["ManagerRecipe", "recipe_of"]


@dataclass(frozen=True, slots=True)
class ManagerRecipe:
    """How to build a manager in a process that has the same variables and files.

    Args:
        files: the settings files; None for those that are found.
        environment: the environment; None for that of ``SECUREML_ENV``.
        arguments: settings given in code, none of them secret.
    """

    files: tuple[Path, ...] | None
    environment: str | None
    arguments: Mapping[str, Any]

    def build(self) -> KeyManager:
        """Build the manager, with this process's own credentials.

        Raises:
            ConfigurationError: with every problem found.
        """
        process.configure(files=self.files, environment=self.environment)
        return KeyManager(**self.arguments)


def recipe_of(manager: KeyManager) -> ManagerRecipe | None:
    """Return the recipe of a manager, or None if another process can't have the like of it.

    That is so if it was given a store, finished settings, a secret or the settings of a host
    application, and if it logs in with what can be used once.
    """
    layers = manager._layers
    if layers is None or layers.host is not None or manager.settings.vault_secret_id_wrapped:
        return None
    if any(name not in BY_NAME or BY_NAME[name].secret for name in layers.arguments):
        return None
    arguments = {name: reveal(value) for name, value in layers.arguments.items()}
    return ManagerRecipe(layers.files, layers.environment, arguments)

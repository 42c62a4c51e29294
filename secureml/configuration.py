"""The settings of this process: built from every layer, Vault's too, and swapped as a whole."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from secureml.errors import ConfigurationError
from secureml.settings import Layers, Settings, load_settings
from secureml.sources.base import Finding, SecretStore

__all__ = [
    "configure",
    "current_layers",
    "get_settings",
    "open_store",
    "override",
    "reset",
    "state_token",
    "with_vault_record",
]

SETTINGS_RECORD = "settings"
"""The name, below path and environment, of the secret that holds settings."""


@dataclass(frozen=True, slots=True)
class _State:
    layers: Layers
    settings: Settings | None


_lock = threading.RLock()
_state = _State(Layers(), None)


def configure(
    *,
    files: Sequence[str | Path] | None = None,
    environment: str | None = None,
    host: Mapping[str, object] | None = None,
    **settings: object,
) -> Settings:
    """Set up this process: build the settings from all layers and put them in place.

    Nothing changes where the new settings are wrong or Vault's layer can't be read.

    Args:
        files: the settings files to read, weakest first, instead of those found from the working
            directory upwards.
        environment: the environment; ``SECUREML_ENV`` decides where it is None.
        host: a section of the host application's own settings; it is read and never changed.
        **settings: settings by name; they win over every other layer.

    Returns:
        The new settings.

    Raises:
        ConfigurationError: with every problem found.
        SecretError: ``vault_settings`` is on and Vault's layer can't be read.
    """
    layers = Layers(
        files=None if files is None else tuple(Path(file) for file in files),
        environment=environment,
        host=host,
        arguments=_given(settings),
    )
    return _install(layers)


def get_settings() -> Settings:
    """Return the settings of this process, built on first use.

    Raises:
        ConfigurationError: with every problem found.
        SecretError: ``vault_settings`` is on and Vault's layer can't be read.
    """
    settings = _state.settings
    return settings if settings is not None else _install(_state.layers)


def reset() -> None:
    """Forget the settings and what ``configure`` was given; the next use builds them anew."""
    global _state
    with _lock:
        _state = _State(Layers(), None)


@contextmanager
def override(*, environment: str | None = None, **settings: object) -> Iterator[Settings]:
    """Use other settings for the length of a ``with`` block, in the whole process; made for tests.

    Args:
        environment: another environment.
        **settings: settings by name.

    Yields:
        The settings in force inside the block.

    Raises:
        ConfigurationError: with every problem found.
    """
    global _state
    before = _state
    try:
        yield _install(current_layers(environment, settings))
    finally:
        with _lock:
            _state = before


def current_layers(environment: str | None, arguments: Mapping[str, object]) -> Layers:
    """Return this process's recipe with an environment and arguments put on top.

    Args:
        environment: the environment; None leaves it as it is.
        arguments: settings by name; those that are None are left to the other layers.
    """
    layers = _state.layers
    return replace(
        layers,
        environment=layers.environment if environment is None else environment,
        arguments={**layers.arguments, **_given(arguments)},
    )


def state_token() -> object:
    """Return an object that is another one as soon as the settings have been replaced."""
    return _state.layers


def open_store(settings: Settings) -> SecretStore | None:
    """Connect to the store that the settings name, without sending anything.

    Args:
        settings: the settings.

    Returns:
        The store, or None where no Vault is configured.

    Raises:
        MissingExtraError: Vault is configured and hvac is not installed.
        ConfigurationError: the CA certificate does not exist.
    """
    if settings.vault_url is None:
        return None
    from secureml.sources.vault import VaultStore
    from secureml.vault.session import VaultSession

    return VaultStore(VaultSession(settings), settings)


def with_vault_record(layers: Layers, store: SecretStore | None) -> Settings:
    """Build the settings with Vault's layer at its place.

    Args:
        layers: the recipe.
        store: where Vault's layer is kept.

    Raises:
        ConfigurationError: with every problem found, or there is no store.
        SecretError: Vault's layer can't be read.
    """
    if store is None:
        raise ConfigurationError("vault_settings is on and vault_url is not set")
    outcome = store.read(SETTINGS_RECORD)
    if outcome.error is not None:
        raise outcome.error
    if outcome.finding is Finding.PRESENT and outcome.record is not None:
        return load_settings(layers, vault_record=outcome.record.fields)
    return load_settings(layers)


def _install(layers: Layers) -> Settings:
    global _state
    settings = _build(layers)
    with _lock:
        _state = _State(layers, settings)
    return settings


def _build(layers: Layers) -> Settings:
    settings = load_settings(layers)
    if not settings.vault_settings:
        return settings
    store = open_store(settings)
    try:
        return with_vault_record(layers, store)
    finally:
        if store is not None:
            store.close()


def _given(arguments: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in arguments.items() if value is not None}

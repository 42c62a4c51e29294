"""The settings of this process: built from every layer, Vault's too, and swapped as a whole."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from secureml.central import CentralSettings, read_record
from secureml.concealed import conceals
from secureml.concurrency import SharedLock, unforked
from secureml.settings import Layers, Settings
from secureml.sources.base import SecretStore

__all__ = [
    "configure",
    "current_layers",
    "get_settings",
    "open_store",
    "override",
    "reset",
    "state_token",
]


@dataclass(frozen=True, slots=True)
class _State:
    layers: Layers
    central: CentralSettings | None


_clock = time.monotonic
_lock = SharedLock()
_state = _State(Layers(), None)


@conceals("host")
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

    Where ``vault_settings`` is on, Vault's layer is read again after ``settings_ttl`` seconds.
    Where that fails, the last good settings stay in force.

    Raises:
        ConfigurationError: with every problem found.
        SecretError: ``vault_settings`` is on and Vault's layer was never read, and can't be.

    Warns:
        FallbackWarning: Vault's layer can't be read again.
    """
    global _state
    state = _state
    if state.central is not None:
        return state.central.current()
    central = _central(state.layers)
    settings = central.current()
    with _lock.mutex:
        if _state is state:
            _state = _State(state.layers, central)
    return settings


def reset() -> None:
    """Forget the settings and what ``configure`` was given; the next use builds them anew."""
    global _state
    _state = _State(Layers(), None)


@conceals()
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
    with unforked():
        from secureml.sources.vault import VaultStore
        from secureml.vault.session import VaultSession

    return VaultStore(VaultSession(settings), settings)


def _install(layers: Layers) -> Settings:
    global _state
    central = _central(layers)
    settings = central.current()
    with _lock.mutex:
        _state = _State(layers, central)
    return settings


def _central(layers: Layers) -> CentralSettings:
    return CentralSettings(layers, _ask_vault, clock=_clock)


def _ask_vault(local: Settings) -> Mapping[str, object] | None:
    store = open_store(local)
    try:
        return read_record(store)
    finally:
        if store is not None:
            store.close()


def _given(arguments: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in arguments.items() if value is not None}

"""The settings of this process, and those that override them in the context of a block.

They are built from every layer, Vault's too, and swapped as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path

from secureml.configuration.remote import RemoteSettings, read_record
from secureml.forksafe import ForkSafeLock, unforked
from secureml.secret_types import conceals
from secureml.settings import Layers, Settings, over
from secureml.stores.base import SecretStore

__all__ = [
    "attachments",
    "configure",
    "current_layers",
    "get_settings",
    "is_overridden",
    "on_reset",
    "open_store",
    "override",
    "reset",
    "temporary_settings",
]

_clock = time.monotonic
_lock = ForkSafeLock()


class _State:
    """The settings of one recipe, built on first use, and what was made for them."""

    def __init__(self, layers: Layers, remote: RemoteSettings | None = None) -> None:
        self.layers = layers
        self.attachments: dict[str, object] = {}
        self._remote = remote

    @property
    def remote(self) -> RemoteSettings:
        """The settings; all threads get the same, so that Vault is asked once."""
        if self._remote is None:
            with _lock.mutex:
                if self._remote is None:
                    self._remote = _remote_settings(self.layers)
        return self._remote

    @property
    def host_changed(self) -> bool:
        """Whether the host has another section than the one that the settings were built from."""
        return self._remote is not None and self._remote.host_changed


class _Override:
    """What one block puts on top of the settings below it, until it is over."""

    def __init__(self, environment: str | None, arguments: Mapping[str, object]) -> None:
        self.over = False
        self._environment = environment
        self._arguments = arguments
        self._made: tuple[_State, _State] | None = None

    def on(self, below: _State) -> _State:
        """Return the state on top of another one; the same as long as that is the same."""
        with _lock.mutex:
            if self._made is None or self._made[0] is not below:
                layers = _on_top(below.layers, self._environment, self._arguments)
                self._made = below, _State(layers)
            return self._made[1]

    def end(self) -> None:
        """Be in force nowhere, also in a context that was copied inside the block."""
        self.over = True
        self._made = None


_state = _State(Layers())
_overrides: ContextVar[tuple[_Override, ...]] = ContextVar("secureml_overrides", default=())
_on_reset: list[Callable[[], None]] = []


@conceals("host")
def configure(
    *,
    files: Sequence[str | Path] | None = None,
    environment: str | None = None,
    host: Mapping[str, object] | Callable[[], Mapping[str, object]] | None = None,
    **settings: object,
) -> Settings:
    """Set up this process: build the settings from all layers and put them in place.

    Nothing changes if the new settings are wrong or Vault's layer can't be read.

    Args:
        files: the settings files to read, weakest first, instead of those found from the working
            directory upwards.
        environment: the environment; None leaves it to ``SECUREML_ENV``.
        host: a section of the host application's own settings, or a function that returns it; it
            is read and never changed. A section at the top of a Dynaconf object is followed: after
            ``reload`` and in ``using_env`` the settings are built anew. So is a function.
        **settings: settings by name; they win over every other layer.

    Returns:
        The new settings.

    Raises:
        ConfigurationError: with every problem found.
        SecretError: ``vault_settings`` is on and Vault's layer can't be read.
    """
    global _state
    layers = Layers(
        files=None if files is None else tuple(Path(file) for file in files),
        environment=environment,
        host=host,
        arguments=settings,
    )
    remote = _remote_settings(layers)
    built = remote.current()
    with _lock.mutex:
        _state = _State(layers, remote)
    return built


def get_settings() -> Settings:
    """Return the settings of this process, built on first use.

    If ``vault_settings`` is on, Vault's layer is read again after ``settings_ttl`` seconds. If that
    fails, the last good settings stay in force.

    Raises:
        ConfigurationError: with every problem found.
        SecretError: ``vault_settings`` is on and Vault's layer was never read, and can't be.

    Warns:
        FallbackWarning: Vault's layer can't be read again.
    """
    return _in_force(_followed()).remote.current()


def reset() -> None:
    """Forget what this process was given: the settings, the default manager and its callbacks.

    The next use builds them anew. Made for tests. An ``override`` block goes on until its end.
    """
    global _state
    _state = _State(Layers())
    for forget in _on_reset:
        forget()


@conceals()
@contextmanager
def override(*, environment: str | None = None, **settings: object) -> Iterator[Settings]:
    """Put other settings on top, for the length of a ``with`` block and in its context.

    They hold in the thread or the asyncio task that enters the block, in tasks that begin inside
    it, and in what ``asyncio.to_thread`` and ``contextvars.copy_context().run`` call there; not in
    other tasks, nor in threads that are started in another way. What ``configure`` sets meanwhile
    stays, below them. At the end of the block they hold nowhere. Blocks may overlap.

    Args:
        environment: another environment.
        **settings: settings by name.

    Yields:
        The settings in force inside the block.

    Raises:
        ConfigurationError: with every problem found.
    """
    mine = _Override(environment, settings)
    _overrides.set((*_active_overrides(), mine))
    try:
        yield get_settings()
    finally:
        mine.end()
        _overrides.set(_active_overrides())


@contextmanager
def temporary_settings(
    environment: str | None = None, arguments: Mapping[str, object] | None = None
) -> Iterator[None]:
    """Put other settings on top in the whole process, for the length of a ``with`` block.

    Unlike those of ``override``, they hold in all threads and tasks. What is configured inside the
    block is undone at its end. Made for tests.

    Args:
        environment: another environment.
        arguments: settings by name.
    """
    global _state
    before = _state
    with _lock.mutex:
        _state = _State(_on_top(before.layers, environment, arguments or {}))
    try:
        yield
    finally:
        with _lock.mutex:
            _state = before


def current_layers(environment: str | None, arguments: Mapping[str, object]) -> Layers:
    """Return this process's recipe with an environment and arguments put on top.

    Args:
        environment: the environment; None leaves it as it is.
        arguments: settings by name; those that are None are left to the other layers.
    """
    return _on_top(_in_force(_state).layers, environment, arguments)


def attachments() -> dict[str, object]:
    """Return what was made for the settings in force; it goes as soon as they are replaced."""
    return _in_force(_followed()).attachments


def is_overridden() -> bool:
    """Tell whether an ``override`` block is in force in this context."""
    return bool(_active_overrides())


def on_reset(forget: Callable[[], None]) -> None:
    """Have a function called by ``reset``.

    Args:
        forget: forgets what a module keeps for the process.
    """
    _on_reset.append(forget)


def open_store(settings: Settings) -> SecretStore | None:
    """Connect to the store that the settings name, without sending anything.

    Args:
        settings: the settings.

    Returns:
        The store, or None if no Vault is configured.

    Raises:
        MissingExtraError: Vault is configured and hvac is not installed.
        ConfigurationError: the CA certificate does not exist.
    """
    if settings.vault_url is None:
        return None
    with unforked():
        from secureml.stores.vault import VaultStore
        from secureml.vault.client.session import VaultSession

    return VaultStore(VaultSession(settings), settings)


def _followed() -> _State:
    """Return the process's state, a new one if the host has put another section in place."""
    global _state
    if not _state.host_changed:
        return _state
    with _lock.mutex:
        before = _state
        if before.host_changed:
            renewed = _State(before.layers, _remote_settings(before.layers))
            # Meanwhile `configure` may have put its own in place.
            _state = renewed if _state is before else _state
        return _state


def _in_force(state: _State) -> _State:
    for each in _active_overrides():
        state = each.on(state)
    return state


def _active_overrides() -> tuple[_Override, ...]:
    return tuple(each for each in _overrides.get() if not each.over)


def _on_top(layers: Layers, environment: str | None, arguments: Mapping[str, object]) -> Layers:
    given = {name: value for name, value in arguments.items() if value is not None}
    return replace(
        layers,
        environment=layers.environment if environment is None else environment,
        arguments=over(given, layers.arguments),
    )


def _remote_settings(layers: Layers) -> RemoteSettings:
    """Return the settings of a recipe, whose record is read through one store."""
    store: SecretStore | None = None

    def fetch(local: Settings) -> Mapping[str, object] | None:
        nonlocal store
        store = store or open_store(local)
        return read_record(store)

    return RemoteSettings(layers, fetch, clock=_clock)

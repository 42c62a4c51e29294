"""Settings that follow the record in Vault, with which an operator sets them for every program."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from secureml.errors import (
    ConfigurationError,
    FallbackWarning,
    SecureMLError,
    warn,
)
from secureml.forksafe import ForkSafeLock, SingleFlight, jitter
from secureml.settings import Layers, Settings, read_layers
from secureml.stores.base import SecretStore

__all__ = ["SETTINGS_RECORD", "RemoteSettings", "read_record"]

SETTINGS_RECORD = "settings"
"""The name, below path and environment, of the secret that holds settings."""

_PAUSE = 5.0
"""Seconds from a failed attempt to read the record to the next one."""


class RemoteSettings:
    """The settings of all layers, Vault's read on first use and again after ``settings_ttl``.

    Every other layer stays as it was at the beginning.

    Args:
        layers: the recipe of the other layers.
        fetch: returns what the record in Vault holds, None if there is none; it is given the
            settings of the other layers.
        clock: returns seconds that only ever increase.
        chance: returns numbers from 0 up to 1, so that a fleet does not ask at the same moment.

    Attributes:
        local: the settings without Vault's layer.

    Raises:
        ConfigurationError: with every problem of the other layers.
    """

    def __init__(
        self,
        layers: Layers,
        fetch: Callable[[Settings], Mapping[str, object] | None],
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._layers = read_layers(layers)
        self.local = self._layers.merged()
        self._layers.warn(self.local)
        self._fetch = fetch
        self._clock = clock
        self._chance = chance
        self._flights: SingleFlight[None, _DatedSettings] = SingleFlight()
        self._lock = ForkSafeLock()
        self._current = None if self.local.vault_settings else _DatedSettings(self.local, math.inf)

    def current(self) -> Settings:
        """Return the settings in force.

        One thread reads the record again, and the others go on with what they have. If that fails,
        the last good settings stay in force, and the next attempt comes seconds later.

        Raises:
            ConfigurationError: the record was never read, and holds what it may not, or Vault is
                not configured.
            SecretError: the record was never read, and can't be.

        Warns:
            FallbackWarning: the record can't be read again.
        """
        dated = self._current
        if dated is None:
            dated = self._flights.run(None, self._read_first, self._keep_first)
        elif dated.due < math.inf and self._clock() >= dated.due:
            dated = self._read_again(dated)
        return dated.settings

    @property
    def host_changed(self) -> bool:
        """Whether the host has another section than the one that was read."""
        return self._layers.host_changed

    @property
    def known(self) -> Settings:
        """The settings as they are known by now; nothing is read for this."""
        dated = self._current
        return self.local if dated is None else dated.settings

    def expire(self) -> None:
        """Let the next use read the record, and what is being read just now not be used."""
        if not self.local.vault_settings:
            return
        self._flights.discard(lambda _: True)
        with self._lock.mutex:
            if self._current is not None:
                self._current = replace(self._current, due=-math.inf)

    def _read_first(self) -> _DatedSettings:
        return self._current or self._read()

    def _keep_first(self, dated: _DatedSettings) -> None:
        self._current = dated

    def _read_again(self, old: _DatedSettings) -> _DatedSettings:
        # Whoever is to read says so by putting off the next attempt to when this one is over.
        begun = replace(old, due=self._clock() + self.local.vault_timeout + _PAUSE)
        if not self._swap(old, begun):
            return old
        problem = None
        try:
            self._swap(begun, self._read())
        except SecureMLError as error:
            problem = error.message
        if problem is not None:
            self._swap(begun, replace(begun, due=self._clock() + _PAUSE))
            consequence = "the settings stay as they were read from Vault before"
            warn(
                f"the record in Vault can't be read again; {consequence}",
                FallbackWarning,
                f"{problem}; {consequence}",
            )
        return self._current or old

    def _read(self) -> _DatedSettings:
        now = self._clock()
        settings = self._layers.merged(self._fetch(self.local))
        return _DatedSettings(settings, now + jitter(settings.settings_ttl, self._chance))

    def _swap(self, old: _DatedSettings, new: _DatedSettings) -> bool:
        with self._lock.mutex:
            if self._current is not old:
                return False
            self._current = new
            return True


@dataclass(frozen=True, slots=True, eq=False)
class _DatedSettings:
    """Settings, and when the record is to be read again."""

    settings: Settings
    due: float


def read_record(store: SecretStore | None) -> Mapping[str, object] | None:
    """Return what the settings record in Vault holds; None if there is none.

    Args:
        store: where it is kept; None if Vault is not configured.

    Raises:
        ConfigurationError: there is no store.
        SecretError: it can't be read.
    """
    if store is None:
        raise ConfigurationError("vault_settings is on and vault_url is not set")
    outcome = store.read(SETTINGS_RECORD)
    if outcome.error is not None:
        raise outcome.error
    return None if outcome.record is None else outcome.record.fields

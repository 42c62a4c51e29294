"""The policy: which source a secret may come from, by Vault's outcome and by environment.

The base of KeyManager's parts applies it, with what every operation needs: settings, store, cache
and audit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial

from secureml.audit import Access, Audit
from secureml.configuration import process
from secureml.configuration.remote import RemoteSettings, read_record
from secureml.errors import (
    ConfigurationError,
    DevelopmentKeyWarning,
    FallbackWarning,
    SecretError,
    SecretNotFoundError,
    SecureMLError,
    VaultUnavailableError,
    warn,
)
from secureml.forksafe import ForkSafeLock
from secureml.key_management.cache import Cache, CacheEntry
from secureml.key_management.invalidation import invalidating
from secureml.key_management.known_keys import KnownKeys
from secureml.key_management.notifier import RotationNotifier
from secureml.key_management.records import check_name
from secureml.key_management.wrapped import unwrapped
from secureml.keys import Key
from secureml.settings import ENVIRONMENTS, Layers, Settings
from secureml.stores import (
    DevelopmentSource,
    EnvironmentSource,
    Finding,
    Outcome,
    Record,
    SecretStore,
)

__all__ = ["POLICY", "Resolved", "SecretResolver", "error_of", "record_of"]

_ENV = "environment variable"
_DEFAULT = "development default"

_FALLBACKS = {
    "development": (_ENV, _DEFAULT),
    "staging": (_ENV,),
    "production": (_ENV,),
    "declared by the user": (_ENV,),
    "unset": (_ENV, _DEFAULT),
}

POLICY: Mapping[Finding, Mapping[str, tuple[str, ...]]] = {
    Finding.PRESENT: {},
    Finding.NOT_CONFIGURED: _FALLBACKS,
    Finding.ABSENT: _FALLBACKS,
    Finding.UNAVAILABLE: _FALLBACKS,
    Finding.DELETED: {},
    Finding.DISABLED: {},
    Finding.REFUSED: {},
}
"""The sources that may be asked after Vault, in order, by Vault's outcome and by environment.

``use_env_fallback`` and ``use_default_fallback`` only ever take a source away. They differ by
environment: the settings let ``use_default_fallback`` be true in development, or as an explicit
argument if no environment is selected.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Resolved:
    """Result of asking the sources.

    Args:
        outcome: the result of the last source asked.
        asked_at: when Vault was asked, or would have been, in seconds of the monotonic clock.
        keys: the handles made of it so far, by their length in bytes.
    """

    outcome: Outcome
    asked_at: float = field(default_factory=time.monotonic)
    keys: dict[int, Key] = field(default_factory=dict)

    @property
    def record(self) -> Record:
        """The secret; raises the outcome's error if there is none."""
        return record_of(self.outcome)


class SecretResolver:
    """Finds a secret in the first source that has it and that the policy allows.

    It is the base of KeyManager's parts; its parameters are those of KeyManager.

    What is made here does not refer to the manager, so that it ends with its last reference.
    """

    _layers: Layers | None
    """The recipe of its settings; None if it was given finished ones, or a store."""

    def __init__(
        self,
        arguments: Mapping[str, object],
        *,
        environment: str | None,
        settings: Settings | None,
        store: SecretStore | None,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._remote, self._layers = None, None
        if settings is None:
            layers = process.current_layers(environment, arguments)
            self._layers = layers if store is None else None
            self._remote = RemoteSettings(
                layers, lambda _: connection.record(), clock=clock, chance=chance
            )
            self._local = self._remote.local
        else:
            given = {name: value for name, value in arguments.items() if value is not None}
            if environment is not None or given:
                raise ConfigurationError(
                    "a KeyManager takes either finished settings or single ones, not both"
                )
            self._local = settings
        self._notifier = RotationNotifier()
        self._cache: Cache[Resolved] = Cache(clock, chance)
        connection = self._connection = _Connection(self._local, store)
        self._audit = Audit(self._local, connection.accessor)
        self._known_keys = KnownKeys(self._local, keeps_file=store is None)
        self._environment_variables = EnvironmentSource()
        self._development_defaults = DevelopmentSource()

    @property
    def settings(self) -> Settings:
        """The settings in force.

        If ``vault_settings`` is on, Vault's layer is read on first use and again after
        ``settings_ttl`` seconds. If that fails, the last good settings stay in force.

        Raises:
            SecretError: Vault's layer was never read, and can't be.
            ConfigurationError: it was never read, and holds what it may not.

        Warns:
            FallbackWarning: Vault's layer can't be read again.
        """
        return self._local if self._remote is None else self._remote.current()

    @property
    def environment(self) -> str | None:
        """The environment in force; None if none is selected."""
        return self._local.environment

    def _open(self) -> SecretStore | None:
        store = self._connection.store()
        return None if store is None else invalidating(store, self._cache, self._audit)

    def _store(self) -> SecretStore:
        store = self._open()
        if store is None:
            raise ConfigurationError(
                "Vault is not configured: set vault_url, or run 'secureml keys configure-vault'"
            )
        return store

    def _name_of(self, key_name: str | None) -> str:
        return self.settings.master_key_name if key_name is None else key_name

    def _named(self, access: Access, key_name: str | None) -> str:
        """Return the name of a key, checked, and note it in the event."""
        name = self._name_of(key_name)
        check_name(name, self._local)
        access.note(name=name)
        return name

    def _find(
        self,
        access: Access,
        name: str,
        version: int | None = None,
        *,
        size: int = 32,
        unwrap: bool = True,
    ) -> Resolved:
        """Read a secret.

        Args:
            access: the event of the audit log.
            name: its name.
            version: its version in Vault; the newest by default.
            size: the length in bytes of a development default.
            unwrap: whether to unwrap a key that is wrapped; if not, nothing is cached.

        Returns:
            What was found; it has a record.

        Raises:
            ConfigurationError: the name can't be used.
            SecretNotFoundError: it is absent everywhere that the policy allows to look.
            SecureMLError: what a source reported, if the policy allows no other one.
        """
        found = self._cache.get((name, version))
        if found is None or found.outcome.record is None:
            check_name(name, self._local)
            access.note(name=name, version=version)
            settings, store = self.settings, self._open()
            if store is None:
                where = "Vault (vault_url is not set)"
                found = Resolved(Outcome(finding=Finding.NOT_CONFIGURED, where=where))
            elif not unwrap:
                found = Resolved(store.read(name, version))
            else:

                def ask() -> Resolved:
                    asked_at = time.monotonic()
                    outcome = self._checked(store, name, version, store.read(name, version))
                    return Resolved(unwrapped(store, name, outcome), asked_at)

                self._cache.size = settings.cache_size
                found = self._cache.fetch((name, version), ask, partial(_entry_of, settings))
            if found.outcome.record is None:
                found = self._fallback(name, version, found, size)
        else:
            access.note(name=name, version=version)
        record = found.record
        access.found(record, cached=record.cached, stale=record.stale)
        return found

    def _fallback(self, name: str, version: int | None, asked: Resolved, size: int) -> Resolved:
        """Find a secret in another source, or raise what Vault's outcome stands for."""
        outcome = asked.outcome
        stale = self._stale(name, version, outcome)
        if stale is not None:
            return stale
        looked_in = [outcome.where]
        for source in self._allowed(outcome, version):
            other = self._ask(source, name, size)
            if other.finding is Finding.REFUSED:
                raise error_of(other)
            looked_in.append(other.where)
            if other.record is not None:
                _warn(name, outcome, other)
                return Resolved(other, asked.asked_at)
        if outcome.error is not None:
            # Threads that waited for one request share its outcome, and each raises an error of
            # its own: a traceback belongs to one thread.
            raise copy(outcome.error)
        wanted = repr(name) if version is None else f"{name!r} version {version}"
        raise SecretNotFoundError(
            f"there is no secret {wanted}; looked in: {'; '.join(looked_in)}", looked_in=looked_in
        )

    def _checked(
        self, store: SecretStore, name: str, version: int | None, outcome: Outcome
    ) -> Outcome:
        """Refuse a key that contradicts what was seen, and drop its name from the cache."""
        if outcome.record is None:
            return outcome
        try:
            record = self._known_keys.checked(
                store, name, outcome.record, is_newest=version is None
            )
        except SecretError as error:
            self._cache.drop(name, sparing_own=True)
            problem = error.with_traceback(None)
            return Outcome(finding=Finding.REFUSED, where=outcome.where, error=problem)
        return outcome if record is outcome.record else replace(outcome, record=record)

    def _stale(self, name: str, version: int | None, outcome: Outcome) -> Resolved | None:
        """Return what Vault gave before, if it is down now and the settings allow that."""
        if outcome.finding is not Finding.UNAVAILABLE:
            return None
        found = self._cache.get_stale((name, version))
        if found is None:
            return None
        when = found.record.fetched_at.isoformat(timespec="seconds")
        warn(
            "Vault is unavailable; a secret is served as it was read before",
            FallbackWarning,
            f"{_told(outcome)}; {name!r} is served as it was read at {when}",
        )
        stale = replace(found.outcome, record=replace(found.record, stale=True))
        return Resolved(stale, found.asked_at)

    def _allowed(self, outcome: Outcome, version: int | None) -> tuple[str, ...]:
        if version is not None:
            # Only Vault keeps versions: no other source can answer for one of them.
            return ()
        switches = {
            _ENV: self._local.use_env_fallback,
            _DEFAULT: self._local.use_default_fallback,
        }
        allowed = POLICY[outcome.finding].get(_column(self._local.environment), ())
        return tuple(source for source in allowed if switches[source])

    def _ask(self, source: str, name: str, size: int) -> Outcome:
        if source == _ENV:
            return self._environment_variables.read(name)
        return self._development_defaults.read(name, size)


class _Connection:
    """The store: opened on first use, and closed once."""

    def __init__(self, settings: Settings, store: SecretStore | None) -> None:
        self._settings = settings
        self._store = store
        self._closed = False
        self._lock = ForkSafeLock()

    def store(self) -> SecretStore | None:
        if self._closed:
            raise SecretError("this KeyManager is closed")
        if self._store is not None:
            return self._store
        with self._lock.mutex:
            if self._store is None:
                self._store = process.open_store(self._settings)
            return self._store

    def record(self) -> Mapping[str, object] | None:
        return read_record(self.store())

    def accessor(self) -> str | None:
        session = getattr(self._store, "session", None)
        return None if session is None else session.accessor

    def refuse(self) -> SecretStore | None:
        """Open the store no more; return the one that is open."""
        with self._lock.mutex:
            self._closed = True
            return self._store


def _entry_of(settings: Settings, found: Resolved) -> CacheEntry[Resolved] | None:
    """Return what to cache of an answer of Vault's; None leaves the entry that there is."""
    outcome = found.outcome
    if outcome.record is not None:
        record = replace(outcome.record, cached=True)
        return CacheEntry(
            value=Resolved(replace(outcome, record=record), found.asked_at, found.keys),
            ttl=settings.cache_ttl,
            stale_ttl=settings.stale_ttl,
            uses=settings.cache_max_uses,
        )
    if outcome.finding is Finding.ABSENT:
        return CacheEntry(value=found, ttl=min(settings.cache_negative_ttl, settings.cache_ttl))
    if isinstance(outcome.error, VaultUnavailableError):
        return None
    # It is deleted or denied by now: a later outage does not bring it back.
    return CacheEntry(value=found)


def error_of(outcome: Outcome) -> SecureMLError:
    """Return the error to raise for an outcome without a record."""
    if outcome.error is not None:
        return outcome.error
    return SecretNotFoundError(f"{outcome.where} has no such secret", looked_in=(outcome.where,))


def record_of(outcome: Outcome) -> Record:
    """Return an outcome's record, or raise its error."""
    if outcome.record is None:
        raise error_of(outcome)
    return outcome.record


def _column(environment: str | None) -> str:
    if environment is None:
        return "unset"
    return environment if environment in ENVIRONMENTS else "declared by the user"


def _warn(name: str, vault: Outcome, used: Outcome) -> None:
    if vault.finding is Finding.UNAVAILABLE:
        warn(
            "Vault is unavailable; a secret comes from another source",
            FallbackWarning,
            f"{_told(vault)}; {name!r} comes from the {used.where}",
        )
    if used.record is not None and used.record.source == _DEFAULT:
        worth = "everybody knows it, it protects nothing"
        warn(
            f"a secret is the development default: {worth}",
            DevelopmentKeyWarning,
            f"{name!r} is the development default: {worth}",
        )


def _told(outcome: Outcome) -> str:
    """Return why a store has nothing to give, as the start of a sentence."""
    assert outcome.error is not None
    return outcome.error.message

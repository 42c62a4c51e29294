"""The policy: where a secret may come from, by what Vault said and by environment."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace

from secureml.errors import (
    DevelopmentKeyWarning,
    FallbackWarning,
    SecretNotFoundError,
    SecureMLError,
    VaultUnavailableError,
)
from secureml.key_management.cache import Cache
from secureml.settings import ENVIRONMENTS, Settings
from secureml.sources import (
    DevelopmentSource,
    EnvironmentSource,
    Finding,
    Outcome,
    Record,
    SecretStore,
)

__all__ = ["POLICY", "Finder", "error_of", "record_of"]

_ENV = "environment variable"
_DEFAULT = "development default"

_STAND_INS = {
    "development": (_ENV, _DEFAULT),
    "staging": (_ENV,),
    "production": (_ENV,),
    "declared by the user": (_ENV,),
    "unset": (_ENV, _DEFAULT),
}

POLICY: Mapping[Finding, Mapping[str, tuple[str, ...]]] = {
    Finding.PRESENT: {},
    Finding.NOT_CONFIGURED: _STAND_INS,
    Finding.ABSENT: _STAND_INS,
    Finding.UNAVAILABLE: _STAND_INS,
    Finding.DELETED: {},
    Finding.REFUSED: {},
}
"""The sources that may be asked after Vault, in order, by Vault's outcome and by environment.

``use_env_fallback`` and ``use_default_fallback`` only ever take a source away. They differ by
environment: the settings let ``use_default_fallback`` be true in development, or as an explicit
argument where no environment is selected.
"""


class Finder:
    """Finds a secret in the first source that has it and that the policy allows.

    Args:
        settings: the environment and the fallback settings.
        store: opens Vault, or gives None where none is configured.
        cache: holds what Vault gave.
    """

    def __init__(
        self, settings: Settings, store: Callable[[], SecretStore | None], cache: Cache
    ) -> None:
        self._settings = settings
        self._store = store
        self._cache = cache
        self._environment_variables = EnvironmentSource()
        self._development_defaults = DevelopmentSource()

    def find(
        self,
        name: str,
        version: int | None = None,
        *,
        size: int = 32,
        cache_ttl: float = 0,
        stale_ttl: float = 0,
    ) -> Record:
        """Read a secret.

        Args:
            name: its name, already checked.
            version: its version in Vault; the newest by default.
            size: the length in bytes that a development default is to have.
            cache_ttl: for how many seconds Vault's answer may be served again.
            stale_ttl: for how many seconds it may be while Vault is unavailable.

        Raises:
            SecretNotFoundError: it is absent everywhere that the policy allows to look.
            SecureMLError: what a source reported, where the policy allows no other one.
        """
        outcome = self._ask_vault(name, version, cache_ttl, stale_ttl)
        if outcome.record is not None:
            return outcome.record
        held = self._held(name, version, outcome)
        if held is not None:
            return held
        looked_in = [outcome.where]
        for source in self._stand_ins(outcome, version):
            other = self._ask(source, name, size)
            if other.finding is Finding.REFUSED:
                raise error_of(other)
            looked_in.append(other.where)
            if other.record is not None:
                _warn(name, outcome, other)
                return other.record
        if outcome.error is not None:
            raise outcome.error
        wanted = repr(name) if version is None else f"{name!r} version {version}"
        raise SecretNotFoundError(
            f"there is no secret {wanted}; looked in: {'; '.join(looked_in)}", looked_in=looked_in
        )

    def _ask_vault(
        self, name: str, version: int | None, cache_ttl: float, stale_ttl: float
    ) -> Outcome:
        cached: Outcome | None = self._cache.get(("outcome", name, version))
        if cached is not None:
            return cached
        store = self._store()
        if store is None:
            return Outcome(finding=Finding.NOT_CONFIGURED, where="Vault (vault_url is not set)")
        outcome = store.read(name, version)
        if outcome.record is not None:
            if cache_ttl <= 0 and stale_ttl <= 0:
                return outcome
            held = replace(outcome, record=replace(outcome.record, cached=True))
            self._cache.put(("outcome", name, version), held, cache_ttl, stale_ttl)
        elif not isinstance(outcome.error, VaultUnavailableError):
            # It is deleted or denied by now: a later outage does not bring it back.
            self._cache.forget(("outcome", name, version))
        return outcome

    def _held(self, name: str, version: int | None, outcome: Outcome) -> Record | None:
        """Return what Vault gave before, where it is down now and the settings allow that."""
        if outcome.finding is not Finding.UNAVAILABLE:
            return None
        held: Outcome | None = self._cache.get_stale(("outcome", name, version))
        if held is None or held.record is None:
            return None
        when = held.record.fetched_at.isoformat(timespec="seconds")
        message = f"{outcome.error}; {name!r} is served as it was read at {when}"
        warnings.warn(message, FallbackWarning, stacklevel=_level_of_caller())
        return replace(held.record, stale=True)

    def _stand_ins(self, outcome: Outcome, version: int | None) -> tuple[str, ...]:
        if version is not None:
            # Only Vault keeps versions: no other source can answer for one of them.
            return ()
        switches = {
            _ENV: self._settings.use_env_fallback,
            _DEFAULT: self._settings.use_default_fallback,
        }
        allowed = POLICY[outcome.finding].get(_column(self._settings.environment), ())
        return tuple(source for source in allowed if switches[source])

    def _ask(self, source: str, name: str, size: int) -> Outcome:
        if source == _ENV:
            return self._environment_variables.read(name)
        return self._development_defaults.read(name, size)


def error_of(outcome: Outcome) -> SecureMLError:
    """Return what an outcome without a record is to be raised as."""
    if outcome.error is not None:
        return outcome.error
    return SecretNotFoundError(f"{outcome.where} has no such secret", looked_in=(outcome.where,))


def record_of(outcome: Outcome) -> Record:
    """Return an outcome's record, or raise what the outcome stands for."""
    if outcome.record is None:
        raise error_of(outcome)
    return outcome.record


def _column(environment: str | None) -> str:
    if environment is None:
        return "unset"
    return environment if environment in ENVIRONMENTS else "declared by the user"


def _warn(name: str, vault: Outcome, used: Outcome) -> None:
    if vault.finding is Finding.UNAVAILABLE:
        message = f"{vault.error}; {name!r} comes from the {used.where}"
        warnings.warn(message, FallbackWarning, stacklevel=_level_of_caller())
    if used.record is not None and used.record.source == _DEFAULT:
        message = f"{name!r} is the development default: everybody knows it, it protects nothing"
        warnings.warn(message, DevelopmentKeyWarning, stacklevel=_level_of_caller())


def _level_of_caller() -> int:
    """Count the frames up to the code that called into secureml, as seen from ``_warn``."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("secureml."):
        frame = frame.f_back
        level += 1
    return level

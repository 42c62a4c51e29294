"""Keeps the cache in step with the store: what Vault says is gone is not served from memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from secureml.audit import Audit
from secureml.errors import AuthenticationError, SecretError, VaultUnavailableError
from secureml.key_management.cache import Cache
from secureml.keys import Envelope
from secureml.secret_types import SecretBytes
from secureml.stores import Outcome, SecretStore, VersionInfo
from secureml.stores.custom_metadata import DISABLED, UNKNOWN
from secureml.stores.transit import Transit

__all__ = ["invalidating"]

_GONE = frozenset({"deleted", "destroyed", DISABLED})


def invalidating(store: SecretStore, cache: Cache[Any], audit: Audit) -> SecretStore:
    """Return a store that drops from the cache what its requests make invalid.

    That is each name that is changed, and each for which any operation finds something deleted,
    destroyed, disabled, absent or refused. Refused credentials drop every name. An outage drops
    nothing but what may have been changed nevertheless.

    Args:
        store: the store that everything is passed on to.
        cache: what is cached of its secrets.
        audit: records each key that is unwrapped.
    """
    return _InvalidatingStore(store, cache, audit)


def _observed(operation: str) -> Callable[..., Any]:
    """Pass an operation on a secret on, and drop from the cache what its error makes invalid."""

    def method(
        self: _InvalidatingStore | _AuditedTransit, name: str, *args: Any, **more: Any
    ) -> Any:
        with self.observing(name):
            return getattr(self.inner, operation)(name, *args, **more)

    return method


def _changing(operation: str) -> Callable[..., Any]:
    """Pass a change of a secret on, and drop what is cached of it."""
    observed = _observed(operation)

    def method(self: _InvalidatingStore, name: str, *args: Any, **more: Any) -> Any:
        try:
            return observed(self, name, *args, **more)
        finally:
            # If it fails, it may have been made nevertheless, or another writer was first.
            self.cache.drop(name)

    return method


class _InvalidatingStore(SecretStore):
    def __init__(self, store: SecretStore, cache: Cache[Any], audit: Audit) -> None:
        self.inner = store
        self.cache = cache
        self.audit = audit

    @property
    def transit(self) -> Transit | None:
        # Not kept: in a cycle, both would outlive the manager, and with them its session.
        return None if self.inner.transit is None else _AuditedTransit(self.inner.transit, self)

    def now(self) -> datetime:
        return self.inner.now()

    def path_of(self, name: str) -> str:
        return self.inner.path_of(name)

    def read(
        self, name: str, version: int | None = None, *, even_disabled: bool = False
    ) -> Outcome:
        outcome = self.inner.read(name, version, even_disabled=even_disabled)
        if outcome.error is not None:
            self._failed(name, outcome.error)
        elif outcome.record is None or outcome.record.state in (DISABLED, UNKNOWN):
            self._forget(name)
        return outcome

    write = _changing("write")
    annotate = _changing("annotate")
    destroy = _changing("destroy")
    check_writable = _observed("check_writable")
    keep_all_versions = _observed("keep_all_versions")

    def versions(self, name: str) -> tuple[VersionInfo, ...]:
        return self.described(name)[0]

    def described(self, name: str) -> tuple[tuple[VersionInfo, ...], Mapping[str, str]]:
        with self.observing(name):
            versions, about = self.inner.described(name)
        if not versions or any(version.state in _GONE for version in versions):
            self._forget(name)
        return versions, about

    def expect(self, name: str, version: int, created: datetime | None) -> None:
        self.inner.expect(name, version, created)

    def names(self) -> tuple[str, ...]:
        names = self.inner.names()
        self.cache.keep(names)
        return names

    def close(self) -> None:
        self.inner.close()

    @contextmanager
    def observing(self, name: str) -> Iterator[None]:
        try:
            yield
        except SecretError as error:
            self._failed(name, error)
            raise

    def _failed(self, name: str, error: Exception) -> None:
        if not isinstance(error, VaultUnavailableError):
            self._forget(None if isinstance(error, AuthenticationError) else name)

    def _forget(self, name: str | None) -> None:
        # The request may be part of a flight, which decides itself what to cache.
        self.cache.drop(name, sparing_own=True)


class _AuditedTransit(Transit):
    """The transit engine of such a store; each unwrapped key is an event."""

    def __init__(self, transit: Transit, store: _InvalidatingStore) -> None:
        self.inner = transit
        self.observing = store.observing
        self._audit = store.audit

    transit_key = _observed("transit_key")
    make = _observed("make")
    wrap = _observed("wrap")
    rotate = _observed("rotate")
    rewrap = _observed("rewrap")

    def unwrap(
        self, name: str, envelope: Envelope, told: Callable[[str | None], None] | None = None
    ) -> SecretBytes:
        with self.observing(name), self._audit.access("unwrap") as access:
            access.note(name=name, source="vault")
            return self.inner.unwrap(
                name, envelope, told or (lambda request_id: access.note(request_id=request_id))
            )

    def check_mount(self, envelope: Envelope) -> None:
        self.inner.check_mount(envelope)

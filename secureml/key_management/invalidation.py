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
from secureml.stores import Outcome, Record, SecretStore, VersionInfo
from secureml.stores.custom_metadata import DISABLED, UNKNOWN
from secureml.stores.transit import Transit

__all__ = ["InvalidatingStore"]

_GONE = frozenset({"deleted", "destroyed", DISABLED})


class InvalidatingStore(SecretStore):
    """Passes everything on to a store, and drops from the cache what a request makes invalid.

    That is each name that is changed, and each for which any operation finds something deleted,
    destroyed, disabled, absent or refused. Refused credentials drop every name. An outage drops
    nothing but what may have been changed nevertheless.

    Args:
        store: the store.
        cache: what is cached of its secrets.
        audit: records each key that is unwrapped.
    """

    def __init__(self, store: SecretStore, cache: Cache[Any], audit: Audit) -> None:
        self._store = store
        self._cache = cache
        self.audit = audit

    @property
    def transit(self) -> Transit | None:
        """What wraps keys for this store."""
        # Not kept: in a cycle, both would outlive the manager, and with them its session.
        return None if self._store.transit is None else _AuditedTransit(self._store.transit, self)

    def now(self) -> datetime:
        """Return the time by the store's own clock."""
        return self._store.now()

    def path_of(self, name: str) -> str:
        """Return the full path of a secret."""
        return self._store.path_of(name)

    def read(
        self, name: str, version: int | None = None, *, even_disabled: bool = False
    ) -> Outcome:
        """Look for one version of a secret."""
        outcome = self._store.read(name, version, even_disabled=even_disabled)
        if outcome.error is not None:
            self._failed(name, outcome.error)
        elif outcome.record is None or outcome.record.state in (DISABLED, UNKNOWN):
            self._forget(name)
        return outcome

    def write(self, name: str, fields: Mapping[str, object], *, cas: int | None) -> Record:
        """Write a new version."""
        with self._changing(name):
            return self._store.write(name, fields, cas=cas)

    def check_writable(self, name: str, *, exists: bool) -> None:
        """Check that a version can be written."""
        with self.observing(name):
            self._store.check_writable(name, exists=exists)

    def keep_all_versions(
        self, name: str, custom_metadata: Mapping[str, str] | None = None
    ) -> None:
        """Ensure that the next write of a version prunes no old one."""
        with self.observing(name):
            self._store.keep_all_versions(name, custom_metadata)

    def annotate(self, name: str, changes: Mapping[str, str | None]) -> None:
        """Change entries of the custom metadata."""
        with self._changing(name):
            self._store.annotate(name, changes)

    def versions(self, name: str) -> tuple[VersionInfo, ...]:
        """Return every version."""
        return self.described(name)[0]

    def described(self, name: str) -> tuple[tuple[VersionInfo, ...], Mapping[str, str]]:
        """Return every version, and the custom metadata beside them."""
        with self.observing(name):
            versions, about = self._store.described(name)
        if not versions or any(version.state in _GONE for version in versions):
            self._forget(name)
        return versions, about

    def expect(self, name: str, version: int, created: datetime | None) -> None:
        """Treat an answer from before a version was written as out of date."""
        self._store.expect(name, version, created)

    def names(self) -> tuple[str, ...]:
        """Return the names of all secrets."""
        names = self._store.names()
        self._cache.keep(names)
        return names

    def destroy(self, name: str, version: int) -> None:
        """Destroy the content of one version."""
        with self._changing(name):
            self._store.destroy(name, version)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    @contextmanager
    def observing(self, name: str) -> Iterator[None]:
        """Drop from the cache what the error of a request makes invalid.

        Args:
            name: the secret that the request is about.
        """
        try:
            yield
        except SecretError as error:
            self._failed(name, error)
            raise

    @contextmanager
    def _changing(self, name: str) -> Iterator[None]:
        # If it fails, it may have been made nevertheless, or another writer was first.
        try:
            with self.observing(name):
                yield
        finally:
            self._cache.drop(name)

    def _failed(self, name: str, error: Exception) -> None:
        if not isinstance(error, VaultUnavailableError):
            self._forget(None if isinstance(error, AuthenticationError) else name)

    def _forget(self, name: str | None) -> None:
        # The request may be part of a flight, which decides itself what to cache.
        self._cache.drop(name, sparing_own=True)


class _AuditedTransit(Transit):
    """The transit engine of such a store; each unwrapped key is an event."""

    def __init__(self, transit: Transit, store: InvalidatingStore) -> None:
        self._inner = transit
        self._observing = store.observing
        self._audit = store.audit

    def transit_key(self, name: str) -> str:
        with self._observing(name):
            return self._inner.transit_key(name)

    def make(self, name: str, size: int, transit_key: str) -> tuple[SecretBytes, Envelope]:
        with self._observing(name):
            return self._inner.make(name, size, transit_key)

    def wrap(self, name: str, material: SecretBytes, transit_key: str) -> Envelope:
        with self._observing(name):
            return self._inner.wrap(name, material, transit_key)

    def rotate(self, name: str, envelope: Envelope) -> None:
        with self._observing(name):
            self._inner.rotate(name, envelope)

    def rewrap(self, name: str, envelope: Envelope) -> Envelope:
        with self._observing(name):
            return self._inner.rewrap(name, envelope)

    def unwrap(
        self, name: str, envelope: Envelope, told: Callable[[str | None], None] | None = None
    ) -> SecretBytes:
        with self._observing(name), self._audit.access("unwrap") as access:
            access.note(name=name, source="vault")
            return self._inner.unwrap(
                name, envelope, told or (lambda request_id: access.note(request_id=request_id))
            )

    def check_mount(self, envelope: Envelope) -> None:
        self._inner.check_mount(envelope)

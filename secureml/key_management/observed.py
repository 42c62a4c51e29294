"""A store whose answers reach the cache: what Vault says is gone is not served from memory."""

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
from secureml.stores import Finding, Outcome, Record, SecretStore, VersionInfo
from secureml.stores.custom_metadata import DISABLED, UNKNOWN
from secureml.stores.transit import Transit

__all__ = ["ObservedStore"]

_GONE = frozenset({"deleted", "destroyed", DISABLED})


class ObservedStore(SecretStore):
    """Passes everything on to a store, and drops from the cache what an answer says is gone.

    That is a name for which any operation finds something deleted, destroyed, disabled, absent or
    refused. Refused credentials drop every name. An outage drops nothing.

    Args:
        store: the store.
        cache: what is held of its secrets.
        audit: records each key that is unwrapped.
    """

    def __init__(self, store: SecretStore, cache: Cache[Any], audit: Audit) -> None:
        self._store = store
        self._cache = cache
        self.audit = audit

    @property
    def transit(self) -> Transit | None:
        """What wraps keys for this store."""
        # Kept, the two would keep each other, and with them a session that nobody uses any more.
        return None if self._store.transit is None else _ObservedTransit(self._store.transit, self)

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
            self.failed(name, outcome.error)
        elif outcome.finding is Finding.ABSENT or _is_disabled(outcome.record):
            self._forget(name)
        return outcome

    def write(self, name: str, fields: Mapping[str, object], *, cas: int | None) -> Record:
        """Write a new version."""
        with self.observing(name):
            return self._store.write(name, fields, cas=cas)

    def check_writable(self, name: str, *, exists: bool) -> None:
        """See to it that a version can be written."""
        with self.observing(name):
            self._store.check_writable(name, exists=exists)

    def keep_all_versions(
        self, name: str, custom_metadata: Mapping[str, str] | None = None
    ) -> None:
        """See to it that the next write of a version prunes no old one."""
        with self.observing(name):
            self._store.keep_all_versions(name, custom_metadata)

    def annotate(self, name: str, changes: Mapping[str, str | None]) -> None:
        """Change entries of the custom metadata."""
        with self.observing(name):
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
        """Take an answer from before a version was written for out of date."""
        self._store.expect(name, version, created)

    def names(self) -> tuple[str, ...]:
        """Return the names of all secrets."""
        names = self._store.names()
        self._cache.keep(names)
        return names

    def destroy(self, name: str, version: int) -> None:
        """Destroy the content of one version."""
        with self.observing(name):
            self._store.destroy(name, version)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    @contextmanager
    def observing(self, name: str) -> Iterator[None]:
        """Hear of the error that a request about a secret ends in.

        Args:
            name: the secret's name.
        """
        try:
            yield
        except SecretError as error:
            self.failed(name, error)
            raise

    def failed(self, name: str, error: Exception) -> None:
        """Drop what an error makes unfit to be served.

        Args:
            name: the secret that was asked for.
            error: how that ended.
        """
        if not isinstance(error, VaultUnavailableError):
            self._forget(None if isinstance(error, AuthenticationError) else name)

    def _forget(self, name: str | None) -> None:
        # The request that brings the news may be a flight itself, which has its own say.
        self._cache.drop(name, sparing_own=True)


class _ObservedTransit(Transit):
    """The transit engine of an observed store."""

    def __init__(self, transit: Transit, store: ObservedStore) -> None:
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


def _is_disabled(record: Record | None) -> bool:
    return record is not None and record.state in (DISABLED, UNKNOWN)

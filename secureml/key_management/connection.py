"""The store of one manager: opened on first use, and closed once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secureml.audit import Audit
from secureml.configuration import process
from secureml.configuration.remote import read_record
from secureml.errors import ConfigurationError, SecretError
from secureml.forksafe import ForkSafeLock
from secureml.key_management.cache import Cache
from secureml.key_management.observed import ObservedStore
from secureml.settings import Settings
from secureml.stores import SecretStore

__all__ = ["Connection"]


class Connection:
    """Opens the store. It does not know the manager, which so ends as soon as nobody holds it.

    Args:
        settings: name the store.
        store: a store that is open, to use in its place.
        cache: holds what was read, and is told what the store says is gone.
    """

    def __init__(self, settings: Settings, store: SecretStore | None, cache: Cache[Any]) -> None:
        self._settings = settings
        self._store = store
        self._cache = cache
        self._closed = False
        self._lock = ForkSafeLock()

    def store(self) -> SecretStore | None:
        """Return the store; None if none is configured.

        Raises:
            SecretError: the manager is closed.
        """
        if self._closed:
            raise SecretError("this KeyManager is closed")
        if self._store is not None:
            return self._store
        with self._lock.mutex:
            if self._store is None:
                self._store = process.open_store(self._settings)
            return self._store

    def observed_store(self, audit: Audit) -> SecretStore | None:
        """Return the store, with what it says reaching the cache.

        Args:
            audit: records each key that is unwrapped.
        """
        store = self.store()
        return None if store is None else ObservedStore(store, self._cache, audit)

    def writable_store(self, audit: Audit) -> SecretStore:
        """Return the same.

        Args:
            audit: records each key that is unwrapped.

        Raises:
            ConfigurationError: there is none.
        """
        store = self.observed_store(audit)
        if store is None:
            raise ConfigurationError(
                "Vault is not configured: set vault_url, or run 'secureml keys configure-vault'"
            )
        return store

    def record(self) -> Mapping[str, object] | None:
        """Return what the settings record in the store holds."""
        return read_record(self.store())

    def accessor(self) -> str | None:
        """Return the accessor of the token in use; None if it is not known."""
        session = getattr(self._store, "session", None)
        return None if session is None else session.accessor

    def close(self) -> None:
        """Forget what was read, close the store, and open none any more."""
        with self._lock.mutex:
            self._closed = True
            store = self._store
        self._cache.drop()
        # Outside the lock: Vault is asked to revoke the token.
        if store is not None:
            store.close()

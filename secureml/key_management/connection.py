"""The store of one manager: opened on first use, and closed once."""

from __future__ import annotations

from collections.abc import Mapping

from secureml.configuration import process
from secureml.configuration.remote import read_record
from secureml.errors import SecretError
from secureml.forksafe import ForkSafeLock
from secureml.settings import Settings
from secureml.stores import SecretStore

__all__ = ["Connection"]


class Connection:
    """Opens the store.

    Args:
        settings: name the store.
        store: a store that is open, to use in its place.
    """

    def __init__(self, settings: Settings, store: SecretStore | None) -> None:
        self._settings = settings
        self._store = store
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

    def record(self) -> Mapping[str, object] | None:
        """Return the settings record in the store."""
        return read_record(self.store())

    def accessor(self) -> str | None:
        """Return the accessor of the token in use; None if it is not known."""
        session = getattr(self._store, "session", None)
        return None if session is None else session.accessor

    def refuse(self) -> SecretStore | None:
        """Open the store no more; return the one that is open."""
        with self._lock.mutex:
            self._closed = True
            return self._store

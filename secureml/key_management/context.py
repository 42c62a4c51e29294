"""What every operation of a KeyManager works with: settings, store, cache, audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from secureml.audit import Access, Audit
from secureml.configuration import process
from secureml.configuration.remote import RemoteSettings, read_record
from secureml.errors import ConfigurationError, SecretError
from secureml.forksafe import ForkSafeLock
from secureml.key_management.cache import Cache
from secureml.key_management.invalidation import invalidating
from secureml.key_management.known_keys import KnownKeys
from secureml.key_management.notifier import RotationNotifier
from secureml.key_management.records import check_name
from secureml.key_management.resolver import Resolved, SecretResolver
from secureml.settings import Settings
from secureml.stores import SecretStore

__all__ = ["KeyContext"]


class KeyContext:
    """The base of KeyManager's parts; its parameters are those of KeyManager.

    What is made here does not refer to the manager, so that it ends with its last reference.
    """

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
        self._remote = None
        if settings is None:
            layers = process.current_layers(environment, arguments)
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
        self._open = partial(_opened, connection, self._cache, self._audit)
        self._resolver = SecretResolver(
            self._local,
            partial(_in_force, self._remote, self._local),
            self._open,
            self._cache,
            self._known_keys,
        )

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
        return _in_force(self._remote, self._local)

    @property
    def environment(self) -> str | None:
        """The environment in force; None if none is selected."""
        return self._local.environment

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


def _opened(connection: _Connection, cache: Cache[Resolved], audit: Audit) -> SecretStore | None:
    store = connection.store()
    return None if store is None else invalidating(store, cache, audit)


def _in_force(remote: RemoteSettings | None, local: Settings) -> Settings:
    return local if remote is None else remote.current()

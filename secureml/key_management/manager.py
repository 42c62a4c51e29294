"""KeyManager: the one object that hands out keys and secrets."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from secrets import token_bytes
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, overload

from secureml import configuration
from secureml.audit import Access, Audit
from secureml.errors import (
    ConfigurationError,
    KeyMaterialError,
    SecretDeletedError,
    SecretError,
    SecretExistsError,
    SecretNotFoundError,
)
from secureml.key_management.cache import Cache
from secureml.key_management.policy import Finder, error_of, record_of
from secureml.key_management.records import (
    SecretInfo,
    check_size,
    check_version,
    content_of,
    fields_of,
    is_key,
    key_of,
    key_text,
    octets_of,
    secret_info_of,
)
from secureml.keys import (
    Encoding,
    Key,
    KeyInfo,
    SecretBytes,
    decode,
    derive,
    encode,
    written,
)
from secureml.settings import ENVIRONMENTS, Settings, check_path, is_reserved, load_settings
from secureml.sources import Finding, Record, SecretStore

if TYPE_CHECKING:
    import hvac

    from secureml.concealed import SecretText

__all__ = ["KeyManager"]


class KeyManager:
    """Hands out keys and secrets under the policy of one environment.

    Nothing is read or connected to before the first request, so that a manager made while Vault
    is down works once Vault is up. A manager can be shared between threads.

    Args:
        vault_url: Vault's address, such as ``https://vault.example.com:8200``.
        vault_token: the token to use.
        vault_path: the path below the mount; ``secureml`` by default.
        use_env_fallback: whether environment variables may stand in for Vault.
        use_default_fallback: whether deterministic development defaults may; never outside
            development, except here where no environment is selected.
        environment: ``development``, ``staging``, ``production`` or one that the settings file
            declares; by default that of the process's settings.
        settings: the settings to start from, instead of the process's own layers.
        store: a store to use in Vault's place, such as ``secureml.sources.MemoryStore``.
        clock: returns seconds for the age of cached keys.
        **more: any other setting by name.

    An argument that is None comes from the settings; any other wins over every layer.

    Raises:
        ConfigurationError: with every problem found.
    """

    def __init__(
        self,
        vault_url: str | None = None,
        vault_token: str | SecretText | None = None,
        vault_path: str | None = None,
        use_env_fallback: bool | None = None,
        use_default_fallback: bool | None = None,
        *,
        environment: str | None = None,
        settings: Settings | None = None,
        store: SecretStore | None = None,
        clock: Callable[[], float] = time.monotonic,
        **more: object,
    ) -> None:
        arguments = {
            "vault_url": vault_url,
            "vault_token": vault_token,
            "vault_path": vault_path,
            "use_env_fallback": use_env_fallback,
            "use_default_fallback": use_default_fallback,
            **more,
        }
        if settings is None:
            self._layers = configuration.current_layers(environment, arguments)
            self._local = load_settings(self._layers)
        else:
            given = {name: value for name, value in arguments.items() if value is not None}
            if environment is not None or given:
                raise ConfigurationError(
                    "a KeyManager takes either finished settings or single ones, not both"
                )
            self._local = settings
        self._complete = settings
        self._store = store
        self._closed = False
        self._lock = threading.RLock()
        self._cache = Cache(clock)
        self._finder = Finder(self._local, self._open_store, self._cache)
        self._audit = Audit(self._local)

    @property
    def settings(self) -> Settings:
        """The settings in force; reads Vault's layer first where ``vault_settings`` is on.

        Raises:
            SecretError: Vault's layer can't be read.
        """
        if self._complete is not None:
            return self._complete
        with self._lock:
            if self._complete is None:
                self._complete = (
                    configuration.with_vault_record(self._layers, self._open_store())
                    if self._local.vault_settings
                    else self._local
                )
            return self._complete

    @property
    def environment(self) -> str | None:
        """The environment in force; None where none is selected."""
        return self._local.environment

    @property
    def vault_client(self) -> hvac.Client | None:
        """The hvac client, logged in; None where Vault is not configured.

        Raises:
            MissingExtraError: hvac is not installed.
            AuthenticationError: no credentials are set.
        """
        session = getattr(self._open_store(), "session", None)
        return None if session is None else session.client

    def get_secret(self, name: str, default: Any = None) -> Any:
        """Read a secret.

        Args:
            name: the secret's name; ``/`` separates folders.
            default: what to return where the secret is absent everywhere that the policy allows
                to look; never where it is denied or deleted, or Vault is unavailable.

        Returns:
            The text of the field ``value``, or all fields as a dict where there is no such field.

        Raises:
            SecretError: denied, deleted, or Vault is unavailable and no other source has it.
            ConfigurationError: the name can't be used.
        """
        with self._audit.access("get_secret") as access:
            try:
                record = self._find(access, name)
            except SecretDeletedError:
                raise
            except SecretNotFoundError as error:
                access.failed(error)
                return default
            return content_of(record)

    def secret_info(self, name: str) -> SecretInfo:
        """Tell where a secret comes from, without its value.

        Args:
            name: the secret's name.

        Raises:
            SecretNotFoundError: it is absent everywhere that the policy allows to look.
            SecretError: denied, deleted, or Vault is unavailable and no other source has it.
        """
        with self._audit.access("secret_info") as access:
            return secret_info_of(name, self._find(access, name), self.environment)

    def set_secret(self, name: str, value: str | Mapping[str, object]) -> SecretInfo:
        """Write a secret to Vault, as a new version where there is one.

        Args:
            name: the secret's name.
            value: its text, or the fields of a structured secret.

        Returns:
            What was written.

        Raises:
            TypeError: the value is neither text nor a mapping with text for names.
            SecretExistsError: a key lives under this name, or another writer was first.
            SecretError: it could not be written.
            ConfigurationError: the name can't be used, or Vault is not configured.
        """
        with self._audit.access("set_secret") as access:
            self._check(name)
            fields = fields_of(value)
            access.attempt(name)
            store = self._writable_store()
            current = store.read(name)
            if current.finding not in (Finding.PRESENT, Finding.ABSENT, Finding.DELETED):
                raise error_of(current)
            if current.record is not None and self._is_key_in_use(name, current.record):
                raise SecretExistsError(
                    f"{current.record.path} holds a key; rotate_key gives it a new version"
                )
            versions = store.versions(name)
            record = store.write(name, fields, cas=versions[-1].version if versions else 0)
            access.found(record)
            self._cache.drop(name)
            return secret_info_of(name, record, self.environment)

    @overload
    def get_encryption_key(
        self,
        key_name: str | None = None,
        key_bytes: int = 32,
        encoding: Literal["bytes"] = "bytes",
        *,
        version: int | None = None,
    ) -> bytes: ...
    @overload
    def get_encryption_key(
        self,
        key_name: str | None = None,
        key_bytes: int = 32,
        *,
        encoding: Encoding,
        version: int | None = None,
    ) -> str: ...
    @overload
    def get_encryption_key(
        self,
        key_name: str | None,
        key_bytes: int,
        encoding: Encoding,
        *,
        version: int | None = None,
    ) -> str: ...
    def get_encryption_key(
        self,
        key_name: str | None = None,
        key_bytes: int = 32,
        encoding: Literal["bytes", "hex", "base64"] = "bytes",
        *,
        version: int | None = None,
    ) -> bytes | str:
        """Read a key.

        Args:
            key_name: the key's name; by default the setting ``master_key_name``.
            key_bytes: its length in bytes, which must match exactly; 16 to 8160.
            encoding: ``bytes``, ``hex`` or ``base64``.
            version: the version in Vault; the newest by default.

        Returns:
            The key as bytes, or as text in the encoding asked for.

        Raises:
            SecretNotFoundError: it is absent everywhere that the policy allows to look.
            KeyMaterialError: what is stored is no key of this length.
            SecretError: denied, deleted, or Vault is unavailable and no other source has it.
        """
        return written(self.get_key(key_name, version, key_bytes=key_bytes).reveal(), encoding)

    def get_key(
        self, name: str | None = None, version: int | None = None, *, key_bytes: int = 32
    ) -> Key:
        """Read a key as a handle that carries its provenance and does not show its material.

        Args:
            name: the key's name; by default the setting ``master_key_name``.
            version: the version in Vault; the newest by default.
            key_bytes: its length in bytes, which must match exactly; 16 to 8160.

        Raises:
            SecretNotFoundError: it is absent everywhere that the policy allows to look.
            KeyMaterialError: what is stored is no key of this length.
            SecretError: denied, deleted, or Vault is unavailable and no other source has it.
        """
        check_size(key_bytes)
        check_version(version)
        with self._audit.access("get_key") as access:
            name = self.settings.master_key_name if name is None else name
            cached: Key | None = self._cache.get(("key", name, version, key_bytes))
            if cached is not None:
                access.note(name=name)
                access.found(cached, cached=True)
                return cached
            record = self._find(access, name, version, size=key_bytes)
            key = key_of(name, record, self.environment, key_bytes)
            if record.version is not None and not (record.cached or record.stale):
                self._cache.put(("key", name, version, key_bytes), key, self.settings.cache_ttl)
            return key

    @overload
    def derive_key(
        self,
        base_key: bytes | str | Key | SecretBytes,
        purpose: str,
        key_bytes: int = 32,
        encoding: Literal["bytes"] = "bytes",
    ) -> bytes: ...
    @overload
    def derive_key(
        self,
        base_key: bytes | str | Key | SecretBytes,
        purpose: str,
        key_bytes: int = 32,
        *,
        encoding: Encoding,
    ) -> str: ...
    def derive_key(
        self,
        base_key: bytes | str | Key | SecretBytes,
        purpose: str,
        key_bytes: int = 32,
        encoding: Literal["bytes", "hex", "base64"] = "bytes",
    ) -> bytes | str:
        """Derive the key for one purpose with HKDF-SHA256.

        Args:
            base_key: 16 bytes or more, a handle, or a key as hex or base64 text, which derives
                the same as its bytes do.
            purpose: what the derived key is for; not empty.
            key_bytes: how many bytes to derive, 1 to 8160.
            encoding: ``bytes``, ``hex`` or ``base64``.

        Returns:
            The derived key; no output is a prefix of a longer one.

        Raises:
            KeyMaterialError: an empty or short base key, text that is no key, an empty purpose
                or an impossible length.

        Source: RFC 5869.
        """
        with self._audit.access("derive_key") as access:
            if isinstance(base_key, Key):
                access.note(name=base_key.name)
                access.found(base_key, cached=True, stale=base_key.info.stale)
            octets = octets_of(base_key)
            derived = derive(octets, purpose, key_bytes)
            access.note(purpose=purpose)
            return written(derived, encoding)

    def generate_key(self, name: str, key_bytes: int = 32, encoding: Encoding = "hex") -> KeyInfo:
        """Make a new key in Vault; never over an existing one.

        Args:
            name: the key's name.
            key_bytes: its length in bytes, 16 to 8160.
            encoding: how Vault keeps it: ``hex`` or ``base64``.

        Returns:
            Where it lives, its version and fingerprint.

        Raises:
            SecretExistsError: something is stored under this name, or was and is deleted.
            SecretError: it could not be written.
            ConfigurationError: the name can't be used, or Vault is not configured.
        """
        check_size(key_bytes)
        with self._audit.access("generate_key") as access:
            return self._create(access, name, token_bytes(key_bytes), encoding)

    def import_key(
        self, name: str, material: bytes | str | SecretBytes, encoding: Encoding = "hex"
    ) -> KeyInfo:
        """Store a key that was made elsewhere; never over an existing one.

        Args:
            name: the key's name.
            material: 16 to 8160 bytes, or the same as hex or base64 text.
            encoding: how Vault keeps it: ``hex`` or ``base64``.

        Raises:
            KeyMaterialError: the material is no key.
            SecretExistsError: something is stored under this name, or was and is deleted.
            SecretError: it could not be written.
        """
        with self._audit.access("import_key") as access:
            octets = octets_of(material)
            check_size(len(octets))
            return self._create(access, name, octets, encoding)

    def rotate_key(self, name: str | None = None) -> KeyInfo:
        """Give a key a new version of the same length; every older version stays readable.

        Args:
            name: the key's name; by default the setting ``master_key_name``.

        Returns:
            The new version.

        Raises:
            SecretNotFoundError: there is no such key in Vault.
            SecretExistsError: another writer was first.
            SecretError: it could not be written, or writing would prune an old version.
        """
        with self._audit.access("rotate_key") as access:
            name = self.settings.master_key_name if name is None else name
            self._check(name)
            access.attempt(name)
            store = self._writable_store()
            record = record_of(store.read(name))
            access.found(record)
            text, declared = key_text(record)
            size = len(decode(text, declared))
            encoding: Encoding = "base64" if declared == "base64" else "hex"
            store.keep_all_versions(name)
            if not store.room_for_another(name):
                raise SecretError(
                    f"{record.path} keeps no more versions: a rotation would destroy the oldest key"
                )
            material = token_bytes(size)
            return self._write(access, store, name, material, encoding, cas=record.version)

    def key_info(self, name: str | None = None, version: int | None = None) -> KeyInfo:
        """Tell what is known of a key, wherever the policy finds it.

        Args:
            name: the key's name; by default the setting ``master_key_name``.
            version: the version in Vault; the newest by default.

        Raises:
            SecretNotFoundError: it is absent everywhere that the policy allows to look.
            KeyMaterialError: what is stored is no key.
        """
        check_version(version)
        with self._audit.access("key_info") as access:
            name = self.settings.master_key_name if name is None else name
            return key_of(name, self._find(access, name, version), self.environment).info

    def key_history(self, name: str | None = None) -> tuple[KeyInfo, ...]:
        """List every version of a key in Vault, oldest first.

        Args:
            name: the key's name; by default the setting ``master_key_name``.

        Raises:
            SecretNotFoundError: there is no such key in Vault.
        """
        with self._audit.access("key_history") as access:
            name = self.settings.master_key_name if name is None else name
            self._check(name)
            access.note(name=name)
            return self._history(name)

    def list_keys(self) -> tuple[KeyInfo, ...]:
        """List the newest version of every key in Vault, by name; other secrets are left out.

        Raises:
            SecretError: Vault can't be read.
        """
        with self._audit.access("list_keys"):
            return tuple(self._list())

    def destroy_key_version(self, name: str, version: int, confirm: str) -> KeyInfo:
        """Destroy one version of a key for good, and with it all data pseudonymized under it.

        Args:
            name: the key's name.
            version: the version.
            confirm: the fingerprint of exactly this version.

        Returns:
            The version, destroyed.

        Raises:
            TypeError: the version is no int, or ``confirm`` no text.
            KeyMaterialError: ``confirm`` is not this version's fingerprint.
            SecretError: there is no such version, or it could not be destroyed.
        """
        with self._audit.access("destroy_key_version") as access:
            self._check(name)
            check_version(version)
            if version is None or not isinstance(confirm, str):
                raise TypeError("destroying takes a version and its fingerprint as text")
            access.note(version=version)
            access.attempt(name)
            store = self._writable_store()
            record = record_of(store.read(name, version))
            access.found(record)
            info = key_of(name, record, self.environment).info
            if not hmac.compare_digest((info.fingerprint or "").encode(), confirm.encode()):
                raise KeyMaterialError(
                    f"this is not the fingerprint of {name!r} version {version}; nothing was "
                    "destroyed"
                )
            store.destroy(name, version)
            self._cache.drop(name)
            return replace(info, state="destroyed")

    def invalidate(self, name: str | None = None) -> None:
        """Forget cached keys, so that the next request reads Vault.

        Args:
            name: the key's name; all keys by default.
        """
        self._cache.drop(name)

    def close(self) -> None:
        """Forget cached keys and close connections; the manager can't be used afterwards."""
        with self._lock:
            self._closed = True
            self._cache.drop()
            if self._store is not None:
                self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<KeyManager environment={self.environment!r} vault={self._local.vault_url!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KeyManager can't be pickled: make one in each process")

    def _find(
        self, access: Access, name: str, version: int | None = None, *, size: int = 32
    ) -> Record:
        self._check(name)
        access.note(name=name, version=version)
        settings = self.settings
        record = self._finder.find(
            name,
            version,
            size=size,
            cache_ttl=settings.cache_ttl,
            stale_ttl=settings.stale_ttl,
        )
        access.found(record, cached=record.cached, stale=record.stale)
        return record

    def _history(self, name: str) -> tuple[KeyInfo, ...]:
        store = self._writable_store()
        history = []
        for version in store.versions(name):
            info = KeyInfo(
                name=name,
                version=version.version,
                fingerprint=None,
                source="vault",
                environment=self.environment,
                path=store.path_of(name),
                created=version.created,
                state=version.state,
            )
            if version.state == "enabled":
                record = record_of(store.read(name, version.version))
                info = replace(info, fingerprint=key_of(name, record, self.environment).fingerprint)
            history.append(info)
        if not history:
            raise SecretNotFoundError(
                f"there is no key {name!r} in Vault", looked_in=(store.path_of(name),)
            )
        return tuple(history)

    def _list(self) -> Iterator[KeyInfo]:
        store = self._writable_store()
        for name in store.names():
            if not self._is_usable(name):
                continue
            outcome = store.read(name)
            if outcome.finding in (Finding.DELETED, Finding.ABSENT):
                continue
            record = record_of(outcome)
            if is_key(record):
                yield key_of(name, record, self.environment).info

    def _is_key_in_use(self, name: str, record: Record) -> bool:
        return "encoding" in record.fields or name == self.settings.master_key_name

    def _create(self, access: Access, name: str, material: bytes, encoding: Encoding) -> KeyInfo:
        self._check(name)
        encode(material, encoding)  # refuses an unknown encoding before anything is asked for
        access.attempt(name)
        store = self._writable_store()
        outcome = store.read(name)
        if outcome.finding in (Finding.PRESENT, Finding.DELETED):
            raise SecretExistsError(
                f"{store.path_of(name)} exists already; nothing was written. rotate_key gives a "
                f"key a new version and keeps the old ones"
            )
        if outcome.finding is not Finding.ABSENT:
            raise error_of(outcome)
        store.keep_all_versions(name)
        return self._write(access, store, name, material, encoding, cas=0)

    def _write(
        self,
        access: Access,
        store: SecretStore,
        name: str,
        material: bytes,
        encoding: Encoding,
        *,
        cas: int | None,
    ) -> KeyInfo:
        fields = {"value": encode(material, encoding), "encoding": encoding}
        record = store.write(name, fields, cas=cas)
        access.found(record)
        self._cache.drop(name)
        return key_of(name, record, self.environment, len(material)).info

    def _open_store(self) -> SecretStore | None:
        if self._closed:
            raise SecretError("this KeyManager is closed")
        if self._store is not None:
            return self._store
        with self._lock:
            if self._store is None:
                self._store = configuration.open_store(self._local)
            return self._store

    def _writable_store(self) -> SecretStore:
        store = self._open_store()
        if store is None:
            raise ConfigurationError(
                "Vault is not configured: set vault_url, or run 'secureml keys configure-vault'"
            )
        return store

    def _check(self, name: str) -> None:
        check_path(name, "the name of a secret")
        if is_reserved(name):
            raise ConfigurationError(
                f"{name!r} is the name of a setting and can't be that of a secret"
            )
        # Without an environment the path has no such segment, and this one would be taken for it.
        if self.environment is None and name.split("/", 1)[0] in ENVIRONMENTS:
            raise ConfigurationError(
                f"{name!r} lies in an environment's folder; select the environment instead"
            )

    def _is_usable(self, name: str) -> bool:
        try:
            self._check(name)
        except ConfigurationError:
            return False
        return True

"""KeyManager: reads and writes secrets, reads and derives keys."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, overload

from secureml.errors import (
    AccessDeniedError,
    KeyDisabledError,
    KeyMaterialError,
    KeyRolledBackError,
    SecretDeletedError,
    SecretError,
    SecretExistsError,
    SecretNotFoundError,
)
from secureml.key_management.exports import KeyExports
from secureml.key_management.notifier import Callback, RotationNotifier
from secureml.key_management.records import (
    SecretInfo,
    check_name,
    content_of,
    fields_of,
    info_of,
    key_of,
    octets_of,
    secret_info_of,
)
from secureml.key_management.resolver import error_of
from secureml.key_management.wrapped import data_keys_of, unwrapped_envelope
from secureml.keys import (
    RESERVED,
    Encoding,
    Envelope,
    Key,
    KeyInfo,
    SecretBytes,
    check_size,
    check_version,
    derive,
    format_material,
)
from secureml.secret_types import conceals
from secureml.settings import Settings
from secureml.stores import Finding, Record, SecretStore
from secureml.stores.custom_metadata import DISABLED

if TYPE_CHECKING:
    import hvac

    from secureml.secret_types import SecretText

__all__ = ["KeyManager"]


class KeyManager(KeyExports):
    """Hands out keys and secrets under the policy of one environment.

    Nothing is read or connected to before the first request, so that a manager made while Vault
    is down works once Vault is up. A manager can be shared between threads.

    Args:
        vault_url: Vault's address, such as ``https://vault.example.com:8200``.
        vault_token: the token to use.
        vault_path: the path below the mount; ``secureml`` by default.
        use_env_fallback: whether environment variables may be used in place of Vault.
        use_default_fallback: whether deterministic development defaults may; never outside
            development, except here if no environment is selected.
        environment: ``development``, ``staging``, ``production`` or one that the settings file
            declares; by default that of the process's settings.
        settings: the settings to start from, instead of the process's own layers.
        store: a store to use in Vault's place, such as ``secureml.stores.MemoryStore``.
        clock: returns seconds for the age of cached keys and of Vault's settings.
        chance: returns numbers from 0 up to 1, which spread requests to Vault over time.
        **more: any other setting by name.

    An argument that is None comes from the settings; any other wins over every layer.

    Raises:
        ConfigurationError: with every problem found.
    """

    @conceals("vault_url", "vault_token", "vault_path")
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
        chance: Callable[[], float] = random.random,
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
        super().__init__(
            arguments,
            environment=environment,
            settings=settings,
            store=store,
            clock=clock,
            chance=chance,
        )

    @property
    def vault_client(self) -> hvac.Client | None:
        """The hvac client, logged in; None if Vault is not configured.

        Raises:
            MissingExtraError: hvac is not installed.
            AuthenticationError: no credentials are set.
        """
        session = getattr(self._connection.store(), "session", None)
        return None if session is None else session.client

    def get_secret(self, name: str, default: Any = None) -> Any:
        """Read a secret.

        Args:
            name: the secret's name; ``/`` separates folders.
            default: what to return if the secret is absent everywhere that the policy allows to
                look; never if it is denied or deleted, or Vault is unavailable.

        Returns:
            The text of the field ``value``, or all fields as a dict if there is no such field.

        Raises:
            SecretError: denied, deleted, or Vault is unavailable and no other source has it.
            ConfigurationError: the name can't be used.
        """
        with self._audit.access("get_secret") as access:
            try:
                record = self._find(access, name).record
            except SecretDeletedError:
                raise
            except SecretNotFoundError as error:
                access.failed(error)
                return default
            return content_of(record)

    def secret_info(self, name: str) -> SecretInfo:
        """Return where a secret comes from, without its value.

        Args:
            name: the secret's name.

        Raises:
            SecretNotFoundError: it is absent everywhere that the policy allows to look.
            SecretError: denied, deleted, or Vault is unavailable and no other source has it.
        """
        with self._audit.access("secret_info") as access:
            record = self._find(access, name, unwrap=False).record
            return secret_info_of(name, record, self.environment)

    @conceals("value")
    def set_secret(self, name: str, value: str | Mapping[str, object]) -> SecretInfo:
        """Write a secret to Vault, as a new version if there is one.

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
            value = fields_of(value)
            check_name(name, self._local)
            access.attempt(name)
            store = self._store()
            current = store.read(name)
            if current.finding not in (Finding.PRESENT, Finding.ABSENT, Finding.DELETED):
                raise error_of(current)
            if current.record is not None and self._is_key_in_use(name, current.record):
                raise SecretExistsError(
                    f"{current.record.path} holds a key; rotate_key gives it a new version"
                )
            versions = store.versions(name)
            record = store.write(name, value, cas=versions[-1].version if versions else 0)
            access.found(record)
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
        return format_material(
            self.get_key(key_name, version, key_bytes=key_bytes).material, encoding
        )

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
        if version is not None:
            check_version(version)
        with self._audit.access("get_key") as access:
            name = self._name_of(name)
            found = self._find(access, name, version, size=key_bytes)
            key = found.keys.get(key_bytes)
            if key is None:
                key = key_of(name, found.record, self.environment, key_bytes)
                found.keys[key_bytes] = key
        if version is None and key.info is not self._notifier.last and self._is_master_key(name):
            self._notifier.saw(key, found.asked_at, self._is_master_key)
        return key

    def keys_of(self, name: str | None = None, *, key_bytes: int = 32) -> Iterator[Key]:
        """Iterate over the different keys under a name, the newest version first.

        Those are all versions that can be read, and the keys of other versions that wrapped
        ones carry. What is disabled is left out, and so are versions that may not be listed.

        Args:
            name: the key's name; by default the setting ``master_key_name``.
            key_bytes: the length in bytes of those that are wanted; 16 to 8160.

        Raises:
            SecretError: denied, or Vault is unavailable.
        """
        name = self._name_of(name)
        store = self._open()
        if store is None:
            return
        told: set[str] = set()
        try:
            versions = store.versions(name)
        except AccessDeniedError:
            return
        for version in reversed(versions):
            if version.state in ("deleted", "destroyed", DISABLED):
                continue
            try:
                key = self.get_key(name, version.version, key_bytes=key_bytes)
            except (KeyDisabledError, KeyMaterialError, KeyRolledBackError, SecretNotFoundError):
                continue
            if key.fingerprint not in told:
                told.add(key.fingerprint)
                yield key
        wrapped = data_keys_of(store, name)
        for fingerprint in wrapped.envelopes.keys() - told - wrapped.disabled:
            for envelope in wrapped.envelopes[fingerprint]:
                try:
                    key = self.unwrap_key(envelope, name, key_bytes=key_bytes)
                except (KeyDisabledError, KeyMaterialError, SecretDeletedError):
                    continue
                yield key
                break

    def unwrap_key(
        self, envelope: Envelope, name: str | None = None, *, key_bytes: int = 32
    ) -> Key:
        """Unwrap a key that was kept beside data, such as in a manifest.

        It is for data whose key is gone from Vault's KV engine; otherwise ``get_key`` finds the
        key by name and version. Each call asks Vault.

        Args:
            envelope: the wrapped key, as ``Key.envelope`` was.
            name: the name of the key, to which it is bound, as it is to the environment; by
                default the setting ``master_key_name``.
            key_bytes: its length in bytes, which must match exactly; 16 to 8160.

        Returns:
            The key, without a version.

        Raises:
            KeyMaterialError: it is bound to another name or environment, was changed, has another
                length, or names another mount than ``vault_transit_mount``.
            KeyDisabledError: the transit key does not decrypt so old a version any more.
            SecretDeletedError: the transit key is gone.
            SecretError: denied, or Vault is unavailable.
        """
        check_size(key_bytes)
        with self._audit.access("unwrap_key") as access:
            name = self._named(access, name)
            record = unwrapped_envelope(self._store(), name, envelope)
            key = key_of(name, record, self.environment, key_bytes)
            access.found(key)
            return key

    @overload
    def derive_key(
        self,
        base_key: bytes | str | Key | SecretBytes | SecretText,
        purpose: str,
        key_bytes: int = 32,
        encoding: Literal["bytes"] = "bytes",
    ) -> bytes: ...
    @overload
    def derive_key(
        self,
        base_key: bytes | str | Key | SecretBytes | SecretText,
        purpose: str,
        key_bytes: int = 32,
        *,
        encoding: Literal["hex", "base64"],
    ) -> str: ...
    @conceals("base_key")
    def derive_key(
        self,
        base_key: bytes | str | Key | SecretBytes | SecretText,
        purpose: str,
        key_bytes: int = 32,
        encoding: Literal["bytes", "hex", "base64"] = "bytes",
    ) -> bytes | str:
        """Derive the key for one purpose with HKDF-SHA256.

        Args:
            base_key: 16 bytes or more, a handle, or a key as hex or base64 text, which derives
                the same as its bytes do.
            purpose: what the derived key is for; not empty, and none of secureml's own, which
                begin with ``pseudonymization/``, ``secureml/`` or ``development/``.
            key_bytes: how many bytes to derive, 1 to 8160.
            encoding: ``bytes``, ``hex`` or ``base64``.

        Returns:
            The derived key; no output is a prefix of a longer one.

        Raises:
            KeyMaterialError: an empty or short base key, text that is no key, an empty or reserved
                purpose, or an impossible length.

        Source: RFC 5869.
        """
        with self._audit.access("derive_key") as access:
            if isinstance(base_key, Key):
                access.note(name=base_key.name)
                access.found(base_key, cached=True, stale=base_key.info.stale)
            if purpose.startswith(RESERVED):
                raise KeyMaterialError(
                    f"purposes that begin with {' or '.join(map(repr, RESERVED))} are secureml's"
                    " own: name another one"
                )
            derived = SecretBytes(derive(octets_of(base_key), purpose, key_bytes))
            access.note(purpose=purpose)
            return format_material(derived, encoding)

    @conceals("base_key")
    def derive_own_key(self, base_key: Key, purpose: str, key_bytes: int) -> bytes:
        """Derive the key for a purpose of secureml's own, which ``derive_key`` refuses."""
        with self._audit.access("derive_key") as access:
            access.note(name=base_key.info.name, purpose=purpose)
            access.found(base_key, cached=True, stale=base_key.info.stale)
            return derive(base_key.material, purpose, key_bytes)

    def key_info(self, name: str | None = None, version: int | None = None) -> KeyInfo:
        """Return what is known of a key, from whichever source the policy finds it in.

        If Vault denies the key itself, its metadata tells all but the fingerprint.

        Args:
            name: the key's name; by default the setting ``master_key_name``.
            version: the version in Vault; the newest by default.

        Raises:
            SecretNotFoundError: it is absent everywhere that the policy allows to look.
            KeyMaterialError: what is stored is no key.
        """
        if version is not None:
            check_version(version)
        with self._audit.access("key_info") as access:
            name = self._name_of(name)
            try:
                record = self._find(access, name, version, unwrap=False).record
            except AccessDeniedError as error:
                denied = error.with_traceback(None)
            else:
                return info_of(name, record, self.environment)
            with suppress(SecretError):
                return self._info_by_metadata(name, version)
            raise denied

    def invalidate(self, name: str | None = None) -> None:
        """Forget cached keys, so that the next request reads Vault.

        Args:
            name: the key's name; by default all keys, and the settings in Vault too.
        """
        self._cache.drop(name)
        if name is None and self._remote is not None:
            self._remote.expire()

    def on_rotate(self, callback: Callback) -> Callable[[], None]:
        """Have a function called when the current key has become another one.

        The current key is what ``get_key`` and ``get_encryption_key`` hand out for the master key
        if no version is asked for. A read of it notices that its name, version or fingerprint
        is not that of the last one, and calls back once, in its own thread, before it returns;
        if a thread is calling back already, that one goes on with this change, so that callbacks
        hear of changes in order. An answer that comes late is no change, and there is none back
        to a lower version, unless the key was removed and made anew. Nothing is read in the
        background. The first key that is read is no change.

        A callback of the process's default manager is one of every later default manager too.

        Args:
            callback: takes the ``KeyInfo`` of the key before and of the new one. An exception that
                it raises becomes a ``SecureMLWarning``; ``SystemExit`` and ``KeyboardInterrupt``
                are raised once all callbacks were called.

        Returns:
            A function that ends it.

        Raises:
            TypeError: the callback can't be called.
        """
        return self._notifier.add(callback)

    def watch_with(self, watch: RotationNotifier) -> None:
        """Go on with the callbacks of another manager, as a new default manager does.

        Args:
            watch: notifies of changes from here on.
        """
        self._notifier = watch

    def close(self) -> None:
        """Forget cached keys and close connections; the manager can't be used afterwards."""
        store = self._connection.refuse()
        self._cache.drop()
        # Without a lock: Vault is asked to revoke the token.
        if store is not None:
            store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<KeyManager environment={self.environment!r} vault={self._local.vault_url!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KeyManager can't be pickled: make one in each process")

    def _is_master_key(self, name: str) -> bool:
        # Without a request to Vault: this is asked under a lock.
        settings = self._local if self._remote is None else self._remote.known
        return name == settings.master_key_name

    def _is_key_in_use(self, name: str, record: Record) -> bool:
        marks = {"encoding", "transit_key"}
        return bool(marks & record.fields.keys()) or name == self.settings.master_key_name

"""The versions of keys: listed, disabled, enabled, destroyed, given up."""

from __future__ import annotations

import contextlib
import hmac
from dataclasses import replace

from secureml.audit import Access
from secureml.errors import (
    AccessDeniedError,
    ConfigurationError,
    KeyMaterialError,
    SecretError,
    SecretNotFoundError,
)
from secureml.key_management.duplicates import warn_of_duplicates
from secureml.key_management.records import check_name, info_of, is_key, metadata_info_of
from secureml.key_management.resolver import SecretResolver, record_of
from secureml.key_management.rotation_period import description
from secureml.keys import KeyInfo, check_version
from secureml.stores import Finding, Record, SecretStore
from secureml.stores.custom_metadata import (
    DISABLED,
    LOST,
    UNKNOWN,
    lost_in,
    lost_text,
    state_key,
    state_of,
)

__all__ = ["KeyVersions"]


class KeyVersions(SecretResolver):
    """Lists the versions of keys and changes their states."""

    def key_history(self, name: str | None = None) -> tuple[KeyInfo, ...]:
        """List every version of a key in Vault, oldest first.

        What holds no key, or can't be read with the rights that there are, has no fingerprint.

        Args:
            name: the key's name; by default the setting ``master_key_name``.

        Raises:
            SecretNotFoundError: there is no such key in Vault.
        """
        with self._audit.access("key_history") as access:
            return self._history(self._named(access, name))

    def key_versions(self, name: str | None = None) -> tuple[KeyInfo, ...]:
        """List every version of a key by its metadata alone: no version is read.

        Args:
            name: the key's name; by default the setting ``master_key_name``.

        Returns:
            The versions without fingerprints, oldest first.

        Raises:
            SecretNotFoundError: there is no such key in Vault.
        """
        with self._audit.access("key_versions") as access:
            return self._versions(self._named(access, name))

    def list_keys(self) -> tuple[KeyInfo, ...]:
        """List the newest version of every key in Vault, by name; other secrets are left out.

        A secret that may not be read is listed by its metadata, without a fingerprint, whether it
        is a key or not; if that may not be read either, its state is ``denied``.

        Raises:
            SecretError: Vault can't be read.
        """
        with self._audit.access("list_keys"):
            store = self._store()
            infos = (self._listed(store, name) for name in store.names() if self._is_usable(name))
            return tuple(info for info in infos if info is not None)

    def disable_key_version(self, name: str, version: int) -> KeyInfo:
        """Take a version of a key out of use, until it is enabled again.

        From then on every reading of it is a ``KeyDisabledError``, in this library: what may read
        Vault directly can still do so. Another process notices when it next reads Vault.

        Args:
            name: the key's name.
            version: the version, which may be the newest.

        Returns:
            The version, disabled.

        Raises:
            TypeError: the version is no int.
            KeyMaterialError: it holds no key.
            SecretError: there is no such version, or it could not be changed.
        """
        with self._audit.access("disable_key_version") as access:
            self._named(access, name)
            history = self._history(name)
            info = replace(self._set_state(access, name, version, DISABLED), state=DISABLED)
        warn_of_duplicates(info, history)
        return info

    def enable_key_version(self, name: str, version: int) -> KeyInfo:
        """Take a disabled version of a key into use again.

        Args:
            name: the key's name.
            version: the version.

        Returns:
            The version, enabled or, if it is not the newest, decrypt-only.

        Raises:
            TypeError: the version is no int.
            KeyMaterialError: it holds no key.
            SecretError: there is no such version, or it could not be changed.
        """
        with self._audit.access("enable_key_version") as access:
            self._named(access, name)
            info = self._set_state(access, name, version, None)
            newest = self._store().versions(name)[-1].version
            return replace(info, state=state_of({}, version, newest))

    def destroy_key_version(self, name: str, version: int, confirm: str) -> KeyInfo:
        """Destroy one version of a key for good, and with it all data pseudonymized under it.

        Args:
            name: the key's name.
            version: the version, which may be disabled.
            confirm: the fingerprint of exactly this version.

        Returns:
            The version, destroyed.

        Raises:
            TypeError: the version is no int, or ``confirm`` no text.
            KeyMaterialError: ``confirm`` is not this version's fingerprint.
            SecretError: there is no such version, or it could not be destroyed.
        """
        with self._audit.access("destroy_key_version") as access:
            self._named(access, name)
            if not isinstance(confirm, str):
                raise TypeError("destroying takes a version and its fingerprint as text")
            store, record, info = self._version(access, name, version)
            if info.transit_key is not None:
                raise SecretError(
                    f"{record.path} version {version} is wrapped by the transit key "
                    f"{info.transit_key!r}, and copies of it lie in other versions and beside "
                    "data: only deleting the transit key destroys them all; nothing was destroyed"
                )
            if not hmac.compare_digest((info.fingerprint or "").encode(), confirm.encode()):
                raise KeyMaterialError(
                    f"this is not the fingerprint of {name!r} version {version}; nothing was "
                    "destroyed"
                )
            history = self._history(name)
            store.destroy(name, version)
        info = replace(info, state="destroyed")
        warn_of_duplicates(info, history)
        return info

    def accept_rollback(self, name: str, highest: int | None = None) -> tuple[int, ...]:
        """Confirm that Vault went back to older data, and that the versions it lost are given up.

        Every program goes on with what Vault has; a note in the key's custom metadata tells them.
        The next rotation takes a number that no version ever had.

        Args:
            name: the key's name.
            highest: the highest version that was ever in use, if this machine has not seen it;
                manifests name it.

        Returns:
            The versions that are lost.

        Raises:
            TypeError: the version is no int.
            SecretError: nothing is missing, or it could not be noted.
        """
        with self._audit.access("accept_rollback") as access:
            self._named(access, name)
            if highest is not None:
                check_version(highest)
            access.attempt(name)
            store = self._store()
            record = record_of(store.read(name, even_disabled=True))
            access.found(record)
            newest = record.version or 0
            lost = {
                *self._known_keys.lost(self._history(name), record.path),
                *range(newest + 1, (highest or newest) + 1),
            }
            given_up = lost_in(record.custom_metadata)
            if lost <= given_up:
                raise SecretError(
                    f"nothing that was seen of {record.path} is missing; nothing was changed"
                )
            store.annotate(name, {LOST: lost_text(lost | given_up)})
            return tuple(sorted(lost - given_up))

    def _history(self, name: str) -> tuple[KeyInfo, ...]:
        store = self._store()
        history = []
        may_read = True
        for info in self._versions(name):
            told = info
            if may_read and info.state not in ("deleted", "destroyed"):
                outcome = store.read(name, info.version, even_disabled=True)
                may_read = not isinstance(outcome.error, AccessDeniedError)
                if may_read:
                    record = record_of(outcome)
                    # An operator may have written what is no key, and put it right since.
                    with contextlib.suppress(KeyMaterialError):
                        told = info_of(name, record, self.environment)
                    state = UNKNOWN if record.state == UNKNOWN else info.state
                    told = replace(told, state=state)
            history.append(told)
        return tuple(history)

    def _versions(self, name: str) -> tuple[KeyInfo, ...]:
        """Describe each version by its metadata; without reading any, no fingerprint."""
        store = self._store()
        path = store.path_of(name)
        versions, about = store.described(name)
        if not versions:
            raise SecretNotFoundError(f"there is no key {name!r} in Vault", looked_in=(path,))
        return tuple(
            metadata_info_of(name, path, version, self.environment, about) for version in versions
        )

    def _info_by_metadata(self, name: str, version: int | None) -> KeyInfo:
        infos = self._versions(name)
        for info in infos:
            if info.version == (version or infos[-1].version):
                return info
        raise SecretNotFoundError(f"there is no version {version} of {name!r} in Vault")

    def _listed(self, store: SecretStore, name: str) -> KeyInfo | None:
        """Describe the newest version of a key as far as the token may see it; None for no key.

        Of a secret that it may not read, nothing tells whether it is a key.
        """
        outcome = store.read(name, even_disabled=True)
        path = store.path_of(name)
        if outcome.finding is Finding.ABSENT:
            return None
        if outcome.gone is not None:
            about = outcome.custom_metadata
            gone = metadata_info_of(name, path, outcome.gone, self.environment, about)
            return gone if gone.created_by else None
        if not isinstance(outcome.error, AccessDeniedError):
            record = record_of(outcome)
            return info_of(name, record, self.environment) if is_key(record) else None
        try:
            newest = self._versions(name)[-1]
        except SecretNotFoundError:
            return None
        except AccessDeniedError:
            return KeyInfo(
                name=name,
                version=None,
                fingerprint=None,
                source="vault",
                environment=self.environment,
                path=path,
                state="denied",
            )
        is_gone = newest.state in ("deleted", "destroyed")
        return newest if newest.created_by or not is_gone else None

    def _version(
        self, access: Access, name: str, version: int
    ) -> tuple[SecretStore, Record, KeyInfo]:
        """Read the version that is to be changed."""
        check_version(version)
        access.note(version=version)
        access.attempt(name)
        store = self._store()
        record = record_of(store.read(name, version, even_disabled=True))
        access.found(record)
        return store, record, info_of(name, record, self.environment)

    def _set_state(self, access: Access, name: str, version: int, state: str | None) -> KeyInfo:
        store, record, info = self._version(access, name, version)
        changes: dict[str, str | None] = {}
        if record.state == UNKNOWN:
            # What was disabled stays so; what was not has to be enabled.
            changes = {
                state_key(other.version): DISABLED
                for other in store.versions(name)
                if other.state != "destroyed"
            }
            changes |= description(None, None)
        store.annotate(name, {**changes, state_key(version): state})
        return info

    def _is_usable(self, name: str) -> bool:
        try:
            check_name(name, self._local)
        except ConfigurationError:
            return False
        return True

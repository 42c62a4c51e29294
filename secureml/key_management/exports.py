"""Exports whole keys and restores them elsewhere, every version under its number."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from secureml.errors import (
    ConfigurationError,
    KeyMaterialError,
    SecretDeletedError,
    SecretError,
    SecretExistsError,
    SecretNotFoundError,
    SecureMLWarning,
    warn,
)
from secureml.key_management.lifecycle import KeyLifecycle, plain_fields
from secureml.key_management.records import beside_key, check_lasting, check_name, key_of
from secureml.key_management.resolver import record_of
from secureml.key_management.rotation_period import description
from secureml.key_management.wrapped import transit_of, unwrapped, wrap
from secureml.keys import Envelope, KeyInfo
from secureml.keys.export import (
    ExportedVersion,
    KeyExport,
    Opener,
    Protection,
    check_kind,
    for_passphrase,
    for_public_key,
    with_passphrase,
    with_private_key,
)
from secureml.secret_types import SecretBytes, SecretText, conceals
from secureml.stores import Finding, SecretStore, VersionInfo
from secureml.stores.custom_metadata import CREATED_BY, STATES_KEPT, UNKNOWN, merged

__all__ = ["KeyExports"]

_PLACEHOLDER: Mapping[str, object] = {"placeholder": "a version without a key, to be destroyed"}


class KeyExports(KeyLifecycle):
    """Exports keys to sealed files, and restores them."""

    @conceals("passphrase")
    def export_key(
        self,
        name: str | None = None,
        *,
        passphrase: str | SecretText | None = None,
        public_key: bytes | None = None,
        transit_key: str | None = None,
    ) -> bytes:
        """Return a whole key as a sealed file, for a backup or another Vault.

        Every version is in it, with its number and state, and purpose and rotation period. What
        is deleted or destroyed has no content there.

        Args:
            name: the key's name; by default the setting ``master_key_name``.
            passphrase: what is to open it, in 12 characters or more.
            public_key: or the X25519 key, in PEM, whose private key is to open it.
            transit_key: or the transit key in Vault that is to, its mount before its name.

        Raises:
            ConfigurationError: not exactly one of these is given.
            SecretNotFoundError: there is no such key in Vault.
            SecretError: a version can't be read.

        Warns:
            SecureMLWarning: versions are without content.
        """
        if not isinstance(passphrase, SecretText | None):
            raise TypeError("a passphrase is a str")
        _check_one(passphrase=passphrase, public_key=public_key, transit_key=transit_key)
        with self._audit.access("export_key") as access:
            name = self._named(access, name)
            store = self._store()
            protection = self._protection(store, name, passphrase, public_key, transit_key)
            path = store.path_of(name)
            custom_metadata: Mapping[str, str] = {}
            versions = []
            for info in store.versions(name):
                if info.state in ("deleted", "destroyed"):
                    versions.append(_described(info))
                    continue
                outcome = store.read(name, info.version, even_disabled=True)
                record = record_of(outcome)
                access.found(record)
                custom_metadata = record.custom_metadata
                try:
                    opened = record_of(unwrapped(store, name, outcome))
                    key = key_of(name, opened, self.environment)
                except KeyMaterialError:
                    versions.append(_described(info, state="no key"))
                    continue
                versions.append(
                    ExportedVersion(
                        version=info.version,
                        state=record.state if record.state == UNKNOWN else info.state,
                        created=_iso(info.created),
                        fingerprint=key.fingerprint,
                        encoding="base64" if record.fields.get("encoding") == "base64" else "hex",
                        material=key.material,
                        beside=beside_key(record),
                    )
                )
            if not versions:
                raise SecretNotFoundError(f"there is nothing at {path}", looked_in=(path,))
            without = [str(each.version) for each in versions if each.material is None]
            if len(without) == len(versions):
                raise SecretDeletedError(f"no version of {path} holds a key", looked_in=(path,))
            export = KeyExport(
                name=name,
                environment=self.environment,
                exported=datetime.now(UTC).isoformat(timespec="seconds"),
                custom_metadata=custom_metadata,
                versions=versions,
            )
            file = export.sealed(protection)
        if without:
            warn(
                "versions of a key are exported without their content",
                SecureMLWarning,
                f"{path} is exported without the content of versions {', '.join(without)}: it is "
                "deleted, destroyed or no key",
            )
        return file

    @conceals("passphrase", "private_key")
    def read_export(
        self,
        export: bytes,
        *,
        passphrase: str | SecretText | None = None,
        private_key: bytes | SecretBytes | None = None,
        transit_key: str | None = None,
    ) -> KeyExport:
        """Open an export, and check it by its authentication tag and every fingerprint.

        Args:
            export: what ``export_key`` returned.
            passphrase: what it was sealed with.
            private_key: or the X25519 key, in PEM, that belongs to the public one.
            transit_key: or the transit key.

        Raises:
            ConfigurationError: not exactly one of these is given.
            KeyMaterialError: it was changed, or is sealed with something else.
        """
        if not isinstance(passphrase, SecretText | None):
            raise TypeError("a passphrase is a str")
        if not isinstance(private_key, SecretBytes | None):
            raise TypeError("a private key is bytes, in PEM")
        _check_one(passphrase=passphrase, private_key=private_key, transit_key=transit_key)
        with self._audit.access("read_export") as access:
            found = KeyExport.opened(export, self._opener(passphrase, private_key, transit_key))
            access.note(name=found.name)
            return found

    def restore_key(self, export: KeyExport, name: str | None = None) -> tuple[KeyInfo, ...]:
        """Write every version of an exported key; never over an existing one.

        A number without content is written, to count, and destroyed. Until all is there, each
        version is disabled. When versions were created is not restored: a rotation period begins
        again.

        Args:
            export: what ``read_export`` returned.
            name: another name; tables name their key, so they need that of the export.

        Returns:
            Every version, oldest first.

        Raises:
            SecretExistsError: something is stored under this name, or was and is deleted.
            ConfigurationError: it is of another environment.
            SecretError: it could not be written, or in part alone.
        """
        name = export.name if name is None else name
        with self._audit.access("restore_key") as access:
            check_name(name, self._local)
            if export.environment != self.environment:
                raise ConfigurationError(
                    f"the export is of the environment {export.environment!r}, and "
                    f"{self.environment!r} is selected"
                )
            access.attempt(name)
            store = self._store()
            path = store.path_of(name)
            if store.read(name).finding is not Finding.ABSENT or store.versions(name):
                raise SecretExistsError(f"{path} exists already; nothing was written")
            about = dict(export.custom_metadata)
            if not any(each.state == UNKNOWN for each in export.versions):
                about = description(None, None) | about
            merged(path, {}, about)
            store.check_writable(name, exists=False)
            contents = {
                each.version: self._fields(store, name, each)
                for each in export.versions
                if each.material is not None
            }
            store.keep_all_versions(name)
            try:
                self._write_versions(store, name, export.versions[-1].version, contents)
                # From here on its versions are used; before, nothing tells their states.
                store.annotate(name, about)
            except SecretError as error:
                error.reword(
                    f"{path} is restored in part, and not used: remove it with 'vault kv metadata "
                    f"delete', and restore it again. {error.message}"
                )
                raise
        return self.key_history(name)

    def _write_versions(
        self,
        store: SecretStore,
        name: str,
        last: int,
        contents: Mapping[int, Mapping[str, object]],
    ) -> None:
        for number in range(1, last + 1):
            fields = contents.get(number, _PLACEHOLDER)
            record = store.write(name, {**fields, **STATES_KEPT}, cas=number - 1)
            check_lasting(record)
            if CREATED_BY in record.custom_metadata:
                store.annotate(name, {CREATED_BY: None})
            if number not in contents:
                store.destroy(name, number)

    def _fields(
        self, store: SecretStore, name: str, version: ExportedVersion
    ) -> Mapping[str, object]:
        material = version.material or SecretBytes(b"")
        if self._wraps():
            return {**version.beside, **wrap(store, name, material).fields()}
        return {**version.beside, **plain_fields(material, version.encoding)}

    def _protection(
        self,
        store: SecretStore,
        name: str,
        passphrase: SecretText | None,
        public_key: bytes | None,
        transit_key: str | None,
    ) -> Protection:
        if passphrase is not None:
            return for_passphrase(passphrase)
        if public_key is not None:
            return for_public_key(public_key)
        key, envelope = transit_of(store).make(name, 32, str(transit_key))
        about = {"transit_key": envelope.transit_key, "wrapped": envelope.wrapped}
        return key, {"kind": "transit", **about}

    def _opener(
        self,
        passphrase: SecretText | None,
        private_key: SecretBytes | None,
        transit_key: str | None,
    ) -> Opener:
        if passphrase is not None:
            return with_passphrase(passphrase)
        if private_key is not None:
            return with_private_key(private_key)

        def opened(about: Mapping[str, str], export: KeyExport) -> SecretBytes:
            check_kind(about, "transit")
            # What a file says does not decide where a request is sent.
            envelope = Envelope(wrapped=about.get("wrapped", ""), transit_key=str(transit_key))
            return transit_of(self._store()).unwrap(export.name, envelope)

        return opened


def _check_one(**given: object) -> None:
    if sum(value is not None for value in given.values()) != 1:
        raise ConfigurationError(f"exactly one of {', '.join(given)} protects an export")


def _described(info: VersionInfo, state: str | None = None) -> ExportedVersion:
    return ExportedVersion(
        version=info.version, state=state or info.state, created=_iso(info.created)
    )


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()

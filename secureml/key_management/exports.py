"""Whole keys that leave a store and come into another: every version under its number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from secureml.audit import Audit
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
from secureml.key_management.records import beside_key, check_lasting, check_name, key_of
from secureml.key_management.resolver import record_of
from secureml.key_management.rotation_period import description
from secureml.key_management.wrapped import unwrapped, wrap
from secureml.keys import Envelope, encode
from secureml.keys.export import (
    ExportedVersion,
    KeyExport,
    Opener,
    Protection,
    check_kind,
    with_passphrase,
    with_private_key,
    with_public_key,
)
from secureml.secret_types import SecretBytes, SecretText
from secureml.settings import Settings
from secureml.stores import Finding, SecretStore, VersionInfo
from secureml.stores.custom_metadata import CREATED_BY, STATES_KEPT, UNKNOWN, merged
from secureml.stores.transit import Transit

__all__ = ["Exports"]

_PLACEHOLDER: Mapping[str, object] = {"placeholder": "a version without a key, to be destroyed"}


class Exports:
    """Exports and restores keys; ``KeyManager``'s methods of the same names tell how.

    Args:
        store: opens the store, or raises if there is none.
        settings: returns the settings in force.
        local: the settings without Vault's layer, which hold the environment.
        audit: records each access.
        forget: drops what is cached under a name that has changed.
    """

    def __init__(
        self,
        *,
        store: Callable[[], SecretStore],
        settings: Callable[[], Settings],
        local: Settings,
        audit: Audit,
        forget: Callable[[str], None],
    ) -> None:
        self._store = store
        self._settings = settings
        self._local = local
        self._audit = audit
        self._forget = forget

    def export_key(
        self,
        name: str | None,
        passphrase: SecretText | None,
        public_key: bytes | None,
        transit_key: str | None,
    ) -> bytes:
        """Return every version of a key, sealed."""
        _check_one(passphrase=passphrase, public_key=public_key, transit_key=transit_key)
        with self._audit.access("export_key") as access:
            name = self._settings().master_key_name if name is None else name
            check_name(name, self._local)
            access.note(name=name)
            store = self._store()
            seal = self._seal(store, name, passphrase, public_key, transit_key)
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
                    key = key_of(name, opened, self._local.environment)
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
                environment=self._local.environment,
                exported=datetime.now(UTC).isoformat(timespec="seconds"),
                custom_metadata=custom_metadata,
                versions=versions,
            )
            file = export.sealed(seal())
        if without:
            warn(
                "versions of a key are exported without their content",
                SecureMLWarning,
                f"{path} is exported without the content of versions {', '.join(without)}: it is "
                "deleted, destroyed or no key",
            )
        return file

    def read_export(
        self,
        export: bytes,
        passphrase: SecretText | None,
        private_key: SecretBytes | None,
        transit_key: str | None,
    ) -> KeyExport:
        """Open an export and check it."""
        _check_one(passphrase=passphrase, private_key=private_key, transit_key=transit_key)
        with self._audit.access("read_export") as access:
            found = KeyExport.opened(export, self._opener(passphrase, private_key, transit_key))
            access.note(name=found.name)
            return found

    def restore_key(self, export: KeyExport, name: str | None) -> None:
        """Write every version of an export."""
        with self._audit.access("restore_key") as access:
            name = export.name if name is None else name
            check_name(name, self._local)
            if export.environment != self._local.environment:
                raise ConfigurationError(
                    f"the export is of the environment {export.environment!r}, and "
                    f"{self._local.environment!r} is selected"
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
                self._write(store, name, export.versions[-1].version, contents)
                # From here on its versions are used; before, nothing tells their states.
                store.annotate(name, about)
            except SecretError as error:
                error.args = (
                    f"{path} is restored in part, and not used: remove it with 'vault kv metadata "
                    f"delete', and restore it again. {error}",
                )
                raise
            finally:
                self._forget(name)

    def _write(
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
        if self._settings().key_backend == "transit":
            return {**version.beside, **wrap(store, name, material).fields()}
        value = SecretText(encode(material, version.encoding))
        return {**version.beside, "value": value, "encoding": version.encoding}

    def _seal(
        self,
        store: SecretStore,
        name: str,
        passphrase: SecretText | None,
        public_key: bytes | None,
        transit_key: str | None,
    ) -> Callable[[], Protection]:
        if passphrase is not None:
            return with_passphrase(passphrase)[0]
        if public_key is not None:
            return with_public_key(public_key)
        transit = _transit_of(store)

        def seal() -> Protection:
            key, envelope = transit.make(name, 32, str(transit_key))
            about = {"transit_key": envelope.transit_key, "wrapped": envelope.wrapped}
            return key, {"kind": "transit", **about}

        return seal

    def _opener(
        self,
        passphrase: SecretText | None,
        private_key: SecretBytes | None,
        transit_key: str | None,
    ) -> Opener:
        if passphrase is not None:
            return with_passphrase(passphrase)[1]
        if private_key is not None:
            return with_private_key(private_key)

        def opened(about: Mapping[str, str], export: KeyExport) -> SecretBytes:
            check_kind(about, "transit")
            # What a file says does not decide where a request is sent.
            envelope = Envelope(wrapped=about.get("wrapped", ""), transit_key=str(transit_key))
            return _transit_of(self._store()).unwrap(export.name, envelope)

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


def _transit_of(store: SecretStore) -> Transit:
    if store.transit is None:
        raise ConfigurationError("this store has no transit engine")
    return store.transit

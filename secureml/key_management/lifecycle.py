"""The life of a key in a store: made, imported, rotated."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from secrets import token_bytes

from secureml.audit import Access
from secureml.errors import (
    AccessDeniedError,
    KeyDisabledError,
    SecretDeletedError,
    SecretError,
    SecretExistsError,
    SecureMLWarning,
    warn,
)
from secureml.key_management.records import (
    beside_key,
    check_lasting,
    check_name,
    info_of,
    is_key,
    key_text,
    octets_of,
)
from secureml.key_management.resolver import error_of, record_of
from secureml.key_management.rotation_period import description, period_in, period_text
from secureml.key_management.versions import KeyVersions
from secureml.key_management.wrapped import make, rotated, transit_of, wrap, wrapped_in
from secureml.keys import Encoding, Envelope, KeyInfo, SecretBytes, check_size, decode, encode
from secureml.secret_types import SecretText, conceals
from secureml.stores import Finding, Outcome, Record, SecretStore
from secureml.stores.custom_metadata import (
    CREATED_BY,
    DISABLED,
    PURPOSE,
    ROTATION_PERIOD,
    STATES_KEPT,
    UNKNOWN,
    lost_in,
    merged,
)

__all__ = ["KeyLifecycle", "plain_fields"]

_LOST: Mapping[str, object] = {"lost": "this number was that of another key"}
_USUAL_SHAPE: tuple[int, Encoding] = (32, "hex")


class KeyLifecycle(KeyVersions):
    """Makes, imports and rotates keys."""

    def generate_key(
        self,
        name: str,
        key_bytes: int = 32,
        encoding: Encoding = "hex",
        *,
        purpose: str | None = None,
        rotation_period: int | timedelta | None = None,
    ) -> KeyInfo:
        """Make a new key in Vault; never over an existing one.

        Args:
            name: the key's name.
            key_bytes: its length in bytes, 16 to 8160.
            encoding: how Vault keeps it: ``hex`` or ``base64``.
            purpose: what it is for, in up to 512 bytes of text; everybody who may list keys sees
                it.
            rotation_period: after how many days, or after what time, ``rotate_due`` rotates it.

        Returns:
            Where it lives, its version and fingerprint.

        Raises:
            SecretExistsError: something is stored under this name, or was and is deleted.
            KeyMaterialError: the length, the purpose or the period is impossible.
            SecretError: it could not be written.
            ConfigurationError: the name can't be used, or Vault is not configured.
        """
        check_size(key_bytes)
        with self._audit.access("generate_key") as access:
            about = description(purpose, rotation_period)
            plain = plain_fields(SecretBytes(token_bytes(key_bytes)), encoding)

            def fields(store: SecretStore) -> Mapping[str, object]:
                return make(store, name, key_bytes).fields() if self._wraps() else plain

            return self._create(access, name, fields, about)

    @conceals("material")
    def import_key(
        self,
        name: str,
        material: bytes | str | SecretBytes | SecretText,
        encoding: Encoding = "hex",
        *,
        purpose: str | None = None,
        rotation_period: int | timedelta | None = None,
    ) -> KeyInfo:
        """Store a key that was made elsewhere; never over an existing one.

        Args:
            name: the key's name.
            material: 16 to 8160 bytes, or the same as hex or base64 text.
            encoding: how Vault keeps it: ``hex`` or ``base64``.
            purpose: what it is for, as with ``generate_key``.
            rotation_period: when to rotate it, as with ``generate_key``.

        Raises:
            KeyMaterialError: the material is no key, or the purpose or the period is impossible.
            SecretExistsError: something is stored under this name, or was and is deleted.
            SecretError: it could not be written.
        """
        with self._audit.access("import_key") as access:
            octets = octets_of(material)
            check_size(len(octets))
            about = description(purpose, rotation_period)
            plain = plain_fields(octets, encoding)

            def fields(store: SecretStore) -> Mapping[str, object]:
                return wrap(store, name, octets).fields() if self._wraps() else plain

            return self._create(access, name, fields, about)

    def rotate_key(self, name: str | None = None, *, new_material: bool = False) -> KeyInfo:
        """Give a key a new version of the same length; every older version stays readable.

        If a transit key wraps it, the transit key is rotated, and the key itself stays the
        same, wrapped afresh, unless it is disabled.

        Args:
            name: the key's name; by default the setting ``master_key_name``.
            new_material: whether a key that a transit key wraps becomes a new one too, as any
                other key does.

        Returns:
            The new version.

        Raises:
            SecretNotFoundError: there is no such key in Vault.
            SecretExistsError: another writer was first.
            SecretError: it could not be written, or writing would prune an old version.
        """
        with self._audit.access("rotate_key") as access:
            name = self._named(access, name)
            access.attempt(name)
            store = self._store()
            outcome = store.read(name, even_disabled=True)
            if outcome.gone is not None and outcome.gone.state == "destroyed":
                return self._replace(access, store, name)
            record = record_of(outcome)
            return self._rotate(access, store, name, record, new_material=new_material)

    def rewrap_key(self, envelope: Envelope, name: str | None = None) -> Envelope:
        """Wrap a key that was kept beside data under the newest version of its transit key.

        The key stays the same and does not leave Vault.

        Args:
            envelope: the wrapped key, as ``Key.envelope`` was.
            name: the name of the key; by default the setting ``master_key_name``.

        Raises:
            KeyMaterialError: it is bound to another name or environment, was changed, or names
                another mount than ``vault_transit_mount``.
            KeyDisabledError: the transit key does not decrypt so old a version any more.
            SecretDeletedError: the transit key is gone.
            SecretError: denied, or Vault is unavailable.
        """
        with self._audit.access("rewrap_key") as access:
            name = self._named(access, name)
            transit = transit_of(self._store())
            transit.check_mount(envelope)
            return transit.rewrap(name, envelope)

    def rotate_due(self, now: datetime | None = None) -> tuple[KeyInfo, ...]:
        """Rotate every key whose rotation period is over; one without a period never is.

        A key that cannot be rotated does not stop the others; if one cannot be read, none is
        rotated.

        Args:
            now: the time to go by, with its time zone; by default the present by Vault's clock.

        Returns:
            The new versions; without those that another writer made meanwhile.

        Raises:
            SecretError: some keys could not be rotated. The message tells how many and which;
                the kind is that of the first one's error.
        """
        failures: dict[str, SecretError] = {}
        with self._audit.access("rotate_due"):
            store = self._store()
            due = []
            for name in filter(self._is_usable, store.names()):
                outcome = store.read(name, even_disabled=True)
                problem = _no_rotation(store, name, outcome)
                if problem is not None:
                    failures[name] = problem
                    continue
                is_gone = outcome.finding is Finding.ABSENT or outcome.gone is not None
                if is_gone or isinstance(outcome.error, AccessDeniedError):
                    continue
                record = record_of(outcome)
                # By the clock that dated the version, and not by that of this machine.
                if is_key(record) and _is_due(record, now or store.now()):
                    due.append((name, record))
        rotated = []
        count = len(due) + len(failures)
        for name, record in due:
            try:
                with self._audit.access("rotate_key") as access:
                    access.attempt(name)
                    rotated.append(self._rotate(access, self._store(), name, record))
            except SecretExistsError:
                # Another writer was first: the key is not due any more.
                continue
            except SecretError as error:
                failures[name] = error.with_traceback(None)
        if failures:
            raise _summary(failures, count)
        return tuple(rotated)

    def set_rotation_period(self, name: str, rotation_period: int | timedelta | None) -> KeyInfo:
        """Change when a key is to be rotated.

        Args:
            name: the key's name.
            rotation_period: after how many days, or after what time, counted from the newest
                version; None for never.

        Returns:
            The newest version.

        Raises:
            KeyMaterialError: the period is impossible.
            SecretError: there is no such key in Vault, or it could not be changed.
        """
        with self._audit.access("set_rotation_period") as access:
            check_name(name, self._local)
            text = None if rotation_period is None else period_text(rotation_period)
            access.attempt(name)
            store = self._store()
            record = record_of(store.read(name, even_disabled=True))
            access.found(record)
            info = info_of(name, record, self.environment)
            store.annotate(name, {ROTATION_PERIOD: text})
            return replace(info, rotation_period=period_in(text))

    def _rotate(
        self,
        access: Access,
        store: SecretStore,
        name: str,
        record: Record,
        *,
        new_material: bool = False,
    ) -> KeyInfo:
        """Write the version after the one that the record holds."""
        access.found(record)
        if record.state == UNKNOWN:
            # A new version would be out of use as well.
            raise error_of(store.read(name))
        # Not a later one that is read again: it would be another writer's.
        self._known_keys.checked(store, name, record, is_newest=True)
        store.check_writable(name, exists=True)
        fields: Mapping[str, object]
        wrapped = wrapped_in(record)
        store.keep_all_versions(name)
        if wrapped is None:
            fields = self._fresh(store, name, *_shape_of(record))
        else:
            # What was taken out of use doesn't come back under another number.
            new_material = new_material or record.state == DISABLED
            fields = rotated(store, name, wrapped, new_material=new_material).fields()
        fields = {**_inherited(record), **fields}
        filler = _LOST if record.state == DISABLED else record.fields
        newest, lost = record.version or 0, lost_in(record.custom_metadata)
        return self._write_next(
            access, store, name, fields, newest=newest, lost=lost, filler=filler
        )

    def _write_next(
        self,
        access: Access,
        store: SecretStore,
        name: str,
        fields: Mapping[str, object],
        *,
        newest: int,
        lost: Collection[int],
        filler: Mapping[str, object],
    ) -> KeyInfo:
        """Write a version after every one that ever was, as no number may name two keys.

        Until it is there, readers get what the filler holds.
        """
        used = max({*self._known_keys.of(store.path_of(name)), *lost}, default=0)
        passed = range(newest + 1, used + 1)
        for version in passed:
            store.write(name, filler, cas=version - 1)
        info = self._write(access, store, name, fields, cas=max(newest, used))
        for version in passed:
            # Who may not destroy leaves copies of a key that is there anyway.
            with contextlib.suppress(AccessDeniedError):
                store.destroy(name, version)
        if passed:
            message = "numbers of versions that Vault lost were passed over"
            numbers = ", ".join(map(str, passed))
            warn(message, SecureMLWarning, f"{message}: {numbers} of {info.path}")
        return info

    def _replace(self, access: Access, store: SecretStore, name: str) -> KeyInfo:
        """Write the version after a destroyed one, of the length of the last that is left."""
        (*older, newest), custom_metadata = store.described(name)
        left = [one.version for one in older if one.state not in ("deleted", "destroyed")]
        shape = _USUAL_SHAPE
        beside: Mapping[str, object] = {}
        if left:
            record = record_of(store.read(name, left[-1], even_disabled=True))
            shape, beside = _shape_of(record), _inherited(record)
        store.keep_all_versions(name)
        fields = {**beside, **self._fresh(store, name, *shape)}
        lost = lost_in(custom_metadata)
        return self._write_next(
            access, store, name, fields, newest=newest.version, lost=lost, filler=_LOST
        )

    def _fresh(
        self, store: SecretStore, name: str, size: int, encoding: Encoding
    ) -> Mapping[str, object]:
        """Make the fields of a record with new material."""
        if self._wraps():
            return make(store, name, size).fields()
        return plain_fields(SecretBytes(token_bytes(size)), encoding)

    def _wraps(self) -> bool:
        return self.settings.key_backend == "transit"

    def _create(
        self,
        access: Access,
        name: str,
        fields: Callable[[SecretStore], Mapping[str, object]],
        about: Mapping[str, str],
    ) -> KeyInfo:
        check_name(name, self._local)
        access.attempt(name)
        store = self._store()
        outcome = store.read(name, even_disabled=True)
        if outcome.finding in (Finding.PRESENT, Finding.DELETED):
            # That it does not exist may be what the cache has.
            self._cache.drop(name)
            raise SecretExistsError(
                f"{store.path_of(name)} exists already; nothing was written. rotate_key gives a "
                f"key a new version and keeps the old ones"
            )
        if outcome.finding is not Finding.ABSENT:
            raise error_of(outcome)
        merged(store.path_of(name), {}, about)
        # Neither a transit key nor metadata is left behind by a write that is denied.
        store.check_writable(name, exists=False)
        content = fields(store)
        # Before the key: from then on, custom metadata without it has been replaced.
        store.keep_all_versions(name, {CREATED_BY: about[CREATED_BY]})
        self._known_keys.forget(store.path_of(name))
        info = self._write(access, store, name, {**content, **STATES_KEPT}, cas=0)
        # Not before: of two writers, the one that is refused must not describe the other's key.
        try:
            store.annotate(name, about)
        except SecretError as error:
            error.reword(
                f"{info.path} was made as version {info.version}, and its purpose and rotation "
                f"period could not be written: {error.message}"
            )
            raise
        return replace(
            info,
            purpose=about.get(PURPOSE),
            created_by=about[CREATED_BY],
            rotation_period=period_in(about.get(ROTATION_PERIOD)),
        )

    def _write(
        self,
        access: Access,
        store: SecretStore,
        name: str,
        content: Mapping[str, object],
        *,
        cas: int | None,
    ) -> KeyInfo:
        record = store.write(name, content, cas=cas)
        access.found(record)
        info = info_of(name, record, self.environment)
        self._known_keys.saw(info)
        check_lasting(record)
        return info


def plain_fields(material: SecretBytes, encoding: Encoding) -> dict[str, object]:
    """Return the fields of a record that holds a key as it is."""
    return {"value": SecretText(encode(material, encoding)), "encoding": encoding}


def _inherited(record: Record) -> dict[str, object]:
    """Return the fields that a new version inherits."""
    marked = STATES_KEPT if CREATED_BY in record.custom_metadata else {}
    return {**beside_key(record), **marked}


def _no_rotation(store: SecretStore, name: str, newest: Outcome) -> SecretError | None:
    """Return why it can't be told whether a key is due, or rotated; None for any other secret."""
    if newest.gone is not None:
        is_planned = newest.gone.state == "deleted" and ROTATION_PERIOD in newest.custom_metadata
        return SecretDeletedError(str(newest.error)) if is_planned else None
    if isinstance(newest.error, AccessDeniedError):
        with contextlib.suppress(AccessDeniedError):
            if ROTATION_PERIOD not in store.described(name)[1]:
                return None
        return newest.error.with_traceback(None)
    if newest.finding is Finding.PRESENT and record_of(newest).state == UNKNOWN:
        return KeyDisabledError(str(error_of(store.read(name))))
    return None


def _shape_of(record: Record) -> tuple[int, Encoding]:
    """Return the length and the encoding that the next version is to have."""
    wrapped = wrapped_in(record)
    if wrapped is not None:
        return wrapped.key_bytes, "hex"
    text, declared = key_text(record)
    return len(decode(text, declared)), "base64" if declared == "base64" else "hex"


def _summary(failures: Mapping[str, SecretError], due: int) -> SecretError:
    """Return the first error, with a message about all keys that could not be rotated."""
    first = next(iter(failures.values()))
    others = " (the others are rotated)" if len(failures) < due else ""
    names = ", ".join(map(repr, failures))
    first.reword(
        f"{len(failures)} of {due} keys that are due could not be rotated: {names}{others}. "
        f"The first one: {first.message}"
    )
    return first


def _is_due(record: Record, now: datetime) -> bool:
    text = record.custom_metadata.get(ROTATION_PERIOD)
    if text is None or record.created is None:
        return False
    period = period_in(text)
    if period is None:
        problem = "rotation period that can't be read: it takes a number and one of d, h, m and s"
        warn(
            f"a key has a {problem}, such as 90d",
            SecureMLWarning,
            f"{record.path} has a {problem}, such as 90d",
        )
        return False
    return record.created + period <= now

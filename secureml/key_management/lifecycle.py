"""The life of a key in a store: made, imported, rotated, listed, destroyed."""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from secrets import token_bytes

from secureml.audit import Access, Audit
from secureml.errors import (
    AccessDeniedError,
    ConfigurationError,
    KeyDisabledError,
    KeyMaterialError,
    SecretDeletedError,
    SecretError,
    SecretExistsError,
    SecretNotFoundError,
    SecureMLWarning,
    warn,
)
from secureml.key_management.known import KnownKeys
from secureml.key_management.records import (
    beside_key,
    check_lasting,
    check_name,
    check_size,
    check_version,
    info_of,
    is_key,
    key_text,
    metadata_info_of,
    octets_of,
)
from secureml.key_management.resolver import error_of, record_of
from secureml.key_management.rotation_period import description, period_in, period_text
from secureml.key_management.twins import twins_of, warn_of_twins
from secureml.key_management.wrapped import (
    make,
    rewrapped_envelope,
    rotated,
    wrap,
    wrapped_in,
)
from secureml.keys import Encoding, Envelope, KeyInfo, SecretBytes, decode, encode
from secureml.secret_types import SecretText
from secureml.settings import Settings
from secureml.stores import Finding, Outcome, Record, SecretStore
from secureml.stores.custom_metadata import (
    CREATED_BY,
    DISABLED,
    LOST,
    PURPOSE,
    ROTATION_PERIOD,
    STATES_KEPT,
    UNKNOWN,
    lost_in,
    lost_text,
    merged,
    state_key,
    state_of,
)

__all__ = ["Lifecycle"]

_NOTHING: Mapping[str, object] = {"lost": "this number was that of another key"}
_USUAL_SHAPE: tuple[int, Encoding] = (32, "hex")


class Lifecycle:
    """Changes the versions of keys; ``KeyManager``'s methods of the same names tell how.

    Args:
        store: opens the store, or raises if there is none.
        settings: returns the settings in force.
        local: the settings without Vault's layer, which hold the environment.
        audit: records each access.
        forget: drops what is cached under a name that has changed.
        known: remembers which versions were there.
    """

    def __init__(
        self,
        *,
        store: Callable[[], SecretStore],
        settings: Callable[[], Settings],
        local: Settings,
        audit: Audit,
        forget: Callable[[str], None],
        known: KnownKeys,
    ) -> None:
        self._store = store
        self._settings = settings
        self._local = local
        self._environment = local.environment
        self._audit = audit
        self._forget = forget
        self._known = known

    def generate_key(
        self,
        name: str,
        key_bytes: int,
        encoding: Encoding,
        purpose: str | None,
        rotation_period: int | timedelta | None,
    ) -> KeyInfo:
        """Make a new key."""
        check_size(key_bytes)
        with self._audit.access("generate_key") as access:
            about = description(purpose, rotation_period)
            plain = _plain(SecretBytes(token_bytes(key_bytes)), encoding)

            def fields(store: SecretStore) -> Mapping[str, object]:
                return make(store, name, key_bytes).fields() if self._wraps() else plain

            return self._create(access, name, fields, about)

    def import_key(
        self,
        name: str,
        material: bytes | str | SecretBytes | SecretText,
        encoding: Encoding,
        purpose: str | None,
        rotation_period: int | timedelta | None,
    ) -> KeyInfo:
        """Store a key that was made elsewhere."""
        with self._audit.access("import_key") as access:
            octets = octets_of(material)
            check_size(len(octets))
            about = description(purpose, rotation_period)
            plain = _plain(octets, encoding)

            def fields(store: SecretStore) -> Mapping[str, object]:
                return wrap(store, name, octets).fields() if self._wraps() else plain

            return self._create(access, name, fields, about)

    def rotate_key(self, name: str | None, *, new_material: bool) -> KeyInfo:
        """Give a key a new version."""
        with self._audit.access("rotate_key") as access:
            name = self._name(name)
            access.attempt(name)
            store = self._store()
            outcome = _newest(store, name)
            if outcome.record is None and _is_destroyed(store, name, outcome):
                return self._replace(access, store, name)
            record = record_of(outcome)
            return self._rotate(access, store, name, record, new_material=new_material)

    def rewrap_key(self, envelope: Envelope, name: str | None) -> Envelope:
        """Wrap a key that was kept beside data afresh."""
        with self._audit.access("rewrap_key") as access:
            name = self._name(name)
            access.note(name=name)
            return rewrapped_envelope(self._store(), name, envelope)

    def rotate_due(self, now: datetime | None) -> tuple[KeyInfo, ...]:
        """Rotate every key whose rotation period is over."""
        failures: dict[str, SecretError] = {}
        with self._audit.access("rotate_due"):
            store = self._store()
            due = []
            for name in filter(self._is_usable, store.names()):
                outcome = _newest(store, name)
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
                rotated.append(self._rotate_from(name, record))
            except SecretExistsError:
                # Another writer was first: the key is not due any more.
                continue
            except SecretError as error:
                failures[name] = error.with_traceback(None)
        if failures:
            raise _first_of(failures, count)
        return tuple(rotated)

    def set_rotation_period(self, name: str, period: int | timedelta | None) -> KeyInfo:
        """Change after how long a key is to be rotated."""
        with self._audit.access("set_rotation_period") as access:
            check_name(name, self._local)
            text = None if period is None else period_text(period)
            access.attempt(name)
            store = self._store()
            record = record_of(_newest(store, name))
            access.found(record)
            info = info_of(name, record, self._environment)
            with self._changing(name):
                store.annotate(name, {ROTATION_PERIOD: text})
            return replace(info, rotation_period=period_in(text))

    def key_history(self, name: str | None) -> tuple[KeyInfo, ...]:
        """List every version of a key, oldest first."""
        with self._audit.access("key_history") as access:
            name = self._name(name)
            access.note(name=name)
            return self._history(name)

    def list_keys(self) -> tuple[KeyInfo, ...]:
        """List the newest version of every key."""
        with self._audit.access("list_keys"):
            store = self._store()
            infos = (self._listed(store, name) for name in store.names() if self._is_usable(name))
            return tuple(info for info in infos if info is not None)

    def key_versions(self, name: str | None) -> tuple[KeyInfo, ...]:
        """List every version of a key by its metadata alone, oldest first."""
        with self._audit.access("key_versions") as access:
            name = self._name(name)
            access.note(name=name)
            return self._versions(name)

    def info_by_metadata(self, name: str, version: int | None) -> KeyInfo:
        """Tell what metadata alone tells of a version."""
        infos = self._versions(name)
        for info in infos:
            if info.version == (version or infos[-1].version):
                return info
        raise SecretNotFoundError(f"there is no version {version} of {name!r} in Vault")

    def disable_key_version(self, name: str, version: int) -> KeyInfo:
        """Take a version out of use."""
        with self._audit.access("disable_key_version") as access:
            check_name(name, self._local)
            history = self._history(name)
            info = replace(self._set_state(access, name, version, DISABLED), state=DISABLED)
        warn_of_twins(info, twins_of(info, history))
        return info

    def enable_key_version(self, name: str, version: int) -> KeyInfo:
        """Take a version into use again."""
        with self._audit.access("enable_key_version") as access:
            info = self._set_state(access, name, version, None)
            newest = self._store().versions(name)[-1].version
            return replace(info, state=state_of({}, version, newest))

    def destroy_key_version(self, name: str, version: int, confirm: str) -> KeyInfo:
        """Destroy one version of a key."""
        with self._audit.access("destroy_key_version") as access:
            check_name(name, self._local)
            check_version(version)
            if version is None or not isinstance(confirm, str):
                raise TypeError("destroying takes a version and its fingerprint as text")
            access.note(version=version)
            access.attempt(name)
            store = self._store()
            record = record_of(store.read(name, version, even_disabled=True))
            access.found(record)
            info = info_of(name, record, self._environment)
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
            twins = twins_of(info, self._history(name))
            with self._changing(name):
                store.destroy(name, version)
        info = replace(info, state="destroyed")
        warn_of_twins(info, twins)
        return info

    def accept_rollback(self, name: str, highest: int | None) -> tuple[int, ...]:
        """Give up the versions that Vault lost."""
        with self._audit.access("accept_rollback") as access:
            check_name(name, self._local)
            check_version(highest)
            access.attempt(name)
            store = self._store()
            record = record_of(_newest(store, name))
            access.found(record)
            newest = record.version or 0
            lost = {
                *self._known.lost(self._history(name), record.path),
                *range(newest + 1, (highest or newest) + 1),
            }
            given_up = lost_in(record.custom_metadata)
            if lost <= given_up:
                raise SecretError(
                    f"nothing that was seen of {record.path} is missing; nothing was changed"
                )
            with self._changing(name):
                store.annotate(name, {LOST: lost_text(lost | given_up)})
            return tuple(sorted(lost - given_up))

    def _name(self, name: str | None) -> str:
        name = self._settings().master_key_name if name is None else name
        check_name(name, self._local)
        return name

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
                    told = self._told(name, record_of(outcome), info)
            history.append(told)
        return tuple(history)

    def _told(self, name: str, record: Record, info: KeyInfo) -> KeyInfo:
        """Add to what metadata tells of a version what its record does."""
        state = UNKNOWN if record.state == UNKNOWN else info.state
        # An operator may have written what is no key, and put it right since.
        with contextlib.suppress(KeyMaterialError):
            info = info_of(name, record, self._environment)
        return replace(info, state=state)

    def _versions(self, name: str) -> tuple[KeyInfo, ...]:
        """Tell what metadata tells of each version; without reading any, no fingerprint."""
        store = self._store()
        path = store.path_of(name)
        versions, about = store.described(name)
        if not versions:
            raise SecretNotFoundError(f"there is no key {name!r} in Vault", looked_in=(path,))
        return tuple(
            metadata_info_of(name, path, version, self._environment, about) for version in versions
        )

    def _listed(self, store: SecretStore, name: str) -> KeyInfo | None:
        """Tell of the newest version of a key as much as the token may see; None for no key.

        Of a secret that it may not read, nothing tells whether it is a key.
        """
        outcome = _newest(store, name)
        path = store.path_of(name)
        if outcome.finding is Finding.ABSENT:
            return None
        if outcome.gone is not None:
            about = outcome.custom_metadata
            gone = metadata_info_of(name, path, outcome.gone, self._environment, about)
            return gone if gone.created_by else None
        if not isinstance(outcome.error, AccessDeniedError):
            record = record_of(outcome)
            return info_of(name, record, self._environment) if is_key(record) else None
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
                environment=self._environment,
                path=path,
                state="denied",
            )
        is_gone = newest.state in ("deleted", "destroyed")
        return newest if newest.created_by or not is_gone else None

    def _set_state(self, access: Access, name: str, version: int, state: str | None) -> KeyInfo:
        check_name(name, self._local)
        check_version(version)
        if version is None:
            raise TypeError("the state of a key is that of one version")
        access.note(version=version)
        access.attempt(name)
        store = self._store()
        record = record_of(store.read(name, version, even_disabled=True))
        access.found(record)
        info = info_of(name, record, self._environment)
        changes: dict[str, str | None] = {}
        if record.state == UNKNOWN:
            # What was disabled stays so; what was not has to be enabled.
            changes = {
                state_key(other.version): DISABLED
                for other in store.versions(name)
                if other.state != "destroyed"
            }
            changes |= description(None, None)
        with self._changing(name):
            store.annotate(name, {**changes, state_key(version): state})
        return info

    def _rotate_from(self, name: str, record: Record) -> KeyInfo:
        with self._audit.access("rotate_key") as access:
            access.attempt(name)
            return self._rotate(access, self._store(), name, record)

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
        self._known.checked(store, name, record, is_newest=True)
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
        fields = {**_beside_key(record), **fields}
        filler = _NOTHING if record.state == DISABLED else record.fields
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
        """Write a version after every one that ever was: a number stands for one key for ever.

        Until it is there, whoever reads gets what the filler holds.
        """
        used = max({*self._known.of(store.path_of(name)), *lost}, default=0)
        passed = range(newest + 1, used + 1)
        for version in passed:
            with self._changing(name):
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
        """Write the version after one that was destroyed, of the length of the last before it."""
        (*older, newest), custom_metadata = store.described(name)
        left = [one.version for one in older if one.state not in ("deleted", "destroyed")]
        shape = _USUAL_SHAPE
        beside: Mapping[str, object] = {}
        if left:
            record = record_of(store.read(name, left[-1], even_disabled=True))
            shape, beside = _shape_of(record), _beside_key(record)
        store.keep_all_versions(name)
        fields = {**beside, **self._fresh(store, name, *shape)}
        lost = lost_in(custom_metadata)
        return self._write_next(
            access, store, name, fields, newest=newest.version, lost=lost, filler=_NOTHING
        )

    def _fresh(
        self, store: SecretStore, name: str, size: int, encoding: Encoding
    ) -> Mapping[str, object]:
        """Make the fields of a record with new material."""
        if self._wraps():
            return make(store, name, size).fields()
        return _plain(SecretBytes(token_bytes(size)), encoding)

    def _wraps(self) -> bool:
        return self._settings().key_backend == "transit"

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
        outcome = _newest(store, name)
        if outcome.finding in (Finding.PRESENT, Finding.DELETED):
            # That it does not exist may be what the cache has.
            self._forget(name)
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
        self._known.forget(store.path_of(name))
        info = self._write(access, store, name, {**content, **STATES_KEPT}, cas=0)
        # Not before: of two writers, the one that is refused must not describe the other's key.
        try:
            store.annotate(name, about)
        except SecretError as error:
            error.args = (
                f"{info.path} was made as version {info.version}, and its purpose and rotation "
                f"period could not be written: {error}",
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
        with self._changing(name):
            record = store.write(name, content, cas=cas)
        access.found(record)
        info = info_of(name, record, self._environment)
        self._known.saw(info)
        check_lasting(record)
        return info

    @contextmanager
    def _changing(self, name: str) -> Iterator[None]:
        """Drop what is cached of a key, where the change fails too.

        It may have been made nevertheless, or another writer's has overtaken the cache.
        """
        try:
            yield
        finally:
            self._forget(name)

    def _is_usable(self, name: str) -> bool:
        try:
            check_name(name, self._local)
        except ConfigurationError:
            return False
        return True


def _plain(material: SecretBytes, encoding: Encoding) -> dict[str, object]:
    return {"value": SecretText(encode(material, encoding)), "encoding": encoding}


def _beside_key(record: Record) -> dict[str, object]:
    """Return the fields that a new version takes over."""
    marked = STATES_KEPT if CREATED_BY in record.custom_metadata else {}
    return {**beside_key(record), **marked}


def _newest(store: SecretStore, name: str) -> Outcome:
    """Read the newest version, which may be disabled: it tells the length of the next one."""
    return store.read(name, even_disabled=True)


def _no_rotation(store: SecretStore, name: str, newest: Outcome) -> SecretError | None:
    """Tell why nobody can say whether a key is due, or can rotate it; None for any other secret."""
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


def _is_destroyed(store: SecretStore, name: str, newest: Outcome) -> bool:
    """Tell whether the newest version was destroyed, not merely deleted."""
    return newest.finding is Finding.DELETED and store.versions(name)[-1].state == "destroyed"


def _shape_of(record: Record) -> tuple[int, Encoding]:
    """Return the length and the encoding that the next version is to have."""
    wrapped = wrapped_in(record)
    if wrapped is not None:
        return wrapped.key_bytes, "hex"
    text, declared = key_text(record)
    return len(decode(text, declared)), "base64" if declared == "base64" else "hex"


def _first_of(failures: Mapping[str, SecretError], due: int) -> SecretError:
    """Return the first error, which then tells of all keys that could not be rotated."""
    first = next(iter(failures.values()))
    others = " (the others are rotated)" if len(failures) < due else ""
    names = ", ".join(map(repr, failures))
    first.args = (
        f"{len(failures)} of {due} keys that are due could not be rotated: {names}{others}. "
        f"The first one: {first}",
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

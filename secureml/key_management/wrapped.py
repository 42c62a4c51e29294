"""Keys that Vault's transit engine wraps: their records, unwrapping and rotation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeGuard

from secureml.errors import (
    AccessDeniedError,
    ConfigurationError,
    KeyDisabledError,
    KeyMaterialError,
    SecretDeletedError,
    SecretError,
    SecureMLWarning,
    warn,
)
from secureml.keys import Envelope, SecretBytes, encode, fingerprint_of
from secureml.stores import Outcome, Record, SecretStore
from secureml.stores.custom_metadata import DISABLED

if TYPE_CHECKING:
    from secureml.stores.transit import Transit

__all__ = [
    "WRAPPED_FIELDS",
    "DataKeys",
    "Wrapped",
    "data_keys_of",
    "make",
    "rotated",
    "transit_of",
    "unwrapped",
    "unwrapped_envelope",
    "wrap",
    "wrapped_in",
]

WRAPPED_FIELDS = frozenset({"wrapped", "transit_key", "fingerprint", "key_bytes", "earlier"})
"""The fields of a record that holds a wrapped key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """A wrapped key as its record has it.

    Args:
        envelope: the data key, wrapped.
        fingerprint: the data key's; it tells versions apart without unwrapping.
        key_bytes: the data key's length.
        earlier: the data keys that older versions of the record hold, by fingerprint, wrapped as
            freshly as this one: an old version of the transit key can be retired without them.
    """

    envelope: Envelope
    fingerprint: str
    key_bytes: int
    earlier: Mapping[str, str] = field(default_factory=dict, repr=False)

    def fields(self) -> dict[str, object]:
        """Return the fields of the record."""
        return {
            "wrapped": self.envelope.wrapped,
            "transit_key": self.envelope.transit_key,
            "fingerprint": self.fingerprint,
            "key_bytes": self.key_bytes,
            "earlier": dict(self.earlier),
        }

    def envelopes(self) -> dict[str, Envelope]:
        """Return the data keys in the record, by fingerprint."""
        key = self.envelope.transit_key
        earlier = {
            fingerprint: Envelope(wrapped=text, transit_key=key)
            for fingerprint, text in self.earlier.items()
        }
        return {**earlier, self.fingerprint: self.envelope}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataKeys:
    """The data keys that all versions of a key hold, whichever of them are damaged or gone.

    Args:
        envelopes: by fingerprint, those under the newest versions of the transit key first.
        disabled: the fingerprints of versions that are disabled.
        unread: what can't be collected, in words.
    """

    envelopes: Mapping[str, tuple[Envelope, ...]]
    disabled: frozenset[str]
    unread: tuple[str, ...]


def data_keys_of(store: SecretStore, name: str) -> DataKeys:
    """Collect the data keys of all versions of a key that can be read.

    Raises:
        SecretError: denied, or Vault is unavailable.
    """
    found: dict[str, set[Envelope]] = {}
    disabled, unread = set(), []
    for version in reversed(store.versions(name)):
        if version.state in ("deleted", "destroyed"):
            if version.state == "deleted":
                unread.append(f"version {version.version} is deleted")
            continue
        outcome = store.read(name, version.version, even_disabled=True)
        if outcome.record is None:
            raise outcome.error or SecretError(f"{outcome.where} is gone")
        try:
            wrapped = wrapped_in(outcome.record)
            held = {} if wrapped is None else wrapped.envelopes()
        except KeyMaterialError as error:
            unread.append(f"version {version.version}: {error.message}")
            continue
        for fingerprint, envelope in held.items():
            found.setdefault(fingerprint, set()).add(envelope)
        if wrapped is not None and outcome.record.state == DISABLED:
            disabled.add(wrapped.fingerprint)
    envelopes = {
        fingerprint: tuple(sorted(each, key=lambda one: one.transit_version, reverse=True))
        for fingerprint, each in found.items()
    }
    return DataKeys(envelopes=envelopes, disabled=frozenset(disabled), unread=tuple(unread))


def wrapped_in(record: Record) -> Wrapped | None:
    """Read the wrapped key in a record; None if it holds anything else.

    Args:
        record: one version of a secret.

    Raises:
        KeyMaterialError: it holds a wrapped key with a field missing or of the wrong type.
    """
    fields = record.fields
    if "value" in fields or not {"wrapped", "transit_key"} <= fields.keys():
        return None
    fingerprint, size = fields.get("fingerprint"), fields.get("key_bytes")
    earlier = fields.get("earlier")
    if not (isinstance(fingerprint, str) and type(size) is int and _are_texts(earlier)):
        raise KeyMaterialError(f"{record.path} holds a wrapped key with wrong or missing fields")
    return Wrapped(
        envelope=Envelope(wrapped=str(fields["wrapped"]), transit_key=str(fields["transit_key"])),
        fingerprint=fingerprint,
        key_bytes=size,
        earlier=earlier,
    )


def unwrapped(store: SecretStore, name: str, outcome: Outcome) -> Outcome:
    """Unwrap the key in an outcome; any other outcome is returned as it is.

    If the transit key does not decrypt what this version was wrapped under, the same data key is
    taken from another version: every rotation wraps all of them afresh.

    Args:
        store: where it was found.
        name: the key's name.
        outcome: the result of reading it.

    Returns:
        The record, with the key itself in its fields and the envelope that it came in; or why it
        can't be unwrapped.

    Raises:
        ConfigurationError: the store has no transit engine.
    """
    if outcome.record is None:
        return outcome
    try:
        return replace(outcome, record=_opened(store, name, outcome.record))
    except SecretError as error:
        return Outcome.failed(outcome.where, error)


def _opened(store: SecretStore, name: str, record: Record) -> Record:
    wrapped = wrapped_in(record)
    if wrapped is None:
        return record
    transit = transit_of(store)
    envelope = wrapped.envelope
    material: SecretBytes | KeyDisabledError
    try:
        material = transit.unwrap(name, envelope)
    except KeyDisabledError as error:
        material = error.with_traceback(None)
    if isinstance(material, KeyDisabledError):
        opened = _opened_elsewhere(store, name, wrapped)
        if opened is None:
            raise material
        envelope, material = opened
    if fingerprint_of(material) != wrapped.fingerprint:
        raise KeyMaterialError(f"{record.path}: the wrapped key has not the fingerprint given")
    return replace(record, fields=_plain(material), envelope=envelope)


_HOPELESS = (KeyDisabledError, KeyMaterialError, SecretDeletedError)
"""How the transit engine refuses one envelope for good, while another may still open."""


def _opened_elsewhere(
    store: SecretStore, name: str, wrapped: Wrapped
) -> tuple[Envelope, SecretBytes] | None:
    """Unwrap the same data key from another version; None if none can be unwrapped."""
    for envelope in _copies(store, name, wrapped):
        with contextlib.suppress(*_HOPELESS):
            return envelope, transit_of(store).unwrap(name, envelope)
    return None


def _copies(store: SecretStore, name: str, wrapped: Wrapped) -> Iterator[Envelope]:
    """Go through the other envelopes of a data key: that of the newest version first."""
    # That a version is disabled says nothing of the others, whose keys it may hold as well.
    newest = store.read(name, even_disabled=True).record
    with contextlib.suppress(KeyMaterialError):
        found = None if newest is None else wrapped_in(newest)
        if found is not None and wrapped.fingerprint in found.envelopes():
            yield found.envelopes()[wrapped.fingerprint]
    # Who may not list versions is left with that.
    with contextlib.suppress(AccessDeniedError):
        yield from data_keys_of(store, name).envelopes.get(wrapped.fingerprint, ())


def make(store: SecretStore, name: str, size: int) -> Wrapped:
    """Have Vault make a data key of so many bytes, and its transit key if that is missing.

    The data keys that older versions hold go with it.

    Raises:
        ConfigurationError: the store has no transit engine, or the transit key could leave Vault
            or would not bind name and environment.
    """
    transit = transit_of(store)
    key = transit.transit_key(name)
    made = _made(transit, name, size, key)
    return replace(made, earlier=_carried(store, name, key, without=made.fingerprint))


def wrap(store: SecretStore, name: str, material: SecretBytes) -> Wrapped:
    """Have Vault wrap a key that was made elsewhere; otherwise as ``make``."""
    transit = transit_of(store)
    envelope = transit.wrap(name, material, transit.transit_key(name))
    return _wrapped(envelope, material)


def rotated(
    store: SecretStore, name: str, wrapped: Wrapped, *, new_material: bool = False
) -> Wrapped:
    """Wrap every data key that any version holds under a new version of the transit key.

    Args:
        store: where the key is kept.
        name: the key's name.
        wrapped: the newest version of the key.
        new_material: whether to make a new data key besides; the old one stays among the earlier.

    Raises:
        SecretError: a data key can't be rewrapped; the transit key has no new version then, unless
            Vault became unavailable or another writer changed it meanwhile.
    """
    transit = transit_of(store)
    key = wrapped.envelope.transit_key
    # All that the rotation takes is tried under the version that there is.
    if new_material:
        transit.make(name, wrapped.key_bytes, key)
    for text in (wrapped.envelope.wrapped, *wrapped.earlier.values()):
        transit.rewrap(name, Envelope(wrapped=text, transit_key=key))
    transit.rotate(name, wrapped.envelope)
    # In this order, no other data key is left under an older version than the first one is, even
    # if another writer rotates the transit key meanwhile.
    if new_material:
        first = _made(transit, name, wrapped.key_bytes, key)
    else:
        first = replace(wrapped, envelope=transit.rewrap(name, wrapped.envelope))
    return replace(first, earlier=_carried(store, name, key, without=first.fingerprint))


def _carried(store: SecretStore, name: str, key: str, *, without: str) -> dict[str, str]:
    """Wrap the data keys of all versions afresh, and name those that can't be.

    One that another transit key wraps stays where it is: this one's versions do not concern it.
    """
    transit, keys = transit_of(store), data_keys_of(store, name)
    carried, problems = {}, list(keys.unread)
    for fingerprint, envelopes in keys.envelopes.items():
        own = [envelope for envelope in envelopes if envelope.transit_key == key]
        if fingerprint == without or not own:
            continue
        refused = ""
        for envelope in own:
            try:
                carried[fingerprint] = transit.rewrap(name, envelope).wrapped
                break
            except _HOPELESS as error:
                refused = refused or error.message
        if fingerprint not in carried:
            problems.append(f"the one with the fingerprint {fingerprint}: {refused}")
    if problems:
        message = "some older keys could not be wrapped afresh"
        warn(message, SecureMLWarning, f"{message}: {store.path_of(name)}, {'; '.join(problems)}")
    return carried


def unwrapped_envelope(store: SecretStore, name: str, envelope: Envelope) -> Record:
    """Unwrap a key that was kept beside data, as the record that would hold it.

    Raises:
        ConfigurationError: the store has no transit engine.
        SecretError: it can't be unwrapped, or names another mount than the settings do.
    """
    transit = transit_of(store)
    transit.check_mount(envelope)
    return Record(
        fields=_plain(transit.unwrap(name, envelope)),
        source="vault",
        path=envelope.transit_key,
        envelope=envelope,
    )


def _plain(material: SecretBytes) -> dict[str, object]:
    return {"value": encode(material, "base64"), "encoding": "base64"}


def transit_of(store: SecretStore) -> Transit:
    """Return the transit engine of a store.

    Raises:
        ConfigurationError: it has none.
    """
    if store.transit is None:
        raise ConfigurationError("keys that a transit engine wraps need Vault: this store has none")
    return store.transit


def _made(transit: Transit, name: str, size: int, key: str) -> Wrapped:
    material, envelope = transit.make(name, size, key)
    return _wrapped(envelope, material)


def _wrapped(envelope: Envelope, material: SecretBytes) -> Wrapped:
    return Wrapped(envelope=envelope, fingerprint=fingerprint_of(material), key_bytes=len(material))


def _are_texts(value: object) -> TypeGuard[Mapping[str, str]]:
    return isinstance(value, Mapping) and all(
        isinstance(text, str) for entry in value.items() for text in entry
    )

"""Keys that Vault's transit engine wraps: what their records hold, and how they are opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeGuard

from secureml.errors import (
    ConfigurationError,
    KeyDisabledError,
    KeyMaterialError,
    MalformedAnswerError,
    SecretDeletedError,
    SecretError,
    VaultUnavailableError,
)
from secureml.keys import Envelope, SecretBytes, encode, fingerprint_of
from secureml.sources import Finding, Outcome, Record, SecretStore

if TYPE_CHECKING:
    from secureml.sources.transit import Transit

__all__ = [
    "WRAPPED_FIELDS",
    "Wrapped",
    "make",
    "rewrapped_envelope",
    "rotated",
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
        fingerprint: the data key's; it tells versions apart where nobody may unwrap.
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

    def with_material_of(self, fingerprint: str) -> Envelope | None:
        """Return the freshest envelope of a data key; None where this record lacks it."""
        if fingerprint == self.fingerprint:
            return self.envelope
        wrapped = self.earlier.get(fingerprint)
        if wrapped is None:
            return None
        return Envelope(wrapped=wrapped, transit_key=self.envelope.transit_key)


def wrapped_in(record: Record) -> Wrapped | None:
    """Read the wrapped key in a record; None where it holds anything else.

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
    """Unwrap what was found; what is no wrapped key is returned as it is.

    Where the transit key no longer decrypts what this version was wrapped under, the same data
    key is taken from the newest version, which every rotation wraps afresh.

    Args:
        store: where it was found.
        name: the key's name.
        outcome: what came of reading it.

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
        finding = next(found for kind, found in _FINDINGS.items() if isinstance(error, kind))
        return Outcome(finding=finding, where=outcome.where, error=error.with_traceback(None))


_FINDINGS: Mapping[type[SecretError], Finding] = {
    SecretDeletedError: Finding.DELETED,
    KeyDisabledError: Finding.DISABLED,
    MalformedAnswerError: Finding.REFUSED,
    VaultUnavailableError: Finding.UNAVAILABLE,
    SecretError: Finding.REFUSED,
}
"""What a failure to unwrap counts as; the first that fits."""


def _opened(store: SecretStore, name: str, record: Record) -> Record:
    wrapped = wrapped_in(record)
    if wrapped is None:
        return record
    transit = _transit_of(store)
    envelope = wrapped.envelope
    material = refused = None
    try:
        material = transit.unwrap(name, envelope)
    except KeyDisabledError as error:
        refused = error
    if refused is not None:
        envelope = _refreshed(store, name, wrapped) or envelope
        if envelope == wrapped.envelope:
            raise refused
        material = transit.unwrap(name, envelope)
    if material is None or fingerprint_of(material) != wrapped.fingerprint:
        raise KeyMaterialError(f"{record.path}: the wrapped key has not the fingerprint given")
    return replace(record, fields=_plain(material), envelope=envelope)


def make(store: SecretStore, name: str, size: int) -> Wrapped:
    """Have Vault make a data key of so many bytes, and its transit key where that is missing.

    Raises:
        ConfigurationError: the store has no transit engine, or the transit key could leave Vault
            or would not bind name and environment.
    """
    transit = _transit_of(store)
    return _made(transit, name, size, transit.transit_key(name))


def wrap(store: SecretStore, name: str, material: SecretBytes) -> Wrapped:
    """Have Vault wrap a key that was made elsewhere; otherwise as ``make``."""
    transit = _transit_of(store)
    envelope = transit.wrap(name, material, transit.transit_key(name))
    return _wrapped(envelope, material)


def rotated(
    store: SecretStore, name: str, wrapped: Wrapped, *, new_material: bool = False
) -> Wrapped:
    """Wrap every data key under a new version of the transit key.

    Args:
        store: where the key is kept.
        name: the key's name.
        wrapped: the newest version of the key.
        new_material: whether to make a new data key besides; the old one stays among the earlier.

    Raises:
        SecretError: a data key can't be rewrapped; the transit key has no new version then, unless
            Vault went away or somebody changed it meanwhile.
    """
    transit = _transit_of(store)
    key = wrapped.envelope.transit_key
    # All that the rotation takes is tried under the version that there is.
    if new_material:
        transit.make(name, wrapped.key_bytes, key)
    for text in (wrapped.envelope.wrapped, *wrapped.earlier.values()):
        transit.rewrap(name, Envelope(wrapped=text, transit_key=key))
    transit.rotate(name, wrapped.envelope)
    # In this order, no other data key is left under an older version than the first one is, even
    # if somebody else rotates the transit key meanwhile.
    if new_material:
        first = _made(transit, name, wrapped.key_bytes, key)
        others = {**wrapped.earlier, wrapped.fingerprint: wrapped.envelope.wrapped}
    else:
        first = replace(wrapped, envelope=transit.rewrap(name, wrapped.envelope))
        others = dict(wrapped.earlier)
    earlier = {
        fingerprint: transit.rewrap(name, Envelope(wrapped=text, transit_key=key)).wrapped
        for fingerprint, text in others.items()
    }
    return replace(first, earlier=earlier)


def unwrapped_envelope(store: SecretStore, name: str, envelope: Envelope) -> Record:
    """Unwrap a key that was kept beside data, as the record that would hold it.

    Raises:
        ConfigurationError: the store has no transit engine.
        SecretError: it can't be unwrapped, or names another mount than the settings do.
    """
    transit = _transit_of(store)
    transit.check_mount(envelope)
    return Record(
        fields=_plain(transit.unwrap(name, envelope)),
        source="vault",
        path=envelope.transit_key,
        envelope=envelope,
    )


def rewrapped_envelope(store: SecretStore, name: str, envelope: Envelope) -> Envelope:
    """Wrap a key that was kept beside data afresh.

    Raises:
        ConfigurationError: the store has no transit engine.
        SecretError: it can't be, or names another mount than the settings do.
    """
    transit = _transit_of(store)
    transit.check_mount(envelope)
    return transit.rewrap(name, envelope)


def _plain(material: SecretBytes) -> dict[str, object]:
    return {"value": encode(material, "base64"), "encoding": "base64"}


def _transit_of(store: SecretStore) -> Transit:
    if store.transit is None:
        raise ConfigurationError("keys that a transit engine wraps need Vault: this store has none")
    return store.transit


def _refreshed(store: SecretStore, name: str, wrapped: Wrapped) -> Envelope | None:
    # That this version is disabled says nothing of the others, whose keys it may hold as well.
    newest = store.read(name, even_disabled=True).record
    found = None if newest is None else wrapped_in(newest)
    return None if found is None else found.with_material_of(wrapped.fingerprint)


def _made(transit: Transit, name: str, size: int, key: str) -> Wrapped:
    material, envelope = transit.make(name, size, key)
    return _wrapped(envelope, material)


def _wrapped(envelope: Envelope, material: SecretBytes) -> Wrapped:
    return Wrapped(envelope=envelope, fingerprint=fingerprint_of(material), key_bytes=len(material))


def _are_texts(value: object) -> TypeGuard[Mapping[str, str]]:
    return isinstance(value, Mapping) and all(
        isinstance(text, str) for entry in value.items() for text in entry
    )

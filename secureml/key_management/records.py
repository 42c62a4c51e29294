"""Reads records as secrets and keys, and refuses what is no key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from secureml.errors import ConfigurationError, KeyMaterialError, SecretError
from secureml.key_management.rotation_period import period_in
from secureml.key_management.wrapped import WRAPPED_FIELDS, wrapped_in
from secureml.keys import (
    MINIMUM_SIZE,
    Envelope,
    Key,
    KeyInfo,
    SecretBytes,
    decode,
    decode_exactly,
    fingerprint_of,
)
from secureml.secret_types import SecretFields, SecretText, conceal, reveal
from secureml.settings import Settings, check_path, is_reserved
from secureml.stores import Record, VersionInfo
from secureml.stores.custom_metadata import CREATED_BY, PURPOSE, ROTATION_PERIOD, STATES_KEPT

__all__ = [
    "SecretInfo",
    "beside_key",
    "check_lasting",
    "check_name",
    "content_of",
    "fields_of",
    "info_of",
    "is_key",
    "key_of",
    "key_text",
    "metadata_info_of",
    "octets_of",
    "secret_info_of",
]

_KEY_SIZES = frozenset({16, 24, 32, 48, 64})
"""The lengths at which text without a declared encoding is listed as a key."""


_FIELDS_OF_KEYS = frozenset({"value", "encoding", *WRAPPED_FIELDS, *STATES_KEPT})


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretInfo:
    """Where a secret is kept, without its value. It is always true.

    Args:
        name: the secret's name.
        version: its version in Vault; None if the source keeps no versions.
        path: its path in Vault, or the name of the variable or file it came from.
        source: ``vault``, ``environment variable`` or ``development default``.
        environment: the environment it belongs to; None if none is selected.
        created: when this version was written, in UTC, where the source tells.
    """

    name: str
    version: int | None
    path: str
    source: str
    environment: str | None
    created: datetime | None = None


def secret_info_of(name: str, record: Record, environment: str | None) -> SecretInfo:
    """Return where a record is kept."""
    return SecretInfo(
        name=name,
        version=record.version,
        path=record.path,
        source=record.source,
        environment=environment,
        created=record.created,
    )


def key_of(name: str, record: Record, environment: str | None, size: int | None = None) -> Key:
    """Make a handle of a record that holds a key.

    Args:
        name: the key's name.
        record: what its source holds.
        environment: the environment it belongs to.
        size: the length in bytes that it must have; None for any.

    Raises:
        KeyMaterialError: the record holds no key, or none of this length.
    """
    text, encoding = key_text(record)
    material = SecretBytes(
        decode(text, encoding, name=repr(name))
        if size is None
        else decode_exactly(text, size, encoding, name=repr(name))
    )
    return Key(
        info=_info(name, record, environment, fingerprint_of(material), record.envelope),
        material=material,
        fetched_at=record.fetched_at,
        request_id=record.request_id,
        envelope=record.envelope,
    )


def info_of(name: str, record: Record, environment: str | None) -> KeyInfo:
    """Describe the key in a record; a wrapped one is not unwrapped for that.

    Raises:
        KeyMaterialError: the record holds no key.
    """
    wrapped = wrapped_in(record)
    if wrapped is None:
        return key_of(name, record, environment).info
    return _info(name, record, environment, wrapped.fingerprint, wrapped.envelope)


def _info(
    name: str,
    record: Record,
    environment: str | None,
    fingerprint: str,
    envelope: Envelope | None,
) -> KeyInfo:
    return KeyInfo(
        name=name,
        version=record.version,
        fingerprint=fingerprint,
        source=record.source,
        environment=environment,
        path=record.path,
        created=record.created,
        stale=record.stale,
        state=record.state,
        transit_key=None if envelope is None else envelope.transit_key,
        deletion_time=record.deletion_time,
        **_described(record.custom_metadata),
    )


def metadata_info_of(
    name: str,
    path: str,
    version: VersionInfo,
    environment: str | None,
    custom_metadata: Mapping[str, str],
) -> KeyInfo:
    """Describe a version by its metadata alone.

    Args:
        name: the key's name.
        path: where it is kept.
        version: the version.
        environment: the environment it belongs to.
        custom_metadata: what is kept beside it.
    """
    return KeyInfo(
        name=name,
        version=version.version,
        fingerprint=None,
        source="vault",
        environment=environment,
        path=path,
        created=version.created,
        state=version.state,
        deletion_time=version.deletion_time,
        **_described(custom_metadata),
    )


def _described(custom_metadata: Mapping[str, str]) -> dict[str, Any]:
    return {
        "purpose": custom_metadata.get(PURPOSE),
        "created_by": custom_metadata.get(CREATED_BY),
        "rotation_period": period_in(custom_metadata.get(ROTATION_PERIOD)),
    }


def content_of(record: Record) -> str | dict[str, object]:
    """Return a secret: the text of the field ``value``, or all fields if there is none."""
    if "value" not in record.fields:
        return dict(record.fields)
    if not isinstance(record.fields["value"], str):
        raise SecretError(f"{record.path}: the field 'value' holds no text")
    return record.fields["value"]


def fields_of(value: object) -> dict[str, object]:
    """Return what to store of a secret, every value concealed.

    Raises:
        TypeError: it is neither text nor a mapping with text for names.
    """
    value = conceal(value)
    if isinstance(value, SecretText):
        return {"value": value}
    fields = SecretFields(reveal(value)) if isinstance(reveal(value), Mapping) else None
    if fields is None or not all(isinstance(name, str) for name in fields):
        raise TypeError("a secret is a str, or a mapping with str for names")
    return {name: conceal(content) for name, content in fields.items()}


def key_text(record: Record) -> tuple[SecretText, str | None]:
    """Return a record's text and its declared encoding.

    Raises:
        KeyMaterialError: it is no key.
    """
    if not isinstance(record.fields.get("value"), str):
        raise KeyMaterialError(f"{record.path} holds no key: it has no text in the field 'value'")
    if not isinstance(record.fields.get("encoding"), str | None):
        raise KeyMaterialError(f"{record.path} holds no key: its field 'encoding' is no text")
    encoding = record.fields.get("encoding")
    return SecretText(str(record.fields["value"])), None if encoding is None else str(encoding)


def beside_key(record: Record) -> Mapping[str, object]:
    """Return the fields that are not of the key itself, such as an operator's notes."""
    return SecretFields(
        {name: value for name, value in record.fields.items() if name not in _FIELDS_OF_KEYS}
    )


def check_lasting(record: Record) -> None:
    """Refuse a version of a key that Vault is to delete.

    Raises:
        SecretError: Vault is to delete it.
    """
    if record.deletion_time is not None:
        moment = record.deletion_time.isoformat(timespec="seconds")
        raise SecretError(
            f"{record.path} version {record.version} was written, and Vault deletes it at "
            f"{moment}: the mount has a delete_version_after. Set that to 0s, and undelete the "
            "version"
        )


def is_key(record: Record) -> bool:
    """Return whether a record counts as a key."""
    try:
        if wrapped_in(record) is not None:
            return True
        text, encoding = key_text(record)
        size = len(decode(text, encoding))
    except KeyMaterialError:
        return False
    return size in _KEY_SIZES if encoding is None else size >= MINIMUM_SIZE


def octets_of(key: bytes | str | Key | SecretBytes | SecretText) -> SecretBytes:
    """Return the octets of a key that a caller gave as a handle, as octets or as text."""
    if isinstance(key, Key):
        return key.material
    material = conceal(key)
    if isinstance(material, SecretText):
        return SecretBytes(decode(material))
    if isinstance(material.reveal(), bytes | bytearray | memoryview):
        return SecretBytes(bytes(material.reveal()))
    raise TypeError(f"a key is bytes, str or a Key, not {type(material.reveal()).__name__}")


def check_name(name: str, settings: Settings) -> None:
    """Refuse a name that can't be that of a secret, or leads to another environment."""
    check_path(name, "the name of a secret")
    if is_reserved(name):
        raise ConfigurationError(f"{name!r} is the name of a setting and can't be that of a secret")
    # Without an environment the path has no such segment, and this one would count as it.
    if settings.environment is None and name.split("/", 1)[0] in settings.environments:
        raise ConfigurationError(
            f"{name!r} lies in an environment's folder; select the environment instead"
        )

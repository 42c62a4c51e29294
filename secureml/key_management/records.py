"""Records of a source as secrets and keys, and what is no key at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from secureml.errors import KeyMaterialError, SecretError
from secureml.keys import (
    MAXIMUM_SIZE,
    MINIMUM_SIZE,
    Key,
    KeyInfo,
    SecretBytes,
    decode,
    decode_exactly,
    fingerprint_of,
)
from secureml.sources import Record

__all__ = [
    "SecretInfo",
    "check_size",
    "check_version",
    "content_of",
    "fields_of",
    "is_key",
    "key_of",
    "key_text",
    "octets_of",
    "secret_info_of",
]

_KEY_SIZES = frozenset({16, 24, 32, 48, 64})
"""The lengths at which text without a declared encoding passes for a key when keys are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretInfo:
    """Where a secret is kept, without its value. It is always true.

    Args:
        name: the secret's name.
        version: its version in Vault; None where the source keeps no versions.
        path: its path in Vault, or the name of the variable or file it came from.
        source: ``vault``, ``environment variable`` or ``development default``.
        environment: the environment it belongs to; None where none is selected.
        created: when this version was written, in UTC, where the source tells.
    """

    name: str
    version: int | None
    path: str
    source: str
    environment: str | None
    created: datetime | None = None


def secret_info_of(name: str, record: Record, environment: str | None) -> SecretInfo:
    """Tell where a record is kept."""
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
    octets = (
        decode(text, encoding, name=repr(name))
        if size is None
        else decode_exactly(text, size, encoding, name=repr(name))
    )
    info = KeyInfo(
        name=name,
        version=record.version,
        fingerprint=fingerprint_of(octets),
        source=record.source,
        environment=environment,
        path=record.path,
        created=record.created,
        stale=record.stale,
    )
    return Key(
        info=info,
        material=SecretBytes(octets),
        fetched_at=record.fetched_at,
        request_id=record.request_id,
    )


def content_of(record: Record) -> str | dict[str, object]:
    """Return a secret: the text of the field ``value``, or all fields where there is none."""
    if "value" not in record.fields:
        return dict(record.fields)
    value = record.fields["value"]
    if not isinstance(value, str):
        raise SecretError(f"{record.path}: the field 'value' holds no text")
    return value


def fields_of(value: str | Mapping[str, object]) -> dict[str, object]:
    """Return what to store of a secret."""
    if isinstance(value, str):
        return {"value": value}
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise TypeError("a secret is a str, or a mapping with str for names")
    return dict(value)


def key_text(record: Record) -> tuple[str, str | None]:
    """Return a record's text and its declared encoding, or say that it is no key."""
    value = record.fields.get("value")
    encoding = record.fields.get("encoding")
    if not isinstance(value, str):
        raise KeyMaterialError(f"{record.path} holds no key: it has no text in the field 'value'")
    if encoding is not None and not isinstance(encoding, str):
        raise KeyMaterialError(f"{record.path} holds no key: its field 'encoding' is no text")
    return value, encoding


def is_key(record: Record) -> bool:
    """Tell whether a record passes for a key."""
    try:
        text, encoding = key_text(record)
        size = len(decode(text, encoding))
    except KeyMaterialError:
        return False
    return size in _KEY_SIZES if encoding is None else size >= MINIMUM_SIZE


def octets_of(key: bytes | str | Key | SecretBytes) -> bytes:
    """Return the material of a key in any of the forms that callers may give."""
    if isinstance(key, Key | SecretBytes):
        return key.reveal()
    if isinstance(key, str):
        return decode(key)
    if isinstance(key, bytes | bytearray | memoryview):
        return bytes(key)
    raise TypeError(f"a key is bytes, str or a Key, not {type(key).__name__}")


def check_size(key_bytes: int) -> None:
    """Refuse an impossible length of a key."""
    if isinstance(key_bytes, bool) or not isinstance(key_bytes, int):
        raise TypeError(f"the length of a key is an int, not {type(key_bytes).__name__}")
    if not MINIMUM_SIZE <= key_bytes <= MAXIMUM_SIZE:
        raise KeyMaterialError(
            f"a key has {MINIMUM_SIZE} to {MAXIMUM_SIZE} bytes; {key_bytes} were asked for"
        )


def check_version(version: int | None) -> None:
    """Refuse an impossible version."""
    if version is None:
        return
    if isinstance(version, bool) or not isinstance(version, int):
        raise TypeError(f"a version is an int, not {type(version).__name__}")
    if version < 1:
        raise KeyMaterialError(f"versions count from 1; {version} was asked for")

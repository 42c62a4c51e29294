"""Keys as text and as handles: encodings, fingerprints, ``Key`` and ``KeyInfo``."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Literal

from secureml.errors import KeyMaterialError
from secureml.keys.derivation import derive
from secureml.keys.envelope import Envelope
from secureml.notebooks import html_table
from secureml.secret_types import SecretBytes, SecretText, conceal

__all__ = [
    "Encoding",
    "Key",
    "KeyInfo",
    "check_version",
    "decode",
    "decode_exactly",
    "encode",
    "fingerprint_of",
    "format_material",
]

Encoding = Literal["hex", "base64"]

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}|[A-Za-z0-9_-]+={0,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """One version of a key without its material.

    Args:
        name: the key's name.
        version: its version in Vault; None if the source keeps no versions.
        fingerprint: 16 hexadecimal digits that tell keys apart; None if the material is gone.
        source: ``vault``, ``environment variable`` or ``development default``.
        environment: the environment it belongs to; None if none is selected.
        path: its path in Vault, or the name of the variable or file it came from.
        created: when this version was written, in UTC, if the source tells.
        stale: whether it was read before, and is served because Vault is unavailable.
        state: ``enabled`` for the newest version, ``decrypt-only`` for an older one that is still
            in use, or ``disabled``, ``deleted``, ``destroyed``; ``unknown`` if somebody has
            replaced the custom metadata, and nothing tells whether it is disabled. Reading one
            version alone tells that it is an older one only if a newer one has been seen.
            ``denied`` in a list if nothing but the name may be seen.
        purpose: what the key is for, if its maker said so.
        created_by: what made the key; None if an operator wrote it.
        rotation_period: after how long it is to be rotated; None for never.
        transit_key: the transit key in Vault that wraps it; None if it is kept as it is.
        deletion_time: when Vault deleted this version, or is to; None for never.
    """

    name: str
    version: int | None
    fingerprint: str | None
    source: str
    environment: str | None
    path: str
    created: datetime | None = None
    stale: bool = False
    state: str = "enabled"
    purpose: str | None = None
    created_by: str | None = None
    rotation_period: timedelta | None = None
    transit_key: str | None = None
    deletion_time: datetime | None = None

    @property
    def due(self) -> datetime | None:
        """When this version is to be rotated; None if it never is, or not the newest."""
        if self.created is None or self.rotation_period is None or self.state != "enabled":
            return None
        return self.created + self.rotation_period

    def _repr_html_(self) -> str:
        rows = ((field.name, getattr(self, field.name)) for field in fields(self))
        return html_table(("field", "value"), rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key with its provenance; only ``reveal()`` returns the material.

    Args:
        info: where the key came from.
        material: the key itself.
        fetched_at: when it was read, in UTC.
        request_id: Vault's own id of the request that read it.
        envelope: the same key wrapped, to be kept with data; None if no transit key wraps it.
    """

    info: KeyInfo
    material: SecretBytes
    fetched_at: datetime
    request_id: str | None = None
    envelope: Envelope | None = None

    @property
    def name(self) -> str:
        """The key's name."""
        return self.info.name

    @property
    def version(self) -> int | None:
        """Its version in Vault; None if the source keeps no versions."""
        return self.info.version

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell keys apart."""
        return self.info.fingerprint or fingerprint_of(self.material)

    @property
    def source(self) -> str:
        """Where it came from, such as Vault or an environment variable."""
        return self.info.source

    @property
    def environment(self) -> str | None:
        """The environment it belongs to."""
        return self.info.environment

    @property
    def path(self) -> str:
        """Its path in Vault, or the name of the variable or file."""
        return self.info.path

    @property
    def created(self) -> datetime | None:
        """When this version was written, where the source tells."""
        return self.info.created

    def reveal(self) -> bytes:
        """Return the material; from here on it is the caller's to protect."""
        return self.material.reveal()

    def __len__(self) -> int:
        return len(self.material)


def check_version(version: int) -> None:
    """Refuse an impossible version.

    Raises:
        TypeError: it is no int.
        KeyMaterialError: it is not positive.
    """
    if isinstance(version, bool) or not isinstance(version, int):
        raise TypeError(f"a version is an int, not {type(version).__name__}")
    if version < 1:
        raise KeyMaterialError(f"versions count from 1; {version} was asked for")


def fingerprint_of(material: bytes | SecretBytes) -> str:
    """Return the fingerprint of a key: a keyed digest that does not help to guess the key.

    Args:
        material: the key, 16 bytes or more.

    Returns:
        16 hexadecimal digits, derived with the key itself as HKDF's key.

    Raises:
        KeyMaterialError: the key is too short.
    """
    material = conceal(material)
    return derive(material, "secureml/fingerprint", 8).hex()


def encode(material: bytes | SecretBytes, encoding: Encoding) -> str:
    """Write key material as text.

    Args:
        material: the octets.
        encoding: ``hex`` (lower case) or ``base64`` (RFC 4648, section 4, padded).

    Raises:
        KeyMaterialError: another encoding is named.
    """
    material = conceal(material)
    if encoding == "hex":
        return material.reveal().hex()
    if encoding == "base64":
        return base64.b64encode(material.reveal()).decode("ascii")
    raise KeyMaterialError(f"encoding {encoding!r} is not known; use 'hex' or 'base64'")


def format_material(
    material: bytes | SecretBytes, encoding: Literal["bytes", "hex", "base64"]
) -> bytes | str:
    """Return key material in the form asked for.

    Args:
        material: the octets.
        encoding: ``bytes`` for the octets themselves, or an encoding.

    Raises:
        KeyMaterialError: another encoding is named.
    """
    material = conceal(material)
    return material.reveal() if encoding == "bytes" else encode(material, encoding)


def decode(text: str | SecretText, encoding: str | None = None, *, name: str = "the key") -> bytes:
    """Read key material of whatever length from text.

    Text that consists of hexadecimal digits alone is hex, other text is base64 (both alphabets,
    padded or not); ``hex:`` and ``base64:`` before it, or ``encoding``, decide otherwise.

    Args:
        text: the text, with or without white space around it.
        encoding: the encoding it was declared with; None if it was not.
        name: what to call the key in a message.

    Returns:
        The octets.

    Raises:
        KeyMaterialError: the text is neither, or not what it was declared to be.
    """
    text = conceal(text)
    body, declared = _declaration(text, encoding, name)
    readings = _readings(body, declared)
    if not readings:
        raise KeyMaterialError(f"{name} can't be read: {_unreadable(body, declared)}")
    return readings[0][1].reveal()


def decode_exactly(
    text: str | SecretText, size: int, encoding: str | None = None, *, name: str = "the key"
) -> bytes:
    """Read key material that must have exactly ``size`` bytes.

    Args:
        text: the text, with or without white space around it.
        size: the wanted length in bytes.
        encoding: the encoding it was declared with; None accepts the one of hex and base64 that
            gives ``size`` bytes.
        name: what to call the key in a message.

    Returns:
        ``size`` bytes.

    Raises:
        KeyMaterialError: neither encoding gives ``size`` bytes; the message tells the lengths
            found and how to make a proper key.
    """
    text = conceal(text)
    body, declared = _declaration(text, encoding, name)
    readings = _readings(body, declared)
    fitting = [octets for _, octets in readings if len(octets) == size]
    if len(fitting) == 1:
        return fitting[0].reveal()
    found = " and ".join(f"{len(octets)} bytes as {name}" for name, octets in readings)
    reason = f"it has {found}" if found else _unreadable(body, declared)
    raise KeyMaterialError(
        f"{name} is not a key of {size} bytes: {reason}. Make one with "
        f"'secureml keys generate-key --length {size}' or 'openssl rand -hex {size}'"
    )


def _declaration(
    text: SecretText, encoding: str | None, name: str
) -> tuple[SecretText, str | None]:
    body = SecretText(text.reveal().strip(" \t\r\n"))
    if encoding not in (None, "hex", "base64"):
        raise KeyMaterialError(f"{name} is declared to be in an encoding other than hex and base64")
    for prefix in ("hex", "base64"):
        if body.reveal().startswith(f"{prefix}:"):
            if encoding not in (None, prefix):
                raise KeyMaterialError(f"{name} has the prefix {prefix} and declares {encoding}")
            return SecretText(body.reveal().removeprefix(f"{prefix}:")), prefix
    return body, encoding


def _readings(body: SecretText, declared: str | None) -> list[tuple[str, SecretBytes]]:
    text = body.reveal()
    readings = []
    if declared != "base64" and _HEX.fullmatch(text):
        readings.append(("hex", SecretBytes(bytes.fromhex(text))))
    if declared != "hex" and _BASE64.fullmatch(text):
        octets = _from_base64(text)
        if octets is not None:
            readings.append(("base64", SecretBytes(octets)))
    return readings


def _from_base64(body: str) -> bytes | None:
    digits = body.rstrip("=").replace("-", "+").replace("_", "/")
    padding = "=" * (-len(digits) % 4)
    if len(body) != len(digits) and body[len(digits) :] != padding:
        return None
    try:
        octets = base64.b64decode(digits + padding, validate=True)
    except binascii.Error:
        return None
    canonical = base64.b64encode(octets).decode("ascii") == digits + padding
    return octets if canonical else None


def _unreadable(body: SecretText, declared: str | None) -> str:
    return f"its {len(body)} characters are not {declared or 'hex or base64'}"

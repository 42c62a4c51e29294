"""Derives keys for separate purposes with HKDF-SHA256 (RFC 5869)."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from secureml.errors import KeyMaterialError
from secureml.secret_types import SecretBytes, conceal

__all__ = ["MAXIMUM_SIZE", "MINIMUM_SIZE", "RESERVED", "check_size", "derive"]

MINIMUM_SIZE = 16
"""The shortest base key, in bytes: 128 bits of security."""

MAXIMUM_SIZE = 255 * 32
"""The longest output of HKDF-SHA256, in bytes (RFC 5869, section 2.3)."""

RESERVED = ("development/", "pseudonymization/", "secureml/")
"""Prefixes of the purposes that are secureml's own."""

_LABEL = b"secureml/derive/v1"


def derive(base: bytes | SecretBytes, purpose: str, size: int) -> bytes:
    """Derive the key for one purpose from a base key.

    Purpose and size are bound into HKDF's ``info``, each with its length, so that two purposes
    never share an output and no output is a prefix of a longer one.

    Args:
        base: the base key, 16 bytes or more, of full entropy.
        purpose: what the derived key is for; not empty.
        size: how many bytes to derive, 1 to 8160.

    Returns:
        ``size`` bytes, always the same for the same arguments.

    Raises:
        KeyMaterialError: a base key that is empty or too short, an empty purpose, or a size out
            of range.

    Source: RFC 5869, with no salt (section 3.1) and the context in ``info`` (section 3.2).
    """
    base = conceal(base)
    if len(base) < MINIMUM_SIZE:
        raise KeyMaterialError(
            f"a base key has {len(base)} bytes; derivation needs {MINIMUM_SIZE} or more"
        )
    if not purpose:
        raise KeyMaterialError("an empty purpose would not separate keys; name what the key is for")
    if not 1 <= size <= MAXIMUM_SIZE:
        raise KeyMaterialError(f"{size} bytes asked for; HKDF-SHA256 derives 1 to {MAXIMUM_SIZE}")
    octets = purpose.encode("utf-8", "surrogatepass")
    info = _LABEL + len(octets).to_bytes(4, "big") + octets + size.to_bytes(4, "big")
    return HKDF(algorithm=SHA256(), length=size, salt=None, info=info).derive(base.reveal())


def check_size(key_bytes: int) -> None:
    """Refuse an impossible length of a key.

    Raises:
        TypeError: it is no int.
        KeyMaterialError: it is out of range.
    """
    if isinstance(key_bytes, bool) or not isinstance(key_bytes, int):
        raise TypeError(f"the length of a key is an int, not {type(key_bytes).__name__}")
    if not MINIMUM_SIZE <= key_bytes <= MAXIMUM_SIZE:
        raise KeyMaterialError(
            f"a key has {MINIMUM_SIZE} to {MAXIMUM_SIZE} bytes; {key_bytes} were asked for"
        )

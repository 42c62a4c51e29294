"""Sketches as a manifest holds them: encrypted, so that manifests alone don't link tables."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from secureml.errors import ManifestError
from secureml.pseudonymization.sketch import SIZE
from secureml.secret_types import SecretBytes, conceal

__all__ = ["SketchSeal"]

_NONCE = 16
_PLACE = 8


class SketchSeal:
    """Encrypts sketches with AES-256-SIV under a nonce each, and binds them to their column.

    All are of one length, so that the number of distinct values does not show.

    Args:
        key: 64 octets, for this purpose alone.

    Source: RFC 5297, section 3.
    """

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes | SecretBytes) -> None:
        self._cipher = AESSIV(conceal(key).reveal())

    def seal(
        self, kind: str, column: str, places: tuple[str, ...], nonce: bytes | None = None
    ) -> str:
        """Encrypt a sketch.

        Args:
            kind: "values" or "pairs".
            column: the name of the column.
            places: up to SIZE places.
            nonce: 16 octets; random by default.

        Returns:
            The nonce and what AES-SIV makes, hexadecimal.
        """
        nonce = os.urandom(_NONCE) if nonce is None else nonce
        octets = bytes([len(places)]) + bytes.fromhex("".join(places))
        octets = octets.ljust(1 + SIZE * _PLACE, b"\0")
        return (nonce + self._cipher.encrypt(octets, [*_bound(kind, column), nonce])).hex()

    def open(self, kind: str, column: str, sealed: str) -> tuple[str, ...]:
        """Decrypt a sketch; the inverse of ``seal``.

        Raises:
            ManifestError: it is none that was sealed for this column under this key.
        """
        octets = None
        try:
            data = bytes.fromhex(sealed)
            nonce = data[:_NONCE]
            octets = self._cipher.decrypt(data[_NONCE:], [*_bound(kind, column), nonce])
        except (ValueError, InvalidTag):
            octets = None
        if octets is None:
            raise ManifestError("the manifest can't be used: a sketch in it can't be decrypted")
        ends = range(1, 1 + octets[0] * _PLACE, _PLACE)
        return tuple(octets[start : start + _PLACE].hex() for start in ends)


def _bound(kind: str, column: str) -> tuple[bytes, bytes]:
    return kind.encode(), column.encode("utf-8", "surrogatepass")

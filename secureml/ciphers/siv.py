"""Reversible, deterministic tokens: AES-SIV (RFC 5297) in letters and digits."""

from __future__ import annotations

import base64

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from secureml.secret_types import SecretBytes, conceal

__all__ = ["SPELLINGS", "SivToken"]

SPELLINGS = ("base32", "base64url")


class SivToken:
    """Seals text in tokens. The same text under the same key and context gives the same token.

    Threads may share one.

    Args:
        key: 32, 48 or 64 octets; 64 make it AES-256-SIV.
        spelling: how tokens are written: "base32", in lower case, or "base64url"; neither padded.

    Raises:
        TypeError: the key is not bytes.
        ValueError: the key has another length, or the spelling is not known.

    Source: RFC 5297.
    """

    __slots__ = ("_cipher", "_spell", "_unspell")

    def __init__(self, key: bytes | SecretBytes, spelling: str = "base32") -> None:
        key = conceal(key)
        if not isinstance(key.reveal(), bytes):
            raise TypeError(f"an AES-SIV key is bytes, not {type(key.reveal()).__name__}")
        if len(key) not in (32, 48, 64):
            raise ValueError(f"an AES-SIV key has 32, 48 or 64 octets, not {len(key)}")
        if spelling not in SPELLINGS:
            raise ValueError(f"tokens are written in {' or '.join(SPELLINGS)}")
        base32 = spelling == "base32"
        self._spell = _to_base32 if base32 else _to_base64url
        self._unspell = _from_base32 if base32 else _from_base64url
        self._cipher = AESSIV(key.reveal())

    def seal(self, text: str, context: bytes) -> str:
        """Seal one text.

        Args:
            text: any text but the empty one; lone surrogates are kept.
            context: octets that ``open`` has to be given again.

        Returns:
            The token.

        Raises:
            ValueError: the text is empty.
        """
        if not text:
            raise ValueError("an empty text can't be sealed")
        data = text.encode("utf-8", "surrogatepass")
        return self._spell(self._cipher.encrypt(data, [context]))

    def open(self, token: str, context: bytes) -> str:
        """Open a token; the inverse of ``seal``.

        Args:
            token: as ``seal`` returned it.
            context: the octets that it was sealed with.

        Returns:
            The text.

        Raises:
            ValueError: the token was not sealed under this key and context, or was changed.
        """
        text = None
        try:
            sealed = self._unspell(token)
            if self._spell(sealed) == token:  # other spellings of the same octets are no token
                data = self._cipher.decrypt(sealed, [context])
                text = data.decode("utf-8", "surrogatepass")
        except (ValueError, InvalidTag):
            text = None
        if text is None:
            raise ValueError("the token was not sealed under this key and context, or was changed")
        return text


def _to_base32(octets: bytes) -> str:
    return base64.b32encode(octets).decode("ascii").rstrip("=").lower()


def _from_base32(token: str) -> bytes:
    return base64.b32decode(token.upper() + "=" * (-len(token) % 8))


def _to_base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode("ascii").rstrip("=")


def _from_base64url(token: str) -> bytes:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))

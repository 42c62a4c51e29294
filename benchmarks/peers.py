"""What secureml is held against: the least that FF1 can cost, and what other packages do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import fastfpe.ff1
import ffx
import pyffx
from columns import Kind
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from ff3 import FF3Cipher
from presidio_anonymizer.operators import Encrypt

__all__ = ["KEY", "floor", "peers"]

KEY = bytes(range(32))
ROUNDS = 10
CHUNK = 1 << 15

Work = Callable[[], object]


def floor(values: int) -> Work:
    """Return what encrypts ten blocks a value, a round at a time, as FF1 has to."""

    def blocks() -> None:
        encryptor = Cipher(algorithms.AES(KEY), modes.ECB()).encryptor()
        plain, out = bytearray(16 * CHUNK), bytearray(16 * CHUNK + 15)
        for start in range(0, values, CHUNK):
            octets = memoryview(plain)[: 16 * min(CHUNK, values - start)]
            for _ in range(ROUNDS):
                encryptor.update_into(octets, out)

    return blocks


def peers(kind: Kind, share: float = 1) -> dict[str, tuple[int, Work]]:
    """Return the packages that can do a kind: how many values each gets, and what does them.

    They take one value a call, so they get as many as take them some hundredths of a second.

    Args:
        kind: of the values.
        share: of that many.
    """
    many, few = int(10_000 * share), int(500 * share)
    texts = kind.plain(many)
    presidio = Encrypt()
    found: dict[str, tuple[int, Work]] = {
        "presidio": (many, partial(_each, lambda text: presidio.operate(text, {"key": KEY}), texts))
    }
    if kind.alphabet is None:
        return found
    alphabet, length = kind.alphabet, len(texts[0])
    fast = partial(fastfpe.ff1.encrypt, KEY.hex(), "", alphabet)
    ff3 = FF3Cipher.withCustomAlphabet(KEY.hex(), "0" * 14, alphabet)
    pure = pyffx.String(KEY, alphabet=alphabet, length=length)
    lib = ffx.FF1(KEY, alphabet=alphabet)
    found["fastfpe"] = many, partial(_each, fast, texts)
    for name, one in (("ff3", ff3.encrypt), ("pyffx", pure.encrypt), ("libffx", lib.encrypt)):
        found[name] = few, partial(_each, one, texts[:few])
    return found


def _each(encrypt: Callable[[str], object], texts: list[str]) -> None:
    for text in texts:
        encrypt(text)

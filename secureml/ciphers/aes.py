"""AES in bulk, on blocks that have nothing to do with one another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from numpy.typing import NDArray

from secureml.secret_types import SecretBytes, conceal

__all__ = ["BLOCK", "CHUNK", "BlockCipher", "Scratch", "Words", "encrypt_blocks"]

Words = NDArray[np.uint64]

BLOCK = 16
CHUNK = 1 << 17
"""Rows at a time: few enough for the caches, and so many that threads, which hold the interpreter
between two operations on arrays, seldom wait for one another."""


class BlockCipher:
    """AES under one key. Threads may share it.

    Args:
        key: 16, 24 or 32 octets.

    Raises:
        TypeError: the key is not bytes.
        ValueError: the key has another length.
    """

    __slots__ = ("_key", "_spare")

    def __init__(self, key: bytes | SecretBytes) -> None:
        key = conceal(key)
        if not isinstance(key.reveal(), bytes):
            raise TypeError(f"an AES key is bytes, not {type(key.reveal()).__name__}")
        if len(key) not in (16, 24, 32):
            raise ValueError(f"an AES key has 16, 24 or 32 octets, not {len(key)}")
        self._key = key
        self._spare: list[Scratch] = []  # one for every thread that was here at the same time

    def encryptor(self) -> CipherContext:
        """Return a new context that encrypts independent blocks (the forward function, CIPH)."""
        # FF1 builds its CBC-MAC and its keystream from single blocks; nothing leaves in ECB mode.
        mode = modes.ECB()  # noqa: S305  # nosec B305  # single blocks
        return Cipher(algorithms.AES(self._key.reveal()), mode).encryptor()

    @contextmanager
    def scratch(self) -> Iterator[Scratch]:
        """Lend a scratch, which no other thread uses meanwhile."""
        try:
            scratch = self._spare.pop()
        except IndexError:
            scratch = Scratch(self.encryptor())
        yield scratch
        self._spare.append(scratch)


class Scratch:
    """AES and room for CHUNK rows of it, for one thread at a time.

    Args:
        encryptor: from ``BlockCipher.encryptor``.

    Attributes:
        encryptor: the context.
        words: uint64, shape (3, CHUNK), for whatever is needed.
    """

    __slots__ = ("_ciphertext", "_plaintext", "encryptor", "words")

    def __init__(self, encryptor: CipherContext) -> None:
        self.encryptor = encryptor
        self.words = np.empty((3, CHUNK), np.uint64)
        self._plaintext = np.empty((CHUNK, 2), ">u8")
        self._ciphertext = np.empty((CHUNK + 1, 2), ">u8")  # update_into asks for a block to spare

    def blocks(self, rows: int) -> tuple[Words, Words]:
        """Return the blocks to encrypt and their ciphertext, both big-endian, shape (rows, 2)."""
        return self._plaintext[:rows], self._ciphertext[:rows]

    def encrypt(self, rows: int) -> None:
        """Encrypt the blocks."""
        self.encryptor.update_into(
            self._plaintext[:rows].data.cast("B"), self._ciphertext[: rows + 1].data.cast("B")
        )


def encrypt_blocks(encryptor: CipherContext, blocks: Words) -> Words:
    """Encrypt blocks that are held as pairs of words, the most significant first.

    Args:
        encryptor: from ``BlockCipher.encryptor``.
        blocks: uint64, shape (..., 2).

    Returns:
        uint64 of the same shape.
    """
    ciphertext = encryptor.update(blocks.astype(">u8").tobytes())
    return np.frombuffer(ciphertext, ">u8").astype(np.uint64).reshape(blocks.shape)

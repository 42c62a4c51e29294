"""AES in bulk, and what FF1 computes once per group: the shape of the halves and the MAC's start.

P, the tweak and its padding do not depend on the value, so the CBC-MAC over their blocks is a
constant of the group, and a round costs one block a value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from numpy.typing import NDArray

from secureml.secret_types import SecretBytes, conceal

__all__ = [
    "BLOCK",
    "CHUNK",
    "BlockCipher",
    "Scratch",
    "Shape",
    "Words",
    "digest_octets",
    "encrypt_blocks",
    "mac_states",
    "round_numbers",
]

Words = NDArray[np.uint64]

BLOCK = 16
CHUNK = 1 << 17
"""Rows at a time: few enough for the caches, and so many that threads, which hold the interpreter
between two operations on arrays, seldom wait for one another."""
_ROUNDS = 10


class BlockCipher:
    """AES under one key. Threads may share it: every call makes a context of its own.

    Args:
        key: 16, 24 or 32 octets.

    Raises:
        TypeError: the key is not bytes.
        ValueError: the key has another length.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes | SecretBytes) -> None:
        key = conceal(key)
        if not isinstance(key.reveal(), bytes):
            raise TypeError(f"an AES key is bytes, not {type(key.reveal()).__name__}")
        if len(key) not in (16, 24, 32):
            raise ValueError(f"an AES key has 16, 24 or 32 octets, not {len(key)}")
        self._key = key

    def encryptor(self) -> CipherContext:
        """Return a new context that encrypts independent blocks (the forward function, CIPH)."""
        # FF1 builds its CBC-MAC and its keystream from single blocks; nothing leaves in ECB mode.
        mode = modes.ECB()  # noqa: S305  # single blocks
        return Cipher(algorithms.AES(self._key.reveal()), mode).encryptor()


class Scratch:
    """AES and room for CHUNK rows of it, for one thread at a time.

    Args:
        cipher: AES under the key.

    Attributes:
        encryptor: the context.
        words: uint64, shape (3, CHUNK), for whatever is needed.
    """

    __slots__ = ("_ciphertext", "_plaintext", "encryptor", "words")

    def __init__(self, cipher: BlockCipher) -> None:
        self.encryptor = cipher.encryptor()
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


@dataclass(frozen=True, slots=True)
class Shape:
    """What FF1 derives from radix and length alone (SP 800-38G, algorithm 7, steps 1 to 4).

    Args:
        radix: the number of numerals, 2 to 65536.
        n: the length of the numeral string.
        left: radix**u, u = n // 2: the number of left halves.
        right: radix**v, v = n - u: the number of right halves.
        octets: b, the octets that hold a right half.
    """

    radix: int
    n: int
    left: int
    right: int
    octets: int

    @classmethod
    def of(cls, radix: int, n: int) -> Shape:
        """Derive the shape of n numerals of this radix."""
        left = radix ** (n // 2)
        right = left * radix if n % 2 else left
        return cls(radix, n, left, right, ((right - 1).bit_length() + 7) // 8)

    @property
    def narrow(self) -> bool:
        """Whether both halves fit the 64-bit arithmetic of ``word_rounds``."""
        return self.octets <= 7


def digest_octets(octets: int) -> int:
    """Return d, the octets of keystream that a round reduces to a half of b octets."""
    return 4 * -(-octets // 4) + 4


def round_numbers(*, decrypt: bool) -> Iterable[int]:
    """Return the numbers of the rounds in the order in which they run."""
    return reversed(range(_ROUNDS)) if decrypt else range(_ROUNDS)


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


def mac_states(cipher: BlockCipher, shapes: Sequence[Shape], tweaks: Sequence[bytes]) -> Words:
    """Run the CBC-MAC of every group up to the block in which the round number stands.

    Args:
        cipher: AES under the key.
        shapes: one per group.
        tweaks: one per group.

    Returns:
        uint64 of shape (groups, 2): the chaining value, with the constant octets of the next
        block already added; what is left to add there is the round number and NUM(B).

    Source: SP 800-38G, algorithm 7, steps 5 and 6.i.
    """
    texts: dict[int, list[bytes]] = defaultdict(list)
    members: dict[int, list[int]] = defaultdict(list)
    frames: dict[tuple[int, int, int], tuple[int, bytes, bytes]] = {}
    for group, (shape, tweak) in enumerate(zip(shapes, tweaks, strict=True)):
        length = len(tweak)
        frame = frames.get((shape.radix, shape.n, length))
        if frame is None:
            frame = frames[shape.radix, shape.n, length] = _frame(shape, length)
        whole, head, tail = frame
        texts[whole].append(b"%b%b%b" % (head, tweak, tail))
        members[whole].append(group)
    states = np.empty((len(shapes), 2), np.uint64)
    encryptor = cipher.encryptor()
    for whole, same_length in texts.items():
        blocks = np.frombuffer(b"".join(same_length), ">u8").reshape(-1, whole + 1, 2)
        state = np.zeros((len(same_length), 2), np.uint64)
        for index in range(whole):
            state = encrypt_blocks(encryptor, state ^ blocks[:, index])
        states[members[whole]] = state ^ blocks[:, whole]
    return states


def _frame(shape: Shape, length: int) -> tuple[int, bytes, bytes]:
    """Return what stands around a tweak of so many octets: full blocks, and octets on each side."""
    head = b"\x01\x02\x01%b\x0a%c%b%b" % (
        shape.radix.to_bytes(3, "big"),
        shape.n // 2 % 256,
        shape.n.to_bytes(4, "big"),
        length.to_bytes(4, "big"),
    )
    padding = -(length + shape.octets + 1) % BLOCK
    whole, rest = divmod(BLOCK + length + padding, BLOCK)
    return whole, head, bytes(padding + BLOCK - rest)

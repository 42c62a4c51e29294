"""FF1's rounds on halves of any size, in Python integers; one call of AES still serves all rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secureml.ciphers.aes import BLOCK, Scratch, Words, encrypt_blocks
from secureml.ciphers.feistel import Shape

__all__ = ["IntegerRounds", "Integers"]

Integers = NDArray[np.object_]


class IntegerRounds:
    """The round function on halves that are Python integers, dtype object.

    Args:
        scratch: under the key; no other thread may be using it.
        states: from ``mac_states``, shape (rows, 2) or (1, 2).
        shape: of one of the rows; b is the same for all.
        sizes: radix**u and radix**v, for all rows or for each.
    """

    __slots__ = ("_encryptor", "_shape", "_sizes", "_states")

    def __init__(
        self,
        scratch: Scratch,
        states: Words,
        shape: Shape,
        sizes: tuple[Integers | int, Integers | int],
    ) -> None:
        self._encryptor, self._states = scratch.encryptor, states
        self._shape, self._sizes = shape, sizes

    def value(self, number: int, source: Integers) -> Integers:
        """Return y = NUM(S), S the d octets that the CBC-MAC and the counter blocks give."""
        rows, width = len(source), -(-(self._shape.octets + 1) // BLOCK)
        mark = number << 8 * self._shape.octets
        text = b"".join([(mark | half).to_bytes(BLOCK * width, "big") for half in source])
        message = np.frombuffer(text, ">u8").reshape(rows, width, 2)
        state = encrypt_blocks(self._encryptor, self._states ^ message[:, 0])
        for index in range(1, width):
            state = encrypt_blocks(self._encryptor, state ^ message[:, index])

        wanted = self._shape.digest_octets
        counters = np.zeros((-(-wanted // BLOCK), 2), np.uint64)
        counters[:, 1] = np.arange(len(counters))
        stream = state[:, None, :] ^ counters
        stream[:, 1:] = encrypt_blocks(self._encryptor, stream[:, 1:])
        keystream, stride = stream.astype(">u8").tobytes(), BLOCK * len(counters)
        starts = range(0, rows * stride, stride)
        numbers = [int.from_bytes(keystream[at : at + wanted], "big") for at in starts]
        return np.array(numbers, dtype=object)

    def add(self, target: Integers, value: Integers, side: int, *, decrypt: bool) -> None:
        """Add the value, or subtract it, modulo the size of the half."""
        target += -value if decrypt else value
        target %= self._sizes[side]

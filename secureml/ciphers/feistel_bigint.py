"""FF1's rounds on halves of any size, in Python integers; one call of AES still serves all rows."""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import CipherContext
from numpy.typing import NDArray

from secureml.ciphers.aes import (
    BLOCK,
    Scratch,
    Words,
    digest_octets,
    encrypt_blocks,
    round_numbers,
)

__all__ = ["Integers", "integer_rounds"]

Integers = NDArray[np.object_]


def integer_rounds(
    scratch: Scratch,
    left: Integers,
    right: Integers,
    *,
    states: Words,
    octets: int,
    sizes: tuple[Integers | int, Integers | int],
    decrypt: bool,
) -> None:
    """Encrypt or decrypt in place: a round changes one half by a function of the other.

    Args:
        scratch: under the key; no other thread may be using it.
        left: Python integers, shape (rows,), each below its radix**u.
        right: Python integers, shape (rows,), each below its radix**v.
        states: from ``mac_states``, shape (rows, 2) or (1, 2).
        octets: b, the same for every row.
        sizes: radix**u and radix**v, for all rows or for each.
        decrypt: run the rounds backwards.

    Source: SP 800-38G, algorithms 7 and 8, step 6.
    """
    for number in round_numbers(decrypt=decrypt):
        odd = number % 2
        target, source = (right, left) if odd else (left, right)
        digest = _digest(scratch.encryptor, source, states, octets, number)
        target += -digest if decrypt else digest
        target %= sizes[odd]


def _digest(
    encryptor: CipherContext, source: Integers, states: Words, octets: int, number: int
) -> Integers:
    """Return y = NUM(S), S the d octets that the CBC-MAC and the counter blocks give."""
    rows, width = len(source), -(-(octets + 1) // BLOCK)
    mark = number << 8 * octets
    text = b"".join([(mark | half).to_bytes(BLOCK * width, "big") for half in source])
    message = np.frombuffer(text, ">u8").reshape(rows, width, 2)
    state = encrypt_blocks(encryptor, states ^ message[:, 0])
    for index in range(1, width):
        state = encrypt_blocks(encryptor, state ^ message[:, index])

    wanted = digest_octets(octets)
    counters = np.zeros((-(-wanted // BLOCK), 2), np.uint64)
    counters[:, 1] = np.arange(len(counters))
    stream = state[:, None, :] ^ counters
    stream[:, 1:] = encrypt_blocks(encryptor, stream[:, 1:])
    keystream, stride = stream.astype(">u8").tobytes(), BLOCK * len(counters)
    starts = range(0, rows * stride, stride)
    numbers = [int.from_bytes(keystream[at : at + wanted], "big") for at in starts]
    return np.array(numbers, dtype=object)

"""FF1's rounds on halves of at most seven octets, in 64-bit arithmetic on whole columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secureml.ciphers.aes import Scratch, Words
from secureml.ciphers.feistel import RoundParameters

__all__ = ["AddWords", "WordRounds"]

Floats = NDArray[np.float64]

_HALF = np.uint64(32)


class AddWords:
    """Adds to halves of one word each, modulo their sizes.

    Args:
        scratch: no other thread may be using it.
        parameters: of one group, or of each row.
        rows: at most CHUNK.
    """

    __slots__ = ("_sizes", "_words")

    def __init__(self, scratch: Scratch, parameters: RoundParameters, rows: int) -> None:
        self._sizes = parameters.left, parameters.right
        self._words = scratch.words[:, :rows]

    def add(self, target: Words, value: Words, side: int, *, decrypt: bool) -> None:
        """Add the value, or subtract it, modulo the size of the half; both are changed."""
        # All operands are below 2**57, so the wrong one of two results is the larger one:
        # it has wrapped round to a huge number, or was not reduced.
        size = self._sizes[side]
        if decrypt:
            np.subtract(target, value, out=target)
            np.add(target, size, out=value)
        else:
            np.add(target, value, out=target)
            np.subtract(target, size, out=value)
        np.minimum(target, value, out=target)


class WordRounds(AddWords):
    """The round function on halves of one word each; d is 8 octets of keystream, or 12.

    Args:
        scratch: under the key; no other thread may be using it.
        parameters: of one group, or of each row. They need as much keystream each: their b is at
            most 4, or it is 5 to 7.
        rows: at most CHUNK.
    """

    __slots__ = (
        "_ciphertext",
        "_long",
        "_parameters",
        "_plaintext",
        "_rows",
        "_scratch",
        "_shares",
    )

    def __init__(self, scratch: Scratch, parameters: RoundParameters, rows: int) -> None:
        super().__init__(scratch, parameters, rows)
        self._scratch, self._parameters, self._rows = scratch, parameters, rows
        self._plaintext, self._ciphertext = scratch.blocks(rows)
        self._plaintext[:, 0] = parameters.high
        self._long = bool(parameters.step.max(initial=0) > 1 << 32)
        if self._long:
            self._shares = 1.0 / parameters.left, 1.0 / parameters.right

    def value(self, number: int, source: Words) -> Words:
        """Return NUM(S) modulo the size of the other half, in a part of the scratch."""
        value: Words
        value, quotient, tail = self._words
        size, step = self._sizes[number % 2], self._parameters.step * np.uint64(number)
        np.bitwise_xor(source, self._parameters.low ^ step, out=value)
        self._plaintext[:, 1] = value
        self._scratch.encrypt(self._rows)
        value[:] = self._ciphertext[:, 0]
        _reduce(value, size, quotient)
        if self._long:
            tail[:] = self._ciphertext[:, 1]
            _extend(value, tail, size, self._shares[number % 2], quotient)
        return value


def _reduce(value: Words, size: Words, quotient: Words) -> None:
    """Set value to value mod size; numpy divides by a constant fast, and has no fast remainder."""
    np.floor_divide(value, size, out=quotient)
    np.multiply(quotient, size, out=quotient)
    np.subtract(value, quotient, out=value)


def _extend(value: Words, tail: Words, size: Words, share: Floats, quotient: Words) -> None:
    """Append the upper four octets of tail to value, modulo size; share is 1 / size."""
    np.right_shift(tail, _HALF, out=tail)
    # The quotient is below 2**32, as value is below size, and five roundings of 2**-53 leave it
    # off by less than one. So what is rounded down is off by one at most, either way.
    estimate = quotient.view(np.float64)
    np.multiply(value.view(np.int64), 2.0**32, out=estimate)
    np.add(estimate, tail.view(np.int64), out=estimate)
    np.multiply(estimate, share, out=estimate)
    np.left_shift(value, _HALF, out=value)
    np.bitwise_or(value, tail, out=value)
    tail[:] = estimate
    np.multiply(tail, size, out=tail)
    np.subtract(value, tail, out=value)
    # What is off has wrapped round, or is not below size.
    np.add(value, size, out=tail)
    np.minimum(value, tail, out=value)
    np.subtract(value, size, out=tail)
    np.minimum(value, tail, out=value)

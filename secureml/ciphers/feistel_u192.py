"""FF1's rounds on strings of 113 to 192 bits, in 64-bit arithmetic on whole columns.

A half is one word or a pair of words, and reducing it is a mask. This is what carries long mixed
values, such as e-mail addresses, at the speed of short ones.
"""

from __future__ import annotations

import numpy as np

from secureml.ciphers.aes import Scratch, Words
from secureml.ciphers.feistel import RoundParameters, run_rounds

__all__ = ["bit_rounds"]

_WORD = np.uint64(64)


def bit_rounds(
    scratch: Scratch, parameters: RoundParameters, ranks: Words, *, decrypt: bool
) -> None:
    """Encrypt or decrypt bit strings, given as numbers, in place.

    Args:
        scratch: under the key; no other thread may be using it.
        parameters: of one group, or of each row. They need as much keystream each: their b is 8,
            or it is 9 to 12.
        ranks: uint64, shape (rows, 3) with at most CHUNK rows, the most significant word first;
            each below 2**(u + v).
        decrypt: run the rounds backwards.
    """
    rows, bits = len(ranks), parameters.right
    if (parameters.step > 1).any():
        left, right = _split(ranks, bits)
        run_rounds(_PairRounds(scratch, parameters, rows), left, right, decrypt=decrypt)
        ranks[:] = _join(left, right, bits)
        return
    # b is 8, so that each half is one word, and the first word of a rank is 0.
    (_, high, low), up = ranks.T, _WORD - bits
    left, right = high << up, low & _mask(bits)[1]
    left |= low >> bits
    run_rounds(_SingleRounds(scratch, parameters, rows), left, right, decrypt=decrypt)
    np.right_shift(left, up, out=high)
    np.left_shift(left, bits, out=low)
    low |= right


class _PairRounds:
    """The round function on halves that are pairs of words, shape (2, rows)."""

    def __init__(self, scratch: Scratch, parameters: RoundParameters, rows: int) -> None:
        self._scratch, self._parameters, self._rows = scratch, parameters, rows
        self._masks = _mask(parameters.left), _mask(parameters.right)
        self._message, self._keystream = scratch.blocks(rows)

    def value(self, number: int, source: Words) -> tuple[Words, Words]:
        step = self._parameters.step * np.uint64(number)
        self._message[:, 0] = self._parameters.high ^ source[0] ^ step
        self._message[:, 1] = self._parameters.low ^ source[1]
        self._scratch.encrypt(self._rows)
        high, low = self._scratch.words[:2, : self._rows]
        high[:], low[:] = self._keystream.T
        return high, low

    def add(self, target: Words, value: tuple[Words, Words], side: int, *, decrypt: bool) -> None:
        high, low = value
        if decrypt:
            high += target[1] < low
            target[1] -= low
            target[0] -= high
        else:
            target[1] += low
            high += target[1] < low
            target[0] += high
        target &= self._masks[side]


class _SingleRounds:
    """The round function on halves of one word, of which the first words of blocks know nothing."""

    def __init__(self, scratch: Scratch, parameters: RoundParameters, rows: int) -> None:
        self._scratch, self._parameters, self._rows = scratch, parameters, rows
        self._masks = _mask(parameters.left)[1], _mask(parameters.right)[1]
        self._message, keystream = scratch.blocks(rows)
        # Of the 12 octets of keystream that a round uses, the mask leaves none but the last eight.
        self._tail = keystream.view(np.uint8)[:, 4:12].view(">u8")[:, 0]
        self._value = scratch.words[0, :rows]

    def value(self, number: int, source: Words) -> Words:
        self._message[:, 0] = self._parameters.high ^ self._parameters.step * np.uint64(number)
        self._message[:, 1] = self._parameters.low ^ source
        self._scratch.encrypt(self._rows)
        self._value[:] = self._tail
        return self._value

    def add(self, target: Words, value: Words, side: int, *, decrypt: bool) -> None:
        (np.subtract if decrypt else np.add)(target, value, out=target)
        np.bitwise_and(target, self._masks[side], out=target)


def _mask(bits: Words) -> Words:
    """Return pairs of words, shape (2, rows), with the lowest bits set."""
    ones = np.uint64(2**64 - 1)
    above = np.where(bits > _WORD, bits - _WORD, np.uint64(0))
    return np.stack([~(ones << above), ~(ones << bits)])


# numpy shifts in zeros however far, and 64 - bits, if it is negative, wraps to very far: so of
# the terms below exactly those count that the place of the cut calls for.


def _split(ranks: Words, bits: Words) -> tuple[Words, Words]:
    """Cut numbers of three words into pairs of words, bits of them to the right."""
    first, second, third = ranks.T
    up, down = _WORD - bits, bits - _WORD
    left = np.stack(
        [
            second >> bits | first << up | first >> down,
            third >> bits | second << up | second >> down | first << up + _WORD,
        ]
    )
    return left, np.stack([second, third]) & _mask(bits)


def _join(left: Words, right: Words, bits: Words) -> Words:
    """Put the halves together again; the inverse of ``_split``."""
    up, down = _WORD - bits, bits - _WORD
    first = left[0] >> up | left[0] << down | left[1] >> up + _WORD
    second = left[0] << bits | left[1] >> up | left[1] << down | right[0]
    return np.stack([first, second, left[1] << bits | right[1]], axis=1)

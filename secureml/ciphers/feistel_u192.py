"""FF1's rounds on strings of 113 to 192 bits, in 64-bit arithmetic on whole columns.

A half is a pair of words, and reducing it is a mask. This is what carries long mixed values,
such as e-mail addresses, at the speed of short ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secureml.ciphers.aes import Scratch, Shape, Words, round_numbers

__all__ = ["BitLanes", "bit_rounds", "fits"]

_WORD = np.uint64(64)


def fits(shape: Shape) -> bool:
    """Tell whether this module serves the shape: bits, in halves of 8 to 12 octets."""
    return shape.radix == 2 and 8 <= shape.octets <= 12


@dataclass(frozen=True, slots=True)
class BitLanes:
    """The parameters of ``bit_rounds``: uint64 arrays over groups or rows.

    Args:
        state: the chaining value, shape (rows, 2).
        step: 256**(b - 8), the place of the round number in its first word.
        left_bits: u.
        right_bits: v.
    """

    state: Words
    step: Words
    left_bits: Words
    right_bits: Words

    @classmethod
    def of(cls, shapes: Sequence[Shape], shape: NDArray[np.intp], states: Words) -> BitLanes:
        """Make the arrays over groups; a group of a shape that does not fit has no bits.

        Args:
            shapes: the distinct ones.
            shape: which of them each group has.
            states: the chaining value of each group.
        """
        bits = [(s.octets, s.n // 2, s.n - s.n // 2) if fits(s) else (8, 0, 0) for s in shapes]
        octets, left, right = np.array(bits, np.uint64).reshape(-1, 3)[shape].T.copy()
        return cls(states, np.uint64(1) << (octets - np.uint64(8)) * np.uint64(8), left, right)

    def at(self, index: NDArray[np.intp]) -> BitLanes:
        """Pick the groups of some rows."""
        columns = (self.state, self.step, self.left_bits, self.right_bits)
        return BitLanes(*(column[index] for column in columns))


def bit_rounds(scratch: Scratch, lanes: BitLanes, ranks: Words, *, decrypt: bool) -> Words:
    """Encrypt or decrypt bit strings, given as numbers.

    Args:
        scratch: under the key; no other thread may be using it.
        lanes: of each row. They need as much keystream each: their b is 8, or it is 9 to 12.
        ranks: uint64, shape (rows, 3) with at most CHUNK rows, the most significant word first;
            each below 2**(u + v).
        decrypt: run the rounds backwards.

    Returns:
        A new array.

    Source: SP 800-38G, algorithms 7 and 8, step 6.
    """
    if not (lanes.step > 1).any():
        return _short_rounds(scratch, lanes, ranks, decrypt=decrypt)
    rows = len(ranks)
    left, right = _split(ranks, lanes.right_bits)
    masks = _mask(lanes.left_bits), _mask(lanes.right_bits)
    message, keystream = scratch.blocks(rows)
    for number in round_numbers(decrypt=decrypt):
        odd = number % 2
        target, source = (right, left) if odd else (left, right)
        message[:, 0] = lanes.state[:, 0] ^ source[0] ^ lanes.step * np.uint64(number)
        message[:, 1] = lanes.state[:, 1] ^ source[1]
        scratch.encrypt(rows)
        high, low = keystream[:, 0].astype(np.uint64), keystream[:, 1].astype(np.uint64)
        if decrypt:
            high += target[1] < low
            target[1] -= low
            target[0] -= high
        else:
            target[1] += low
            high += target[1] < low
            target[0] += high
        target &= masks[odd]
    return _join(left, right, lanes.right_bits)


def _short_rounds(scratch: Scratch, lanes: BitLanes, ranks: Words, *, decrypt: bool) -> Words:
    """Do the same where b is 8, so that a half is one word."""
    rows = len(ranks)
    message, keystream = scratch.blocks(rows)
    # Of the 12 octets of keystream that a round uses, the mask leaves none but the last eight.
    tail = keystream.view(np.uint8)[:, 4:12].view(">u8")[:, 0]
    low = scratch.words[0, :rows]
    bits, up = lanes.right_bits, _WORD - lanes.right_bits
    masks = _mask(lanes.left_bits)[1], _mask(bits)[1]
    left = ranks[:, 2] >> bits
    left |= ranks[:, 1] << up
    right = ranks[:, 2] & masks[1]
    for number in round_numbers(decrypt=decrypt):
        odd = number % 2
        target, source = (right, left) if odd else (left, right)
        message[:, 0] = lanes.state[:, 0] ^ lanes.step * np.uint64(number)
        message[:, 1] = lanes.state[:, 1] ^ source
        scratch.encrypt(rows)
        low[:] = tail
        if decrypt:
            np.subtract(target, low, out=target)
        else:
            np.add(target, low, out=target)
        np.bitwise_and(target, masks[odd], out=target)
    new = np.zeros_like(ranks)
    np.right_shift(left, up, out=new[:, 1])
    np.left_shift(left, bits, out=new[:, 2])
    new[:, 2] |= right
    return new


def _mask(bits: Words) -> Words:
    """Return pairs of words, shape (2, rows), with the lowest bits set."""
    ones = np.uint64(2**64 - 1)
    above = np.where(bits > _WORD, bits - _WORD, np.uint64(0))
    return np.stack([~(ones << above), ~(ones << bits)])


# numpy shifts in zeros however far, and 64 - bits, where it is negative, wraps to very far: so of
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

"""Whole columns of numbers below 2**192, held in limbs of 32 bits.

A column of numbers is a list of uint64 arrays, the least significant limb first: the upper half of
each word is room for the product of a limb and a factor of 32 bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["divide", "from_words", "multiply_add", "to_words"]

Words = NDArray[np.uint64]
Factor = Words | np.uint64
"""One for each number, or one for all; at most 2**32."""

_LIMB = np.uint64(32)
_LOW = np.uint64(2**32 - 1)


def multiply_add(limbs: list[Words], factor: Factor, addend: Words, count: int) -> None:
    """Multiply by a factor and add a number, in place.

    Args:
        limbs: the numbers.
        factor: what they are multiplied by.
        addend: below 2**32.
        count: the limbs that hold the results, as many as there are or one more.
    """
    carry = addend
    for place, limb in enumerate(limbs):
        product = limb * factor
        product += carry
        limbs[place] = product & _LOW
        carry = product >> _LIMB
    if count > len(limbs):
        limbs.append(carry)


def divide(limbs: list[Words], divisor: Factor, count: int) -> Words:
    """Divide in place.

    Args:
        limbs: the numbers.
        divisor: what they are divided by.
        count: the limbs that hold the quotients, as many as there are or one less.

    Returns:
        The remainders.
    """
    remainder = limbs[-1] if count < len(limbs) else np.zeros_like(limbs[-1])
    del limbs[count:]
    for place in reversed(range(count)):
        dividend = remainder << _LIMB
        dividend |= limbs[place]
        quotient = dividend // divisor
        limbs[place] = quotient
        remainder = dividend - quotient * divisor
    return remainder


def to_words(limbs: list[Words]) -> Words:
    """Return the numbers as three words each, shape (numbers, 3), the most significant first."""
    words = np.zeros((len(limbs[0]), 3), np.uint64)
    for place, limb in enumerate(limbs):
        words[:, 2 - place // 2] |= limb << _LIMB if place % 2 else limb
    return words


def from_words(words: Words, count: int) -> list[Words]:
    """Return the lowest limbs of numbers; the inverse of ``to_words``.

    Args:
        words: shape (numbers, 3), the most significant first.
        count: the limbs that hold the numbers.
    """
    pairs = [(words[:, place] & _LOW, words[:, place] >> _LIMB) for place in (2, 1, 0)]
    return [limb for pair in pairs for limb in pair][:count]

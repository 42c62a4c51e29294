"""Whole columns of large numbers, held in limbs of 32 bits.

A column of numbers is a list of uint64 arrays, the least significant limb first: the upper half of
each word is room for the product of a limb and a factor of 32 bits. A single limb is a whole word:
numbers that need no more need no such room. If a parameter is a scalar, it is that of all numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "divide",
    "from_halves",
    "from_words",
    "multiply_add",
    "to_halves",
    "to_words",
]

Words = NDArray[np.uint64]

_LIMB = np.uint64(32)
_LOW = np.uint64(2**32 - 1)


def multiply_add(limbs: list[Words], factor: Any, addend: Words, count: int) -> None:
    """Multiply by a factor and add a number, in place.

    Args:
        limbs: the numbers.
        factor: uint64, at most 2**32.
        addend: below 2**32.
        count: the limbs that hold the results, as many as there are or one more.
    """
    if count == 1:
        limbs[0] *= factor
        limbs[0] += addend
        return
    carry = addend
    for place, limb in enumerate(limbs):
        product = limb * factor
        product += carry
        limbs[place] = product & _LOW
        carry = product >> _LIMB
    if count > len(limbs):
        limbs.append(carry)


def divide(limbs: list[Words], divisor: Any, count: int) -> Words:
    """Divide in place.

    Args:
        limbs: the numbers.
        divisor: uint64, at most 2**32.
        count: the limbs that hold the quotients, as many as there are or one less.

    Returns:
        The remainders.
    """
    remainder = limbs.pop() if count < len(limbs) else None
    for place in reversed(range(count)):
        dividend = limbs[place]
        if remainder is not None:
            dividend = remainder << _LIMB
            dividend |= limbs[place]
        limbs[place] = dividend // divisor
        remainder = dividend - limbs[place] * divisor
    assert remainder is not None
    return remainder


def to_halves(limbs: list[Words], base: Any) -> tuple[Words, Words]:
    """Divide numbers below 2**112 by a base.

    Args:
        limbs: the numbers.
        base: uint64, at most 2**56, and more than the quotients or as many.

    Returns:
        The quotients and the remainders.
    """
    low = limbs[0]
    if len(limbs) == 1:
        quotient = low // base
        return quotient, low - quotient * base
    low = limbs[1] << _LIMB | low
    high = limbs[2] if len(limbs) == 3 else limbs[3] << _LIMB | limbs[2]
    # Four roundings, of 2**-53 each at most, leave the quotient off by less than 40. So the
    # remainder is off by less than 2**62, and two's complement shows by how much.
    divisor = np.asarray(base, np.float64)
    quotient = ((high.astype(np.float64) * 2.0**64 + low) / divisor).astype(np.uint64)
    remainder = (low - quotient * base).view(np.int64)
    excess = np.floor(remainder / divisor).astype(np.int64)
    remainder -= excess * np.int64(base)
    # That one may be rounded to the next whole number.
    below, above = remainder < 0, remainder >= np.int64(base)
    remainder += np.int64(base) * below
    remainder -= np.int64(base) * above
    excess -= below
    excess += above
    quotient += excess.view(np.uint64)
    return quotient, remainder.view(np.uint64)


def from_halves(high: Words, low: Words, base: Any, count: int) -> list[Words]:
    """Return the limbs of high * base + low; the inverse of ``to_halves``.

    Args:
        high: the quotients.
        low: the remainders.
        base: as for ``to_halves``.
        count: the limbs that hold the numbers.
    """
    if count == 1:
        return [high * base + low]
    upper, lower = high >> _LIMB, high & _LOW
    base_upper, base_lower = base >> _LIMB, base & _LOW
    first = lower * base_lower
    second = lower * base_upper + upper * base_lower + (first >> _LIMB) + (low >> _LIMB)
    first = (first & _LOW) + (low & _LOW)
    second += first >> _LIMB
    third = upper * base_upper + (second >> _LIMB)
    return [first & _LOW, second & _LOW, third & _LOW, third >> _LIMB][:count]


def to_words(limbs: list[Words]) -> Words:
    """Return at most six limbs as three words, shape (numbers, 3), the most significant first."""
    words = np.zeros((len(limbs[0]), 3), np.uint64)
    for place, limb in enumerate(limbs):
        words[:, 2 - place // 2] |= limb << _LIMB if place % 2 else limb
    return words


def from_words(words: Words, count: int) -> list[Words]:
    """Return the limbs of numbers; the inverse of ``to_words``.

    Args:
        words: shape (numbers, 3), the most significant first.
        count: the limbs that hold the numbers, at most six.
    """
    columns = (words[:, 2 - place // 2] for place in range(count))
    return [word >> _LIMB if place % 2 else word & _LOW for place, word in enumerate(columns)]

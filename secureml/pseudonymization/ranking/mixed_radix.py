"""Ranks: a value of a template is a mixed-radix number, one digit for each encrypted character.

The rank of a value among all the values of its template is what a cipher permutes.

A column of ranks is held in limbs of 32 bits: a list of uint64 arrays, the least significant limb
first. The upper half of each word is room for the product of a limb and a factor of 32 bits. A
single limb is a whole word: numbers that need no more need no such room. If a parameter is a
scalar, it is that of all numbers.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.ranking.digits import Digits, Numbers

__all__ = [
    "Index",
    "MixedRadix",
    "Words",
    "divide",
    "from_halves",
    "from_words",
    "multiply_add",
    "to_halves",
    "to_words",
]

Index = NDArray[np.intp]
Words = NDArray[np.uint64]
Integers = NDArray[np.object_]

_LIMB = np.uint64(32)
_LOW = np.uint64(2**32 - 1)


class MixedRadix:
    """Ranks of the values of some templates whose digits are cut into the same blocks.

    Args:
        sizes: uint32, shape (groups, digits): the size of the class of each encrypted character.
        blocks: of the digits.
        most: the limbs that hold any of the ranks, or more.

    Attributes:
        limbs: how many hold the ranks; 1 is a whole word, of 64 bits.
    """

    __slots__ = ("_blocks", "_limbs", "_products", "_sizes", "limbs")

    def __init__(self, sizes: Numbers, blocks: Sequence[range], most: int | None) -> None:
        starts = [block[0] for block in blocks]
        self._products = np.multiply.reduceat(sizes, starts, axis=1, dtype=np.uint64)
        self._blocks, self._sizes = range(len(blocks)), dict[range, Integers]()
        if most is None:
            return
        largest = accumulate(self._products.max(axis=0).tolist(), operator.mul)
        limbs = [-(-(product - 1).bit_length() // 32) or 1 for product in largest]
        most = most if min(limbs[-1], most) > 2 else 1
        self._limbs = [min(count, most) for count in limbs]
        self.limbs = self._limbs[-1]

    def rank(self, digits: Digits, group: Index | None) -> list[Words]:
        """Return the limbs of each row's rank.

        Args:
            digits: the rows' encrypted characters, each a member of the class at its place.
            group: the group of each row, or None if there is one group.
        """
        values = digits.read()
        limbs = [next(values)]
        factors = zip(self._factors(group)[1:], values, self._limbs[1:], strict=True)
        for factor, value, count in factors:
            multiply_add(limbs, factor, value, count)
        return limbs

    def unrank(self, limbs: list[Words], digits: Digits, group: Index | None) -> None:
        """Write the characters of each row's rank; the inverse of ``rank``.

        Args:
            limbs: as many as ``limbs``; they are used up.
            digits: as for ``rank``.
            group: as for ``rank``.
        """
        divisors = zip(self._factors(group)[:0:-1], self._limbs[-2::-1], strict=True)
        values = [divide(limbs, divisor, count) for divisor, count in divisors]
        digits.write([limbs[0], *reversed(values)])

    def rank_integers(self, digits: Digits, group: Index | None) -> Integers:
        """Return each row's rank as a Python integer.

        Halves are joined, and their halves before, so that a long rank takes few large products.

        Args:
            digits: as for ``rank``.
            group: as for ``rank``.
        """
        return self._joined(digits.read(), self._blocks, group)

    def unrank_integers(self, ranks: Integers, digits: Digits, group: Index | None) -> None:
        """Write the characters of each row's rank; the inverse of ``rank_integers``."""
        digits.write([*self._split(ranks, self._blocks, group)])

    def _joined(self, values: Iterator[Words], blocks: range, group: Index | None) -> Integers:
        if len(blocks) == 1:
            return next(values).astype(object)
        first, rest = _halves(blocks)
        high = self._joined(values, first, group)
        joined: Integers = high * self._size(rest, group) + self._joined(values, rest, group)
        return joined

    def _split(self, ranks: Integers, blocks: range, group: Index | None) -> Iterator[Words]:
        if len(blocks) == 1:
            yield ranks.astype(np.uint64)
            return
        first, rest = _halves(blocks)
        size = self._size(rest, group)
        high = ranks // size
        yield from self._split(high, first, group)
        yield from self._split(ranks - high * size, rest, group)

    def _size(self, blocks: range, group: Index | None) -> Any:
        """Return the number of values of some blocks: a scalar if there is one group."""
        sizes = self._sizes.get(blocks)
        if sizes is None:
            if len(blocks) == 1:
                sizes = self._products[:, blocks[0]].astype(object)
            else:
                first, rest = _halves(blocks)
                sizes = self._size(first, None) * self._size(rest, None)
            self._sizes[blocks] = sizes
        return sizes if group is None else sizes.take(group)

    def _factors(self, group: Index | None) -> Any:
        """Return the number of values of each block: a scalar if there is one group."""
        return self._products[0] if group is None else self._products.take(group, axis=0).T


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


def _halves(blocks: range) -> tuple[range, range]:
    middle = len(blocks) // 2
    return blocks[:middle], blocks[middle:]

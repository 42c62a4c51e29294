"""Ranks: a value of a template is a mixed-radix number, one digit for each encrypted character.

The rank of a value among all the values of its template is what a cipher permutes.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.ranking.digits import Digits, Numbers
from secureml.pseudonymization.ranking.limbs import divide, multiply_add

__all__ = ["Index", "MixedRadix", "Words"]

Index = NDArray[np.intp]
Words = NDArray[np.uint64]
Integers = NDArray[np.object_]


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


def _halves(blocks: range) -> tuple[range, range]:
    middle = len(blocks) // 2
    return blocks[:middle], blocks[middle:]

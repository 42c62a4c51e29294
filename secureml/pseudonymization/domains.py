"""Ranks: a value of a template is a mixed-radix number, one digit for each encrypted character.

The rank of a value among all the values of its template is what a cipher permutes. It is held as
``high * base + low`` in two 64-bit words, because that is what the cipher's Feistel network takes;
where that does not fit, in three words as they are, or as a Python integer.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.cells import Cells, Numbers
from secureml.pseudonymization.limbs import divide, from_words, multiply_add, to_words

__all__ = ["Index", "Integers", "MixedRadix", "Words"]

Index = NDArray[np.intp]
Words = NDArray[np.uint64]
Integers = NDArray[np.object_]


class MixedRadix:
    """Ranks of the values of some templates whose digits are cut into the same blocks.

    What is said of groups is for rows of several templates; None is for rows of the first.

    Args:
        sizes: uint32, shape (groups, digits): the size of the class of each encrypted character.
        blocks: of the digits.
        base: uint64, shape (groups,): of the two words that hold a rank, with the values of every
            block times base at most 2**64. None if ranks are not held so.
    """

    __slots__ = ("_base", "_limbs", "_products")

    def __init__(self, sizes: Numbers, blocks: Sequence[range], base: Words | None) -> None:
        self._base = None if base is None else base[:, None]
        starts = [block[0] for block in blocks]
        self._products = np.multiply.reduceat(sizes, starts, axis=1, dtype=np.uint64)
        largest = accumulate(self._products.max(axis=0).tolist(), operator.mul)
        self._limbs = [min(-(-(product - 1).bit_length() // 32) or 1, 6) for product in largest]

    def rank(self, cells: Cells, group: Index | None) -> tuple[Words, Words]:
        """Return the high and low words of each row's rank.

        Args:
            cells: the rows' encrypted characters, each a member of the class at its place.
            group: the group of each row, or None if there is one group.
        """
        assert self._base is not None
        (base,) = _spread(self._base, group)
        values = cells.read()
        low = next(values)
        high = low // base
        low -= high * base
        for product, value in zip(_spread(self._products, group)[1:], values, strict=True):
            low *= product
            low += value
            carry = low // base
            low -= carry * base
            high *= product
            high += carry
        return high, low

    def unrank(self, high: Words, low: Words, cells: Cells, group: Index | None) -> None:
        """Write the characters of each row's rank; the inverse of ``rank``."""
        assert self._base is not None
        (base,) = _spread(self._base, group)
        values = []
        for product in _spread(self._products, group)[:0:-1]:
            quotient = high // product
            low = (high - quotient * product) * base + low
            high, quotient = quotient, low // product
            values.append(low - quotient * product)
            low = quotient
        cells.write([high * base + low, *reversed(values)])

    def rank_words(self, cells: Cells, group: Index | None) -> Words:
        """Return each row's rank, below 2**192, in three words; shape (rows, 3)."""
        values = cells.read()
        limbs = [next(values)]
        factors = zip(_spread(self._products, group)[1:], values, self._limbs[1:], strict=True)
        for product, value, count in factors:
            multiply_add(limbs, product, value, count)
        return to_words(limbs)

    def unrank_words(self, ranks: Words, cells: Cells, group: Index | None) -> None:
        """Write the characters of each row's rank; the inverse of ``rank_words``."""
        limbs = from_words(ranks, self._limbs[-1])
        divisors = zip(_spread(self._products, group)[:0:-1], self._limbs[-2::-1], strict=True)
        values = [divide(limbs, product, count) for product, count in divisors]
        cells.write([limbs[0], *reversed(values)])

    def rank_integers(self, cells: Cells, group: Index | None) -> Integers:
        """Return each row's rank as a Python integer."""
        values = cells.read()
        rank = next(values).astype(object)
        for product, value in zip(_spread(self._products, group)[1:], values, strict=True):
            rank = rank * product.astype(object) + value.astype(object)
        return rank

    def unrank_integers(self, rank: Integers, cells: Cells, group: Index | None) -> None:
        """Write the characters of each row's rank; the inverse of ``rank_integers``."""
        values = []
        for product in _spread(self._products, group)[:0:-1]:
            divisor = product.astype(object)
            values.append((rank % divisor).astype(np.uint64))
            rank = rank // divisor
        cells.write([rank.astype(np.uint64), *reversed(values)])


def _spread(matrix: NDArray[Any], group: Index | None) -> Any:
    """Return the columns of a matrix: a number each if there is one group, or one for each row."""
    return matrix[0] if group is None else matrix.take(group, axis=0).T

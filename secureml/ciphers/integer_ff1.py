"""A permutation of [0, N) for any N, over many domains in one call.

A column of names has thousands of formats, each a domain of its own with a tweak of its own.
``IntegerFF1.prepare`` makes one batch of them, which encrypts rows of all of them at once:
standard FF1 over a numeral string that holds the rank, and cycle walking where the strings are
more than the ranks.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from secureml.ciphers.aes import BlockCipher
from secureml.ciphers.domain_batch import DomainBatch
from secureml.ciphers.feistel import Shape, check_domain, check_tweak
from secureml.ciphers.round_cache import RoundCache
from secureml.secret_types import SecretBytes, conceal

__all__ = ["DomainBatch", "IntegerFF1", "numerals_for"]

_NARROW_BITS = 112
_RECENT = 1 << 12  # domains: tables of a kind have the same hundreds again and again

_shape_of = lru_cache(_RECENT)(Shape.of)


@lru_cache(_RECENT)
def numerals_for(size: int) -> tuple[int, int]:
    """Choose the numeral strings that hold the ranks of a domain: part of the format, forever.

    Up to 2**112 ranks: the fewest numerals, an even number, that a radix of at most 65536 allows,
    and the smallest radix that then suffices; the strings outnumber the ranks by 2 % at most once
    there are a million ranks. Beyond: bits, as few as suffice, so that halves of any size reduce
    by a mask; the strings outnumber the ranks less than twofold.

    Args:
        size: N, the number of ranks, at least 2.

    Returns:
        radix and n, with radix**n >= size.
    """
    bits = (size - 1).bit_length()
    if bits > _NARROW_BITS:
        return 2, bits
    n = 2 * -(-bits // 32)
    radix = max(2, round(2 ** (math.log2(size) / n)))  # a guess, that the next lines make exact
    while radix**n < size:
        radix += 1
    while radix > 2 and (radix - 1) ** n >= size:
        radix -= 1
    return radix, n


class IntegerFF1:
    """FF1 on ranks. Threads may share one, and the batches that it makes.

    Args:
        key: 16, 24 or 32 octets.
        min_domain: the least N to accept; SP 800-38G Rev. 1 requires 1,000,000.

    Raises:
        TypeError: the key is not bytes.
        ValueError: the key has another length.
    """

    __slots__ = ("_cipher", "_min_domain", "_round_cache")

    def __init__(self, key: bytes | SecretBytes, *, min_domain: int = 1_000_000) -> None:
        key = conceal(key)
        self._cipher = BlockCipher(key)
        self._min_domain = max(min_domain, 2)
        self._round_cache = RoundCache()

    def prepare(
        self,
        sizes: Sequence[int],
        tweaks: Sequence[bytes],
        numerals: Sequence[tuple[int, int] | None] | None = None,
    ) -> DomainBatch:
        """Prepare one domain per group.

        Args:
            sizes: N of each group.
            tweaks: the tweak of each group, up to 2**32 - 1 octets.
            numerals: where it holds (radix, n), the ranks of the group are numeral strings and
                are encrypted by plain FF1 with exactly these parameters; N must be radix**n. None
                leaves the choice to ``numerals_for``.

        Returns:
            The batch; it does not change.

        Raises:
            TypeError: a tweak is not bytes.
            ValueError: the sequences differ in length, a domain is below ``min_domain``, or its
                numerals do not fit it.
        """
        numerals = [None] * len(sizes) if numerals is None else numerals
        if not len(sizes) == len(tweaks) == len(numerals):
            raise ValueError("sizes, tweaks and numerals must have one entry per group")
        for tweak in tweaks:
            check_tweak(tweak)
        # Thousands of templates have some hundreds of domains.
        numbers: dict[tuple[int, tuple[int, int] | None], int] = {}
        domains = [
            numbers.setdefault((size, given), len(numbers))
            for size, given in zip(sizes, numerals, strict=True)
        ]
        pairs = [self._domain(size, given) for size, given in numbers]
        return DomainBatch(
            self._cipher, self._round_cache, pairs, np.array(domains, np.intp), tweaks
        )

    def _domain(self, size: int, given: tuple[int, int] | None) -> tuple[int, Shape]:
        size = operator.index(size)  # numpy's integers would overflow
        if size < self._min_domain:
            raise ValueError(f"a domain of {size} is below the minimum of {self._min_domain}")
        radix, n = map(operator.index, given or numerals_for(size))
        check_domain(radix, n, self._min_domain)
        shape = _shape_of(radix, n)
        if given and shape.left * shape.right != size:
            raise ValueError(f"a domain of {size} is not {radix}**{n}")
        return size, shape

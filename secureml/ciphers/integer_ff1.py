"""A permutation of [0, N) for any N, over many domains in one call.

A column of names has thousands of formats, each a domain of its own with a tweak of its own.
``IntegerFF1.prepare`` makes one batch of them, which encrypts rows of all of them at once:
standard FF1 over a numeral string that holds the rank, and cycle walking if the strings are more
than the ranks. Three kinds of arithmetic give the same results as one: words for halves of at most
seven octets, pairs of words for bit strings, Python integers for the rest.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.ciphers.aes import CHUNK, BlockCipher, Scratch, Words
from secureml.ciphers.feistel import (
    RoundFunction,
    RoundParameters,
    Shape,
    check_domain,
    check_tweak,
    mac_states,
    run_rounds,
)
from secureml.ciphers.feistel_bigint import IntegerRounds, Integers
from secureml.ciphers.feistel_u64 import RoundCache, WordRounds
from secureml.ciphers.feistel_u192 import bit_rounds
from secureml.secret_types import SecretBytes, conceal

__all__ = ["DomainBatch", "IntegerFF1", "numerals_for"]

Index = NDArray[np.intp]
Group = int | Sequence[int] | NDArray[Any]
Columns = tuple[NDArray[Any], ...]
"""Ranks as high and low, as words of bit strings, or as Python integers: two, three or one."""

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
    # At most 2^16, so that a float is exact to less than a half, and never rounds up to too much.
    radix = max(2, round(2 ** (math.log2(size) / n)))
    while radix**n < size:
        radix += 1
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
            numerals: if an entry is (radix, n), the ranks of the group are numeral strings and
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


class DomainBatch:
    """Encrypts ranks of the groups it was made for; made by ``IntegerFF1.prepare``.

    A rank x of a narrow group is held as x = high * base + low with the base of its group, both
    uint64. For a numeral string, high is the number of its first n // 2 numerals and low that of
    the rest. Python integers serve every group. A batch does not change; threads may share it.

    Attributes:
        base: uint64, shape (groups,): radix**(n - n // 2) of each narrow group, at most 2**56; 0
            if it is larger.
        bits: which groups are of bit strings, shape (groups,): their ranks fit three words.
    """

    __slots__ = (
        "_cipher",
        "_kinds",
        "_last",
        "_parameters",
        "_round_cache",
        "_shapes",
        "_sizes",
        "_states",
        "base",
        "bits",
    )

    def __init__(
        self,
        cipher: BlockCipher,
        cache: RoundCache,
        domains: Sequence[tuple[int, Shape]],
        domain: Index,
        tweaks: Sequence[bytes],
    ) -> None:
        """Prepare.

        Args:
            cipher: AES under the key.
            cache: of all batches under the key.
            domains: the distinct ones: N, and the shape of the numeral strings.
            domain: which of them each group has, shape (groups,).
            tweaks: of each group.
        """
        shapes = [shape for _, shape in domains]
        self._cipher, self._round_cache = cipher, cache
        self._shapes = _objects(shapes)[domain]
        self._sizes = _objects([size for size, _ in domains])[domain]
        self._states = mac_states(cipher, self._shapes.tolist(), tweaks)
        self._parameters = RoundParameters.of(shapes, domain, self._states)
        narrow = np.array([shape.narrow for shape in shapes], np.bool_)[domain]
        self.base: Words = self._parameters.right * narrow
        self.bits: NDArray[np.bool_] = np.array([s.bits for s in shapes], np.bool_)[domain]
        keys = [
            (s.narrow, s.bits, s.digest_octets if s.narrow or s.bits else s.octets) for s in shapes
        ]
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        self._kinds = np.array([numbers[key] for key in keys], np.intp)[domain]
        last = np.zeros((len(domains), 3), np.uint64)
        for place, (size, shape) in enumerate(domains):
            if shape.narrow:
                last[place, :2] = divmod(size - 1, shape.right)
            elif shape.bits:
                last[place] = _words([size - 1])
        self._last: Words = last[domain].T.copy()

    def halves(
        self, group: Group, high: Words, low: Words, *, decrypt: bool
    ) -> tuple[Words, Words]:
        """Encrypt or decrypt one rank per row, of narrow groups.

        Args:
            group: the group of all ranks, or of each, shape (rows,), in any order; fastest if
                long runs of rows are of one group.
            high: uint64, shape (rows,).
            low: uint64, shape (rows,).
            decrypt: do the inverse.

        Returns:
            New arrays: high and low of the new ranks.

        Raises:
            ValueError: the arrays differ in shape or have the wrong dtype, a group does not exist
                or is not narrow, or a rank is outside its domain.
        """
        if high.dtype != np.uint64 or low.dtype != np.uint64:
            raise ValueError("high and low must be of dtype uint64")
        if high.ndim != 1 or high.shape != low.shape:
            raise ValueError("high and low must be one-dimensional and of one length")
        index = self._index(group, len(high))
        if not self.base.all() and not self.base[index].all():
            raise ValueError("a group is too large for 64-bit halves; give its ranks as integers")
        high, low = high.copy(), low.copy()
        self._apply(index, (high, low), decrypt=decrypt)
        return high, low

    def words(self, group: Group, ranks: Words, *, decrypt: bool) -> Words:
        """Encrypt or decrypt ranks of groups whose numeral strings are of 113 to 192 bits.

        Args:
            group: as for ``halves``; of those that ``bits`` tells.
            ranks: uint64, shape (rows, 3), the most significant word first; each below N.
            decrypt: do the inverse.

        Returns:
            A new array.

        Raises:
            ValueError: the ranks have another shape or dtype, a group does not exist or is none of
                such bit strings, or a rank is outside its domain.
        """
        if ranks.dtype != np.uint64 or ranks.ndim != 2 or ranks.shape[1] != 3:
            raise ValueError("ranks must be of dtype uint64 and shape (rows, 3)")
        index = self._index(group, len(ranks))
        if not self.bits.all() and not self.bits[index].all():
            raise ValueError("a group is not one of 113 to 192 bits")
        ranks = ranks.copy()
        self._apply(index, (ranks,), decrypt=decrypt)
        return ranks

    def integers(self, group: Group, ranks: Sequence[int] | Integers, *, decrypt: bool) -> Integers:
        """Encrypt or decrypt ranks of any groups, given as Python integers.

        Args:
            group: as for ``halves``; many groups are fastest in one call.
            ranks: each from 0 to N - 1 of its group.
            decrypt: do the inverse.

        Returns:
            A new array, dtype object.

        Raises:
            ValueError: a group does not exist, or a rank is outside its domain.
        """
        values = _objects([*map(operator.index, ranks)])  # numpy's integers would overflow
        self._apply(self._index(group, len(values)), (values,), decrypt=decrypt)
        return values

    def _index(self, group: Group, rows: int) -> Index:
        group = np.asarray(group)
        if group.size and not np.issubdtype(group.dtype, np.integer):
            raise ValueError("groups must be integers")
        if group.shape not in ((), (rows,)):
            raise ValueError("there must be one group for all ranks, or one per rank")
        if group.size and not (group.min() >= 0 and group.max() < len(self.base)):
            raise ValueError("a group is not part of the batch")
        return np.broadcast_to(group.astype(np.intp, copy=False), (rows,))

    def _apply(self, index: Index, ranks: Columns, *, decrypt: bool) -> None:
        """Encrypt or decrypt ranks again and again, in place, until all are in their domain.

        That is a permutation of the domain, and it ends: a cycle leads back to where it began.
        """
        with self._cipher.scratch() as scratch:
            for start in range(0, len(index), CHUNK):
                rows = slice(start, start + CHUNK)
                groups, here = _common(index[rows]), tuple(column[rows] for column in ranks)
                beyond = self._beyond(groups, *here)
                if len(here) == 2:
                    beyond |= here[1] >= self.base[groups]
                if beyond.any():
                    raise ValueError("a rank is outside the domain of its group")
                self._rounds(scratch, groups, here, decrypt)
                walking = np.flatnonzero(self._beyond(groups, *here))
                while walking.size:
                    some = groups if len(groups) == 1 else groups[walking]
                    stepped = tuple(column[walking] for column in here)
                    self._rounds(scratch, some, stepped, decrypt)
                    _put(here, walking, stepped)
                    walking = walking[self._beyond(some, *stepped)]

    def _beyond(self, index: Index, *ranks: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which ranks are outside the domain of their group."""
        if ranks[0].dtype == object:
            return ((ranks[0] < 0) | (ranks[0] >= self._sizes[index])).astype(np.bool_)
        words = ranks if len(ranks) == 2 else ranks[0].T
        last = self._last[: len(words), index]
        beyond: NDArray[np.bool_] = words[-1] > last[-1]
        for word, end in zip(words[-2::-1], last[-2::-1], strict=True):  # the first word decides
            beyond = (word > end) | ((word == end) & beyond)
        return beyond

    def _rounds(self, scratch: Scratch, index: Index, ranks: Columns, decrypt: bool) -> None:
        """Run FF1 once, in place, together for rows that need as much keystream."""
        kinds = self._kinds[index]
        if (kinds != kinds[0]).any():
            for kind in np.unique(kinds):
                rows = np.flatnonzero(kinds == kind)
                some = tuple(column[rows] for column in ranks)
                self._rounds(scratch, index[rows], some, decrypt)
                _put(ranks, rows, some)
        elif len(ranks) == 2:
            run_rounds(self._word_rounds(scratch, index, len(ranks[0])), *ranks, decrypt=decrypt)
        elif ranks[0].dtype == object:
            ranks[0][:] = self._integer_rounds(scratch, index, ranks[0], decrypt)
        else:
            bit_rounds(scratch, self._parameters.at(index), ranks[0], decrypt=decrypt)

    def _word_rounds(self, scratch: Scratch, index: Index, rows: int) -> RoundFunction:
        parameters = self._parameters.at(index)
        if len(index) > 1:
            return WordRounds(scratch, parameters, rows)
        return self._round_cache.rounds(scratch, parameters, rows)

    def _integer_rounds(
        self, scratch: Scratch, index: Index, values: Integers, decrypt: bool
    ) -> Integers:
        if self.bits[index[0]]:
            words = _words(values)
            bit_rounds(scratch, self._parameters.at(index), words, decrypt=decrypt)
            octets = words.astype(">u8").tobytes()
            starts = range(0, len(octets), 24)
            return _objects([int.from_bytes(octets[at : at + 24], "big") for at in starts])
        shapes: list[Shape] = self._shapes[index].tolist()
        left, right = (
            _objects([getattr(one, side) for one in shapes]) for side in ("left", "right")
        )
        high, low = values // right, values % right
        if shapes[0].narrow:
            high, low = high.astype(np.uint64), low.astype(np.uint64)
            run_rounds(self._word_rounds(scratch, index, len(high)), high, low, decrypt=decrypt)
        else:
            function = IntegerRounds(scratch, self._states[index], shapes[0], (left, right))
            run_rounds(function, high, low, decrypt=decrypt)
        joined: Integers = high.astype(object) * right + low
        return joined


def _put(columns: Columns, rows: Index, values: Columns) -> None:
    for column, new in zip(columns, values, strict=True):
        column[rows] = new


def _common(index: Index) -> Index:
    """Shorten an index of one group to one entry; its parameters are then constants, and fast."""
    return index[:1] if (index == index[:1]).all() else index


def _words(values: Iterable[int]) -> Words:
    """Return numbers below 2**192 as three words each, the most significant first."""
    octets = b"".join([value.to_bytes(24, "big") for value in values])
    return np.frombuffer(octets, ">u8").astype(np.uint64).reshape(-1, 3)


def _objects(values: Sequence[Any]) -> NDArray[np.object_]:
    """Hold Python objects, and nothing that numpy would convert."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array

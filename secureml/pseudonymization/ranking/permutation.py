"""Keyed permutations of the domains of one column, in one direction."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.ciphers.small_domain import SmallDomainCipher
from secureml.pseudonymization.ranking.mixed_radix import Index, Words

__all__ = ["CHUNK", "MIN_DOMAIN", "MIN_TABLE", "Permutation", "RankPermutation", "RowTweaks"]

MIN_DOMAIN = 1_000_000
"""The least number of possible pseudonyms of a value (SP 800-38G Rev. 1, section 5.1)."""

MIN_TABLE = 8
"""The least number of members that a table permutes; a digit other than 0 has 9. The fewer there
are, the more often a table leaves them all as they are: of two members, half of the tables do."""

CHUNK = 1 << 17
"""Rows whose intermediate arrays are worked on together, as in the ciphers."""

_TABLE_BASE = 1 << 32
_DENSE = 1 << 12  # numbers up to which a table of them is faster than sorting, however few

Numerals = Sequence[tuple[int, int] | None]
Ranks = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class RowTweaks:
    """A tweak for each row, from a column beside: equal values get unlinkable pseudonyms.

    Args:
        values: the distinct tweaks.
        number: which of them each row has, shape (rows,).
    """

    values: Sequence[bytes]
    number: Index

    def at(self, rows: slice | Index) -> RowTweaks:
        """Return the tweaks of some rows."""
        return RowTweaks(self.values, self.number[rows])

    def bound(self, number: int, tweak: bytes) -> bytes:
        """Return a tweak of a format, bound to the tweak of a row."""
        value = self.values[number]
        return b"row/1" + len(value).to_bytes(8, "big") + value + tweak

    def split(self, group: Index, tweaks: Sequence[bytes]) -> tuple[Index, Sequence[bytes], Index]:
        """Split groups of rows by the tweaks of the rows.

        Args:
            group: of each row, shape (rows,).
            tweaks: of each group.

        Returns:
            The new group of each row, the tweak of each new group, and the group that each new
            group is a part of.
        """
        count = len(self.values)
        pairs, new = _distinct(group * count + self.number)
        parents, numbers = pairs // count, pairs % count
        each = zip(numbers.tolist(), parents.tolist(), strict=True)
        return new, [self.bound(number, tweaks[parent]) for number, parent in each], parents


def _distinct(numbers: Index) -> tuple[Index, Index]:
    """Return the distinct numbers, ascending, and the place of each number among them."""
    limit = int(numbers.max(initial=0)) + 1
    if limit > 4 * len(numbers) + _DENSE:
        pairs, places = np.unique(numbers, return_inverse=True)
        return pairs, places.astype(np.intp)
    found = np.zeros(limit, np.bool_)
    found[numbers] = True
    return np.flatnonzero(found), (np.cumsum(found) - 1)[numbers]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Permutation:
    """Permutes the ranks of the rows of a column under the key of the column's domain.

    Args:
        cipher: for domains of MIN_DOMAIN members and more.
        tables: for smaller domains; None if these are not to be permuted at all.
        row_tweaks: a tweak for each row, or None.
        decrypt: do the inverse.
        smallest: how many members a domain of a table has at least.
        prepared: what was made ready for values without tweaks of rows, kept for more of them.
    """

    cipher: IntegerFF1
    _: KW_ONLY
    tables: SmallDomainCipher | None = None
    row_tweaks: RowTweaks | None = None
    decrypt: bool = False
    smallest: int = 2
    prepared: dict[Hashable, Any] = field(default_factory=dict)

    @property
    def minimum(self) -> int:
        """How many members a domain has at least."""
        return MIN_DOMAIN if self.tables is None else self.smallest

    def at(self, rows: slice | Index) -> Permutation:
        """Return the same for some rows of the column."""
        if self.row_tweaks is None:
            return self
        return replace(self, row_tweaks=self.row_tweaks.at(rows))

    def permute(
        self,
        sizes: Sequence[int],
        tweaks: Sequence[bytes],
        group: Index | int,
        ranks: Ranks,
        numerals: Numerals | None = None,
    ) -> Ranks:
        """Permute the rank of each row within the domain of its group.

        Args:
            sizes: of the domains; those that a row is in have at least ``minimum`` members.
            tweaks: of the domains: the format and all that it keeps.
            group: the domain of each row, shape (rows,), or the one of all rows.
            ranks: each below the size of its domain. uint64 of shape (rows,); or Python integers,
                dtype object; or, if all domains have one size, which is a power of two, uint64 of
                shape (rows, 2), the most significant word first.
            numerals: as for ``IntegerFF1.prepare``.

        Returns:
            A new array of the same shape and dtype.
        """
        if not len(ranks):
            return ranks.copy()
        numerals = [None] * len(sizes) if numerals is None else numerals
        group = np.broadcast_to(np.asarray(group, np.intp), (len(ranks),))
        if self.row_tweaks is not None:
            group, tweaks, parents = self.row_tweaks.split(group, tweaks)
        else:
            parents, group = _distinct(group) if len(sizes) > 1 else (np.zeros(1, np.intp), group)
            tweaks = [tweaks[one] for one in parents.tolist()]
        domains = [(sizes[one], numerals[one]) for one in parents.tolist()]
        new = np.empty_like(ranks)
        ranked = self.prepare([size for size, _ in domains], tweaks, [one for _, one in domains])
        for start in range(0, len(ranks), CHUNK):
            rows = slice(start, start + CHUNK)
            new[rows] = ranked.permute(group[rows], ranks[rows])
        return new

    def prepare(
        self, sizes: Sequence[int], tweaks: Sequence[bytes], numerals: Numerals | None = None
    ) -> RankPermutation:
        """Prepare one domain per group; tweaks of rows are not bound.

        Args:
            sizes: of the domains, at least ``minimum``.
            tweaks: of the domains: the format and all that it keeps.
            numerals: as for ``IntegerFF1.prepare``.
        """
        return RankPermutation(self, sizes, tweaks, numerals)


class RankPermutation:
    """Permutes ranks of the groups it was made for; made by ``Permutation.prepare``.

    Attributes:
        base: uint64, shape (groups,). ``halves`` takes a rank x as x = high * base + low; 0 if
            ranks of the group do not fit two words.
        bits: which groups have ranks that ``permute`` takes in three words, shape (groups,).
    """

    __slots__ = ("_decrypt", "_domains", "_ranked", "_tabled", "_tables", "base", "bits")

    def __init__(
        self,
        permutation: Permutation,
        sizes: Sequence[int],
        tweaks: Sequence[bytes],
        numerals: Numerals | None,
    ) -> None:
        """Prepare; the arguments are those of ``Permutation.prepare``."""
        self._decrypt, self._tables = permutation.decrypt, permutation.tables
        self._domains = list(zip(sizes, tweaks, strict=True))
        self._tabled = np.array([size < MIN_DOMAIN for size in sizes], np.bool_)
        if self._tabled.any():
            # The cipher gets a domain of its own least size for each of these, and no row of it.
            sizes = [max(size, MIN_DOMAIN) for size in sizes]
            given = [None] * len(sizes) if numerals is None else numerals
            pairs = zip(given, self._tabled.tolist(), strict=True)
            numerals = [None if tabled else one for one, tabled in pairs]
        self._ranked = permutation.cipher.prepare(sizes, tweaks, numerals)
        self.base: Words = np.where(self._tabled, np.uint64(_TABLE_BASE), self._ranked.base)
        self.bits = self._ranked.bits

    def permute(self, group: NDArray[np.integer[Any]], ranks: Ranks) -> Ranks:
        """Permute one rank per row.

        Args:
            group: the group of each row, shape (rows,).
            ranks: as for ``Permutation.permute``, or uint64 of shape (rows, 3), the most
                significant word first, of groups that ``bits`` tells.

        Returns:
            A new array.
        """
        if ranks.dtype == object:
            return self._integers(group, ranks)
        if ranks.ndim == 2:
            return self._words(group, ranks)
        base = self.base[0]  # numpy divides faster by a scalar
        if (self.base != base).any():
            base = self.base[group]
        high = ranks // base
        low = high * base
        np.subtract(ranks, low, out=low)
        high, low = self.halves(group, high, low)
        high *= base
        high += low
        return high

    def halves(
        self, group: NDArray[np.integer[Any]], high: Words, low: Words
    ) -> tuple[Words, Words]:
        """Permute one rank per row, of groups whose base is not 0.

        Args:
            group: the group of each row, shape (rows,).
            high: the rank divided by the base, shape (rows,).
            low: the remainder, shape (rows,).

        Returns:
            New arrays.
        """
        if not self._tabled.any():
            return self._ranked.halves(group, high, low, decrypt=self._decrypt)
        tabled = self._tabled[group]
        rest = ~tabled
        new_high, new_low = np.zeros_like(high), np.empty_like(low)
        new_low[tabled] = self._looked_up(group[tabled], low[tabled])
        new_high[rest], new_low[rest] = self._ranked.halves(
            group[rest], high[rest], low[rest], decrypt=self._decrypt
        )
        return new_high, new_low

    def _looked_up(self, group: NDArray[np.integer[Any]], ranks: Words) -> Words:
        """Permute ranks by the tables of their groups."""
        assert self._tables is not None
        order = np.argsort(group, kind="stable")  # then a pass over all groups is one over the rows
        ordered, old = group[order], ranks[order]
        new, result = np.empty_like(ranks), np.empty_like(ranks)
        starts = np.flatnonzero(np.diff(ordered, prepend=-1)).tolist()
        for start, end in pairwise([*starts, len(order)]):
            size, tweak = self._domains[ordered[start]]
            table = self._tables.table(size, tweak, inverse=self._decrypt)
            new[start:end] = table[old[start:end]]
        result[order] = new
        return result

    def _words(self, group: NDArray[np.integer[Any]], ranks: Words) -> Words:
        """Permute bit strings, given as numbers of two words or three."""
        if ranks.shape[1] == 3:
            return self._ranked.words(group, ranks, decrypt=self._decrypt)
        base = int(self.base[0])
        if not base:
            padded = np.zeros((len(ranks), 3), np.uint64)
            padded[:, 1:] = ranks
            return self._ranked.words(group, padded, decrypt=self._decrypt)[:, 1:]
        right = np.uint64(base.bit_length() - 1)
        left = np.uint64(64) - right
        high, low = ranks.T
        high, low = self.halves(group, high << left | low >> right, low & np.uint64(base - 1))
        return np.stack([high >> left, high << right | low], axis=1)

    def _integers(self, group: NDArray[np.integer[Any]], ranks: Ranks) -> Ranks:
        """Permute Python integers, and in 64-bit arithmetic what fits it."""
        base, new = self.base.astype(object)[group], np.empty_like(ranks)
        fits = base > 0
        divisors = base[fits]
        quotients = ranks[fits] // divisors
        high, low = quotients, ranks[fits] - quotients * divisors
        high, low = self.halves(group[fits], high.astype(np.uint64), low.astype(np.uint64))
        new[fits] = high.astype(object) * divisors + low
        new[~fits] = self._ranked.integers(group[~fits], ranks[~fits], decrypt=self._decrypt)
        return new

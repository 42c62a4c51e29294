"""Keyed permutations of the domains of one column, in one direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.ciphers.integer_ff1 import DomainBatch, IntegerFF1
from secureml.ciphers.small_domain import TableCipher
from secureml.pseudonymization.ranking.mixed_radix import Index, Words

__all__ = ["CHUNK", "MIN_DOMAIN", "MIN_TABLE", "Permutation", "Plan", "RowTweaks"]

MIN_DOMAIN = 1_000_000
"""The least number of possible pseudonyms of a value (SP 800-38G Rev. 1, section 5.1)."""

MIN_TABLE = 8
"""The least number of members that a table permutes; a digit other than 0 has 9. The fewer there
are, the more often a table leaves them all as they are: of two members, half of the tables do."""

CHUNK = 1 << 17
"""Rows whose intermediate arrays are worked on together, as in the ciphers."""

_TABLE_BASE = 1 << 32
_TABLE = 1 << 12  # numbers up to which a table of them is faster than sorting, however few
_KEPT = 1 << 24  # members of tables that are kept for more rows


class RowTweaks:
    """A tweak for each row, from a column beside: equal values get unlinkable pseudonyms.

    Args:
        values: the distinct tweaks.
        number: which of them each row has, shape (rows,).
    """

    __slots__ = ("number", "values")

    def __init__(self, values: Sequence[bytes], number: Index) -> None:
        self.values = values
        self.number = number

    def at(self, rows: Index) -> RowTweaks:
        """Return the tweaks of some rows."""
        return RowTweaks(self.values, self.number[rows])

    def bound(self, number: int, tweak: bytes) -> bytes:
        """Return a tweak of a format, bound to the tweak of a row."""
        value = self.values[number]
        return b"row/1" + len(value).to_bytes(8, "big") + value + tweak

    def split(
        self, group: Index, tweaks: Sequence[bytes], rows: Index
    ) -> tuple[Index, Sequence[bytes]]:
        """Split groups of rows by the tweaks of the rows.

        Args:
            group: of each row, shape (rows,).
            tweaks: of each group.
            rows: which rows of the column these are.

        Returns:
            The new group of each row, and the tweak of each new group.
        """
        count = len(self.values)
        pairs, new = _distinct(group * count + self.number[rows])
        bound = [self.bound(pair % count, tweaks[pair // count]) for pair in pairs.tolist()]
        return new, bound


def _distinct(numbers: Index) -> tuple[Index, Index]:
    """Return the distinct numbers, ascending, and the place of each number among them."""
    limit = int(numbers.max(initial=0)) + 1
    if limit > 4 * len(numbers) + _TABLE:
        pairs, places = np.unique(numbers, return_inverse=True)
        return pairs, places.astype(np.intp)
    found = np.zeros(limit, np.bool_)
    found[numbers] = True
    return np.flatnonzero(found), (np.cumsum(found) - 1)[numbers]


class Permutation:
    """Permutes ranks of any number of domains under the key of one column's domain.

    Args:
        cipher: for domains of MIN_DOMAIN members and more.
        tables: for smaller domains; None if these are not to be permuted at all.
        row_tweaks: a tweak for each row, or None.
        decrypt: do the inverse.
        smallest: how many members a domain of a table has at least.
    """

    __slots__ = ("_cipher", "_tables", "decrypt", "minimum", "row_tweaks")

    def __init__(
        self,
        cipher: IntegerFF1,
        *,
        tables: TableCipher | None = None,
        row_tweaks: RowTweaks | None = None,
        decrypt: bool = False,
        smallest: int = 2,
    ) -> None:
        self._cipher = cipher
        self._tables = tables
        self.row_tweaks = row_tweaks
        self.decrypt = decrypt
        self.minimum = MIN_DOMAIN if tables is None else smallest

    def at(self, rows: slice | Index) -> Permutation:
        """Return the same for some rows of the column."""
        if self.row_tweaks is None:
            return self
        tweaks = RowTweaks(self.row_tweaks.values, self.row_tweaks.number[rows])
        return Permutation(
            self._cipher,
            tables=self._tables,
            row_tweaks=tweaks,
            decrypt=self.decrypt,
            smallest=self.minimum,
        )

    def plan(
        self,
        sizes: Sequence[int],
        tweaks: Sequence[bytes],
        numerals: Sequence[tuple[int, int] | None] | None = None,
    ) -> Plan:
        """Prepare one domain per group.

        Args:
            sizes: of each domain, at least ``minimum``.
            tweaks: of each domain: the format and all that it keeps.
            numerals: as for ``IntegerFF1.plan``.
        """
        if min(sizes, default=MIN_DOMAIN) >= MIN_DOMAIN:
            return Plan(self._cipher.plan(sizes, tweaks, numerals), None, self.decrypt)
        assert self._tables is not None
        small = {
            group: (size, tweaks[group]) for group, size in enumerate(sizes) if size < MIN_DOMAIN
        }
        tables = _Tables(self._tables, small, inverse=self.decrypt)
        # A group that a table serves takes its number in the plan, and no row of it gets there.
        large = [max(size, MIN_DOMAIN) for size in sizes]
        given = [None] * len(sizes) if numerals is None else list(numerals)
        kept = [None if group in small else given[group] for group in range(len(sizes))]
        return Plan(self._cipher.plan(large, tweaks, kept), tables, self.decrypt)

    def permute(self, size: int, tweak: bytes, ranks: Words, rows: Index) -> Words:
        """Permute the ranks of one domain.

        Args:
            size: of the domain, from ``minimum`` to 2**64.
            tweak: the format and all that it keeps; the same for all rows.
            ranks: uint64, shape (rows,), each below the size.
            rows: which rows of the column these are, for their tweaks.

        Returns:
            A new array.
        """
        group, tweaks = self.groups(np.zeros(len(ranks), np.intp), [tweak], rows)
        plan = self.plan([size] * len(tweaks), tweaks)
        result = np.empty_like(ranks)
        for start in range(0, len(ranks), CHUNK):
            part = slice(start, start + CHUNK)
            base = plan.base[group[part]]
            high = ranks[part] // base
            high, low = plan.apply(group[part], high, ranks[part] - high * base)
            result[part] = high * base + low
        return result

    def permute_bits(
        self, bits: int, tweaks: Sequence[bytes], group: Index, ranks: Words, rows: Index
    ) -> Words:
        """Permute bit strings, given as numbers, in domains of one size.

        Args:
            bits: 1 to 128; 2**bits is at least ``minimum``.
            tweaks: of each domain: the format and all that it keeps.
            group: the domain of each rank, shape (rows,).
            ranks: uint64, shape (rows, 2), the most significant word first; each below 2**bits.
            rows: which rows of the column these are, for their tweaks.

        Returns:
            A new array.
        """
        group, tweaks = self.groups(group, tweaks, rows)
        result = np.zeros_like(ranks)
        if 1 << bits < MIN_DOMAIN:
            assert self._tables is not None
            small = {one: (1 << bits, tweak) for one, tweak in enumerate(tweaks)}
            tables = _Tables(self._tables, small, inverse=self.decrypt)
            result[:, 1] = tables.permute(group, ranks[:, 1])
            return result
        numerals = [(2, bits)] * len(tweaks)
        plan = self.plan([1 << bits] * len(tweaks), tweaks, numerals)
        for start in range(0, len(ranks), CHUNK):
            part = slice(start, start + CHUNK)
            result[part] = plan.apply_bits(group[part], ranks[part])
        return result

    def groups(
        self, group: Index, tweaks: Sequence[bytes], rows: Index
    ) -> tuple[Index, Sequence[bytes]]:
        """Split groups of rows by the tweaks of the rows, where rows have tweaks.

        Args:
            group: of each row, shape (rows,).
            tweaks: of each group.
            rows: which rows of the column these are.

        Returns:
            The new group of each row, and the tweak of each new group.
        """
        if self.row_tweaks is None:
            return group, tweaks
        return self.row_tweaks.split(group, tweaks, rows)


class _Tables:
    """The tables of small domains, of which the latest ones are kept.

    Args:
        cipher: makes them.
        domains: size and tweak of each group that has one.
        inverse: make the inverse ones.
    """

    __slots__ = ("_cipher", "_domains", "_inverse", "_kept", "_members", "groups")

    def __init__(
        self, cipher: TableCipher, domains: Mapping[int, tuple[int, bytes]], *, inverse: bool
    ) -> None:
        self._cipher, self._domains, self._inverse = cipher, domains, inverse
        self._kept: dict[int, NDArray[np.uint32]] = {}
        self._members = 0
        self.groups = np.array([*domains], np.intp)

    def permute(self, group: NDArray[np.integer[Any]], ranks: Words) -> Words:
        """Permute one rank per row.

        Args:
            group: the group of each row, shape (rows,); each one that has a table.
            ranks: shape (rows,).

        Returns:
            A new array.
        """
        order = np.argsort(group, kind="stable")  # then a pass over all groups is one over the rows
        ordered, old = group[order], ranks[order]
        new, result = np.empty_like(ranks), np.empty_like(ranks)
        starts = np.flatnonzero(np.diff(ordered, prepend=-1)).tolist()
        for start, end in pairwise([*starts, len(order)]):
            new[start:end] = self._of(int(ordered[start]))[old[start:end]]
        result[order] = new
        return result

    def _of(self, group: int) -> NDArray[np.uint32]:
        table = self._kept.get(group)
        if table is None:
            size, tweak = self._domains[group]
            table = self._cipher.table(size, tweak, inverse=self._inverse)
            # Threads that count at the same time keep some more or fewer, and that is all.
            if self._members + size > _KEPT:
                self._kept.clear()
                self._members = 0
            self._kept[group] = table
            self._members += size
        return table


class Plan:
    """Permutes ranks of the groups it was made for; made by ``Permutation.plan``.

    A rank x is held as x = high * base + low with the base of its group, both uint64.

    Attributes:
        base: uint64, shape (groups,); 0 if ranks do not fit two words.
        bits: which groups have ranks that ``apply_bits`` takes in three words, shape (groups,).
    """

    __slots__ = ("_decrypt", "_plan", "_tables", "base", "bits")

    def __init__(self, plan: DomainBatch, tables: _Tables | None, decrypt: bool) -> None:
        self._plan, self._tables, self._decrypt = plan, tables, decrypt
        self.base: Words = plan.base
        self.bits = plan.bits
        if tables is not None:
            self.base = plan.base.copy()
            self.base[tables.groups] = _TABLE_BASE

    def apply(
        self, group: NDArray[np.integer[Any]], high: Words, low: Words
    ) -> tuple[Words, Words]:
        """Permute one rank per row, of groups whose base is not 0.

        Args:
            group: the group of each row, shape (rows,).
            high: shape (rows,).
            low: shape (rows,).

        Returns:
            New arrays.
        """
        ranked = self._plan.decrypt if self._decrypt else self._plan.encrypt
        if self._tables is None:
            return ranked(group, high, low)
        tabled = np.isin(group, self._tables.groups)
        new_high, new_low = np.zeros_like(high), np.empty_like(low)
        new_low[tabled] = self._tables.permute(group[tabled], low[tabled])
        rest = ~tabled
        new_high[rest], new_low[rest] = ranked(group[rest], high[rest], low[rest])
        return new_high, new_low

    def apply_bits(self, group: NDArray[np.integer[Any]], ranks: Words) -> Words:
        """Permute one bit string per row.

        Args:
            group: the group of each row, shape (rows,).
            ranks: uint64, the most significant word first, of shape (rows, 2) if the domains of
                all groups have as many bits, or (rows, 3) of groups that ``bits`` tells.

        Returns:
            A new array.
        """
        wide = self._plan.decrypt_bits if self._decrypt else self._plan.encrypt_bits
        if ranks.shape[1] == 3:
            return wide(group, ranks)
        base = int(self.base[0])
        if not base:
            padded = np.zeros((len(ranks), 3), np.uint64)
            padded[:, 1], padded[:, 2] = ranks.T
            return wide(group, padded)[:, 1:]
        right = np.uint64(base.bit_length() - 1)
        left = np.uint64(64) - right
        high, low = ranks.T
        high, low = self.apply(group, high << left | low >> right, low & np.uint64(base - 1))
        return np.stack([high >> left, high << right | low], axis=1)

    def apply_wide(self, group: NDArray[np.integer[Any]], ranks: list[int]) -> list[int]:
        """Permute one rank per row, as Python integers, of groups that no table serves."""
        wide = self._plan.decrypt_wide if self._decrypt else self._plan.encrypt_wide
        return list(wide(group, ranks))

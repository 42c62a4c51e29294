"""Ranks of many domains, encrypted in one call: FF1 rounds, and cycle walking back into the domain.

Three kinds of arithmetic give the same results as one: words for halves of at most seven octets,
pairs of words for bit strings, Python integers for the rest.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.ciphers.aes import CHUNK, BlockCipher, Scratch, Shape, Words, mac_states
from secureml.ciphers.feistel_bigint import Integers, integer_rounds
from secureml.ciphers.feistel_u64 import Lanes, word_rounds
from secureml.ciphers.feistel_u192 import BitLanes, bit_rounds, fits
from secureml.ciphers.round_cache import RoundCache

__all__ = ["DomainBatch"]

Index = NDArray[np.intp]
Ranks = tuple[NDArray[Any], ...]


class DomainBatch:
    """Encrypts ranks of the groups it was made for; made by ``IntegerFF1.plan``.

    A rank x of a narrow group is held as x = high * base + low with the base of its group, both
    uint64. For a numeral string, high is the number of its first n // 2 numerals and low that of
    the rest. Python integers serve every group. A plan does not change; threads may share it.

    Attributes:
        base: uint64, shape (groups,): radix**(n - n // 2) of each narrow group, at most 2**56; 0
            where it is larger.
        bits: which groups are of bit strings, shape (groups,): their ranks fit three words.
    """

    __slots__ = (
        "_bits",
        "_cipher",
        "_idle",
        "_kinds",
        "_last",
        "_last_bits",
        "_octets",
        "_sides",
        "_sizes",
        "_states",
        "_tabulation",
        "_words",
        "base",
        "bits",
    )

    def __init__(
        self,
        cipher: BlockCipher,
        domains: Sequence[tuple[int, Shape]],
        domain: Index,
        tweaks: Sequence[bytes],
        tabulation: RoundCache,
    ) -> None:
        """Prepare.

        Args:
            cipher: AES under the key.
            domains: the distinct ones: N, and the shape of the numeral strings.
            domain: which of them each group has, shape (groups,).
            tweaks: of each group.
            tabulation: of all plans under the key.
        """
        shapes = [shape for _, shape in domains]
        self._cipher = cipher
        self._tabulation = tabulation
        self._idle: list[Scratch] = []  # one for every thread that was here at the same time
        self._states = mac_states(cipher, [shapes[one] for one in domain.tolist()], tweaks)
        self._words = Lanes.of(shapes, domain, self._states)
        self._bits = BitLanes.of(shapes, domain, self._states)
        self.base: Words = self._words.right
        self._octets = np.array([shape.octets for shape in shapes], np.intp)[domain]
        # Rows of one kind go together: 0 and -1 are bit strings of 8 and of 9 to 12 octets.
        kinds = [-(shape.octets > 8) if fits(shape) else shape.octets for shape in shapes]
        self._kinds = np.array(kinds, np.intp)[domain]
        self._sizes = _integers([size for size, _ in domains])[domain]
        left, right = ([shape.left for shape in shapes], [shape.right for shape in shapes])
        self._sides = _integers(left)[domain], _integers(right)[domain]
        last = [
            divmod(size - 1, shape.right) if shape.narrow else (0, 0) for size, shape in domains
        ]
        self._last: Words = np.array(last, np.uint64).reshape(-1, 2)[domain].T.copy()
        self.bits: NDArray[np.bool_] = self._kinds <= 0
        ends = [size - 1 if fits(shape) else 0 for size, shape in domains]
        self._last_bits = _words(ends)[domain]

    def encrypt(
        self, group: NDArray[np.integer[Any]], high: Words, low: Words
    ) -> tuple[Words, Words]:
        """Encrypt one rank per row, of narrow groups.

        Args:
            group: the group of each row, shape (rows,), in any order; fastest where long runs of
                rows are of one group.
            high: uint64, shape (rows,).
            low: uint64, shape (rows,).

        Returns:
            New arrays: high and low of the encrypted ranks.

        Raises:
            ValueError: the arrays differ in shape or have the wrong dtype, a group does not exist
                or is not narrow, or a rank is outside its domain.
        """
        return self._apply(group, high, low, decrypt=False)

    def decrypt(
        self, group: NDArray[np.integer[Any]], high: Words, low: Words
    ) -> tuple[Words, Words]:
        """Decrypt one rank per row; the inverse of ``encrypt``.

        Args:
            group: as for ``encrypt``.
            high: as for ``encrypt``.
            low: as for ``encrypt``.

        Returns:
            New arrays: high and low of the ranks.

        Raises:
            ValueError: as for ``encrypt``.
        """
        return self._apply(group, high, low, decrypt=True)

    def encrypt_wide(
        self, group: int | Sequence[int] | NDArray[Any], ranks: Sequence[int]
    ) -> list[int]:
        """Encrypt ranks of any groups, given as Python integers.

        Args:
            group: the group of all ranks, or of each; many groups are fastest in one call.
            ranks: each from 0 to N - 1 of its group.

        Returns:
            The encrypted ranks.

        Raises:
            ValueError: a group does not exist, or a rank is outside its domain.
        """
        return self._apply_wide(group, ranks, decrypt=False)

    def decrypt_wide(
        self, group: int | Sequence[int] | NDArray[Any], ranks: Sequence[int]
    ) -> list[int]:
        """Decrypt ranks of any groups; the inverse of ``encrypt_wide``.

        Args:
            group: as for ``encrypt_wide``.
            ranks: as for ``encrypt_wide``.

        Returns:
            The ranks.

        Raises:
            ValueError: as for ``encrypt_wide``.
        """
        return self._apply_wide(group, ranks, decrypt=True)

    def encrypt_bits(self, group: NDArray[np.integer[Any]], ranks: Words) -> Words:
        """Encrypt ranks of groups whose numeral strings are of 113 to 192 bits.

        Args:
            group: as for ``encrypt``; of those that ``bits`` tells.
            ranks: uint64, shape (rows, 3), the most significant word first; each below N.

        Returns:
            A new array.

        Raises:
            ValueError: the ranks have another shape or dtype, a group does not exist or is none of
                such bit strings, or a rank is outside its domain.
        """
        return self._apply_bits(group, ranks, decrypt=False)

    def decrypt_bits(self, group: NDArray[np.integer[Any]], ranks: Words) -> Words:
        """Decrypt such ranks; the inverse of ``encrypt_bits``.

        Args:
            group: as for ``encrypt_bits``.
            ranks: as for ``encrypt_bits``.

        Returns:
            A new array.

        Raises:
            ValueError: as for ``encrypt_bits``.
        """
        return self._apply_bits(group, ranks, decrypt=True)

    def _apply(
        self, group: NDArray[np.integer[Any]], high: Words, low: Words, *, decrypt: bool
    ) -> tuple[Words, Words]:
        if high.dtype != np.uint64 or low.dtype != np.uint64:
            raise ValueError("high and low must be of dtype uint64")
        if high.ndim != 1 or high.shape != low.shape:
            raise ValueError("high and low must be one-dimensional and of one length")
        index = self._index(group, len(high))
        high, low = high.copy(), low.copy()
        scratch = self._take()
        once = partial(self._word_rounds, scratch, decrypt)
        for rows in _chunks(len(high)):
            groups = _common(index[rows])
            base = self.base[groups]
            if not base.all():
                raise ValueError("a group is too large for 64-bit halves; use the wide calls")
            ranks = high[rows], low[rows]
            if (ranks[1] >= base).any() or self._beyond_words(groups, *ranks).any():
                raise ValueError("a rank is outside the domain of its group")
            _walk(groups, ranks, once, self._beyond_words)
        self._idle.append(scratch)
        return high, low

    def _apply_wide(
        self, group: int | Sequence[int] | NDArray[Any], ranks: Sequence[int], *, decrypt: bool
    ) -> list[int]:
        index = self._index(group, len(ranks))
        values = _integers(ranks)
        if ((values < 0) | self._beyond_integers(index, values)).any():
            raise ValueError("a rank is outside the domain of its group")
        scratch = self._take()
        once = partial(self._integer_rounds, scratch, decrypt)
        for rows in _chunks(len(ranks)):
            _walk(index[rows], (values[rows],), once, self._beyond_integers)
        self._idle.append(scratch)
        return list(values)

    def _apply_bits(self, group: NDArray[np.integer[Any]], ranks: Words, *, decrypt: bool) -> Words:
        if ranks.dtype != np.uint64 or ranks.ndim != 2 or ranks.shape[1] != 3:
            raise ValueError("ranks must be of dtype uint64 and shape (rows, 3)")
        index = self._index(group, len(ranks))
        ranks = ranks.copy()
        scratch = self._take()
        once = partial(self._bit_rounds, scratch, decrypt)
        for rows in _chunks(len(ranks)):
            groups = _common(index[rows])
            if not self.bits[groups].all():
                raise ValueError("a group is not one of 113 to 192 bits")
            if self._beyond_bits(groups, ranks[rows]).any():
                raise ValueError("a rank is outside the domain of its group")
            _walk(groups, (ranks[rows],), once, self._beyond_bits)
        self._idle.append(scratch)
        return ranks

    def _index(self, group: int | Sequence[int] | NDArray[Any], rows: int) -> Index:
        group = np.asarray(group)
        if group.size and not np.issubdtype(group.dtype, np.integer):
            raise ValueError("groups must be integers")
        if group.shape not in ((), (rows,)):
            raise ValueError("there must be one group for all ranks, or one per rank")
        if group.size and not (group.min() >= 0 and group.max() < len(self.base)):
            raise ValueError("a group is not part of the plan")
        return np.broadcast_to(group.astype(np.intp, copy=False), (rows,))

    def _beyond_words(self, index: Index, high: Words, low: Words) -> NDArray[np.bool_]:
        """Tell which ranks are N of their group or more."""
        last_high, last_low = self._last[:, index]
        beyond: NDArray[np.bool_] = (high > last_high) | ((high == last_high) & (low > last_low))
        return beyond

    def _beyond_bits(self, index: Index, ranks: Words) -> NDArray[np.bool_]:
        beyond: NDArray[np.bool_] = np.zeros(len(ranks), np.bool_)
        columns = zip(ranks.T[::-1], self._last_bits[index].T[::-1], strict=True)
        for word, last in columns:  # the most significant one, which comes last, decides
            beyond = (word > last) | ((word == last) & beyond)
        return beyond

    def _beyond_integers(self, index: Index, values: Integers) -> NDArray[np.bool_]:
        return (values >= self._sizes[index]).astype(np.bool_)

    def _take(self) -> Scratch:
        try:
            return self._idle.pop()
        except IndexError:
            return Scratch(self._cipher)

    def _word_rounds(
        self, scratch: Scratch, decrypt: bool, index: Index, high: Words, low: Words
    ) -> None:
        """Run FF1 once, in place, together for the rows that need as much keystream."""
        if len(index) == 1:
            tables = self._tabulation.of(scratch, self._words.at(index), len(high))
            if tables is not None:
                tables.rounds(scratch, high, low, decrypt=decrypt)
                return
        long = self._octets[index] > 4
        if (long == long[0]).all():
            word_rounds(scratch, self._words.at(index), high, low, decrypt=decrypt)
            return
        for rows in (np.flatnonzero(~long), np.flatnonzero(long)):
            left, right = high[rows], low[rows]
            word_rounds(scratch, self._words.at(index[rows]), left, right, decrypt=decrypt)
            high[rows], low[rows] = left, right

    def _bit_rounds(self, scratch: Scratch, decrypt: bool, index: Index, ranks: Words) -> None:
        """Run FF1 once, in place, together for the rows that need as much keystream."""
        long = self._kinds[index] < 0
        if (long == long[0]).all():
            ranks[:] = bit_rounds(scratch, self._bits.at(index), ranks, decrypt=decrypt)
            return
        for rows in (np.flatnonzero(~long), np.flatnonzero(long)):
            lanes = self._bits.at(index[rows])
            ranks[rows] = bit_rounds(scratch, lanes, ranks[rows], decrypt=decrypt)

    def _integer_rounds(
        self, scratch: Scratch, decrypt: bool, index: Index, values: Integers
    ) -> None:
        """Run FF1 once, in place, together for the rows whose halves have as many octets."""
        kinds = self._kinds[index]
        for kind in np.unique(kinds):
            rows = np.flatnonzero(kinds == kind)
            once = self._bit_strings if kind <= 0 else self._halves
            values[rows] = once(scratch, index[rows], values[rows], decrypt)

    def _bit_strings(
        self, scratch: Scratch, index: Index, values: Integers, decrypt: bool
    ) -> Integers:
        new = bit_rounds(scratch, self._bits.at(index), _words(values), decrypt=decrypt)
        octets = new.astype(">u8").tobytes()
        starts = range(0, len(octets), 24)
        return _integers([int.from_bytes(octets[at : at + 24], "big") for at in starts])

    def _halves(self, scratch: Scratch, index: Index, values: Integers, decrypt: bool) -> Integers:
        left, right = self._sides[0][index], self._sides[1][index]
        high, low = values // right, values % right
        integer_rounds(
            scratch,
            high,
            low,
            states=self._states[index],
            octets=int(self._octets[index[0]]),
            sizes=(left, right),
            decrypt=decrypt,
        )
        joined: Integers = high * right + low
        return joined


def _walk(
    index: Index,
    ranks: Ranks,
    once: Callable[..., None],
    beyond: Callable[..., NDArray[np.bool_]],
) -> None:
    """Encrypt ranks again and again, in place, until all are in their domain.

    That is a permutation of the domain, and it ends: a cycle leads back to where it began.

    Args:
        index: the group of each rank, or the one of all.
        ranks: columns that hold the ranks.
        once: takes index and columns, and encrypts the ranks in place.
        beyond: takes the same, and tells which ranks are outside their domain.
    """
    once(index, *ranks)
    walking = np.flatnonzero(beyond(index, *ranks))
    while walking.size:
        groups = index if len(index) == 1 else index[walking]
        stepped = tuple(column[walking] for column in ranks)
        once(groups, *stepped)
        for column, values in zip(ranks, stepped, strict=True):
            column[walking] = values
        walking = walking[beyond(groups, *stepped)]


def _common(index: Index) -> Index:
    """Shorten an index of one group to one entry; its parameters are then constants, and fast."""
    return index[:1] if (index == index[:1]).all() else index


def _chunks(rows: int) -> Iterator[slice]:
    return (slice(start, start + CHUNK) for start in range(0, rows, CHUNK))


def _words(values: Iterable[int]) -> Words:
    """Return numbers below 2**192 as three words each, the most significant first."""
    octets = b"".join([value.to_bytes(24, "big") for value in values])
    return np.frombuffer(octets, ">u8").astype(np.uint64).reshape(-1, 3)


def _integers(values: Sequence[int]) -> Integers:
    """Hold Python integers, and nothing that numpy would overflow."""
    array = np.empty(len(values), dtype=object)
    array[:] = [*map(operator.index, values)]
    return array

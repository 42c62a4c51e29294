"""FF1's rounds on small halves, looked up.

A round changes one half by a function of the other. Of small halves there are few: where more
values are to be encrypted than there are halves, it pays to write down once what every round makes
of every half. What is left of a round is a look-up and an addition.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from secureml.ciphers.aes import CHUNK, Scratch, Words, round_numbers
from secureml.ciphers.feistel_u64 import Lanes, RoundFunction, add_modulo
from secureml.forksafe import ForkSafeLock

__all__ = ["RoundCache", "RoundTables"]

_MOST = 1 << 18
"""Halves of both sides together, up to which one round's table stays in a core's own cache."""


class RoundTables:
    """What every round adds to one half, for every other half.

    Args:
        scratch: under the key; no other thread may be using it.
        lanes: of one group.
    """

    __slots__ = ("_sizes", "_tables")

    def __init__(self, scratch: Scratch, lanes: Lanes) -> None:
        self._sizes = lanes.left, lanes.right
        self._tables: list[NDArray[np.int64]] = []
        for number in round_numbers(decrypt=False):
            table = np.arange(self._sizes[1 - number % 2][0], dtype=np.uint64)
            for start in range(0, len(table), CHUNK):
                halves = table[start : start + CHUNK]
                halves[:] = RoundFunction(scratch, lanes, len(halves))(number, halves)
            self._tables.append(table.view(np.int64))

    def __len__(self) -> int:
        return sum(map(len, self._tables))

    def rounds(self, scratch: Scratch, left: Words, right: Words, *, decrypt: bool) -> None:
        """Encrypt or decrypt in place.

        Args:
            scratch: no other thread may be using it.
            left: uint64, shape (rows,) with at most CHUNK rows, each below its radix**u.
            right: uint64, shape (rows,), each below its radix**v.
            decrypt: run the rounds backwards.
        """
        value = scratch.words[0, : len(left)]
        for number in round_numbers(decrypt=decrypt):
            odd = number % 2
            target, source = (right, left) if odd else (left, right)
            # All indices are in range, and so no mode changes one; "raise" would copy the result.
            self._tables[number].take(source.view(np.int64), out=value.view(np.int64), mode="wrap")
            add_modulo(target, value, self._sizes[odd], decrypt=decrypt)


class RoundCache:
    """The tables of those domains that so many values were met of that tables pay."""

    __slots__ = ("_lock", "_met", "_tables")

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._met: Counter[bytes] = Counter()
        self._tables: dict[bytes, RoundTables] = {}

    def of(self, scratch: Scratch, lanes: Lanes, rows: int) -> RoundTables | None:
        """Return the tables of a domain; None if they do not pay as yet.

        Args:
            scratch: under the key, always the same; no other thread may be using it.
            lanes: of one group.
            rows: how many values are to be encrypted this time.
        """
        halves = int(lanes.left[0] + lanes.right[0])
        if halves > _MOST:
            return None
        domain = lanes.identity
        with self._lock.mutex:
            if domain in self._tables:
                return self._tables[domain]
            self._met[domain] += rows
            if self._met[domain] < halves:
                return None
            tables = self._tables[domain] = RoundTables(scratch, lanes)
            while sum(map(len, self._tables.values())) > 8 * _MOST:
                oldest = next(iter(self._tables))
                # A signal handler may have been faster.
                self._tables.pop(oldest, None)
                self._met.pop(oldest, None)
            return tables

"""Caches what FF1's rounds make of small halves, for domains that repay it.

A round changes one half by a function of the other. Of small halves there are few: if more values
are to be encrypted than there are halves, it pays to write down once what every round makes of
every half. What is left of a round is a look-up and an addition.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from secureml.ciphers.aes import CHUNK, Scratch, Words
from secureml.ciphers.feistel import ROUNDS, RoundFunction, RoundParameters
from secureml.ciphers.feistel_u64 import AddWords, WordRounds
from secureml.forksafe import ForkSafeLock

__all__ = ["RoundCache"]

_MOST = 1 << 18
"""Halves of both sides together, up to which one round's table stays in a core's own cache."""

Tables = list[NDArray[np.int64]]


class _TabledRounds(AddWords):
    """The round function on halves of one word, looked up."""

    __slots__ = ("tables",)

    def __init__(
        self, scratch: Scratch, parameters: RoundParameters, rows: int, tables: Tables
    ) -> None:
        super().__init__(scratch, parameters, rows)
        self.tables = tables

    def value(self, number: int, source: Words) -> Words:
        """Return NUM(S) modulo the size of the other half, in a part of the scratch."""
        value: Words = self._words[0]
        # All indices are in range, and so no mode changes one; "raise" would copy the result.
        self.tables[number].take(source.view(np.int64), out=value.view(np.int64), mode="wrap")
        return value


class RoundCache:
    """Caches round tables for domains that occur often enough to repay them."""

    __slots__ = ("_lock", "_met", "_tables")

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._met: Counter[bytes] = Counter()
        self._tables: dict[bytes, Tables] = {}

    def rounds(self, scratch: Scratch, parameters: RoundParameters, rows: int) -> RoundFunction:
        """Return the round function of a domain: from tables as soon as they pay.

        Args:
            scratch: under the key, always the same; no other thread may be using it.
            parameters: of one group.
            rows: how many values are to be encrypted this time, at most CHUNK.
        """
        tables = self._of(scratch, parameters, rows)
        if tables is None:
            return WordRounds(scratch, parameters, rows)
        return _TabledRounds(scratch, parameters, rows, tables)

    def _of(self, scratch: Scratch, parameters: RoundParameters, rows: int) -> Tables | None:
        halves = int(parameters.left[0] + parameters.right[0])
        if halves > _MOST:
            return None
        domain = parameters.identity
        with self._lock.mutex:
            if domain in self._tables:
                return self._tables[domain]
            self._met[domain] += rows
            if self._met[domain] < halves:
                return None
            tables = self._tables[domain] = _write_out(scratch, parameters)
            while sum(map(_size, self._tables.values())) > 8 * _MOST:
                oldest = next(iter(self._tables))
                # A signal handler may have been faster.
                self._tables.pop(oldest, None)
                self._met.pop(oldest, None)
            return tables


def _write_out(scratch: Scratch, parameters: RoundParameters) -> Tables:
    """Return what every round adds to one half, for every other half."""
    sizes = int(parameters.left[0]), int(parameters.right[0])
    tables = []
    for number in range(ROUNDS):
        table = np.arange(sizes[1 - number % 2], dtype=np.uint64)
        for start in range(0, len(table), CHUNK):
            halves = table[start : start + CHUNK]
            halves[:] = WordRounds(scratch, parameters, len(halves)).value(number, halves)
        tables.append(table.view(np.int64))
    return tables


def _size(tables: Tables) -> int:
    return sum(map(len, tables))

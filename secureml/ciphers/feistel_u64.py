"""FF1's rounds on halves of at most seven octets, in 64-bit arithmetic on whole columns.

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
from secureml.forksafe import ForkSafeLock

__all__ = ["AddWords", "RoundCache", "WordRounds"]

Floats = NDArray[np.float64]
Tables = list[NDArray[np.int64]]

_HALF = np.uint64(32)

_MOST = 1 << 18
"""Halves of both sides together, up to which one round's table stays in a core's own cache."""


class AddWords:
    """Adds to halves of one word each, modulo their sizes.

    Args:
        scratch: no other thread may be using it.
        parameters: of one group, or of each row.
        rows: at most CHUNK.
    """

    __slots__ = ("_sizes", "_words")

    def __init__(self, scratch: Scratch, parameters: RoundParameters, rows: int) -> None:
        self._sizes = parameters.left, parameters.right
        self._words = scratch.words[:, :rows]

    def add(self, target: Words, value: Words, side: int, *, decrypt: bool) -> None:
        """Add the value, or subtract it, modulo the size of the half; both are changed."""
        # All operands are below 2**57, so the wrong one of two results is the larger one:
        # it has wrapped round to a huge number, or was not reduced.
        size = self._sizes[side]
        if decrypt:
            np.subtract(target, value, out=target)
            np.add(target, size, out=value)
        else:
            np.add(target, value, out=target)
            np.subtract(target, size, out=value)
        np.minimum(target, value, out=target)


class WordRounds(AddWords):
    """The round function on halves of one word each; d is 8 octets of keystream, or 12.

    Args:
        scratch: under the key; no other thread may be using it.
        parameters: of one group, or of each row. They need as much keystream each: their b is at
            most 4, or it is 5 to 7.
        rows: at most CHUNK.
    """

    __slots__ = (
        "_ciphertext",
        "_long",
        "_parameters",
        "_plaintext",
        "_rows",
        "_scratch",
        "_shares",
    )

    def __init__(self, scratch: Scratch, parameters: RoundParameters, rows: int) -> None:
        super().__init__(scratch, parameters, rows)
        self._scratch, self._parameters, self._rows = scratch, parameters, rows
        self._plaintext, self._ciphertext = scratch.blocks(rows)
        self._plaintext[:, 0] = parameters.high
        self._long = bool(parameters.step.max(initial=0) > 1 << 32)
        if self._long:
            self._shares = 1.0 / parameters.left, 1.0 / parameters.right

    def value(self, number: int, source: Words) -> Words:
        """Return NUM(S) modulo the size of the other half, in a part of the scratch."""
        value: Words
        value, quotient, tail = self._words
        size, step = self._sizes[number % 2], self._parameters.step * np.uint64(number)
        np.bitwise_xor(source, self._parameters.low ^ step, out=value)
        self._plaintext[:, 1] = value
        self._scratch.encrypt(self._rows)
        value[:] = self._ciphertext[:, 0]
        _reduce(value, size, quotient)
        if self._long:
            tail[:] = self._ciphertext[:, 1]
            _extend(value, tail, size, self._shares[number % 2], quotient)
        return value


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


def _reduce(value: Words, size: Words, quotient: Words) -> None:
    """Set value to value mod size; numpy divides by a constant fast, and has no fast remainder."""
    np.floor_divide(value, size, out=quotient)
    np.multiply(quotient, size, out=quotient)
    np.subtract(value, quotient, out=value)


def _extend(value: Words, tail: Words, size: Words, share: Floats, quotient: Words) -> None:
    """Append the upper four octets of tail to value, modulo size; share is 1 / size."""
    np.right_shift(tail, _HALF, out=tail)
    # The quotient is below 2**32, as value is below size, and five roundings of 2**-53 leave it
    # off by less than one. So what is rounded down is off by one at most, either way.
    estimate = quotient.view(np.float64)
    np.multiply(value.view(np.int64), 2.0**32, out=estimate)
    np.add(estimate, tail.view(np.int64), out=estimate)
    np.multiply(estimate, share, out=estimate)
    np.left_shift(value, _HALF, out=value)
    np.bitwise_or(value, tail, out=value)
    tail[:] = estimate
    np.multiply(tail, size, out=tail)
    np.subtract(value, tail, out=value)
    # What is off has wrapped round, or is not below size.
    np.add(value, size, out=tail)
    np.minimum(value, tail, out=value)
    np.subtract(value, size, out=tail)
    np.minimum(value, tail, out=value)

"""Ranks: a value of a template is a mixed-radix number, one digit for each encrypted character.

The rank of a value among all the values of its template is what a cipher permutes. It is held as
``high * base + low`` in two 64-bit words, because that is what the cipher's Feistel network takes,
or as a Python integer where that does not fit. The digits are put together in blocks of 32 bits
first, so that most of the work is 32-bit arithmetic without a division.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.alphabets import Alphabets, Codes

__all__ = ["Canvas", "Cells", "GridCells", "MixedRadix", "RaggedCells"]

Index = NDArray[np.intp]
Words = NDArray[np.uint64]
Integers = NDArray[np.object_]


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """A column that is read and written at the places of its encrypted characters.

    Args:
        table: the classes.
        source: the code points of all values.
        target: where the new ordinals are written, of the same shape.
        offsets: int64, where each value starts, and the end.
    """

    table: Alphabets
    source: Codes
    target: Codes
    offsets: NDArray[np.int64]


class Cells(Protocol):
    """The encrypted characters of some rows, one column for each digit of their ranks."""

    def take(self, digit: int) -> Codes:
        """Return the ordinals of one digit, a row each."""
        ...

    def put(self, digit: int, ordinals: NDArray[np.uint32]) -> None:
        """Write the ordinals of one digit, a row each."""
        ...


class GridCells:
    """Cells of a column whose values that are not empty all have one template.

    Args:
        canvas: the column.
        width: the number of characters of a value.
        rows: which of the values that are not empty.
        positions: of the encrypted characters in a value.
    """

    __slots__ = ("_positions", "_source", "_table", "_target")

    def __init__(self, canvas: Canvas, width: int, rows: slice, positions: list[int]) -> None:
        self._table = canvas.table
        self._source = canvas.source.reshape(-1, width)[rows]
        self._target = canvas.target.reshape(-1, width)[rows]
        self._positions = positions

    def take(self, digit: int) -> Codes:
        """Return the ordinals of one digit, a row each."""
        return self._table.ordinals(self._source[:, self._positions[digit]])

    def put(self, digit: int, ordinals: NDArray[np.uint32]) -> None:
        """Write the ordinals of one digit, a row each."""
        self._target[:, self._positions[digit]] = ordinals


class RaggedCells:
    """Cells of rows that lie anywhere and may each have a template of their own.

    Args:
        canvas: the column.
        starts: where each row starts, shape (rows,).
        positions: of the encrypted characters in a value, shape (groups, digits).
        group: the group of each row, or None if there is one group.
    """

    __slots__ = ("_canvas", "_group", "_positions", "_starts")

    def __init__(
        self, canvas: Canvas, starts: Index, positions: Index, group: Index | None
    ) -> None:
        self._canvas, self._starts, self._positions, self._group = canvas, starts, positions, group

    def take(self, digit: int) -> Codes:
        """Return the ordinals of one digit, a row each."""
        return self._canvas.table.ordinals(self._canvas.source[self._places(digit)])

    def put(self, digit: int, ordinals: NDArray[np.uint32]) -> None:
        """Write the ordinals of one digit, a row each."""
        self._canvas.target[self._places(digit)] = ordinals

    def _places(self, digit: int) -> Index:
        column: Index = self._positions[:, digit]
        return self._starts + (column[0] if self._group is None else column[self._group])


class MixedRadix:
    """Ranks of the values of some templates that have equally many encrypted characters.

    Args:
        sizes: uint32, shape (groups, digits): the size of the class of each encrypted character.
        firsts: uint32, the same shape: the ordinal of its first member.
        base: uint64, shape (groups,): of the two words that hold a rank, with every size times
            base at most 2**64. None if ranks are Python integers.
    """

    __slots__ = ("_base", "_biases", "_blocks", "_firsts", "_products", "_sizes")

    def __init__(
        self, sizes: NDArray[np.uint32], firsts: NDArray[np.uint32], base: Words | None
    ) -> None:
        self._sizes, self._firsts, self._base = sizes, firsts, base
        self._blocks = list(_blocks(sizes, base))
        groups, blocks = len(sizes), len(self._blocks)
        starts = [digits.start for digits in self._blocks]
        self._products = np.multiply.reduceat(sizes, starts, axis=1, dtype=np.uint64)
        # Digits are read as ordinals; what the first ordinals add up to is taken off per block.
        self._biases = np.zeros((groups, blocks), np.uint32)
        for block, digits in enumerate(self._blocks):
            for digit in digits:
                self._biases[:, block] *= sizes[:, digit]
                self._biases[:, block] += firsts[:, digit]

    @property
    def wide(self) -> bool:
        """Whether ranks are Python integers."""
        return self._base is None

    def rank(self, cells: Cells, group: Index | None) -> tuple[Words, Words]:
        """Return the high and low words of each row's rank.

        Args:
            cells: the rows' encrypted characters, each a member of the class at its place.
            group: the group of each row, or None if there is one group.
        """
        assert self._base is not None
        base = _pick(self._base, group)
        low = self._read(cells, 0, group).astype(np.uint64)
        high = low // base
        low -= high * base
        for block in range(1, len(self._blocks)):
            product = _pick(self._products[:, block], group)
            low *= product
            low += self._read(cells, block, group)
            carry = low // base
            low -= carry * base
            high *= product
            high += carry
        return high, low

    def unrank(self, high: Words, low: Words, cells: Cells, group: Index | None) -> None:
        """Write the characters of each row's rank; the inverse of ``rank``."""
        assert self._base is not None
        base = _pick(self._base, group)
        for block in range(len(self._blocks) - 1, 0, -1):
            product = _pick(self._products[:, block], group)
            quotient = high // product
            low = (high - quotient * product) * base + low
            high, quotient = quotient, low // product
            low -= quotient * product
            self._write(low.astype(np.uint32), cells, block, group)
            low = quotient
        self._write((high * base + low).astype(np.uint32), cells, 0, group)

    def rank_wide(self, cells: Cells, group: Index | None) -> Integers:
        """Return each row's rank as a Python integer."""
        rank = self._read(cells, 0, group).astype(object)
        for block in range(1, len(self._blocks)):
            product = _pick(self._products[:, block].astype(object), group)
            rank = rank * product + self._read(cells, block, group).astype(object)
        return rank

    def unrank_wide(self, rank: Integers, cells: Cells, group: Index | None) -> None:
        """Write the characters of each row's rank; the inverse of ``rank_wide``."""
        for block in range(len(self._blocks) - 1, 0, -1):
            product = _pick(self._products[:, block].astype(object), group)
            quotient = rank // product
            self._write((rank - quotient * product).astype(np.uint32), cells, block, group)
            rank = quotient
        self._write(rank.astype(np.uint32), cells, 0, group)

    def _read(self, cells: Cells, block: int, group: Index | None) -> NDArray[np.uint32]:
        digits = self._blocks[block]
        value = cells.take(digits[0]).astype(np.uint32)
        for digit in digits[1:]:
            value *= _pick(self._sizes[:, digit], group)
            value += cells.take(digit)
        value -= _pick(self._biases[:, block], group)
        return value

    def _write(
        self, value: NDArray[np.uint32], cells: Cells, block: int, group: Index | None
    ) -> None:
        digits = self._blocks[block]
        for digit in reversed(digits[1:]):
            size = _pick(self._sizes[:, digit], group)
            quotient = value // size
            value -= quotient * size
            value += _pick(self._firsts[:, digit], group)
            cells.put(digit, value)
            value = quotient
        cells.put(digits[0], value + _pick(self._firsts[:, digits[0]], group))


def _pick(column: NDArray[Any], group: Index | None) -> Any:
    """Return the entry of each row, or the one scalar: numpy divides faster by a scalar."""
    return column[0] if group is None else column[group]


def _blocks(sizes: NDArray[np.uint32], base: Words | None) -> Iterator[range]:
    """Cut the digits into runs whose value is below 2**32, and times base at most 2**64."""
    limit = 1 << 32 if base is None else min(1 << 32, (1 << 64) // int(base.max()))
    start, product = 0, 1
    for digit, size in enumerate(sizes.max(axis=0).tolist()):
        product *= size
        if digit > start and product > limit:
            yield range(start, digit)
            start, product = digit, size
    yield range(start, sizes.shape[1])

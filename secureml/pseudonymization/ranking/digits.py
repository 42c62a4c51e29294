"""The encrypted characters of rows, read and written as the digits of mixed-radix numbers.

Digits are put together in blocks of 32 bits, so that most of the work is 32-bit arithmetic. Where
rows have one template, that is a column of characters at a time; where each has another one, all
characters of many rows at a time, so that numpy is called a few times for them and not for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.tables.character_classes import Alphabets, Codes

__all__ = [
    "Cells",
    "CodeBuffer",
    "Digits",
    "GridCells",
    "RaggedCells",
    "RaggedDigits",
    "cut_blocks",
]

Index = NDArray[np.intp]
Words = NDArray[np.uint64]
Numbers = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class CodeBuffer:
    """A column that is read and written at the places of its encrypted characters.

    Args:
        table: the classes.
        source: the code points of all values.
        target: where the new ones are written, of the same shape.
        offsets: int64, where each value starts, and the end.
    """

    table: Alphabets
    source: Codes
    target: Codes
    offsets: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Digits:
    """The encrypted characters of some templates, a row of digits for each template.

    A template with fewer than the others has digits of size 1 in front, which stand at the place
    of its first encrypted character.

    Args:
        positions: where each stands in the value, shape (templates, digits).
        sizes: uint32, the same shape: the size of its class.
        firsts: uint32, the same shape: the ordinal of the first member of its class.
        real: the same shape: whether there is such a character.
    """

    positions: Index
    sizes: Numbers
    firsts: Numbers
    real: NDArray[np.bool_]


def cut_blocks(sizes: Numbers) -> list[range]:
    """Cut digits into blocks whose values are below 2**32.

    Args:
        sizes: shape (templates, digits).
    """
    blocks, start, product = [], 0, 1
    for digit, size in enumerate(sizes.max(axis=0).tolist()):
        product *= size
        if digit > start and product > 1 << 32:
            blocks.append(range(start, digit))
            start, product = digit, size
    return [*blocks, range(start, sizes.shape[1])]


class Cells(Protocol):
    """The encrypted characters of some rows."""

    def read(self) -> Iterator[Words]:
        """Return the value of each block, the most significant first; uint64, shape (rows,)."""
        ...

    def write(self, values: Sequence[NDArray[Any]]) -> None:
        """Write the characters of other values; the inverse of ``read``."""
        ...


class GridCells:
    """Cells of a column whose values that are not empty all have one template.

    Args:
        canvas: the column.
        width: the number of characters of a value.
        rows: which of the values that are not empty.
        digits: of the template.
        blocks: of them.
    """

    __slots__ = ("_blocks", "_digits", "_source", "_table", "_target")

    def __init__(
        self, canvas: CodeBuffer, width: int, rows: slice, digits: Digits, blocks: list[range]
    ) -> None:
        self._table = canvas.table
        self._source = canvas.source.reshape(-1, width)[rows]
        self._target = canvas.target.reshape(-1, width)[rows]
        self._digits, self._blocks = digits, blocks

    def read(self) -> Iterator[Words]:
        """Return the value of each block, the most significant first; uint64, shape (rows,)."""
        sizes, firsts = self._digits.sizes[0], self._digits.firsts[0]
        for block in self._blocks:
            # Digits are read as ordinals; what the first ones add up to is taken off in the end.
            value, bias = self._ordinals(block[0]).astype(np.uint32), int(firsts[block[0]])
            for digit in block[1:]:
                value *= sizes[digit]
                value += self._ordinals(digit)
                bias = bias * int(sizes[digit]) + int(firsts[digit])
            value -= np.uint32(bias % 2**32)
            yield value.astype(np.uint64)

    def write(self, values: Sequence[NDArray[Any]]) -> None:
        """Write the characters of other values; the inverse of ``read``."""
        sizes = self._digits.sizes[0]
        for block, wide in zip(self._blocks, values, strict=True):
            value = wide.astype(np.uint32)
            for digit in block[:0:-1]:
                quotient = value // sizes[digit]
                value -= quotient * sizes[digit]
                self._put(digit, value)
                value = quotient
            self._put(block[0], value)

    def _ordinals(self, digit: int) -> NDArray[np.unsignedinteger[Any]]:
        return self._table.ordinals(self._source[:, self._digits.positions[0, digit]])

    def _put(self, digit: int, value: Numbers) -> None:
        ordinals = value + self._digits.firsts[0, digit]
        column = self._target[:, self._digits.positions[0, digit]]
        column[:] = _codes(self._table, ordinals, column)


class RaggedDigits:
    """What is read and written with the digits of some templates.

    Args:
        digits: of the templates.
        blocks: of them.

    Attributes:
        positions: as of the digits.
        firsts: as of the digits.
        weights: uint32: what one digit counts for in the value of its block; 0 if it is not real.
        shares: float64: the reciprocals, 0 if a digit is not real.
        steps: uint32: the sizes, 0 for the first digit of a block.
        biases: uint32, shape (templates, blocks): what the first members of the classes add up to.
        block: of each digit, shape (digits,).
        blocks: those that were given.
    """

    __slots__ = ("biases", "block", "blocks", "firsts", "positions", "shares", "steps", "weights")

    def __init__(self, digits: Digits, blocks: list[range]) -> None:
        self.positions, self.firsts, self.blocks = digits.positions, digits.firsts, blocks
        self.steps = digits.sizes.copy()
        weights = np.ones(digits.sizes.shape, np.uint64)
        for block in blocks:
            self.steps[:, block[0]] = 0
            for digit in block[-2::-1]:
                weights[:, digit] = weights[:, digit + 1] * digits.sizes[:, digit + 1]
        self.shares = digits.real / weights
        self.weights = (weights * digits.real).astype(np.uint32)
        starts = [block[0] for block in blocks]
        self.biases = np.add.reduceat(self.weights * self.firsts, starts, axis=1, dtype=np.uint32)
        self.block = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])


class RaggedCells:
    """Cells of rows that lie anywhere and may each have a template of their own.

    Args:
        canvas: the column.
        starts: where each row starts, shape (rows,).
        digits: of the templates.
        member: the template of each row, shape (rows,).
    """

    __slots__ = ("_canvas", "_digits", "_member", "_places")

    def __init__(
        self, canvas: CodeBuffer, starts: Index, digits: RaggedDigits, member: Index
    ) -> None:
        # numpy copies rows of a table several times as fast as it picks numbers one by one.
        self._places = digits.positions.take(member, axis=0)
        self._places += starts[:, None]
        self._canvas, self._digits, self._member = canvas, digits, member

    def read(self) -> Iterator[Words]:
        """Return the value of each block, the most significant first; uint64, shape (rows,)."""
        digits = self._digits
        weighted = digits.weights.take(self._member, axis=0)
        weighted *= self._canvas.table.ordinals(self._canvas.source.take(self._places))
        biases = digits.biases.take(self._member, axis=0)
        for block, bias in zip(digits.blocks, biases.T, strict=True):
            # Digits are read as ordinals; what the first ones add up to is taken off in the end.
            value = weighted[:, block[0]] - bias
            for digit in block[1:]:
                value += weighted[:, digit]
            yield value.astype(np.uint64)

    def write(self, values: Sequence[NDArray[Any]]) -> None:
        """Write the characters of other values; the inverse of ``read``."""
        digits = self._digits
        # How often the weight of a digit goes into the value of its block, rounded down. Half of
        # one more is at least half a share away from the next whole number, either way, and the
        # two roundings, of share and product, move it by less than 2**-20 shares.
        halves = np.stack(values, axis=1).astype(np.float64)
        halves += 0.5
        share = halves.take(digits.block, axis=1)
        share *= digits.shares.take(self._member, axis=0)
        numbers = share.astype(np.uint32)
        # Of that, the digits before it are taken off; the first of a block has none.
        flat, steps = numbers.reshape(-1), digits.steps.take(self._member, axis=0).reshape(-1)
        steps[1:] *= flat[:-1]
        flat[1:] -= steps[1:]
        numbers += digits.firsts.take(self._member, axis=0)
        # Where a place occurs twice, the last one stays, which is the real digit.
        target = self._canvas.target
        target[self._places] = _codes(self._canvas.table, numbers, target)


def _codes(table: Alphabets, ordinals: Numbers, target: Codes) -> Codes:
    """Return code points in the dtype of the target: to put others there takes twice as long."""
    if target.dtype == np.uint8:
        return table.codes(ordinals.astype(np.uint8))
    return table.codes(ordinals).astype(target.dtype, copy=False)

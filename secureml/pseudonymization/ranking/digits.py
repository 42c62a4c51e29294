"""The encrypted characters of rows, read and written as the digits of mixed-radix numbers.

Digits are combined in blocks of 32 bits, so that most of the work is 32-bit arithmetic. If all rows
have one template, one column of characters is worked on at a time; otherwise all characters of many
rows at once, so that numpy is called a few times for them and not for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.tables.character_classes import Alphabets, Codes

__all__ = [
    "CodeBuffer",
    "DigitWeights",
    "Digits",
    "RaggedDigits",
    "TemplateDigits",
    "UniformDigits",
]

Index = NDArray[np.intp]
Words = NDArray[np.uint64]
Numbers = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class CodeBuffer:
    """A column whose encrypted characters are read, and written elsewhere.

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
class TemplateDigits:
    """The encrypted characters of some templates, a row of digits for each template.

    A template with fewer digits than the others is filled up in front with digits of size 1, which
    stand at the place of its first encrypted character.

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

    @property
    def blocks(self) -> list[range]:
        """The digits, cut into blocks whose values are below 2**32."""
        blocks, start, product = [], 0, 1
        for digit, size in enumerate(self.sizes.max(axis=0).tolist()):
            product *= size
            if digit > start and product > 1 << 32:
                blocks.append(range(start, digit))
                start, product = digit, size
        return [*blocks, range(start, self.sizes.shape[1])]


class Digits(Protocol):
    """The encrypted characters of some rows."""

    def read(self) -> Iterator[Words]:
        """Return the value of each block, the most significant first; uint64, shape (rows,)."""
        ...

    def write(self, values: Sequence[NDArray[Any]]) -> None:
        """Write the characters of other values; the inverse of ``read``."""
        ...


class UniformDigits:
    """Digits of a column whose values that are not empty all have one template.

    Args:
        buffer: the column.
        width: the number of characters of a value.
        rows: which of the values that are not empty.
        digits: of the template.
    """

    __slots__ = ("_blocks", "_digits", "_source", "_table", "_target")

    def __init__(self, buffer: CodeBuffer, width: int, rows: slice, digits: TemplateDigits) -> None:
        self._table = buffer.table
        self._source = buffer.source.reshape(-1, width)[rows]
        self._target = buffer.target.reshape(-1, width)[rows]
        self._digits, self._blocks = digits, digits.blocks

    def read(self) -> Iterator[Words]:
        """Return the value of each block, the most significant first; uint64, shape (rows,)."""
        sizes, firsts = self._digits.sizes[0], self._digits.firsts[0]
        for block in self._blocks:
            # Digits are read as ordinals; subtracts their combined class offset once, at the end.
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


class DigitWeights:
    """The factors by which the digits of some templates become values of blocks, and back.

    Args:
        digits: of the templates.

    Attributes:
        positions: as of the digits.
        firsts: as of the digits.
        weights: uint32: what one digit counts for in the value of its block; 0 if it is not real.
        shares: float64: the reciprocals, 0 if a digit is not real.
        steps: uint32: the sizes, 0 for the first digit of a block.
        biases: uint32, shape (templates, blocks): the combined offset of the classes of a block.
        block: of each digit, shape (digits,).
        blocks: as of the digits.
    """

    __slots__ = ("biases", "block", "blocks", "firsts", "positions", "shares", "steps", "weights")

    def __init__(self, digits: TemplateDigits) -> None:
        blocks = digits.blocks
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


class RaggedDigits:
    """Digits of rows that lie anywhere and may each have a template of their own.

    Args:
        buffer: the column.
        starts: where each row starts, shape (rows,).
        digits: of the templates of all rows.
        member: the template of each row, shape (rows,).
    """

    __slots__ = ("_buffer", "_digits", "_member", "_places")

    def __init__(
        self, buffer: CodeBuffer, starts: Index, digits: DigitWeights, member: Index
    ) -> None:
        # numpy copies rows of a table several times as fast as it picks numbers one by one.
        self._places = digits.positions.take(member, axis=0)
        self._places += starts[:, None]
        self._buffer, self._digits, self._member = buffer, digits, member

    def read(self) -> Iterator[Words]:
        """Return the value of each block, the most significant first; uint64, shape (rows,)."""
        digits = self._digits
        weighted = digits.weights.take(self._member, axis=0)
        weighted *= self._buffer.table.ordinals(self._buffer.source.take(self._places))
        biases = digits.biases.take(self._member, axis=0)
        for block, bias in zip(digits.blocks, biases.T, strict=True):
            # Digits are read as ordinals; subtracts their combined class offset once, at the end.
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
        target = self._buffer.target
        target[self._places] = _codes(self._buffer.table, numbers, target)


def _codes(table: Alphabets, ordinals: Numbers, target: Codes) -> Codes:
    """Return code points in the dtype of the target: to put others there takes twice as long."""
    if target.dtype == np.uint8:
        return table.codes(ordinals.astype(np.uint8))
    return table.codes(ordinals).astype(target.dtype, copy=False)

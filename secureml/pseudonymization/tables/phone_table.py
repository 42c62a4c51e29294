"""The frozen table of valid telephone numbers behind the format ``phone``.

The table ships with the package because numbering plans change: a number that stopped being
valid, or began to be, would make what was encrypted unrecoverable. It is an automaton that reads
the digits of a national number and counts how many numbers begin as it does, which ranks them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.ranking.mixed_radix import Words

__all__ = ["CallingCode", "Numbering", "Region", "numbering"]

Digits = NDArray[np.uint8]
Nodes = NDArray[np.integer[Any]]
_HEAD = 4  # digits behind which, of nearly all numbers, any digits may stand
_GUIDES = 1 << 13


@dataclass(frozen=True, slots=True)
class CallingCode:
    """The numbers of one calling code.

    Args:
        digits: the code.
        prefix: the national prefix, which may be empty.
        roots: by the length of a national number, the node that it begins with.
        prefixed: the lengths of numbers that the prefix may stand before.
    """

    digits: str
    prefix: str
    roots: dict[int, int]
    prefixed: frozenset[int]


@dataclass(frozen=True, slots=True)
class Region:
    """How numbers are written in one region.

    Args:
        code: the calling code.
        prefix: the national prefix, which may be empty.
        bare: the lengths of numbers that are written without the prefix.
        prefixed: the lengths of numbers that are written with it.
    """

    code: str
    prefix: str
    bare: frozenset[int]
    prefixed: frozenset[int]


class Numbering:
    """Ranks the national numbers of a length among the valid ones.

    Args:
        following: the node that follows each digit of each node, shape (nodes, 10); every node
            behind those that follow it. 0 is no number, 1 the end of one.
        codes: the calling codes.
        regions: how numbers are written in each.
    """

    def __init__(
        self,
        following: NDArray[np.int32],
        codes: dict[str, CallingCode],
        regions: dict[str, Region],
    ) -> None:
        self._following = following
        self.codes, self.regions = codes, regions
        # How many numbers begin with a smaller digit at a node, and last, how many there are.
        self._below = np.zeros((len(following), 11), np.uint64)
        self._below[1, 1:] = 1
        for node in range(2, len(following)):
            np.cumsum(self._below[following[node], 10], out=self._below[node, 1:])
        # Where every digit leads to the same, and so do all that follow, ranks are decimal.
        self._free = np.zeros(len(following), np.bool_)
        self._free[1] = True
        for node in range(2, len(following)):
            first = following[node, 0]
            self._free[node] = self._free[first] and (following[node] == first).all()
        self._known: dict[int, _Heads] = {}

    def size(self, root: int) -> int:
        """Return how many numbers begin with a node."""
        return int(self._below[root, 10])

    def code_of(self, digits: str) -> str:
        """Return the calling code that digits begin with, or an empty string."""
        return next((digits[:n] for n in (1, 2, 3) if digits[:n] in self.codes), "")

    def accepts(self, root: int, digits: Digits) -> NDArray[np.bool_]:
        """Tell which numbers, one a row, are valid."""
        columns = np.ascontiguousarray(digits.T)
        heads = self._heads(root, len(columns))
        node = heads.nodes[heads.number(columns)]
        valid: NDArray[np.bool_] = self._free[node]
        others = np.flatnonzero(~valid & (node > 0))
        if len(others):
            node = node[others]
            for column in columns[heads.count :]:
                node = self._following[node, column[others]]
            valid[others] = node == 1
        return valid

    def rank(self, root: int, digits: Digits) -> Words:
        """Return the ranks of valid numbers, one a row."""
        columns = np.ascontiguousarray(digits.T)
        heads = self._heads(root, len(columns))
        number = heads.number(columns)
        node = heads.nodes[number]
        ranks = _decimal(columns[heads.count :], np.uint64)
        others = np.flatnonzero(~self._free[node])
        if len(others):
            node = node[others]
            ranks[others] = 0
            for column in columns[heads.count :, others]:
                ranks[others] += self._below[node, column]
                node = self._following[node, column]
        return ranks + heads.below[number]

    def unrank(self, root: int, ranks: Words, length: int) -> Digits:
        """Return the numbers of ranks; the inverse of ``rank``."""
        digits = np.empty((len(ranks), length), np.uint8)
        heads = self._heads(root, length)
        number = heads.number_of_rank(ranks)
        rest, node = ranks - heads.below[number], heads.nodes[number]
        _write_decimal(digits[:, : heads.count], heads.digits[number])
        _write_decimal(digits[:, heads.count :], rest)
        others = np.flatnonzero(~self._free[node])
        if len(others):
            tails = self._walked(node[others], rest[others], length - heads.count)
            digits[others, heads.count :] = tails
        return digits

    def _walked(self, node: Nodes, rest: Words, length: int) -> Digits:
        """Return the digits behind nodes, of numbers whose ranks among those are given."""
        digits = np.empty((len(rest), length), np.uint8)
        for place in range(length):
            below = self._below[node]
            digit = (below[:, 1:10] <= rest[:, None]).sum(axis=1, dtype=np.uint8)
            rest = rest - self._below[node, digit]
            node = self._following[node, digit]
            digits[:, place] = digit
        return digits

    def _heads(self, root: int, length: int) -> _Heads:
        """Return how the numbers of a root begin."""
        if root not in self._known:
            count = min(_HEAD, length)
            nodes = np.array([root], np.int32)
            for _ in range(count):
                nodes = self._following[nodes].ravel()
            self._known[root] = _Heads.of(count, nodes, self._below[nodes, 10])
        return self._known[root]


@dataclass(frozen=True, slots=True, eq=False)
class _Heads:
    """The heads, which are the first digits, of the valid numbers of a length.

    Behind nearly all of them any digits may stand, so that what follows is decimal. Heads are
    numbered from 1 on, and 0 stands for all that no number begins with.

    Args:
        count: how many digits a head has.
        numbers: the number of each head, by what its digits are in decimal.
        digits: the inverse: what the digits of each are in decimal.
        nodes: which node follows each.
        below: how many numbers have smaller heads.
        ends: how many numbers have that head or a smaller one.
        shift: ranks are shifted to the right by it for the guide.
        guide: the head of the lowest of the ranks that are the same when shifted.
    """

    count: int
    numbers: NDArray[np.uint16]
    digits: NDArray[np.uint16]
    nodes: NDArray[np.int32]
    below: Words
    ends: Words
    shift: np.uint64
    guide: NDArray[np.uint16]

    @classmethod
    def of(cls, count: int, nodes: NDArray[np.int32], sizes: Words) -> _Heads:
        """Prepare heads.

        Args:
            count: of digits.
            nodes: which follows each of 10**count, 0 for none.
            sizes: how many numbers begin with each.
        """
        used = np.flatnonzero(nodes)
        numbers = np.zeros(len(nodes), np.uint16)
        numbers[used] = np.arange(1, len(used) + 1)
        ends = np.append(np.uint64(0), np.cumsum(sizes[used], dtype=np.uint64))
        shift = max(int(ends[-1] - 1).bit_length() - _GUIDES.bit_length() + 1, 0)
        lowest = np.arange(int(ends[-1] - 1 >> shift) + 1, dtype=np.uint64) << np.uint64(shift)
        return cls(
            count,
            numbers,
            np.append(0, used).astype(np.uint16),
            np.append(0, nodes[used]).astype(np.int32),
            np.append(np.uint64(0), ends[:-1]),
            ends,
            np.uint64(shift),
            np.searchsorted(ends, lowest, side="right").astype(np.uint16),
        )

    def number(self, columns: Digits) -> NDArray[np.uint16]:
        """Return the number of the head of each number, whose digits are given in columns."""
        number: NDArray[np.uint16] = self.numbers[_decimal(columns[: self.count], np.uint16)]
        return number

    def number_of_rank(self, ranks: Words) -> NDArray[np.uint16]:
        """Return the number of the head of the number of each rank."""
        number: NDArray[np.uint16] = self.guide[ranks >> self.shift]
        late = np.flatnonzero(ranks >= self.ends[number])
        while len(late):
            number[late] += 1
            late = late[ranks[late] >= self.ends[number[late]]]
        return number


def _decimal(columns: Digits, dtype: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
    """Return the decimal numbers whose digits are given in columns."""
    number = np.zeros(columns.shape[1], dtype)
    for column in columns:
        number *= dtype(10)
        number += column
    return number


def _write_decimal(digits: Digits, numbers: NDArray[np.unsignedinteger[Any]]) -> None:
    """Write the digits of numbers that have no more, one number a row."""
    ten = numbers.dtype.type(10)
    for place in reversed(range(digits.shape[1])):
        quotient = numbers // ten
        digits[:, place] = numbers - quotient * ten
        numbers = quotient


@cache
def numbering() -> Numbering:
    """Return the numbers of version 1 of the format, read from the table on first use."""
    table = files(str(__package__)).joinpath("phone_numbers.txt").read_text("utf-8")
    following = [[0] * 10, [0] * 10]
    codes, regions = {}, {}
    for line in table.splitlines():
        head, *rest = line.split()
        if line.startswith("#"):
            continue
        if "=" not in head:
            prefix, *words = rest
            prefix = prefix.replace("-", "")
            starred = [word.rstrip("*") for word in words if word.endswith("*")]
            prefixed = frozenset(int(word.partition(":")[0]) for word in starred)
            if head.isdigit():
                pairs = (word.rstrip("*").split(":") for word in words)
                roots = {int(length): int(node) for length, node in pairs}
                codes[head] = CallingCode(head, prefix, roots, prefixed)
            else:
                prefix, *words = words
                bare = frozenset(int(word) for word in words if not word.endswith("*"))
                regions[head] = Region(rest[0], prefix.replace("-", ""), bare, prefixed)
        else:
            nodes = [0] * 10
            for word in line.partition("=")[2].split():
                digits, _, node = word.partition(":")
                for digit in digits:
                    nodes[int(digit)] = int(node)
            following.append(nodes)
    return Numbering(np.array(following, np.int32), codes, regions)

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

from secureml.pseudonymization.domains import Words
from secureml.pseudonymization.permutation import CHUNK

__all__ = ["CallingCode", "Numbering", "Region", "numbering"]

Digits = NDArray[np.uint8]
_TEN = np.uint64(10)


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

    def size(self, root: int) -> int:
        """Return how many numbers begin with a node."""
        return int(self._below[root, 10])

    def code_of(self, digits: str) -> str:
        """Return the calling code that digits begin with, or an empty string."""
        return next((digits[:n] for n in (1, 2, 3) if digits[:n] in self.codes), "")

    def accepts(self, root: int, digits: Digits) -> NDArray[np.bool_]:
        """Tell which numbers, one a row, are valid."""
        node: NDArray[np.integer[Any]] = np.full(len(digits), root, np.int32)
        for column in np.ascontiguousarray(digits.T):
            node = self._following[node, column]
        valid: NDArray[np.bool_] = node == 1
        return valid

    def rank(self, root: int, digits: Digits) -> Words:
        """Return the ranks of valid numbers, one a row."""
        ranks = np.zeros(len(digits), np.uint64)
        for start in range(0, len(digits), CHUNK):
            part = ranks[start : start + CHUNK]
            node: NDArray[np.integer[Any]] = np.full(len(part), root, np.int32)
            for column in np.ascontiguousarray(digits[start : start + CHUNK].T):
                part += self._below[node, column]
                node = self._following[node, column]
        return ranks

    def unrank(self, root: int, ranks: Words, length: int) -> Digits:
        """Return the numbers of ranks; the inverse of ``rank``."""
        digits = np.zeros((len(ranks), length), np.uint8)
        for start in range(0, len(ranks), CHUNK):
            rest = ranks[start : start + CHUNK].copy()
            cells = digits[start : start + CHUNK]
            node: NDArray[np.integer[Any]] = np.full(len(rest), root, np.int32)
            for place in range(length):
                if self._free[node].all():
                    for last in range(length - 1, place - 1, -1):
                        quotient = rest // _TEN
                        cells[:, last] = rest - quotient * _TEN
                        rest = quotient
                    break
                below = self._below[node]
                digit = (below[:, 1:10] <= rest[:, None]).sum(axis=1, dtype=np.uint8)
                rest -= self._below[node, digit]
                node = self._following[node, digit]
                cells[:, place] = digit
        return digits


@cache
def numbering() -> Numbering:
    """Return the numbers of version 1 of the format, read from the table on first use."""
    table = files(__package__).joinpath("phone_numbers.txt").read_text("ascii")
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

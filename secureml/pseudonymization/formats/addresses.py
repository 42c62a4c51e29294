"""The formats ``ipv4`` and ``ipv6``: an address keeps its first bits, as many as are asked for.

The bits that are kept are bound into the tweak: so addresses of one network stay in one network,
and an address of another network tells nothing about them.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import Flags, Format, Ranks
from secureml.pseudonymization.parsing.fixed_width import Octets, padded, same_text
from secureml.pseudonymization.parsing.layouts import distinct_rows
from secureml.pseudonymization.parsing.parts import read_parts
from secureml.pseudonymization.ranking.mixed_radix import Index, Words
from secureml.pseudonymization.values.text import Text

__all__ = ["IPv4Format", "IPv6Format"]

_HEXADECIMAL = "0123456789abcdef"
_NONE = 16  # what is no digit
_LONGEST = 39  # of IPv6 addresses


class _AddressFormat(Format):
    """An address keeps its first bits.

    Args:
        keep_prefix: how many, such as 16 for networks /16.

    Raises:
        PseudonymizationError: that are not 0 to one bit less than an address has.
    """

    takes = (Text,)
    bits: ClassVar[int]

    def __init__(self, *, keep_prefix: int = 0) -> None:
        if type(keep_prefix) is not int or not 0 <= keep_prefix < self.bits:
            raise PseudonymizationError(
                f"keep_prefix={keep_prefix!r} must be a whole number from 0 to {self.bits - 1}"
            )
        self.options = {"keep_prefix": keep_prefix}
        self._kept = keep_prefix

    def read(self, values: Text, *, decrypt: bool) -> Iterator[Ranks]:
        """Rank addresses by the bits behind their prefix; each prefix is a domain."""
        rows, words = self._read(values)
        bits = self.bits - self._kept
        free = np.array(divmod((1 << bits) - 1, 1 << 64), np.uint64)
        prefixes = words & ~free
        distinct, group = distinct_rows(prefixes.astype(">u8").view(np.uint8))
        label = self.name.encode() + bytes([self._kept])
        yield Ranks(
            rows=rows,
            ranks=words & free,
            group=group,
            sizes=[1 << bits] * len(distinct),
            tweaks=[label + prefix for prefix in distinct],
            numerals=(2, bits),
            context=prefixes,
        )

    def write(self, reading: Ranks, new: Words) -> Text:
        """Write addresses with the prefixes that they had."""
        return Text.of_sparse(self._write(reading.context | new))

    @staticmethod
    @abstractmethod
    def _read(text: Text) -> tuple[Index, Words]:
        """Return the rows that are addresses, ascending, and their bits in two words."""

    @staticmethod
    @abstractmethod
    def _write(words: Words) -> Octets:
        """Write addresses as characters, with any number of zero octets between them."""


class IPv4Format(_AddressFormat):
    """An IPv4 address, four decimal numbers without leading zeros, keeps its first bits."""

    name = "ipv4/1"
    bits = 32

    @staticmethod
    def _read(text: Text) -> tuple[Index, Words]:
        rows, octets = read_parts(text, ".", 4, "0123456789", 256)
        words = np.zeros((len(rows), 2), np.uint64)
        words[:, 1:] = octets.astype(np.uint8).view(">u4")
        return rows, words

    @staticmethod
    def _write(words: Words) -> Octets:
        octets = words[:, 1:].astype(">u4").view(np.uint8)
        numbers: Octets = _DECIMALS.take(octets + _NO_DOT).view(np.uint8)
        return numbers


class IPv6Format(_AddressFormat):
    """An IPv6 address, written as RFC 5952 recommends, keeps its first bits.

    That is in lower case, without leading zeros and with the longest run of zeros as ``::``.
    Another way of writing it could not be recovered, and is not of the format; nor are a zone and
    the last 32 bits in the way of IPv4.
    """

    name = "ipv6/1"
    bits = 128

    @staticmethod
    def _read(text: Text) -> tuple[Index, Words]:
        rows, groups = read_parts(text, ":", 8, _HEXADECIMAL, 1 << 16)
        short = _runs(groups)
        if short.any():
            rows, groups = rows[~short], groups[~short]
        words = groups.astype(">u2").view(">u8").astype(np.uint64)
        lengths = text.lengths
        lengths[rows] = 0
        others = np.flatnonzero((lengths > 0) & (lengths <= _LONGEST))
        if not len(others):
            return rows, words
        fits, found = _read_shortened(padded(text, others, _LONGEST))
        rows = np.append(rows, others[fits])
        order = np.argsort(rows)
        return rows[order], np.concatenate([words, found[fits]])[order]

    @staticmethod
    def _write(words: Words) -> Octets:
        groups = words.astype(">u8").view(">u2")
        grid = np.full((len(words), 40), ord(":"), np.uint8)
        np.ndarray(groups.shape, np.uint32, grid, 0, (40, 5))[:] = _GROUPS.take(groups)
        grid[:, -1] = 0
        rows = np.flatnonzero(_runs(groups))
        if len(rows):
            zeros = np.packbits(groups[rows] == 0, axis=1)[:, 0]
            grid[rows] = grid[rows] & _KEPT[zeros] | _ADDED[zeros]
        return grid


def _runs(groups: NDArray[np.unsignedinteger[Any]]) -> Flags:
    """Tell in which rows two of eight groups side by side are zero."""
    zeros = (groups == 0).view(np.uint64)[:, 0]
    runs: Flags = zeros & zeros >> np.uint64(8) != 0
    return runs


def _read_shortened(grid: Octets) -> tuple[Flags, Words]:
    """Read what may be addresses with two colons in place of groups that are zero."""
    columns = np.ascontiguousarray(grid.T)
    colons = columns == ord(":")
    # The groups behind a double colon are counted from the last.
    skipped = np.int8(7) - np.count_nonzero(colons, axis=0).astype(np.int8)
    groups, part = np.zeros((8, len(grid)), np.uint16), np.zeros(len(grid), np.uint16)
    group, before = np.zeros(len(grid), np.int8), np.zeros(len(grid), np.bool_)
    for digit, colon in zip(_DIGITS[columns], colons, strict=True):
        ends = np.flatnonzero(colon)
        groups[np.clip(group[ends], 0, 7), ends] = part[ends]
        part[ends] = 0
        group += colon
        group += skipped * (colon & before)
        before = colon
        part = np.where(digit < _NONE, part << np.uint16(4) | digit, part)
    groups[7] = part
    words = np.ascontiguousarray(groups.T).astype(">u2").view(">u8").astype(np.uint64)
    return same_text(IPv6Format._write(words), grid), words


def _table(strings: list[str]) -> NDArray[np.uint32]:
    """Return strings of at most four characters, each in one word, with zeros to the right."""
    return np.frombuffer(b"".join(s.encode("ascii").ljust(4, b"\0") for s in strings), np.uint32)


def _digits() -> Octets:
    table = np.full(256, _NONE, np.uint8)
    table[[ord(digit) for digit in _HEXADECIMAL]] = np.arange(16)
    return table


def _compressed() -> tuple[Octets, Octets]:
    """Return what stays of eight groups and the colons behind them, and what is added.

    Both have an entry for each set of groups that are zero, a bit for each group.
    """
    kept, added = np.full((256, 8, 5), 0xFF, np.uint8), np.zeros((256, 8, 5), np.uint8)
    for zeros in range(256):
        runs = [(len(run.group()), -run.start()) for run in re.finditer("1+", f"{zeros:08b}")]
        length, start = max(runs, default=(0, 0))
        if length < 2:
            continue
        first, last = -start, -start + length - 1
        kept[zeros, first : last + 1] = 0
        added[zeros, last, 4] = ord(":")
        if first == 0:
            added[zeros, 0, 0] = ord(":")
    return kept.reshape(256, 40), added.reshape(256, 40)


_DIGITS = _digits()
_DECIMALS = _table([f"{octet}." for octet in range(256)] + [f"{octet}" for octet in range(256)])
_NO_DOT = np.array([0, 0, 0, 256], np.uint16)
_GROUPS = _table([f"{group:x}" for group in range(1 << 16)])
_KEPT, _ADDED = _compressed()

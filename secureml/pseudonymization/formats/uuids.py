"""The format ``uuid``: a UUID keeps its version and its variant, and the rest is permuted.

Of every UUID the four bits of the version and the first two of the variant are kept, and bound
into the tweak, whether or not RFC 9562 gives them a meaning; the other 122 bits are the rank. So
the nil UUID is a value like any other. How it is written is kept as well, but not bound: a UUID
has the same pseudonym in lower and in upper case, with hyphens and without.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.formats.base import NONE_SMALL, Format, Option, Transformed
from secureml.pseudonymization.parsing.fixed_width import (
    Octets,
    TextBlock,
    chunks,
    composed,
    narrowed,
    read_grid,
    words_at,
)
from secureml.pseudonymization.ranking.mixed_radix import Index, Words
from secureml.pseudonymization.ranking.permutation import Permutation
from secureml.pseudonymization.tables.character_classes import Codes
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.text import Text

__all__ = ["UuidFormat"]

_BITS = 122
_HYPHENS = {36: (8, 13, 18, 23), 32: ()}
"""By the length of a text, where its hyphens are."""
_QUADS = {36: (0, 4, 9, 14, 19, 24, 28, 32), 32: range(0, 32, 4)}
"""By the length of a text, where its digits are, four at a time."""
_LOWER, _UPPER, _FOREIGN = 0x100, 0x200, 0x400
_EACH = 0x0001_0001_0001_0001
_NIBBLES = np.uint64(0x1111_1111_1111_1111)


class UuidFormat(Format):
    """A UUID keeps its version, its variant, its case and its hyphens.

    It is written as 32 hexadecimal digits, with the four hyphens of RFC 9562 or without any, all
    letters in one case. Anything else (braces, ``urn:uuid:``, mixed case) is not of the format.
    """

    name = "uuid/1"
    takes = (Text,)

    @property
    def options(self) -> Mapping[str, Option]:
        """There are none."""
        return {}

    def transform(self, values: Values, permutation: Permutation) -> Transformed:
        """Permute every UUID among those of its version and variant."""
        assert isinstance(values, Text)
        lengths = values.lengths
        valid = lengths == 0
        sheets = []
        for width in _HYPHENS:
            for chunk in chunks(np.flatnonzero(lengths == width)):
                rows = chunk
                fits, words, upper = _read(read_grid(values, chunk, width), width)
                if not fits.all():
                    rows, words, upper = rows[fits], words[fits], upper[fits]
                if len(rows):
                    valid[rows] = True
                    words = _permuted(words, upper, permutation, rows)
                    sheets.append(TextBlock(rows, _write(words, upper, width)))
        invalid: Index = np.flatnonzero(~valid)
        new = composed(len(values), sheets)
        return Transformed(new, NONE_SMALL, invalid, 1 << _BITS if sheets else 0)


def _read(grid: Codes, width: int) -> tuple[NDArray[np.bool_], Words, NDArray[np.bool_]]:
    """Tell which are UUIDs, their 128 bits in two words, and which are in upper case."""
    octets = np.ascontiguousarray(narrowed(grid))
    digits = np.empty((len(octets), 8), "<u4")
    for number, place in enumerate(_QUADS[width]):
        digits[:, number] = words_at(octets, place, 4)
    pairs = _VALUES.take(digits.view("<u2"))
    first, second, third, fourth = pairs.view(np.uint64).T
    seen = first | second | third | fourth
    lower, upper, foreign = (
        seen & np.uint64(flag * _EACH) != 0 for flag in (_LOWER, _UPPER, _FOREIGN)
    )
    fits = ~(foreign | lower & upper)
    for place in _HYPHENS[width]:
        fits &= octets[:, place] == ord("-")
    return fits, pairs.astype(np.uint8).view(">u8").astype(np.uint64), upper


def _write(words: Words, upper: NDArray[np.bool_], width: int) -> Octets:
    digits = _DIGITS.take(words.astype(">u8").view(">u2"))
    if upper.any():
        octets = digits.view(np.uint8)
        octets[upper] -= (octets[upper] > ord("9")) * np.uint8(ord("a") - ord("A"))
    grid = np.full((len(words), width), ord("-"), np.uint8)
    for number, place in enumerate(_QUADS[width]):
        words_at(grid, place, 4)[:] = digits[:, number]
    return grid


def _permuted(
    words: Words, upper: NDArray[np.bool_], permutation: Permutation, rows: Index
) -> Words:
    new = _once(words, permutation, rows)
    # Without a letter there is no case: a UUID in upper case has to become one with a letter.
    walking = np.flatnonzero(upper)
    walking = walking[~_lettered(new[walking])]
    while len(walking):
        new[walking] = _once(new[walking], permutation, rows[walking])
        walking = walking[~_lettered(new[walking])]
    return new


def _once(words: Words, permutation: Permutation, rows: Index) -> Words:
    high, low = words.T
    version, variant = high >> np.uint64(12) & np.uint64(15), low >> np.uint64(62)
    kind = (version << np.uint64(2) | variant).astype(np.intp)
    kinds = np.flatnonzero(np.bincount(kind, minlength=64))
    group = np.zeros(64, np.intp)
    group[kinds] = np.arange(len(kinds))
    tweaks = [b"uuid/1" + bytes([one]) for one in kinds.tolist()]
    upper = high >> np.uint64(16) << np.uint64(12) | high & np.uint64(0xFFF)  # 60 bits
    ranks = np.stack([upper >> np.uint64(2), upper << np.uint64(62) | low & _LOW], axis=1)
    sizes, numerals = [1 << _BITS] * len(kinds), [(2, _BITS)] * len(kinds)
    permuted = permutation.at(rows).permute(sizes, tweaks, group[kind], ranks, numerals)
    high, low = permuted.T
    upper = high << np.uint64(2) | low >> np.uint64(62)
    high = upper >> np.uint64(12) << np.uint64(16) | version << np.uint64(12) | upper & _THIRD
    return np.stack([high, variant << np.uint64(62) | low & _LOW], axis=1)


def _lettered(words: Words) -> NDArray[np.bool_]:
    """Tell which have a hexadecimal digit above nine."""
    letters = words >> np.uint64(3) & (words >> np.uint64(2) | words >> np.uint64(1)) & _NIBBLES
    return np.asarray(letters.any(axis=1))


def _values() -> NDArray[np.uint16]:
    """Return what two characters are, as a little-endian word: an octet, and flags beyond it."""
    table = np.full(256, _FOREIGN, np.uint16)
    for value, digit in enumerate("0123456789abcdef"):
        table[ord(digit.upper())] = value | (_UPPER if value > 9 else 0)
        table[ord(digit)] = value | (_LOWER if value > 9 else 0)
    first, second = table, table[:, None]
    return ((first & 0x0F) << 4 | first & 0xFF00 | second).astype(np.uint16).ravel()


def _digits() -> NDArray[np.uint32]:
    """Return the four digits of each word of two octets, as a little-endian word."""
    pairs = np.frombuffer(b"".join(b"%02x" % octet for octet in range(256)), "<u2")
    digits: NDArray[np.uint32] = pairs[:, None] | pairs.astype("<u4") << 16
    return digits.ravel()


_LOW, _THIRD = np.uint64((1 << 62) - 1), np.uint64(0xFFF)
_VALUES, _DIGITS = _values(), _digits()

"""The format ``uuid``: a UUID keeps its version and its variant, and the rest is permuted.

Of every UUID the four bits of the version and the first two of the variant are kept, and bound
into the tweak, whether or not RFC 9562 gives them a meaning; the other 122 bits are the rank. So
the nil UUID is a value like any other. How it is written is kept as well, but not bound: a UUID
has the same pseudonym in lower and in upper case, with hyphens and without.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.formats.base import Format, Ranks
from secureml.pseudonymization.parsing.fixed_width import fixed_width_rows, words_at
from secureml.pseudonymization.ranking.mixed_radix import Index, Words
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

    def read(self, values: Text, *, decrypt: bool) -> Iterator[Ranks]:
        """Rank UUIDs among those of their version and variant, which are a domain each."""
        for found in fixed_width_rows(values, _HYPHENS):
            octets, width = np.ascontiguousarray(found.octets), found.width
            digits = np.empty((len(octets), 8), "<u4")
            for number, place in enumerate(_QUADS[width]):
                digits[:, number] = words_at(octets, place, 4)
            pairs = _VALUES.take(digits.view("<u2"))
            first, second, third, fourth = pairs.view(np.uint64).T
            flags = first | second | third | fourth
            lower, upper, foreign = (
                flags & np.uint64(flag * _EACH) != 0 for flag in (_LOWER, _UPPER, _FOREIGN)
            )
            valid = ~(foreign | lower & upper)
            for place in _HYPHENS[width]:
                valid &= octets[:, place] == ord("-")
            high, low = pairs.astype(np.uint8).view(">u8").astype(np.uint64).T
            kind = (high >> np.uint64(12) & np.uint64(15)) << np.uint64(2) | low >> np.uint64(62)
            rest = high >> np.uint64(16) << np.uint64(12) | high & _THIRD  # 60 bits
            reading = Ranks(
                rows=found.rows,
                ranks=np.stack([rest >> np.uint64(2), rest << np.uint64(62) | low & _LOW], axis=1),
                group=kind.astype(np.intp),
                sizes=[1 << _BITS] * 64,
                tweaks=[self.name.encode() + bytes([kind]) for kind in range(64)],
                numerals=(2, _BITS),
                context=upper,
                layout=width,
            )
            yield reading if valid.all() else reading.at(valid)

    def outside(self, reading: Ranks, new: Words) -> NDArray[np.bool_]:
        """Tell which are in upper case, but have no letter to show it."""
        outside: NDArray[np.bool_] = reading.context.copy()
        upper = np.flatnonzero(outside)
        outside[upper] = ~_lettered(_words(new[upper], reading.group[upper]))
        return outside

    def write(self, reading: Ranks, new: Words) -> Text:
        """Write UUIDs in the case and with the hyphens that they had."""
        upper, width = reading.context, reading.layout
        digits = _DIGITS.take(_words(new, reading.group).astype(">u8").view(">u2"))
        if upper.any():
            octets = digits.view(np.uint8)
            octets[upper] -= (octets[upper] > ord("9")) * np.uint8(ord("a") - ord("A"))
        grid = np.full((len(new), width), ord("-"), np.uint8)
        for number, place in enumerate(_QUADS[width]):
            words_at(grid, place, 4)[:] = digits[:, number]
        return Text.of_grid(grid)


def _words(ranks: Words, kind: Index) -> Words:
    """Return the 128 bits of UUIDs in two words, with the version and the variant in place."""
    high, low = ranks.T
    version, variant = kind.astype(np.uint64) >> np.uint64(2), kind.astype(np.uint64)
    rest = high << np.uint64(2) | low >> np.uint64(62)
    high = rest >> np.uint64(12) << np.uint64(16) | version << np.uint64(12) | rest & _THIRD
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
    digits: NDArray[Any] = pairs[:, None] | pairs.astype("<u4") << 16
    return digits.ravel()


_LOW, _THIRD = np.uint64((1 << 62) - 1), np.uint64(0xFFF)
_VALUES, _DIGITS = _values(), _digits()

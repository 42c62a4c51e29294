"""The frozen table of character classes behind the format ``class``.

The table ships with the package because the interpreter's own Unicode data changes between
versions, and a changed class would make what was encrypted unrecoverable. In memory, code points
are renumbered so that every class is one run of consecutive *ordinals*: the rank of a character
in its class is its distance from the run's first ordinal. ASCII keeps its numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CLASS_SYMBOL",
    "CODE_POINTS",
    "DIGIT",
    "LETTER",
    "OTHER_DIGIT",
    "Alphabets",
    "alphabets",
    "kinds",
]

CODE_POINTS = 0x110000
CLASS_SYMBOL = CODE_POINTS
"""In a template, CLASS_SYMBOL + i stands for class i, and a smaller number for a kept character."""

DIGIT, OTHER_DIGIT, LETTER = 1, 2, 3
"""The kinds of characters: digits of ASCII, digits of other scripts, letters of any."""

_ASCII = 0x80

Codes = NDArray[np.unsignedinteger[Any]]
"""Characters: uint8 if all are ASCII, uint16 if all are below U+10000, otherwise uint32.
All members of a class that are beyond ASCII are below U+10000, or none: so dtypes are kept."""


class Alphabets:
    """Lookup between code points, their ordinals and their classes.

    Args:
        members: the code points of each class, in the order of their ranks; the ASCII classes
            first, and each of these in the order of its code points.

    Attributes:
        starts: uint32, the first ordinal of each class, by class index.
        sizes: uint32, the number of members of each class, by class index.
    """

    __slots__ = (
        "_ascii_first",
        "_canonical_of",
        "_class_of",
        "_code_of",
        "_narrow_canonical_of",
        "_ordinal_of",
        "sizes",
        "starts",
    )

    def __init__(self, members: list[NDArray[np.uint32]]) -> None:
        classed = np.concatenate(members)
        kept = np.ones(CODE_POINTS, np.bool_)
        kept[classed] = False
        # ASCII stays in place; behind it come the classes, then everything that is kept.
        beyond = classed[classed >= _ASCII]
        rest = np.flatnonzero(kept[_ASCII:]).astype(np.uint32) + np.uint32(_ASCII)
        self._code_of = np.concatenate([np.arange(_ASCII, dtype=np.uint32), beyond, rest])
        self._ordinal_of = np.empty(CODE_POINTS, np.uint32)
        self._ordinal_of[self._code_of] = np.arange(CODE_POINTS, dtype=np.uint32)

        self.sizes: NDArray[np.uint32] = np.array([len(codes) for codes in members], np.uint32)
        self.starts: NDArray[np.uint32] = self._ordinal_of[[codes[0] for codes in members]]
        self._canonical_of = np.arange(CODE_POINTS, dtype=np.uint32)
        self._canonical_of[classed] = np.repeat(self._code_of[self.starts], self.sizes)
        self._narrow_canonical_of = self._canonical_of[: 1 << 16].astype(np.uint16)
        self._class_of = np.full(CODE_POINTS, -1, np.int32)
        self._class_of[[codes[0] for codes in members]] = np.arange(len(members), dtype=np.int32)
        ascii_first = np.arange(256, dtype=np.uint8)
        ascii_first[:_ASCII] = self._canonical_of[:_ASCII]
        self._ascii_first = ascii_first.tobytes()

    def ordinals(self, codes: Codes) -> NDArray[np.unsignedinteger[Any]]:
        """Renumber code points as ordinals; ASCII is returned as it is."""
        return codes if codes.dtype == np.uint8 else self._ordinal_of.take(codes)

    def codes(self, ordinals: NDArray[np.unsignedinteger[Any]]) -> Codes:
        """Renumber ordinals as code points; ASCII, in uint8, is returned as it is."""
        return ordinals if ordinals.dtype == np.uint8 else self._code_of.take(ordinals)

    def canonical(self, codes: Codes) -> Codes:
        """Replace every code point by the first one of its class; those of none stay.

        Args:
            codes: of characters.

        Returns:
            A new array of the same dtype, which all values of one template have in common.
        """
        if codes.dtype == np.uint8:
            # bytes.translate reads a table of 256 entries several times as fast as numpy.
            return np.frombuffer(codes.tobytes().translate(self._ascii_first), np.uint8)
        narrow = codes.dtype == np.uint16
        return (self._narrow_canonical_of if narrow else self._canonical_of).take(codes)

    def classes(self, canonical: Codes) -> NDArray[np.int32]:
        """Return the class index of all that ``canonical`` returned, -1 for kept characters."""
        return self._class_of.take(canonical)


@cache
def alphabets() -> Alphabets:
    """Return the classes of version 1 of the format, read from the table on first use."""
    return Alphabets([members for _, members in _classes()])


@cache
def kinds() -> NDArray[np.uint8]:
    """Return DIGIT, OTHER_DIGIT, LETTER or 0 for every code point, by the same table."""
    kinds = np.zeros(CODE_POINTS, np.uint8)
    for name, members in _classes():
        kinds[members] = OTHER_DIGIT if "digit" in name.split() else LETTER
    kinds[ord("0") : ord("9") + 1] = DIGIT
    return kinds


def _classes() -> Iterator[tuple[str, NDArray[np.uint32]]]:
    """Read the name and the members of every class."""
    table = files(str(__package__)).joinpath("character_classes.txt").read_text("utf-8")
    for line in table.splitlines():
        if not line.startswith("#"):
            name, _, spans = line.partition(":")
            yield name, _members(spans)


def _members(spans: str) -> NDArray[np.uint32]:
    """Read `FIRST-LAST/STEP ...`, hexadecimal, into code points."""
    pieces = []
    for span in spans.split():
        bounds, _, step = span.partition("/")
        first, _, last = bounds.partition("-")
        stop = int(last or first, 16) + 1
        pieces.append(np.arange(int(first, 16), stop, int(step or 1), dtype=np.uint32))
    return np.concatenate(pieces)

"""Sets of characters, and the frozen properties of characters behind the format ``regex``.

The table of properties ships with the package because the interpreter's own Unicode data changes
between versions, and a changed property would make what was encrypted unrecoverable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.tables.character_classes import CODE_POINTS

__all__ = ["ASCII", "CharSet", "caseless", "masks_of", "property_set"]


@dataclass(frozen=True, slots=True)
class CharSet:
    """A set of characters.

    Args:
        bounds: ascending code points at which membership changes; U+0000 is outside before the
            first of them.
    """

    bounds: tuple[int, ...]

    @classmethod
    def of(cls, spans: Iterable[tuple[int, int]]) -> CharSet:
        """Return the characters of inclusive ranges, in any order."""
        bounds: list[int] = []
        for first, last in sorted(spans):
            if bounds and first <= bounds[-1]:
                bounds[-1] = max(bounds[-1], last + 1)
            else:
                bounds += [first, last + 1]
        return cls(tuple(bounds))

    @classmethod
    def where(cls, members: NDArray[np.bool_]) -> CharSet:
        """Return the characters that are flagged, in an array with a flag for each code point."""
        changes = np.flatnonzero(np.diff(members, prepend=False))
        return cls(tuple(changes.tolist()))

    def spans(self) -> Iterator[tuple[int, int]]:
        """Return the members as inclusive ranges."""
        ends = (*self.bounds, CODE_POINTS)
        return ((ends[one], ends[one + 1] - 1) for one in range(0, len(self.bounds), 2))

    def __or__(self, other: CharSet) -> CharSet:
        return CharSet.of([*self.spans(), *other.spans()])

    def __invert__(self) -> CharSet:
        bounds = self.bounds
        return CharSet(bounds[1:] if bounds[:1] == (0,) else (0, *bounds))

    def __and__(self, other: CharSet) -> CharSet:
        return ~(~self | ~other)

    def holds(self, codes: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        """Tell which code points are members."""
        places = np.searchsorted(np.array(self.bounds, np.int64), codes, side="right")
        return (places & 1).astype(np.bool_)


ASCII = CharSet.of([(0, 0x7F)])


def masks_of(sets: Sequence[CharSet], codes: NDArray[np.integer[Any]]) -> list[int]:
    """Return for each character a number whose bit i tells whether it is a member of set i."""
    flags = np.array([one.holds(codes) for one in sets], np.bool_).reshape(len(sets), len(codes))
    packed = np.packbits(flags, axis=0, bitorder="little").T
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


@cache
def property_set(name: str) -> CharSet:
    r"""Return the characters of a property.

    Args:
        name: "decimal", "space" or "word", which are \d, \s and \w without the underscore; or
            "changed": those of which Unicode 14 said something else than the table, or nothing.
    """
    return CharSet.of(
        (code, code if step > 1 else last)
        for first, last, step, _ in _spans(name)
        for code in (range(first, last + 1, step) if step > 1 else (first,))
    )


@lru_cache(1 << 8)
def caseless(characters: CharSet) -> CharSet:
    """Return a set with all characters that differ from a member in case alone."""
    first = _first_cases()
    found = np.zeros(CODE_POINTS, np.bool_)
    found[first[characters.holds(np.arange(CODE_POINTS, dtype=np.uint32))]] = True
    return CharSet.where(found[first])


@cache
def _first_cases() -> NDArray[np.uint32]:
    """Return for each code point the first of those that differ from it in case alone."""
    first = np.arange(CODE_POINTS, dtype=np.uint32)
    for start, last, step, distance in _spans("case"):
        first[start : last + 1 : step] -= np.uint32(distance)
    return first


def _spans(name: str) -> Iterator[tuple[int, int, int, int]]:
    """Read `FIRST-LAST/STEP+DISTANCE ...`, hexadecimal but for the step, of a line of the table."""
    table = files(str(__package__)).joinpath("character_properties.txt").read_text("ascii")
    (line,) = (line for line in table.splitlines() if line.startswith(f"{name}: "))
    for word in line.partition(": ")[2].split():
        span, _, distance = word.partition("+")
        bounds, _, step = span.partition("/")
        first, _, last = bounds.partition("-")
        yield int(first, 16), int(last or first, 16), int(step or 1), int(distance or "0", 16)

"""Values of which only some characters are encrypted; the others are kept and part of the tweak."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import Transformed
from secureml.pseudonymization.formats.classes import transform_text
from secureml.pseudonymization.parsing.templates import find_distinct
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import Permutation, RowTweaks
from secureml.pseudonymization.tables.character_classes import CODE_POINTS, Alphabets, Codes
from secureml.pseudonymization.values.text import Text

__all__ = [
    "Grid",
    "blanked",
    "flags_by_row",
    "grids",
    "kept_of",
    "picked",
    "put",
    "rows_with",
    "transform_pieces",
    "walked",
]

Flags = NDArray[np.bool_]
_PIECE = 1 << 14  # rows whose characters are counted together, in a core's own cache
_SPAN = 1 << 16  # characters that are picked or put together, likewise
_LONGEST_WALK = 1 << 20
_HOLE = CODE_POINTS
"""Stands in what is kept of a value for a character that is not."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The values of one length.

    Args:
        rows: where they are, ascending.
        codes: their characters, shape (rows, width); a copy, or a view that is not to be changed.
        places: where each of these characters stands in the text's codes, or a slice of them all.
    """

    rows: Index
    codes: Codes
    places: Index | slice


def grids(text: Text) -> Iterator[Grid]:
    """Return the values that are not empty, those of each length as a matrix."""
    lengths = text.lengths
    width = int(lengths.max(initial=0))
    if width and len(text.codes) == len(text) * width:
        yield Grid(np.arange(len(text)), text.codes.reshape(-1, width), slice(None))
        return
    widths = np.flatnonzero(np.bincount(lengths, minlength=1)).tolist()
    widths = [width for width in widths if width]
    if len(widths) == 1:
        rows = np.flatnonzero(lengths)
        yield Grid(rows, text.codes.reshape(-1, widths[0]), slice(None))
        return
    for width in widths:
        rows = np.flatnonzero(lengths == width)
        places = text.offsets[rows][:, None] + np.arange(width)
        yield Grid(rows, text.codes[places], places.ravel())


def rows_with(text: Text, flags: Flags) -> Index:
    """Return the rows with a flagged character, ascending.

    Args:
        text: the values.
        flags: shape (characters,).
    """
    found = np.zeros(len(text), np.bool_)
    found[np.searchsorted(text.offsets, np.flatnonzero(flags), side="right") - 1] = True
    return np.flatnonzero(found)


def flags_by_row(text: Text, flags: Flags) -> NDArray[np.int64]:
    """Count the flagged characters of each value, shape (rows,)."""
    counts = np.empty(len(text), np.int64)
    for start in range(0, len(text), _PIECE):
        bounds = text.offsets[start : start + _PIECE + 1]
        counted = np.zeros(bounds[-1] - bounds[0] + 1, np.int32)
        np.cumsum(flags[bounds[0] : bounds[-1]], out=counted[1:])
        counts[start : start + _PIECE] = np.diff(counted[bounds - bounds[0]])
    return counts


def blanked(text: Text, rows: Index) -> Text:
    """Return a text with empty values in some rows."""
    if not len(rows):
        return text
    lengths = text.lengths
    stays = np.ones(len(text), np.bool_)
    stays[rows] = False
    codes = text.codes.compress(np.repeat(stays, lengths))
    return Text(codes, _offsets(np.where(stays, lengths, 0)))


def picked(text: Text, chosen: Flags) -> Text:
    """Return the chosen characters of every value, side by side."""
    codes = [text.codes[span].compress(chosen[span]) for span in _spans(text)]
    return Text(np.concatenate(codes), _offsets(flags_by_row(text, chosen)))


def put(text: Text, chosen: Flags, pieces: Text) -> Text:
    """Return a text with other characters in the chosen places; the inverse of ``picked``."""
    codes = text.codes.astype(np.promote_types(text.codes.dtype, pieces.codes.dtype))
    start = 0
    for span in _spans(text):
        places = np.flatnonzero(chosen[span])  # faster than by flags, which change often
        codes[span][places] = pieces.codes[start : start + len(places)]
        start += len(places)
    return Text(codes, text.offsets)


def kept_of(text: Text, chosen: Flags) -> RowTweaks:
    """Return what is kept of every value where the chosen characters are not: a tweak for each."""
    hole = np.uint8(0xFF) if text.codes.dtype == np.uint8 else np.uint32(_HOLE)

    def seen(span: slice) -> Codes:
        looks: Codes = np.maximum(text.codes[span], chosen[span] * hole)
        return looks  # a hole is beyond all code points

    flat, bounds, number = find_distinct(text.offsets, seen)
    symbols = flat.astype(">u4")
    symbols[flat == hole] = _HOLE
    octets = symbols.tobytes()
    values = [octets[4 * start : 4 * end] for start, end in pairwise(bounds.tolist())]
    return RowTweaks(values, np.zeros(len(text), np.intp) if number is None else number)


def transform_pieces(
    text: Text, chosen: Flags, permutation: Permutation, table: Alphabets, name: str
) -> Transformed:
    """Permute the chosen characters of every value among those of their classes.

    Args:
        text: the values; empty ones stay empty.
        chosen: which characters, shape (characters,); all others are kept.
        permutation: under the key of the column's domain.
        table: the classes.
        name: of the format, which the tweaks begin with.

    Returns:
        As ``transform_text``, but that a value without a chosen character is left out.
    """
    made = transform_text(picked(text, chosen), permutation, table, name, kept_of(text, chosen))
    assert isinstance(made.values, Text)
    return replace(made, values=put(text, chosen, made.values))


def walked(
    text: Text,
    once: Callable[[Text], Transformed],
    outside: Callable[[Text, Index], Index],
) -> Transformed:
    """Permute values within a subset of a domain: again and again until they are in it.

    Args:
        text: the values, all of which are in the subset, or empty.
        once: permutes them within the domain.
        outside: returns which of some rows of a text are not in the subset.

    Raises:
        PseudonymizationError: some values are not in it after a million times.
    """
    made = once(text)
    values = made.values
    assert isinstance(values, Text)
    there = text.lengths > 0
    there[made.small.rows] = False
    rows = outside(values, np.flatnonzero(there))
    for _ in range(_LONGEST_WALK):
        if not len(rows):
            return replace(made, values=values)
        others = np.ones(len(text), np.bool_)
        others[rows] = False
        again = once(blanked(values, np.flatnonzero(others))).values
        assert isinstance(again, Text)
        values = values.replaced(rows, again.strings_at(rows))
        rows = outside(values, rows)
    raise PseudonymizationError(
        f"{len(rows)} values have too few pseudonyms of their format for any to be found"
    )


def _spans(text: Text) -> Iterator[slice]:
    """Cut the characters of all values into spans, one at least."""
    return (slice(start, start + _SPAN) for start in range(0, max(len(text.codes), 1), _SPAN))


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets

"""Layouts: where the digits or letters of a value stand, and what stands between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.parsing.fixed_width import Octets, read_grid
from secureml.pseudonymization.parsing.templates import find_distinct, find_folded
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.tables.character_classes import CODE_POINTS, Codes
from secureml.pseudonymization.values.text import Text

__all__ = ["Layout", "distinct_rows", "find_layouts", "folding"]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Values with the same characters in the same places, but for digits or letters that differ.

    Args:
        folded: the characters; each of those that differ is folded to one for its kind.
        rows: the values that have it, ascending.
        places: where the characters that differ stand.
        characters: these, ASCII, shape (rows, places).
    """

    folded: str
    rows: Index
    places: Index
    characters: Octets

    def written(self, characters: Octets) -> Text:
        """Return values of this layout.

        Args:
            characters: those that differ, shape (any, places).
        """
        grid = np.tile(Text.of([self.folded]).codes, (len(characters), 1))
        grid[:, self.places] = characters
        return Text.of_grid(grid)


@cache
def folding(kept: str, *, letters: bool = False) -> Codes:
    """Return what each code point is folded to: digits to 0, and what can't be in a value to !.

    Args:
        kept: characters beside digits that may be in values.
        letters: whether upper-case letters may be, which are folded to A.
    """
    folded = np.full(CODE_POINTS, ord("!"), np.uint32)
    folded[ord("0") : ord("9") + 1] = ord("0")
    if letters:
        folded[ord("A") : ord("Z") + 1] = ord("A")
    for character in kept:
        folded[ord(character)] = ord(character)
    return folded


def find_layouts(text: Text, fold: Codes, *, marks: str, refused: str = "!") -> Iterator[Layout]:
    """Find the layouts of a column; empty values have none.

    Args:
        text: the values.
        fold: what each code point is folded to: to one of the marks, to the refused one or to
            itself; of ASCII to ASCII.
        marks: what the characters that differ are folded to; they are ASCII.
        refused: what characters are folded to that values of no layout have.
    """
    distinct, number = find_folded(text, fold)
    for one, folded in enumerate(distinct.strings()):
        places = np.flatnonzero([character in marks for character in folded])
        if not len(places) or refused in folded:
            continue
        rows = np.flatnonzero(text.lengths if number is None else number == one)
        grid = read_grid(text, rows, len(folded))
        yield Layout(folded, rows, places, grid[:, places].astype(np.uint8, copy=False))


def distinct_rows(matrix: NDArray[np.uint8]) -> tuple[list[bytes], Index]:
    """Return the distinct rows of a matrix that has columns, and the number of each row."""
    count, width = matrix.shape
    flat, bounds, number = find_distinct(
        np.arange(count + 1) * width, matrix.reshape(-1).__getitem__
    )
    octets = flat.tobytes()
    distinct = [octets[start:end] for start, end in pairwise(bounds.tolist())]
    return distinct, np.zeros(count, np.intp) if number is None else number

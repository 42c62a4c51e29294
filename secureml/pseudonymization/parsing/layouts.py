"""Layouts: where the digits or letters of a value stand, and what stands between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.parsing.templates import find_distinct, find_folded
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import CHUNK
from secureml.pseudonymization.tables.character_classes import Codes
from secureml.pseudonymization.values.text import Text

__all__ = ["Layout", "distinct_rows", "find_layouts"]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Values with the same characters in the same places, but for those that were folded.

    Args:
        folded: the characters after folding.
        rows: the values that have it, ascending.
        offsets: int64, where each value of the column starts, and the end.
    """

    folded: str
    rows: Index
    offsets: NDArray[np.int64]

    def at(self, members: NDArray[Any]) -> Layout:
        """Return the layout of some of its values, chosen by flags or numbers."""
        return replace(self, rows=self.rows[members])

    def places(self, marks: str) -> Index:
        """Return where some characters stand in the folded ones."""
        return np.flatnonzero([character in marks for character in self.folded])

    def take(self, codes: Codes, places: Index) -> NDArray[np.uint8]:
        """Return ASCII characters of every value, shape (rows, places)."""
        if self._alone(codes):
            cells = codes.reshape(-1, len(self.folded))
            if len(places) == len(self.folded):
                return cells.astype(np.uint8)
            return cells[:, places].astype(np.uint8, copy=False)
        taken = np.empty((len(self.rows), len(places)), np.uint8)
        for part in self._parts():
            taken[part] = codes[self.offsets[self.rows[part], None] + places]
        return taken

    def put(self, codes: Codes, places: Index, cells: NDArray[np.uint8]) -> None:
        """Write characters of every value; the inverse of ``take``."""
        if self._alone(codes):
            codes.reshape(-1, len(self.folded))[:, places] = cells
            return
        for part in self._parts():
            codes[self.offsets[self.rows[part], None] + places] = cells[part]

    def _alone(self, codes: Codes) -> bool:
        return len(codes) == len(self.rows) * len(self.folded)

    def _parts(self) -> Iterator[slice]:
        return (slice(start, start + CHUNK) for start in range(0, len(self.rows), CHUNK))


def find_layouts(text: Text, fold: Codes) -> list[Layout]:
    """Find the layouts of a column; empty values have none.

    Args:
        text: the values.
        fold: what each code point is folded to, of ASCII to ASCII.
    """
    distinct, number = find_folded(text, fold)
    names = distinct.strings()
    if number is None:
        return [Layout(names[0], np.flatnonzero(text.lengths), text.offsets)]
    if not names:
        return []
    order = np.argsort(number.astype(np.min_scalar_type(len(names))), kind="stable")
    ends = np.cumsum(np.bincount(number, minlength=len(names)))
    return [
        Layout(name, rows, text.offsets)
        for name, rows in zip(names, np.split(order, ends[:-1]), strict=True)
        if name
    ]


def distinct_rows(cells: NDArray[np.uint8]) -> tuple[list[bytes], Index]:
    """Return the distinct rows of a matrix that has columns, and the number of each row."""
    count, width = cells.shape
    flat, bounds, number = find_distinct(
        np.arange(count + 1) * width, cells.reshape(-1).__getitem__
    )
    octets = flat.tobytes()
    distinct = [octets[start:end] for start, end in pairwise(bounds.tolist())]
    return distinct, np.zeros(count, np.intp) if number is None else number

"""Values of which only some characters are encrypted; the others are kept and part of the tweak."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.parsing.templates import find_distinct
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.tables.character_classes import CODE_POINTS, Codes
from secureml.pseudonymization.values.text import Text

__all__ = ["ChosenCharacters"]

_SPAN = 1 << 16  # characters that are picked or put together, in a core's own cache
_HOLE = CODE_POINTS
"""Stands in what is kept of a value for a character that is not."""


@dataclass(frozen=True, slots=True, eq=False)
class ChosenCharacters:
    """Some characters of every value.

    Args:
        text: the values.
        flags: which characters, shape (characters,).
    """

    text: Text
    flags: NDArray[np.bool_]

    def __getitem__(self, members: Index) -> ChosenCharacters:
        """Return those of some values."""
        return ChosenCharacters(self.text.at(members), self.flags[self.text.places(members)])

    def picked(self) -> Text:
        """Return the chosen characters of every value, side by side."""
        codes = [self.text.codes[span].compress(self.flags[span]) for span in self._spans()]
        return Text.of_lengths(np.concatenate(codes), self.text.counts(self.flags))

    def put(self, picked: Text) -> Text:
        """Return the text with other characters in the chosen places; undoes ``picked``."""
        codes = self.text.codes.astype(np.promote_types(self.text.codes.dtype, picked.codes.dtype))
        start = 0
        for span in self._spans():
            places = np.flatnonzero(self.flags[span])  # faster than by flags, which change often
            codes[span][places] = picked.codes[start : start + len(places)]
            start += len(places)
        return Text(codes, self.text.offsets)

    def kept(self) -> RowTweaks:
        """Return what is kept of every value where the chosen characters are not."""
        narrow = self.text.codes.dtype == np.uint8
        hole = np.uint8(0xFF) if narrow else np.uint32(_HOLE)

        def context(span: slice) -> Codes:
            codes: Codes = np.maximum(self.text.codes[span], self.flags[span] * hole)
            return codes  # a hole is beyond all code points

        flat, bounds, number = find_distinct(self.text.offsets, context)
        symbols = flat.astype(">u4")
        symbols[flat == hole] = _HOLE
        octets = symbols.tobytes()
        values = [octets[4 * start : 4 * end] for start, end in pairwise(bounds.tolist())]
        return RowTweaks(values, np.zeros(len(self.text), np.intp) if number is None else number)

    def _spans(self) -> Iterator[slice]:
        """Cut the characters of all values into spans, one at least."""
        count = max(len(self.text.codes), 1)
        return (slice(start, start + _SPAN) for start in range(0, count, _SPAN))

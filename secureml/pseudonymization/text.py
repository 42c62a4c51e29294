"""A column of strings as two arrays: every character in one, and where each value ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secureml.pseudonymization.alphabets import Codes

__all__ = ["Text"]

_EXACT = "surrogatepass"  # a lone surrogate is a character like any other


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """Strings side by side. A null is an empty string here; its place is the frame's to keep.

    Args:
        codes: the code points of all values: uint8 if all of them are ASCII, otherwise uint32.
        offsets: int64, shape (values + 1,), from 0 to len(codes): value i is
            codes[offsets[i]:offsets[i + 1]].
    """

    codes: Codes
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, strings: Sequence[str]) -> Text:
        """Put strings side by side."""
        offsets = np.zeros(len(strings) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, strings), np.int64, len(strings)), out=offsets[1:])
        return cls(_codes("".join(strings)), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of characters of each value."""
        lengths: NDArray[np.int64] = np.diff(self.offsets)
        return lengths

    def strings(self) -> list[str]:
        """Return every value as a Python string."""
        if self.codes.dtype == np.uint8:  # Arrow makes Python strings of octets fastest
            buffers = [None, pa.py_buffer(self.offsets), pa.py_buffer(self.codes)]
            array = pa.Array.from_buffers(pa.large_string(), len(self), buffers)
            return list(array.to_numpy(zero_copy_only=False))
        joined = _string(self.codes)
        return [joined[start:stop] for start, stop in pairwise(self.offsets.tolist())]

    def strings_at(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the values of some rows as Python strings."""
        bounds = zip(self.offsets[rows].tolist(), self.offsets[rows + 1].tolist(), strict=True)
        return [_string(self.codes[start:stop]) for start, stop in bounds]

    def starting_with(self, character: str) -> NDArray[np.int64]:
        """Return the rows whose value starts with a character, in ascending order."""
        filled: NDArray[np.int64] = np.flatnonzero(self.lengths)
        rows: NDArray[np.int64] = filled[self.codes[self.offsets[filled]] == ord(character)]
        return rows

    def replaced(self, rows: NDArray[np.int64], strings: Sequence[str]) -> Text:
        """Return a text with other values in some rows.

        Args:
            rows: which, each once.
            strings: their new values.
        """
        if not len(rows):
            return self
        new = Text.of(strings)
        dtype = np.promote_types(self.codes.dtype, new.codes.dtype)
        source = np.concatenate([self.codes, new.codes], dtype=dtype)
        starts, lengths = self.offsets[:-1].copy(), self.lengths
        starts[rows] = new.offsets[:-1] + len(self.codes)
        lengths[rows] = new.lengths
        offsets = np.zeros(len(self) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        places = np.repeat(starts - offsets[:-1], lengths)
        places += np.arange(len(places))
        return Text(source[places], offsets)


def _codes(joined: str) -> Codes:
    if joined.isascii():
        return np.frombuffer(joined.encode("ascii"), np.uint8)
    return np.frombuffer(joined.encode("utf-32-le", _EXACT), "<u4").astype(np.uint32, copy=False)


def _string(codes: Codes) -> str:
    if codes.dtype == np.uint8:
        return str(codes.data, "ascii")
    return str(codes.astype("<u4", copy=False).data, "utf-32-le", _EXACT)

"""A column of strings as two arrays: every character in one, and where each value ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal
from unicodedata import category, normalize, unidata_version

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.tables.character_classes import Codes

__all__ = ["Text", "common_width", "count_by_row"]

_FIRST_MARK = 0x300
_FEW = 16  # rows to each that is replaced, from which on what lies between is copied as a whole
_PIECE = 1 << 16  # values whose lengths are looked at together
_NEAR = 1 << 14  # values whose characters are counted together, in a core's own cache
_EXACT = "surrogatepass"  # a lone surrogate is a character like any other


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """Strings side by side. A null is an empty string here; its place is the frame's to keep.

    Args:
        codes: the code points of all values: uint8 if all of them are ASCII, otherwise uint16 or
            uint32.
        offsets: int64, shape (values + 1,), from 0 to len(codes): value i is
            codes[offsets[i]:offsets[i + 1]].
    """

    codes: Codes
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, strings: Sequence[str]) -> Text:
        """Put strings side by side."""
        lengths = np.fromiter(map(len, strings), np.int64, len(strings))
        return cls(_codes("".join(strings)), _offsets(lengths))

    @classmethod
    def of_grid(cls, grid: Codes) -> Text:
        """Take values of one length, one a row."""
        return cls(grid.reshape(-1), np.arange(len(grid) + 1) * grid.shape[1])

    @classmethod
    def of_lengths(cls, codes: Codes, lengths: NDArray[np.integer[Any]]) -> Text:
        """Take values side by side, of which the lengths are known."""
        return cls(codes, _offsets(lengths))

    @classmethod
    def of_sparse(cls, grid: NDArray[np.uint8]) -> Text:
        """Take values, one a row, with zeros among their characters, which don't count."""
        used = grid != 0
        return cls(grid[used], _offsets(count_by_row(used)))

    @staticmethod
    def scattered(count: int, parts: Sequence[tuple[NDArray[np.int64], Text]]) -> Text:
        """Make a text of values that are given in parts; all other rows are empty.

        Args:
            count: the number of rows.
            parts: the rows, ascending, and the values of each; each row is once there at most.
        """
        lengths = np.zeros(count, np.int64)
        for rows, part in parts:
            lengths[rows] = part.lengths
        offsets = _offsets(lengths)
        if len(parts) == 1:
            return Text(parts[0][1].codes, offsets)
        dtype = np.result_type(np.uint8, *[part.codes for _, part in parts])
        whole = Text(np.empty(int(offsets[-1]), dtype), offsets)
        for rows, part in parts:
            first, last = offsets[rows[0]], offsets[rows[-1] + 1]
            if last - first == len(part.codes):
                whole.codes[first:last] = part.codes
            else:
                whole.codes[whole.places(rows)] = part.codes
        return whole

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
            strings: list[str] = array.to_pylist()
            return strings
        joined = _string(self.codes)
        return [joined[start:stop] for start, stop in pairwise(self.offsets.tolist())]

    def strings_at(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the values of some rows as Python strings."""
        return self.at(rows).strings()

    def at(self, rows: NDArray[np.int64] | slice) -> Text:
        """Return the text of some rows, each as often as it is named, or of a slice of them."""
        if isinstance(rows, slice):
            offsets = self.offsets[rows.start : rows.stop + 1]
            return Text(self.codes[offsets[0] : offsets[-1]], offsets - offsets[0])
        offsets = _offsets(self.offsets[rows + 1] - self.offsets[rows])
        return Text(self.codes[self.places(rows)], offsets)

    def places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where the characters of some rows lie, one row after another."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        places = np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
        places += np.arange(len(places))
        return places

    def normalized(self, form: Literal["NFC"]) -> Text:
        """Return the text with every value in a Unicode normalization form (UAX #15).

        Args:
            form: NFC; what lies below U+0300 is in it already.

        Raises:
            PseudonymizationError: some values have characters that this interpreter's version of
                Unicode does not assign: a later one may normalize them in another way, while all
                later ones agree about the others (UAX #15, section 3).
        """
        if self.codes.dtype == np.uint8:
            return self
        marked = np.flatnonzero(self.codes >= _FIRST_MARK)
        unknown = [code for code in np.unique(self.codes[marked]).tolist() if _is_unassigned(code)]
        if unknown:
            places = np.flatnonzero(np.isin(self.codes, unknown))
            count = len(np.unique(np.searchsorted(self.offsets, places, side="right")))
            raise PseudonymizationError(
                f"{count} values have characters that Unicode {unidata_version} of this Python"
                f" does not know, so that other versions may normalize them in another way: take a"
                f" newer Python, or don't normalize the column to {form}"
            )
        rows = np.unique(np.searchsorted(self.offsets, marked, side="right") - 1)
        return self.replaced(rows, [normalize(form, one) for one in self.strings_at(rows)])

    @staticmethod
    def joined(parts: Sequence[Text]) -> Text:
        """Return the values of several texts, one after the other."""
        ends = np.cumsum([0] + [len(part.codes) for part in parts]).tolist()
        rows = np.cumsum([0] + [len(part) for part in parts]).tolist()
        codes = np.empty(ends[-1], np.result_type(*[part.codes for part in parts]))
        offsets = np.empty(rows[-1] + 1, np.int64)
        for part, start, row in zip(parts, ends, rows, strict=False):
            codes[start : start + len(part.codes)] = part.codes
            np.add(part.offsets, start, out=offsets[row : row + len(part) + 1])
        return Text(codes, offsets)

    def starting_with(self, character: str) -> NDArray[np.int64]:
        """Return the rows whose value starts with a character, in ascending order."""
        filled: NDArray[np.int64] = np.flatnonzero(self.lengths)
        rows: NDArray[np.int64] = filled[self.codes[self.offsets[filled]] == ord(character)]
        return rows

    def blanked(self, rows: NDArray[np.int64]) -> Text:
        """Return the text with empty values in some rows."""
        stays, rest = self.without(rows)
        return Text.scattered(len(self), [(stays, rest)]) if len(rows) else self

    def without(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.intp], Text]:
        """Leave some rows out.

        Returns:
            The other rows, and their text.
        """
        if not len(rows):
            return np.arange(len(self)), self
        stays = np.ones(len(self), np.bool_)
        stays[rows] = False
        lengths = self.lengths
        codes = self.codes.compress(np.repeat(stays, lengths))
        return np.flatnonzero(stays), Text(codes, _offsets(lengths[stays]))

    def rows_with(self, flags: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the rows that have a flagged character, ascending.

        Args:
            flags: shape (characters,).
        """
        found = np.zeros(len(self), np.bool_)
        found[np.searchsorted(self.offsets, np.flatnonzero(flags), side="right") - 1] = True
        return np.flatnonzero(found)

    def counts(self, flags: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Count the flagged characters of each value.

        Args:
            flags: shape (characters,).
        """
        counts = np.empty(len(self), np.int64)
        for start in range(0, len(self), _NEAR):
            bounds = self.offsets[start : start + _NEAR + 1]
            counted = np.zeros(bounds[-1] - bounds[0] + 1, np.int32)
            np.cumsum(flags[bounds[0] : bounds[-1]], out=counted[1:])
            counts[start : start + _NEAR] = np.diff(counted[bounds - bounds[0]])
        return counts

    def replaced(self, rows: NDArray[np.int64], strings: Sequence[str]) -> Text:
        """Return a text with other values in some rows.

        Args:
            rows: which, each once.
            strings: their new values.
        """
        if not len(rows):
            return self
        order = np.argsort(rows, kind="stable")
        places: list[int] = order.tolist()
        rows, new = rows[order], Text.of([strings[place] for place in places])
        lengths = self.lengths
        lengths[rows] = new.lengths
        offsets = _offsets(lengths)
        dtype = np.promote_types(self.codes.dtype, new.codes.dtype)
        if len(rows) < len(self) // _FEW:
            return Text(_spliced(self, rows, new).astype(dtype, copy=False), offsets)
        replaced = np.zeros(len(self), np.bool_)
        replaced[rows] = True
        codes = np.empty(offsets[-1], dtype)
        fresh = np.repeat(replaced, lengths)  # a flag for each character is an eighth of its place
        codes[fresh] = new.codes
        codes[~fresh] = self.codes[~np.repeat(replaced, self.lengths)]
        return Text(codes, offsets)


def common_width(offsets: NDArray[np.integer[Any]]) -> int:
    """Return the length that all values have; 0 if there are none, or they differ.

    Args:
        offsets: where each value starts, and the end.
    """
    count = len(offsets) - 1
    width = int(offsets[1] - offsets[0]) if count > 0 else 0
    if int(offsets[-1]) - int(offsets[0]) != width * count:
        return 0
    pieces = (offsets[start : start + _PIECE + 1] for start in range(0, count, _PIECE))
    return width if all((np.diff(piece) == width).all() for piece in pieces) else 0


def count_by_row(flags: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Count the flags of each row: eight columns at a time, as numpy is slow at short rows."""
    width = -(-flags.shape[1] // 8) * 8
    if width > flags.shape[1]:
        flags = np.pad(flags, [(0, 0), (0, width - flags.shape[1])])
    total = np.zeros(len(flags), np.uint64)
    for column in flags.view(np.uint64).T:
        total += column
    # The product's highest octet is the sum of all of them.
    return total * np.uint64(0x0101_0101_0101_0101) >> np.uint64(56)


def _offsets(lengths: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return where values of these lengths start side by side, and the end."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _is_unassigned(code: int) -> bool:
    """Tell whether a later version of Unicode may assign a code point."""
    never = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF  # noncharacters
    return not never and category(chr(code)) == "Cn"


def _spliced(text: Text, rows: NDArray[np.int64], new: Text) -> Codes:
    """Return the characters with those of some rows, in ascending order, replaced."""
    cuts, resumed = text.offsets[rows].tolist(), text.offsets[rows + 1].tolist()
    pieces = []
    for start, cut, (first, last) in zip(
        [0, *resumed], cuts, pairwise(new.offsets.tolist()), strict=False
    ):
        pieces += [text.codes[start:cut], new.codes[first:last]]
    return np.concatenate([*pieces, text.codes[resumed[-1] :]])


def _codes(joined: str) -> Codes:
    if joined.isascii():
        return np.frombuffer(joined.encode("ascii"), np.uint8)
    codes = np.frombuffer(joined.encode("utf-32-le", _EXACT), "<u4")
    return codes.astype(np.uint16 if codes.max() < 0x10000 else np.uint32, copy=False)


def _string(codes: Codes) -> str:
    if codes.dtype == np.uint8:
        return str(codes.data, "ascii")
    return str(codes.astype("<u4", copy=False).data, "utf-32-le", _EXACT)

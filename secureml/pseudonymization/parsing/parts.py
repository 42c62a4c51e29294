"""Numbers between separators, such as the parts of an address, read for whole columns."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.parsing.fixed_width import narrowed
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.values.text import Text

__all__ = ["read_parts"]

_LONGEST = 4
_NO_DIGITS = 1 << 20


def read_parts(
    text: Text, separator: str, count: int, digits: str, limit: int
) -> tuple[Index, NDArray[np.uint32]]:
    """Read numbers that are written without leading zeros.

    Args:
        text: the values.
        separator: what stands between two numbers of a value, an ASCII character.
        count: how many numbers a value has: 2, 4 or 8.
        digits: the digits from zero on, 10 or 16 ASCII characters.
        limit: what numbers are below, at most what four digits can write.

    Returns:
        The rows that are written so, ascending, and their numbers, shape (rows, count).
    """
    codes = narrowed(text.codes)
    rows, ends = _ends(text, codes == ord(separator), count)
    lengths = np.empty_like(ends)  # and one more each
    np.subtract(ends.reshape(-1)[1:], ends.reshape(-1)[:-1], out=lengths.reshape(-1)[1:])
    np.subtract(ends[:, 0], text.offsets[rows] - 1, out=lengths[:, 0])
    np.minimum(lengths, len(_OWN) - 1, out=lengths)
    # Each word is the four characters up to the end of a number, zeros in place of those before it.
    behind = np.concatenate([np.zeros(_LONGEST, np.uint8), codes])
    words = np.ndarray((len(codes) + 1,), "<u4", behind, 0, (1,)).take(ends)
    words ^= _ZEROS
    words &= _OWN.take(lengths)
    words ^= _ZEROS
    pairs = _values(digits).take(words.view("<u2").reshape(-1))
    base = len(digits)
    numbers = (pairs[::2] * np.uint32(base * base) + pairs[1::2]).reshape(-1, count)
    least = np.array([limit, limit, 0, base, base**2, base**3, limit], np.uint32)
    written = (numbers >= least.take(lengths)) & (numbers < limit)
    fits = written.view(f"u{count}")[:, 0] == int.from_bytes(b"\1" * count, "big")
    return (rows, numbers) if fits.all() else (rows[fits], numbers[fits])


def _ends(text: Text, marks: NDArray[np.bool_], count: int) -> tuple[Index, Index]:
    """Return which rows have one mark less than parts, and where each of their parts ends."""
    rows, places = np.arange(len(text)), np.flatnonzero(marks)
    first, last = text.offsets[:-1], text.offsets[1:]
    if (
        len(places) != len(rows) * (count - 1)
        or not ((places[:: count - 1] >= first) & (places[count - 2 :: count - 1] < last)).all()
    ):
        found = text.counts(marks)
        chosen = found == count - 1
        rows, places = np.flatnonzero(chosen), places[np.repeat(chosen, found)]
    ends = np.empty((len(rows), count), np.intp)
    ends[:, :-1], ends[:, -1] = places.reshape(len(rows), count - 1), last[rows]
    return rows, ends


@cache
def _values(digits: str) -> NDArray[np.uint32]:
    """Return the numbers that two digits are, by the little-endian word of their characters."""
    table = np.full(256, _NO_DIGITS, np.uint32)
    table[[ord(digit) for digit in digits]] = np.arange(len(digits))
    pairs: NDArray[np.uint32] = table * np.uint32(len(digits)) + table[:, None]
    return pairs.ravel()


_ZEROS = np.uint32(0x3030_3030)
_OWN = np.array([0, 0, 0xFF00_0000, 0xFFFF_0000, 0xFFFF_FF00, 0xFFFF_FFFF, 0], np.uint32)
"""By how far apart two ends are: the octets of a number between them, of up to four digits."""

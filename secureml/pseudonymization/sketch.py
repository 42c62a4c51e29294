"""A sketch of a column's pseudonyms, which tells its rows from those of another table.

Every pseudonym has a place in an order that the key defines: 32 bits mixed of some of its
characters, which is fast for whole columns, then 32 bits of its HMAC. A sketch holds the
places of the first ones. Of a table with some of the same rows, in whatever order, every
pseudonym whose place is not behind the sketch's last one has to be in the sketch. If rows have
tweaks, pairs of a pseudonym and its tweak have places in the same way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from numpy.typing import NDArray

from secureml.errors import ManifestError
from secureml.pseudonymization.ranking.mixed_radix import Index, Words
from secureml.pseudonymization.ranking.permutation import CHUNK, RowTweaks
from secureml.pseudonymization.tables.character_classes import Codes
from secureml.pseudonymization.values.buffers import array_of, numbers_in
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text, common_width
from secureml.secret_types import SecretBytes, conceal

__all__ = ["SIZE", "Sketch", "SketchSeal", "Sketcher", "merged_sketches"]

SIZE = 64
"""How many places a sketch has at most; with fewer it holds those of all pseudonyms."""

_FEW = 1 << 12  # rows that are looked at one by one without a thought
_NONCE = 16  # octets before a sealed sketch
_PLACE = 8  # octets of a place
_WIDTH = 8  # characters that are mixed at either end, and in the middle of long values
_HALF = np.uint64(32)

Mixes = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Sketch:
    """What tells the rows of one key version of a column from those of another table.

    Args:
        values: of the pseudonyms: encrypted, or places, as schema 2 had them; None if not known.
        pairs: of pseudonyms with their tweaks, in the same way; None if there are none.
    """

    values: str | tuple[str, ...] | None
    pairs: str | tuple[str, ...] | None = None


class Sketcher:
    """Takes sketches, and holds columns against them.

    Args:
        key: 56 octets, for this purpose alone.

    Raises:
        ValueError: the key has another length.
    """

    __slots__ = ("_factors", "_mac")

    def __init__(self, key: bytes | SecretBytes) -> None:
        key = conceal(key)
        if len(key) != 56:
            raise ValueError(f"a key for sketches has 56 octets, not {len(key)}")
        self._mac = HMAC(key.reveal()[:32], SHA256())
        self._factors = np.frombuffer(key.reveal()[32:], ">u8").astype(np.uint64) | np.uint64(1)

    def sketch(
        self, pseudonyms: Text | WholeNumbers, tweaks: RowTweaks | None = None
    ) -> tuple[str, ...]:
        """Return the first places of pseudonyms, which may repeat; empty strings don't count.

        Args:
            pseudonyms: of a column.
            tweaks: of the same rows, if the places are to be of pairs.

        Returns:
            Up to SIZE places, ascending, hexadecimal.
        """
        values, tweaks = _filled(pseudonyms, tweaks)
        mixes = self._mixed(values, tweaks)
        # Only what comes first is looked at: more of it, until enough of that is distinct.
        wanted = 2 * SIZE
        while len(mixes) > _FEW and wanted < len(mixes) // 4:
            likely = np.flatnonzero(mixes < (wanted << 32) // len(mixes))
            some = _distinct(*_at(likely, values, tweaks))
            if len(some[0]) >= SIZE:
                return self._first(*some)
            wanted *= 64
        return self._first(*_distinct(values, tweaks))

    def fits(
        self,
        sketch: Sequence[str],
        pseudonyms: Text | WholeNumbers,
        tweaks: RowTweaks | None = None,
    ) -> bool:
        """Tell whether pseudonyms can be some of those that a sketch was taken of.

        Args:
            sketch: that ``sketch`` returned.
            pseudonyms: of the same kind as those.
            tweaks: of the same rows, if the sketch is of pairs.
        """
        values, tweaks = _filled(pseudonyms, tweaks)
        mixes = self._mixed(values, tweaks)
        known = np.array([int(place[:8], 16) for place in sketch], np.uint32)
        full = len(sketch) >= SIZE
        rows = np.flatnonzero(mixes <= known[-1]) if full else np.arange(len(mixes))
        if not np.isin(mixes[rows], known).all():
            return False
        if len(rows) > _FEW:
            values, tweaks = _distinct(*_at(rows, values, tweaks))
            mixes = self._mixed(values, tweaks)
            rows = np.arange(len(mixes))
        places = self._places(values, tweaks, rows, mixes)
        return {place for place in places if not full or place <= sketch[-1]} <= {*sketch}

    def _first(self, values: Text | WholeNumbers, tweaks: RowTweaks | None) -> tuple[str, ...]:
        """Return the first places of what is distinct."""
        mixes = self._mixed(values, tweaks)
        first = np.arange(len(mixes))
        if len(mixes) > SIZE:
            first = np.flatnonzero(mixes <= np.partition(mixes, SIZE - 1)[SIZE - 1])
        return tuple(sorted(self._places(values, tweaks, first, mixes))[:SIZE])

    def _places(
        self, values: Text | WholeNumbers, tweaks: RowTweaks | None, rows: Index, mixes: Mixes
    ) -> set[str]:
        strings = values.at(rows).strings()
        numbers = [-1] * len(rows) if tweaks is None else tweaks.number[rows].tolist()
        distinct = dict(zip(zip(strings, numbers, strict=True), mixes[rows].tolist(), strict=True))
        return {
            f"{mix:08x}{self._digest(string, None if tweaks is None else tweaks.values[number])}"
            for (string, number), mix in distinct.items()
        }

    def _digest(self, string: str, tweak: bytes | None) -> str:
        octets = string.encode("utf-8", "surrogatepass")
        if tweak is not None:
            octets = len(octets).to_bytes(8, "big") + octets + tweak
        mac = self._mac.copy()
        mac.update(octets)
        return mac.finalize()[:4].hex()

    def _mixed(self, values: Text | WholeNumbers, tweaks: RowTweaks | None) -> Mixes:
        """Mix some characters of each value, or the digits and the sign of a number."""
        mixes = np.empty(len(values), np.uint32)
        words_of = _windows(values) if isinstance(values, Text) else _words(values)
        _, second, third = self._factors
        of_tweaks = None
        if tweaks is not None:
            texts = _text(tweaks.values)
            of_tweaks = tweaks.number, self._sum(*_windows(texts)(slice(0, len(texts))))

        for start in range(0, len(values), CHUNK):
            rows = slice(start, min(start + CHUNK, len(values)))
            mixed = self._sum(*words_of(rows))
            if of_tweaks is not None:
                number, sums = of_tweaks
                mixed += sums[number[rows]] * second
            mixed *= third
            mixed >>= _HALF
            mixes[rows] = mixed
        return mixes

    def _sum(self, start: Any, end: Any, *others: Any) -> Any:
        first, second, _ = self._factors
        mixed = start * first
        mixed += end
        for middle in others:
            mixed += middle * second
        return mixed


class SketchSeal:
    """Encrypts sketches with AES-256-SIV under a nonce each, and binds them to their column.

    All are of one length, so that the number of distinct values does not show.

    Args:
        key: 64 octets, for this purpose alone.

    Source: RFC 5297, section 3.
    """

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes | SecretBytes) -> None:
        self._cipher = AESSIV(conceal(key).reveal())

    def seal(
        self, kind: str, column: str, places: tuple[str, ...], nonce: bytes | None = None
    ) -> str:
        """Encrypt a sketch.

        Args:
            kind: "values" or "pairs".
            column: the name of the column.
            places: up to SIZE places.
            nonce: 16 octets; random by default.

        Returns:
            The nonce and what AES-SIV makes, hexadecimal.
        """
        nonce = os.urandom(_NONCE) if nonce is None else nonce
        octets = bytes([len(places)]) + bytes.fromhex("".join(places))
        octets = octets.ljust(1 + SIZE * _PLACE, b"\0")
        return (nonce + self._cipher.encrypt(octets, [*_bound(kind, column), nonce])).hex()

    def open(self, kind: str, column: str, sealed: str) -> tuple[str, ...]:
        """Decrypt a sketch; the inverse of ``seal``.

        Raises:
            ManifestError: it is none that was sealed for this column under this key.
        """
        octets = None
        try:
            data = bytes.fromhex(sealed)
            nonce = data[:_NONCE]
            octets = self._cipher.decrypt(data[_NONCE:], [*_bound(kind, column), nonce])
        except (ValueError, InvalidTag):
            octets = None
        if octets is None:
            raise ManifestError("the manifest can't be used: a sketch in it can't be decrypted")
        ends = range(1, 1 + octets[0] * _PLACE, _PLACE)
        return tuple(octets[start : start + _PLACE].hex() for start in ends)


def merged_sketches(*sketches: Sequence[str]) -> tuple[str, ...]:
    """Return the sketch of all pseudonyms that the sketches were taken of."""
    return tuple(sorted({place for sketch in sketches for place in sketch})[:SIZE])


def _filled(
    values: Text | WholeNumbers, tweaks: RowTweaks | None
) -> tuple[Text | WholeNumbers, RowTweaks | None]:
    """Leave out empty strings, and the sign of zeros, which files of text drop."""
    if isinstance(values, WholeNumbers):
        zeros = values.negative & (values.magnitudes == 0)
        negative = values.negative & ~zeros if zeros.any() else values.negative
        return WholeNumbers(values.magnitudes, negative, values.limits), tweaks
    filled = values.offsets[1:] > values.offsets[:-1]
    if filled.all():
        return values, tweaks
    # Empty strings have no characters to leave out.
    text = Text(values.codes, np.append(0, np.cumsum(values.lengths[filled])))
    return text, None if tweaks is None else tweaks.at(np.flatnonzero(filled))


def _at(
    rows: Index, values: Text | WholeNumbers, tweaks: RowTweaks | None
) -> tuple[Text | WholeNumbers, RowTweaks | None]:
    return values.at(rows), None if tweaks is None else tweaks.at(rows)


def _distinct(
    values: Text | WholeNumbers, tweaks: RowTweaks | None
) -> tuple[Text | WholeNumbers, RowTweaks | None]:
    if not len(values):
        return values, tweaks
    if isinstance(values, WholeNumbers):
        codes = _codes(array_of(values.magnitudes)) * 2 + values.negative
    else:
        codes = _codes(_octets(values))
    if tweaks is not None:
        codes = codes * len(tweaks.values) + tweaks.number
    codes = _codes(array_of(codes))
    first = np.empty(codes.max() + 1, np.intp)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # of equal places the last one written stays
    return _at(first, values, tweaks)


def _codes(array: pa.Array) -> Any:
    return numbers_in(array.dictionary_encode().indices, np.int32).astype(np.int64)


def _text(tweaks: Sequence[bytes]) -> Text:
    """Return octets as if each were a character."""
    offsets = np.append(0, np.cumsum([len(tweak) for tweak in tweaks]))
    return Text(np.frombuffer(b"".join(tweaks), np.uint8), offsets)


def _octets(text: Text) -> Any:
    buffers = [None, pa.py_buffer(text.offsets * text.codes.itemsize), pa.py_buffer(text.codes)]
    return pa.Array.from_buffers(pa.large_binary(), len(text), buffers)


def _words(numbers: WholeNumbers) -> Callable[[slice], tuple[Any, ...]]:
    """Return a function that returns two words of each of some rows."""
    return lambda rows: (numbers.magnitudes[rows], numbers.negative[rows].astype(np.uint64))


def _windows(text: Text) -> Callable[[slice], tuple[Any, ...]]:
    """Return a function that returns words of each of some rows.

    They are the low octets of the first, the last and the middle characters. There is no middle
    if no value has characters between the first and the last.
    """
    width = common_width(text.offsets)
    if width >= _WIDTH:
        octets = text.codes.astype(np.uint8, copy=False)
        offsets = [0, width - _WIDTH, _middle(width)][: 3 if width > 2 * _WIDTH else 2]
        views = [_every(octets, offset, len(text), width) for offset in offsets]
        return lambda rows: tuple(view[rows] for view in views)
    pad = np.zeros(_WIDTH, np.uint8)

    def gathered(rows: slice) -> tuple[Any, ...]:
        bounds = text.offsets[rows.start : rows.stop + 1]
        here = text.codes[bounds[0] : bounds[-1]].astype(np.uint8, copy=False)
        words = _every(np.concatenate([pad, here, pad]), 0, len(here) + _WIDTH + 1, 1)
        begin, size = bounds[:-1] - bounds[0], np.diff(bounds)
        beyond = (8 * np.maximum(_WIDTH - size, 0)).astype(np.uint64)
        first, last = words[begin + _WIDTH] << beyond, words[begin + size] >> beyond
        long = size > 2 * _WIDTH
        if not long.any():
            return first, last
        middle = words[(begin + _WIDTH + _middle(size)) * long]
        middle *= long
        return first, last, middle

    return gathered


def _middle(width: Any) -> Any:
    return (width - _WIDTH) // 2


def _every(octets: Codes, offset: int, count: int, step: int) -> Words:
    """Return a view of octets as little-endian words, one each so many octets."""
    return np.ndarray((count,), "<u8", octets.data, offset, (step,))


def _bound(kind: str, column: str) -> tuple[bytes, bytes]:
    return kind.encode(), column.encode("utf-8", "surrogatepass")

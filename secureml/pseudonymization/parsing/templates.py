"""Templates: what the format ``class`` keeps of a value, found for a whole column at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secureml.pseudonymization.ranking.digits import TemplateDigits
from secureml.pseudonymization.ranking.threads import cut, on_cores
from secureml.pseudonymization.tables.character_classes import CLASS_SYMBOL, Alphabets, Codes
from secureml.pseudonymization.values.buffers import numbers_in
from secureml.pseudonymization.values.text import Text

__all__ = ["Templates", "find_canonical", "find_distinct", "find_folded", "find_templates"]

Index = NDArray[np.intp]

_PIECE = 1 << 16  # rows, or characters of rows that have one width, that are looked at together


@dataclass(frozen=True, slots=True, eq=False)
class Templates:
    """The distinct templates of a column.

    The encrypted characters of all templates lie side by side; those of template g are
    ``bounds[g]:bounds[g + 1]``.

    Args:
        bounds: shape (templates + 1,).
        positions: where each encrypted character stands in the value.
        sizes: uint32, the number of members of its class.
        firsts: uint32, the first ordinal of its class.
        symbols: the whole of each template in octets, four a character.
        widths: the number of characters of each template, kept ones included.
    """

    bounds: Index
    positions: Index
    sizes: NDArray[np.uint32]
    firsts: NDArray[np.uint32]
    symbols: list[bytes]
    widths: Index

    @classmethod
    def of(cls, table: Alphabets, canonical: Codes, offsets: NDArray[np.int64]) -> Templates:
        """Read templates from their canonical characters.

        Args:
            table: the classes.
            canonical: these of all templates side by side, as of ``Alphabets.canonical``.
            offsets: int64, where each starts, and the end.
        """
        classes = table.classes(canonical)
        places = np.flatnonzero(classes >= 0)
        bounds = np.searchsorted(places, offsets)
        starts = np.repeat(offsets[:-1], np.diff(bounds))
        symbols = np.where(classes < 0, canonical.astype(np.uint32), classes + CLASS_SYMBOL)
        octets = symbols.astype(">u4").tobytes()
        ends = (4 * offsets).tolist()
        return cls(
            bounds=bounds,
            positions=places - starts,
            sizes=table.sizes[classes[places]],
            firsts=table.starts[classes[places]],
            symbols=[octets[start:end] for start, end in pairwise(ends)],
            widths=np.diff(offsets),
        )

    def __len__(self) -> int:
        return len(self.symbols)

    def at(self, numbers: Index) -> Templates:
        """Return some of the templates, each as often as it is named."""
        counts = np.diff(self.bounds)[numbers]
        bounds = np.zeros(len(numbers) + 1, np.intp)
        np.cumsum(counts, out=bounds[1:])
        places = np.repeat(self.bounds[numbers] - bounds[:-1], counts) + np.arange(bounds[-1])
        return Templates(
            bounds=bounds,
            positions=self.positions[places],
            sizes=self.sizes[places],
            firsts=self.firsts[places],
            symbols=[self.symbols[number] for number in numbers.tolist()],
            widths=self.widths[numbers],
        )

    def with_empty(self) -> Templates:
        """Return the templates, and behind them that of the empty string."""
        return Templates(
            bounds=np.append(self.bounds, self.bounds[-1]),
            positions=self.positions,
            sizes=self.sizes,
            firsts=self.firsts,
            symbols=[*self.symbols, b""],
            widths=np.append(self.widths, 0),
        )

    def domains(self) -> list[int]:
        """Return the number of values of each template."""
        # Thousands of templates have some hundreds of domains.
        product = cache(lambda octets: _product(np.frombuffer(octets, np.uint32).tolist()))
        octets, ends = self.sizes.tobytes(), (self.sizes.itemsize * self.bounds).tolist()
        return [product(octets[start:end]) for start, end in pairwise(ends)]

    def numerals(self) -> list[tuple[int, int] | None]:
        """Return radix and length of each template whose encrypted characters share one class."""
        # How many characters up to here are of another class than the one before.
        changes = np.cumsum(np.append(0, self.firsts[1:] != self.firsts[:-1]))
        pairs: list[tuple[int, int] | None] = [None] * len(self)
        filled = np.flatnonzero(np.diff(self.bounds))
        starts, ends = self.bounds[filled], self.bounds[filled + 1]
        alike = changes[ends - 1] == changes[starts]
        sizes, counts = self.sizes[starts[alike]], (ends - starts)[alike]
        shapes = zip(sizes.tolist(), counts.tolist(), strict=True)
        for one, shape in zip(filled[alike].tolist(), shapes, strict=True):
            pairs[one] = shape
        return pairs

    def digits(self, numbers: Index) -> TemplateDigits:
        """Return the encrypted characters of some templates that have any, side by side.

        Args:
            numbers: of the templates.
        """
        ends, counts = self.bounds[numbers + 1], np.diff(self.bounds)[numbers]
        # Aligned at their ends: what is missing stands at the place of the first one.
        places = np.arange(-counts.max(), 0) + ends[:, None]
        real = places >= self.bounds[numbers][:, None]
        places = np.maximum(places, self.bounds[numbers][:, None])
        sizes = np.where(real, self.sizes[places], np.uint32(1))
        return TemplateDigits(self.positions[places], sizes, self.firsts[places], real)


def find_templates(table: Alphabets, text: Text) -> tuple[Templates, Index | None]:
    """Find the distinct templates of a column.

    Args:
        table: the classes.
        text: the values.

    Returns:
        The templates, and the template of each value; None instead if all values that are not
        empty have the same.
    """
    canonical, bounds, number = find_canonical(table, text)
    return Templates.of(table, canonical, bounds), number


def find_canonical(table: Alphabets, text: Text) -> tuple[Codes, NDArray[np.int64], Index | None]:
    """Find the distinct templates of a column, as the canonical characters of each.

    Args:
        table: the classes.
        text: the values.

    Returns:
        What ``Templates.of`` takes, and the template of each value; None instead if all values that
        are not empty have the same.
    """
    return find_distinct(text.offsets, lambda span: table.canonical(text.codes[span]))


def find_distinct(
    offsets: NDArray[np.int64], key: Callable[[slice], Codes]
) -> tuple[Codes, NDArray[np.int64], Index | None]:
    """Find the distinct values of a column.

    Args:
        offsets: int64, where each value starts in all of them side by side, and the end.
        key: returns what some of these characters are compared by; several threads may call it.

    Returns:
        The codes of the distinct values, where each starts and the end, and the number of each
        value; None instead if all values that are not empty are the same one.
    """
    width = _filled_width(offsets)
    if width and _repeats(int(offsets[-1]), width, key):
        return key(slice(0, width)), np.array([0, width]), None

    def encoded(piece: slice) -> pa.DictionaryArray:
        # Arrow's dictionary compares octets, so that equal means equal.
        bounds = offsets[piece.start : piece.stop + 1]
        keys = key(slice(bounds[0], bounds[-1]))
        ends = (bounds - bounds[0]) * keys.itemsize
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(keys)]
        column = pa.Array.from_buffers(pa.large_binary(), len(bounds) - 1, buffers)
        return column.dictionary_encode()

    pieces = cut(len(offsets) - 1, _PIECE)
    made = on_cores(encoded, pieces, len(offsets) - 1)
    whole = pa.concat_arrays([piece.dictionary for piece in made]).dictionary_encode()
    renumbered, start = numbers_in(whole.indices, np.int32).astype(np.intp), 0
    number = np.empty(len(offsets) - 1, np.intp)
    for rows, piece in zip(pieces, made, strict=True):
        stop = start + len(piece.dictionary)
        number[rows] = renumbered[start:stop].take(numbers_in(piece.indices, np.int32))
        start = stop
    _, ends, octets = whole.dictionary.buffers()
    dtype = key(slice(0, 0)).dtype
    bounds = np.frombuffer(ends, np.int64, len(whole.dictionary) + 1) // dtype.itemsize
    flat = np.frombuffer(octets or b"", dtype, bounds[-1])
    return flat, bounds, number


def find_folded(text: Text, fold: Codes) -> tuple[Text, Index | None]:
    """Find the distinct values of a column, every character of which is folded to another one.

    Args:
        text: the values.
        fold: what each code point is folded to; of ASCII to ASCII.

    Returns:
        The distinct folded values, and the number of each value, as ``find_distinct`` gives it.
    """
    narrow = fold[:256].astype(np.uint8).tobytes()

    def key(span: slice) -> Codes:
        codes = text.codes[span]
        if codes.dtype != np.uint8:
            return fold.take(codes)
        # bytes.translate reads a table of 256 entries several times as fast as numpy.
        return np.frombuffer(codes.tobytes().translate(narrow), np.uint8)

    flat, bounds, number = find_distinct(text.offsets, key)
    return Text(flat, bounds), number


def _filled_width(offsets: NDArray[np.int64]) -> int:
    """Return the number of characters of every value that is not empty, 0 if they differ."""
    lengths = np.diff(offsets)
    longest = int(lengths.max(initial=0))
    return longest if longest and ((lengths == longest) | (lengths == 0)).all() else 0


def _repeats(end: int, width: int, key: Callable[[slice], Codes]) -> bool:
    """Tell whether every value of a common width has the key of the first one."""
    first, step = key(slice(0, width)), width * max(_PIECE // width, 1)
    pieces = (key(slice(start, min(start + step, end))) for start in range(0, end, step))
    return all((piece.reshape(-1, width) == first).all() for piece in pieces)


def _product(sizes: Sequence[int]) -> int:
    if len(sizes) <= 64:
        return math.prod(sizes)
    distinct, counts = np.unique(sizes, return_counts=True)
    return math.prod(int(size) ** int(count) for size, count in zip(distinct, counts, strict=True))

"""Arrow strings to and from text arrays, on whole buffers and without Python objects."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.tables.character_classes import Codes
from secureml.pseudonymization.values.buffers import (
    EMPTY_STRING,
    Nulls,
    nulls_of,
    numbers_in,
    validity_of,
)
from secureml.pseudonymization.values.text import Text

__all__ = ["PLAIN", "combined", "is_text", "read_text", "strings_of", "write_text"]

PLAIN = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
"""Types that pandas can't pick rows of, and others for the same values."""

_PIECE = 1 << 14  # rows that are read or written together, in a core's own cache

Offsets = NDArray[np.int64]


def is_text(arrow_type: pa.DataType) -> bool:
    """Tell whether a type is one of Arrow's types for strings."""
    types = pa.types
    return bool(
        types.is_string(arrow_type)
        or types.is_large_string(arrow_type)
        or types.is_string_view(arrow_type)
    )


def combined(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return an array as one piece; what is one already is not copied."""
    if not isinstance(array, pa.ChunkedArray):
        return array
    if not array.num_chunks:  # pyarrow imports pandas to combine none
        return pa.nulls(0, array.type)
    return array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()


def strings_of(array: pa.Array | pa.ChunkedArray) -> list[str]:
    """Return values as Python writes them, moments as Arrow does: Python does not have them all."""
    kind = array.type
    if pa.types.is_timestamp(kind):
        array = array.cast(pa.timestamp(kind.unit))  # in UTC, as Arrow may not know the zone
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        array = array.cast(pa.string())
    return [str(value) for value in array.to_pylist()]


def read_text(array: pa.Array | pa.ChunkedArray) -> tuple[Text, Nulls]:
    """Read strings; ASCII is not copied.

    Args:
        array: of a type for strings; sliced and chunked arrays too.

    Returns:
        The text, with an empty value for a null, and which values are null, shape (values,).

    Raises:
        PseudonymizationError: the strings are not UTF-8.
    """
    array = combined(array.cast(pa.large_string()))
    nulls = nulls_of(array)
    if array.null_count:
        array = pc.fill_null(
            array, EMPTY_STRING
        )  # what lies under a null may be a value that was masked
    if not len(array):
        return Text.of([]), nulls
    _, ends, data = array.buffers()
    offsets = np.frombuffer(ends, np.int64, len(array) + 1, offset=8 * array.offset)
    octets = np.frombuffer(data or b"", np.uint8)[offsets[0] : offsets[-1]]
    if offsets[0]:
        offsets = offsets - offsets[0]
    if octets.max(initial=0) < 0x80:
        return Text(octets, offsets), nulls
    starts = np.zeros(len(offsets), np.int64)
    np.cumsum(numbers_in(pc.utf8_length(array), np.int64), out=starts[1:])
    return Text(_decoded(octets, offsets, starts), starts), nulls


def write_text(text: Text, nulls: Nulls, arrow_type: pa.DataType) -> pa.Array:
    """Write strings.

    Args:
        text: the values.
        nulls: which values are null, shape (values,); the text holds nothing there.
        arrow_type: the type of strings to make.

    Raises:
        PseudonymizationError: the type can't hold the strings: lone surrogates are not UTF-8, and
            the type ``string`` ends at 2 GiB.
    """
    octets, offsets = text.codes, text.offsets
    if octets.dtype != np.uint8:
        offsets = _octet_offsets(text)
        octets = _encoded(text, offsets)
    buffers = [validity_of(nulls), pa.py_buffer(offsets), pa.py_buffer(octets)]
    array = pa.Array.from_buffers(pa.large_string(), len(text), buffers)
    narrowed = None
    try:
        narrowed = array.cast(arrow_type)
    except pa.ArrowInvalid:
        narrowed = None
    if narrowed is None:
        raise PseudonymizationError(f"the result does not fit the Arrow type {arrow_type}")
    return narrowed


def _octet_offsets(text: Text) -> Offsets:
    """Return where each value starts in UTF-8, and the end."""
    offsets = text.offsets.copy()
    total = 0
    for piece in _pieces(len(text)):
        bounds = text.offsets[piece.start : piece.stop + 1]
        codes = text.codes[bounds[0] : bounds[-1]]
        longer = np.zeros(len(codes) + 1, np.int32)
        for code in (0x80, 0x800, 0x10000)[: codes.itemsize]:
            longer[1:] += codes >= code
        counted = np.cumsum(longer, out=longer)[bounds - bounds[0]]
        offsets[piece.start : piece.stop + 1] = bounds + counted + total
        total += int(counted[-1])
    return offsets


def _decoded(octets: NDArray[np.uint8], offsets: Offsets, starts: Offsets) -> Codes:
    """Return the code points of values in UTF-8, which start at offsets and at starts."""
    narrow = octets.max() < 0xF0  # no character has four octets
    codes = np.empty(starts[-1], np.uint16 if narrow else np.uint32)
    width, name = ("<u2", "utf-16-le") if narrow else ("<u4", "utf-32-le")
    bad = False
    for piece in _pieces(len(offsets) - 1):
        ends = piece.start, piece.stop
        (first, last), (start, stop) = offsets[[*ends]].tolist(), starts[[*ends]].tolist()
        try:
            string = str(octets[first:last].data, "utf-8")
        except UnicodeDecodeError:
            bad = True
            break
        codes[start:stop] = np.frombuffer(string.encode(name), width)
    if bad:
        raise PseudonymizationError("the column holds strings that are not UTF-8")
    return codes


def _encoded(text: Text, offsets: Offsets) -> NDArray[np.uint8]:
    """Return the octets of a text in UTF-8, in which values start at offsets."""
    octets = np.empty(offsets[-1], np.uint8)
    bad = False
    for piece in _pieces(len(text)):
        ends = piece.start, piece.stop
        (first, last), (start, stop) = offsets[[*ends]].tolist(), text.offsets[[*ends]].tolist()
        codes = text.codes[start:stop]
        bad = bool(((codes >= 0xD800) & (codes < 0xE000)).any())
        if bad:  # UTF-8 has no surrogates, and UTF-16 would take two for a pair
            break
        narrow = codes.dtype == np.uint16
        width, name = ("<u2", "utf-16-le") if narrow else ("<u4", "utf-32-le")
        string = str(codes.astype(width, copy=False).data, name)
        octets[first:last] = np.frombuffer(string.encode(), np.uint8)
    if bad:
        raise PseudonymizationError(
            "a value holds a lone surrogate, which Arrow can't: convert the column to object"
        )
    return octets


def _pieces(rows: int) -> Iterator[slice]:
    return (slice(start, min(start + _PIECE, rows)) for start in range(0, rows, _PIECE))

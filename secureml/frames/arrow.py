"""Arrow strings to and from text arrays, on whole buffers and without Python objects."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.alphabets import Codes
from secureml.pseudonymization.text import Text

__all__ = ["Nulls", "is_text", "read_text", "write_text"]

_PIECE = 1 << 14  # rows whose octets are counted together, in a core's own cache

Nulls = NDArray[np.bool_]
Offsets = NDArray[np.int64]


def is_text(arrow_type: pa.DataType) -> bool:
    """Tell whether a type is one of Arrow's types for strings."""
    types = pa.types
    return bool(
        types.is_string(arrow_type)
        or types.is_large_string(arrow_type)
        or types.is_string_view(arrow_type)
    )


def read_text(array: pa.Array | pa.ChunkedArray) -> tuple[Text, Nulls]:
    """Read strings; ASCII is not copied.

    Args:
        array: of a type for strings; sliced and chunked arrays too.

    Returns:
        The text, with nothing where a null is, and which values are null, shape (values,).

    Raises:
        PseudonymizationError: the strings are not UTF-8.
    """
    array = array.cast(pa.large_string())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    nulls = np.zeros(len(array), np.bool_)
    if array.null_count:
        nulls = array.is_null().to_numpy(zero_copy_only=False)
        array = pc.fill_null(array, "")  # what lies under a null may be a value that was masked
    if not len(array):
        return Text.of([]), nulls
    _, ends, data = array.buffers()
    offsets = np.frombuffer(ends, np.int64, len(array) + 1, offset=8 * array.offset)
    octets = np.frombuffer(data or b"", np.uint8)[offsets[0] : offsets[-1]]
    if offsets[0]:
        offsets = offsets - offsets[0]
    if octets.max(initial=0) < 0x80:
        return Text(octets, offsets), nulls
    codes, starts = _decoded(octets), np.zeros(len(offsets), np.int64)
    np.cumsum(pc.utf8_length(array).to_numpy(), out=starts[1:])
    return Text(codes, starts), nulls


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
        offsets, octets = _octet_offsets(text), _encoded(text.codes)
    validity = pa.array(~nulls).buffers()[1] if nulls.any() else None
    buffers = [validity, pa.py_buffer(offsets), pa.py_buffer(octets)]
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
    for start in range(0, len(text), _PIECE):
        bounds = text.offsets[start : start + _PIECE + 1]
        codes = text.codes[bounds[0] : bounds[-1]]
        longer = np.zeros(len(codes) + 1, np.int32)
        for code in (0x80, 0x800, 0x10000)[: codes.itemsize]:
            longer[1:] += codes >= code
        counted = np.cumsum(longer, out=longer)[bounds - bounds[0]]
        offsets[start : start + _PIECE + 1] = bounds + counted + total
        total += int(counted[-1])
    return offsets


def _decoded(octets: NDArray[np.uint8]) -> Codes:
    string = None
    try:
        string = str(octets.data, "utf-8")
    except UnicodeDecodeError:
        string = None
    if string is None:
        raise PseudonymizationError("the column holds strings that are not UTF-8")
    if octets.max() < 0xF0:  # no character has four octets
        return np.frombuffer(string.encode("utf-16-le"), "<u2").astype(np.uint16, copy=False)
    return np.frombuffer(string.encode("utf-32-le"), "<u4").astype(np.uint32, copy=False)


def _encoded(codes: Codes) -> NDArray[np.uint8]:
    encoded = None
    narrow = codes.dtype == np.uint16
    try:
        if not (narrow and ((codes & 0xF800) == 0xD800).any()):  # two surrogates would be a pair
            width = ("<u2", "utf-16-le") if narrow else ("<u4", "utf-32-le")
            encoded = str(codes.astype(width[0], copy=False).data, width[1]).encode()
    except UnicodeDecodeError:
        encoded = None
    if encoded is None:
        raise PseudonymizationError(
            "a value holds a lone surrogate, which Arrow can't: convert the column to object"
        )
    return np.frombuffer(encoded, np.uint8)

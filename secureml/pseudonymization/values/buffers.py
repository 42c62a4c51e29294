"""Arrow arrays of numpy's and back, over the same buffers.

pyarrow imports pandas as soon as it converts a value of Python's or an array of numpy's. Whoever
has no frame of pandas is spared this here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = [
    "EMPTY_STRING",
    "Nulls",
    "array_of",
    "indices",
    "mask_of",
    "nulls_of",
    "numbers_in",
    "numpy_type_of",
    "validity_of",
]

Nulls = NDArray[np.bool_]
"""Which rows are null, shape (rows,)."""


def array_of(
    values: NDArray[Any], arrow_type: pa.DataType | None = None, nulls: Nulls | None = None
) -> pa.Array:
    """Return numbers as an Arrow array; they are not copied.

    Args:
        values: shape (rows,) or, for a type of several words, (rows, words).
        arrow_type: one whose values have the octets of the numbers; by default that of the dtype.
        nulls: which are null; by default none.
    """
    arrow_type = pa.from_numpy_dtype(values.dtype) if arrow_type is None else arrow_type
    buffers = [validity_of(nulls), pa.py_buffer(np.ascontiguousarray(values))]
    return pa.Array.from_buffers(arrow_type, len(values), buffers)


def validity_of(nulls: Nulls | None) -> pa.Buffer | None:
    """Return the bitmap of the rows that are not null; None if all are not."""
    if nulls is None or not nulls.any():
        return None
    return pa.py_buffer(np.packbits(~nulls, bitorder="little"))


def indices(places: NDArray[Any]) -> pa.Array:
    """Return places as ``take`` takes them."""
    return array_of(np.asarray(places, np.int64))


def mask_of(array: pa.BooleanArray) -> NDArray[np.bool_]:
    """Return truth values, a null as False."""
    return _bits(array.buffers()[1], array) & ~nulls_of(array)


def nulls_of(array: pa.Array) -> Nulls:
    """Return which rows of an array are null, shape (rows,)."""
    if not array.null_count:
        return np.zeros(len(array), np.bool_)
    if pa.types.is_null(array.type):
        return np.ones(len(array), np.bool_)
    return mask_of(array.is_null())


def numbers_in(array: pa.Array, dtype: Any) -> NDArray[Any]:
    """Return what the buffer of an array holds, under its nulls as well; nothing is copied.

    Args:
        array: of a type whose values have one width.
        dtype: numpy's of the same width.
    """
    dtype = np.dtype(dtype)
    data = array.buffers()[1]
    if data is None:
        return np.zeros(len(array), dtype)
    return np.frombuffer(data, dtype, len(array), offset=array.offset * dtype.itemsize)


def numpy_type_of(arrow_type: pa.DataType) -> np.dtype[Any]:
    """Return the dtype of the same numbers, integers or floats."""
    # What Arrow types tell of it themselves, they ask pandas first in pyarrow 18.
    unsigned = "u" if pa.types.is_unsigned_integer(arrow_type) else "i"
    kind = "f" if pa.types.is_floating(arrow_type) else unsigned
    return np.dtype(f"{kind}{arrow_type.bit_width // 8}")


def _bits(buffer: pa.Buffer | None, array: pa.Array) -> NDArray[np.bool_]:
    if buffer is None or not len(array):
        return np.zeros(len(array), np.bool_)
    first, last = array.offset, array.offset + len(array)
    octets = np.frombuffer(buffer, np.uint8)[first // 8 : (last + 7) // 8]
    bits = np.unpackbits(octets, bitorder="little", count=last - first // 8 * 8)
    return bits[first % 8 :].view(np.bool_)


EMPTY_STRING = pa.Array.from_buffers(
    pa.large_string(), 1, [None, pa.py_buffer(np.zeros(2, np.int64)), pa.py_buffer(b"")]
)[0]
"""The empty string as Arrow's ``large_string``."""

"""All memory that a column keeps alive, and what would tell a value in it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["buffers", "spellings"]


def buffers(held: Any) -> Iterator[bytes]:
    """Return the octets of all memory that an array keeps alive, in whatever library."""
    pd = sys.modules.get("pandas")
    if isinstance(held, pa.ChunkedArray):
        for chunk in held.chunks:
            yield from buffers(chunk)
    elif isinstance(held, pa.Array):
        for buffer in filter(None, held.buffers()):  # of its children too
            yield from buffers(buffer)
        if isinstance(held, pa.DictionaryArray):
            yield from buffers(held.dictionary)
    elif isinstance(held, np.ndarray):
        if held.dtype == object:
            yield from (str(value).encode("utf-8", "surrogatepass") for value in held.ravel())
            yield from (value for value in held.ravel() if isinstance(value, bytes))
        else:
            yield held.tobytes()
        yield from buffers(held.base)
    elif isinstance(held, pa.Buffer):
        yield held.to_pybytes()
        yield from buffers(held.parent)
    elif pd is None:
        return
    elif isinstance(held, pd.Categorical):
        yield from buffers(held.codes)
        yield from buffers(held.categories)
    elif isinstance(held, pd.Index | pd.Series):
        yield from buffers(held.array)
    else:
        arrow = hasattr(held, "_pa_array")
        for name in ("_pa_array",) if arrow else ("_data", "_mask", "_ndarray", "_left", "_right"):
            if hasattr(held, name):
                yield from buffers(getattr(held, name))


def spellings(array: pa.Array) -> set[bytes]:
    """Return the octets that would tell a value: as text, and as memory holds it.

    Those that are too short to be no accident are left out.
    """
    if pa.types.is_dictionary(array.type):
        return spellings(array.dictionary)
    present = array.drop_null()
    texts: Iterable[str] = (str(value) for value in present.to_pylist())
    codes = ("utf-8", "utf-16-le", "utf-32-le")
    found = {octets for text in texts for code in codes if len(octets := text.encode(code)) > 7}
    fixed = pa.types.is_primitive(present.type) or pa.types.is_decimal(present.type)
    if not fixed or present.type.bit_width < 32:
        return found
    width = present.type.bit_width // 8
    data = np.frombuffer(present.buffers()[1], f"V{width}", len(present), present.offset * width)
    small = (b"\0\0", b"\xff\xff")  # what offsets in files look like too
    memory = {octets.tobytes() for octets in data}
    return found | {octets for octets in memory if width > 4 or not octets.endswith(small)}

"""Values inside of structs, lists and maps of Arrow arrays: what a path leads to, and other values.

A leaf has one value for each slot of its type that is not below a null. What is below a null is
neither read nor kept.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.frames.paths import LISTS, Path

__all__ = ["leaf", "leaf_beside", "rows_of_leaf", "with_leaf"]

Array: TypeAlias = "pa.Array | pa.ChunkedArray"
Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]

_types = pa.types


def leaf(array: Array, path: Path) -> Array:
    """Return the values of a path, one after another.

    Args:
        array: the column of the table; a slice too.
        path: of this column.

    Returns:
        An array, or as many chunks as the column has; it may share the column's buffers.
    """
    if not path.children:
        return array
    return _by_chunk(array, path.type, lambda chunk: _leaf(chunk, path))


def rows_of_leaf(array: Array, path: Path) -> Indices:
    """Return the row of the table that each value of a path is in, shape (values,)."""
    parts, first = [np.empty(0, np.int64)], 0
    for chunk in _chunks(array):
        _, hidden, counts = _descend(chunk, path.children)
        rows = np.arange(first, first + len(chunk), dtype=np.int64)
        for count in counts:
            rows = np.repeat(rows, count)
        parts.append(rows if hidden is None else rows[~hidden])
        first += len(chunk)
    return np.concatenate(parts)


def leaf_beside(array: Array, path: Path, other_array: Array, other: Path) -> Array:
    """Return the value of another path that stands beside each value of a path.

    Args:
        array: the column of the path.
        path: whose values are counted.
        other_array: the column of the other path, of the same table.
        other: whose values are returned; null if one is below a null, and the value of the path
            is not.

    Returns:
        As many values, in as many chunks, as ``leaf(array, path)`` has.

    Raises:
        PseudonymizationError: the paths are not in the same list or map.
    """
    if path.level != other.level:
        raise PseudonymizationError(
            f"{other.text!r} does not have one value for each value of {path.text!r}: both must be"
            " outside of lists and maps, or in the same one"
        )
    parts, first = [], 0
    for chunk in _chunks(array):
        beside = _one(other_array.slice(first, len(chunk)))
        first += len(chunk)
        _, hidden, _ = _descend(chunk, path.children)
        values, missing, _ = _descend(beside, other.children)
        if missing is not None:
            values = _spread(_kept(values, missing), missing, nullable=True)
        parts.append(_kept(values, hidden))
    return pa.chunked_array(parts, other.type) if isinstance(array, pa.ChunkedArray) else parts[0]


def with_leaf(array: Array, path: Path, new_leaf: Array) -> Array:
    """Return a column with other values of a path.

    The result shares buffers of the values beside the path, and none of those that are replaced.

    Args:
        array: the column of the table; a slice too.
        path: of this column.
        new_leaf: as many values as ``leaf`` returns, of any type, chunked in any way.

    Raises:
        PseudonymizationError: there are more or fewer values, or some are null and the field of the
            path, or a key of a map, may not be.
    """
    if new_leaf.null_count and not path.nullable and path.children:
        raise PseudonymizationError(
            f"{path.text!r} may not be null, as its type says, and {new_leaf.null_count} new values"
            " are"
        )
    counts = [_count(chunk, path) for chunk in _chunks(array)]
    if sum(counts) != len(new_leaf):
        raise PseudonymizationError(
            f"{path.text!r} has {sum(counts)} values, and {len(new_leaf)} new ones are given"
        )
    arrow_type = _type_with(array.type, path.children, new_leaf.type)
    bounds = iter(pairwise(accumulate(counts, initial=0)))

    def rebuilt(chunk: pa.Array) -> pa.Array:
        start, stop = next(bounds)
        values = _one(new_leaf.slice(start, stop - start))
        return _rebuilt(chunk, arrow_type, path.children, values, None, nullable=path.nullable)

    return _by_chunk(array, arrow_type, rebuilt)


def _type_with(kind: pa.DataType, children: tuple[int, ...], new: pa.DataType) -> pa.DataType:
    """Return a type with another one for what is inside."""
    if not children:
        return new
    at, *_ = children
    fields = [kind.field(i) for i in range(kind.num_fields)]
    fields[at] = fields[at].with_type(_type_with(fields[at].type, children[1:], new))
    if _types.is_struct(kind):
        return pa.struct(fields)
    if _types.is_map(kind):
        key, item = fields[0].type
        return pa.map_(key, item, keys_sorted=kind.keys_sorted and children[1] == 1)
    if _types.is_fixed_size_list(kind):
        return pa.list_(fields[0], kind.list_size)
    return next(make for test, make in LISTS if test(kind))(fields[0])


def _chunks(array: Array) -> list[pa.Array]:
    return list(array.chunks) if isinstance(array, pa.ChunkedArray) else [array]


def _one(array: Array) -> pa.Array:
    """Return an array as one piece; what is one already is not copied."""
    if not isinstance(array, pa.ChunkedArray):
        return array
    if array.num_chunks == 1:
        return array.chunk(0)
    return pa.concat_arrays(array.chunks) if array.num_chunks else pa.nulls(0, array.type)


def _by_chunk(array: Array, kind: pa.DataType, change: Callable[[pa.Array], pa.Array]) -> Array:
    if not isinstance(array, pa.ChunkedArray):
        return change(array)
    return pa.chunked_array([change(chunk) for chunk in array.chunks], kind)


def _leaf(array: pa.Array, path: Path) -> pa.Array:
    values, hidden, _ = _descend(array, path.children)
    return _kept(values, hidden)


def _count(array: pa.Array, path: Path) -> int:
    """Return how many values a path has."""
    values, hidden, _ = _descend(array, path.children)
    return len(values) if hidden is None else int((~hidden).sum())


def _descend(
    array: pa.Array, children: tuple[int, ...]
) -> tuple[pa.Array, Flags | None, list[Indices]]:
    """Go down to the values of a path.

    Returns:
        The values, which of them are below a null, and for each list or map on the way how many
        elements each of its slots has.
    """
    hidden: Flags | None = None
    counts = []
    for at in children:
        array, hidden, count = _child(array, at, hidden)
        if count is not None:
            counts.append(count)
    return array, hidden, counts


def _child(
    array: pa.Array, at: int, hidden: Flags | None
) -> tuple[pa.Array, Flags | None, Indices | None]:
    """Go down by one step.

    Args:
        array: a struct, list or map.
        at: which child of it.
        hidden: which slots of the array are below a null, shape (slots,); None for none.

    Returns:
        The child, which slots of it are below a null, and how many of its slots each slot of the
        array has; None for a struct, as each has one.

    Raises:
        PseudonymizationError: the type can't count the elements.
    """
    valid = _validity(array)
    absent = hidden
    if valid is not None:
        absent = ~valid if hidden is None else ~valid | hidden
    if _types.is_struct(array.type):
        return array.field(at), absent, None
    if _types.is_fixed_size_list(array.type):
        size, length = array.type.list_size, len(array)
        child = array.values.slice(array.offset * size, length * size)
        below = None if absent is None else np.repeat(absent, size)
        return child, below, np.full(length, size, np.int64)
    starts, counts = _extents(array)
    if absent is not None:
        counts = np.where(absent, 0, counts)
    if counts.sum() > np.iinfo(_width(array.type)).max:  # views may share elements
        raise PseudonymizationError(f"the lists do not fit the Arrow type {array.type}")
    return _elements(array.values, starts, counts), None, counts


def _validity(array: pa.Array) -> Flags | None:
    """Return which slots are not null, or None if all are."""
    if not array.null_count:
        return None
    first, skipped = divmod(array.offset, 8)
    octets = np.frombuffer(array.buffers()[0], np.uint8)[first:]
    bits = np.unpackbits(octets, count=skipped + len(array), bitorder="little")
    return bits[skipped:].view(np.bool_)


def _extents(array: pa.Array) -> tuple[Indices, Indices]:
    """Return where the elements of each list or map start, and how many they are."""
    start, length = array.offset, len(array)
    if not length:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    buffers = array.buffers()
    offsets = np.frombuffer(buffers[1], _width(array.type))[start:].astype(np.int64)
    if _is_view(array.type):
        counts = np.frombuffer(buffers[2], _width(array.type))[start : start + length]
        return offsets[:length], counts.astype(np.int64)
    return offsets[:length], np.diff(offsets[: length + 1])


def _is_view(kind: pa.DataType) -> bool:
    return bool(_types.is_list_view(kind) or _types.is_large_list_view(kind))


def _width(kind: pa.DataType) -> type[np.int32] | type[np.int64]:
    """Return the type of the offsets of a list or map."""
    large = _types.is_large_list(kind) or _types.is_large_list_view(kind)
    return np.int64 if large else np.int32


def _elements(values: pa.Array, starts: Indices, counts: Indices) -> pa.Array:
    """Return the elements of all lists in order; a slice if they are already."""
    ends = np.cumsum(counts)
    shifts = starts - (ends - counts)
    used = shifts[counts > 0]
    if not len(used):
        return values.slice(0, 0)
    if (used == used[0]).all():
        return values.slice(int(used[0]), int(ends[-1]))
    return _taken(values, np.arange(ends[-1]) + np.repeat(shifts, counts))


def _kept(values: pa.Array, hidden: Flags | None) -> pa.Array:
    """Return the values that are not hidden; a slice if they are together."""
    if hidden is None:
        return values
    index = np.flatnonzero(~hidden)
    if not len(index):
        return values.slice(0, 0)
    if index[-1] - index[0] == len(index) - 1:
        return values.slice(int(index[0]), len(index))
    return _taken(values, index)


def _spread(values: pa.Array, hidden: Flags | None, *, nullable: bool) -> pa.Array:
    """Return an array with values at the slots that are not hidden, and nothing at the others.

    At these are nulls, or zeros if the field is not nullable: Parquet refuses nulls there.
    """
    if hidden is None:
        return values
    filler = pa.nulls(1, values.type) if nullable else _zero(values.type)
    index = np.where(hidden, len(values), np.cumsum(~hidden) - 1)
    return _taken(pa.concat_arrays([values, filler]), index)


def _zero(kind: pa.DataType) -> pa.Array:
    """Return one value that is zero or empty; a null of a type that has no such value."""
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, _zero(kind.storage_type))
    if _types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(_zero(kind.index_type), _zero(kind.value_type))
    null = pa.nulls(1, kind)
    if kind.num_fields or _types.is_null(kind) or _types.is_run_end_encoded(kind):
        return null
    return pa.Array.from_buffers(kind, 1, [None, *null.buffers()[1 : kind.num_buffers]])


def _taken(values: pa.Array, index: Indices) -> pa.Array:
    """Return values by their places."""
    if not len(index):
        return values.slice(0, 0)
    taken = None
    try:
        taken = values.take(_array(index, pa.int64()))
    except pa.ArrowNotImplementedError:  # run-end-encoded values, and views in older versions
        taken = None
    if taken is not None:
        return taken
    bounds = [0, *(np.flatnonzero(np.diff(index) != 1) + 1).tolist(), len(index)]
    return pa.concat_arrays(
        [values.slice(int(index[start]), stop - start) for start, stop in pairwise(bounds)]
    )


def _array(numbers: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Make an Arrow array; ``pa.array`` would import pandas."""
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(numbers)])


def _rebuilt(
    array: pa.Array,
    kind: pa.DataType,
    children: tuple[int, ...],
    values: pa.Array,
    hidden: Flags | None,
    *,
    nullable: bool,
) -> pa.Array:
    """Return an array with other values inside.

    Args:
        array: of the old type.
        kind: the new type.
        children: the steps down to the values.
        values: for the slots that are not below a null.
        hidden: which slots of the array are below a null, shape (slots,); None for none.
        nullable: whether the values may be null.
    """
    if not children:
        return _spread(values, hidden, nullable=nullable)
    at, *_ = children
    child, below, counts = _child(array, at, hidden)
    new = _rebuilt(child, kind.field(at).type, children[1:], values, below, nullable=nullable)
    siblings = [new]
    buffers = [_packed(_validity(array))]
    if _types.is_struct(kind):
        siblings = [new if i == at else array.field(i) for i in range(kind.num_fields)]
    elif not _types.is_fixed_size_list(kind):
        buffers += _layout(counts, kind)
    return pa.Array.from_buffers(kind, len(array), buffers, children=siblings)


def _packed(valid: Flags | None) -> pa.Buffer | None:
    return None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))


def _layout(counts: Indices | None, kind: pa.DataType) -> list[pa.Buffer]:
    """Return the buffers that say where the elements of each list or map are."""
    assert counts is not None
    width = _width(kind)
    offsets = np.zeros(len(counts) + 1, width)
    np.cumsum(counts, out=offsets[1:])
    if _is_view(kind):
        return [pa.py_buffer(offsets[:-1]), pa.py_buffer(counts.astype(width))]
    return [pa.py_buffer(offsets)]

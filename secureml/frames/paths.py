"""Columns inside structs, lists and maps of Arrow tables, which are named by path.

A path begins with the name of a column of the table, and each step names what is inside:

    patient.name      the field of a struct
    tags[]            the elements of a list, of any of Arrow's types for lists
    items[].email     the field of the structs in a list
    labels{}          the values of a map
    labels{keys}      its keys

The path of a column that holds none of these is its name. In a path of several steps a backslash
stands before each ``.``, ``[``, ``{`` and backslash of a name, so that a path means the same in
every table. Only a column whose name reads like the path of another wins over it; that other path
then begins with a dot: ``.patient.name``.

A leaf has one value for each slot of its type that is not below a null. What is below a null is
neither read nor kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError

__all__ = [
    "Path",
    "column_of",
    "holders_of",
    "leaf",
    "leaf_beside",
    "paths_of",
    "resolve",
    "rows_of_leaf",
    "type_with_leaf",
    "with_leaf",
]

Array: TypeAlias = "pa.Array | pa.ChunkedArray"
Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]

_SPECIAL = re.compile(r"[.\[{\\]")
_FIRST = re.compile(r"\.?((?:\\.|[^.\[{\\])*)", re.DOTALL)
_STEP = re.compile(r"\.(?:\\.|[^.\[{\\])*|\[\]|\{\}|\{keys\}", re.DOTALL)
_types = pa.types
_LISTS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Field], pa.DataType]], ...] = (
    (_types.is_list, pa.list_),
    (_types.is_large_list, pa.large_list),
    (_types.is_list_view, pa.list_view),
    (_types.is_large_list_view, pa.large_list_view),
)
"""Tests of the types of lists with any number of elements, and what makes such types."""


@dataclass(frozen=True, slots=True)
class Path:
    """A column of values, at the top of a table or inside of another column.

    Args:
        text: the path as it is written.
        column: the name of the column of the table.
        type: of the values.
        nullable: whether the values may be null.
        children: which child of its parent each step goes to; none for a column without parents.
        depth: how many of these steps there are up to the innermost list or map.
    """

    text: str
    column: str
    type: pa.DataType
    nullable: bool = True
    children: tuple[int, ...] = ()
    depth: int = 0

    @property
    def level(self) -> tuple[str | int, ...]:
        """What two paths have in common whose values stand beside each other."""
        return (self.column, *self.children[: self.depth]) if self.depth else ()


def paths_of(schema: pa.Schema) -> list[Path]:
    """Return the paths of all values of a table, in the order of the schema.

    No two have the same text, unless two columns, or two fields of a struct, have the same name.
    """
    return _paths_in(schema, set(schema.names))


def holders_of(path: Path) -> tuple[str, ...]:
    """Return what names the structs, lists and maps that a path is in, the outermost first."""
    start = len(_escaped(path.column)) + (not path.text.startswith(_escaped(path.column)))
    ends = [step.start() for step in _STEP.finditer(path.text, start)]
    return (path.column, *(path.text[:end] for end in ends[1:])) if path.children else ()


def column_of(text: str) -> str:
    """Return the name of the column that a path begins with, if it is a path."""
    found = _FIRST.match(text)
    return "" if found is None else re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL)


def resolve(schema: pa.Schema, text: str) -> Path | None:
    """Return the path of a table that a text names, or None if there is none.

    Raises:
        PseudonymizationError: the text names several, or one in a type whose values have no paths.
    """
    names = schema.names
    near = [at for at, name in enumerate(names) if _may_name(text, name)]
    paths = _paths_in(map(schema.field, near), set(names))
    found = [path for path in paths if path.text == text]
    if len(found) > 1:
        raise PseudonymizationError(
            f"the table has {len(found)} columns or fields {text!r}; rename all but one"
        )
    if found:
        return found[0]
    for path in paths:
        after = text.removeprefix(path.text)
        if after != text and after[:1] in (".", "[", "{") and _is_opaque(path.type):
            raise PseudonymizationError(
                f"nothing inside of {path.text!r} can be named by path, as in {text!r}: the type"
                f" is {path.type}; convert it to structs, lists or maps"
            )
    return None


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


def type_with_leaf(arrow_type: pa.DataType, path: Path, leaf_type: pa.DataType) -> pa.DataType:
    """Return the type of a column after the values of a path have got a type.

    All else stays, except that a map whose keys are replaced does not say that they are sorted.
    """
    return _type_with(arrow_type, path.children, leaf_type)


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


def _is_list(kind: pa.DataType) -> bool:
    return any(test(kind) for test, _ in _LISTS)


def _is_opaque(kind: pa.DataType) -> bool:
    """Tell whether a type that has no paths inside holds others nevertheless."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if _types.is_dictionary(kind) or _types.is_run_end_encoded(kind):
        kind = kind.value_type
    return bool(_types.is_nested(kind))


def _may_name(text: str, column: str) -> bool:
    """Tell whether a text may be the path of a column, or one inside of it."""
    return text.startswith(column) or text.removeprefix(".").startswith(_escaped(column))


def _paths_in(fields: Iterable[pa.Field], names: Set[str]) -> list[Path]:
    """Return the paths of columns of a table that has columns of these names."""
    paths = []
    for field in fields:
        name, kind = field.name, field.type
        column = Path(name, name, kind, field.nullable)
        if not kind.num_fields:
            paths.append(column)
            continue
        for path in _within(field, replace(column, text=_escaped(name))):
            if not path.children:
                paths.append(column)
            elif path.text in names:
                paths.append(replace(path, text=f".{path.text}"))
            else:
                paths.append(path)
    return paths


def _within(field: pa.Field, at: Path) -> Iterator[Path]:
    """Yield the paths inside of a field, which is at a path."""
    kind = field.type
    steps: list[tuple[str, pa.Field, tuple[int, ...]]] = []
    repeated = not _types.is_struct(kind)
    if not repeated:
        steps = [(f".{_escaped(child.name)}", child, (i,)) for i, child in enumerate(kind)]
    elif _types.is_map(kind):
        steps = [("{keys}", kind.key_field, (0, 0)), ("{}", kind.item_field, (0, 1))]
    elif _is_list(kind) or _types.is_fixed_size_list(kind):
        steps = [("[]", kind.value_field, (0,))]
    if not steps:
        yield replace(at, type=kind, nullable=field.nullable)
    for step, child, children in steps:
        depth = len(at.children) + 1 if repeated else at.depth
        path = replace(at, text=at.text + step, children=at.children + children, depth=depth)
        yield from _within(child, path)


def _escaped(name: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", name)


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
    return next(make for test, make in _LISTS if test(kind))(fields[0])


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

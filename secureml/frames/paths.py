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
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, replace

import pyarrow as pa

from secureml.errors import PseudonymizationError

__all__ = ["LISTS", "Path", "column_of", "holders_of", "paths_of", "resolve"]

_SPECIAL = re.compile(r"[.\[{\\]")
_FIRST = re.compile(r"\.?((?:\\.|[^.\[{\\])*)", re.DOTALL)
_STEP = re.compile(r"\.(?:\\.|[^.\[{\\])*|\[\]|\{\}|\{keys\}", re.DOTALL)
_types = pa.types
LISTS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Field], pa.DataType]], ...] = (
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


def _is_list(kind: pa.DataType) -> bool:
    return any(test(kind) for test, _ in LISTS)


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

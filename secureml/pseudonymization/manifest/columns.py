"""How each column was made, and what became of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, astuple, dataclass, fields, replace
from operator import add
from typing import Any

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.column_spec import ColumnSpec
from secureml.pseudonymization.keys import KeyReference
from secureml.pseudonymization.manifest.layouts import (
    COUNTS,
    SKETCH,
    Layout,
    ascending,
    fields_of,
    refuse,
)
from secureml.pseudonymization.sketch import Sketch
from secureml.settings.rules import CHOICES

__all__ = ["Column", "Counts", "column_of"]

_RECIPE = {field.name.removeprefix("key_"): field.name for field in fields(ColumnSpec)}
"""The fields of the recipe in a manifest, and the attributes that hold them."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows a column had, and what became of them.

    Args:
        rows: all of them; of a column inside of lists, its values.
        nulls: those that were null and stayed so.
        empty: those that were empty strings and stayed so.
        tokens: those that became tokens in place of a pseudonym of their format.
        nulled: those whose value was replaced by null.
    """

    rows: int
    nulls: int
    empty: int
    tokens: int
    nulled: int

    def __add__(self, other: Counts) -> Counts:
        """Return the counts of two parts of a column together."""
        return Counts(*map(add, astuple(self), astuple(other)))


@dataclass(frozen=True, slots=True)
class Column:
    """How one column was pseudonymized.

    Args:
        recipe: all that was decided beforehand.
        dtype: of the column before; recovery restores it.
        versions: whether another column tells the key's version of each row.
        counts: of its rows; None if the manifest was made before they were read.
        arrow: the Arrow type of the column before, or None if it has none.
        tweak_arrow: the Arrow type of the column of tweaks, or None.
        sketches: by version of the key, of the rows under it; none of what can't be reversed, and
            None if the manifest was made before the rows were read.
    """

    recipe: ColumnSpec
    dtype: str
    counts: Counts | None = None
    versions: bool = False
    arrow: str | None = None
    tweak_arrow: str | None = None
    sketches: Mapping[int | None, Sketch] | None = None

    def sketch(self, version: int | None) -> Sketch:
        """Return the sketch of the rows under a version of the key, an empty one if it has none."""
        return Sketch(None) if self.sketches is None else self.sketches.get(version, Sketch(()))

    def document(self) -> dict[str, Any]:
        """Return the entry as plain dicts, fit for JSON."""
        recipe = {field: getattr(self.recipe, name) for field, name in _RECIPE.items()}
        entry = {field.name: getattr(self, field.name) for field in fields(Column)}
        del entry["recipe"], entry["counts"], entry["sketches"]
        entry["options"] = deepcopy(dict(self.recipe.options))
        if self.counts is not None:
            entry |= asdict(self.counts)
        if self.sketches is not None:
            entry["sketches"] = [
                {"version": version, "values": sketch.values, "pairs": sketch.pairs}
                for version, sketch in sorted(self.sketches.items(), key=_by_version)
            ]
        return {**recipe, **entry}


def column_of(name: str, given: object, layout: Layout, keys: Sequence[KeyReference]) -> Column:
    """Read the entry of a column.

    Args:
        name: the column's.
        given: the entry.
        layout: of the manifest's schema.
        keys: the versions that the manifest lists.

    Raises:
        ManifestError: it is none of this schema.
    """
    entry = fields_of(given, f"column {name!r}", layout.of_column(given))
    recipe = ColumnSpec(**{_RECIPE[field]: entry[field] for field in _RECIPE if field in entry})
    for field in ("small_domain", "on_invalid", "normalize"):
        value = getattr(recipe, field)
        if value not in CHOICES[field] and (field, value) != ("normalize", None):
            refuse(f"{field} of column {name!r} is not one that this version knows")
    problem = ""
    try:
        recipe.check()
    except PseudonymizationError as error:
        problem = error.message
    if problem:
        refuse(f"column {name!r}: {problem}")
    rest = {field: value for field, value in entry.items() if field not in _RECIPE}
    counts = {field: rest.pop(field) for field in COUNTS if field in rest}
    sketches, sample = rest.pop("sketches", None), tuple(rest.pop("sample", ()))
    column = Column(recipe, counts=Counts(**counts) if counts else None, **rest)
    if "sketches" not in layout.column:
        return replace(column, sketches=_sketches_before(column, sample, keys[-1].version))
    if sketches is None:
        return column
    return replace(column, sketches=_sketches(name, sketches, keys))


def _sketches(
    name: str, given: Iterable[object], keys: Sequence[KeyReference]
) -> dict[int | None, Sketch]:
    entries = [fields_of(one, f"a sketch of column {name!r}", SKETCH) for one in given]
    versions = [entry["version"] for entry in entries]
    if versions != ascending(versions) or not {*versions} <= {one.version for one in keys}:
        refuse(f"the sketches of column {name!r} are not of the versions that it lists")
    return {entry.pop("version"): Sketch(**entry) for entry in map(dict, entries)}


def _sketches_before(
    column: Column, sample: tuple[str, ...], version: int | None
) -> dict[int | None, Sketch]:
    """Return the sketches of a column in schema 1, which had none, or 2, of one version."""
    if not column.recipe.reversible:
        return {}
    counts = column.counts
    assert counts is not None
    valued = counts.rows > counts.nulls + counts.empty + counts.nulled
    return {version: Sketch(None if valued and not sample else sample)}


def _by_version(item: tuple[int | None, object]) -> int:
    return item[0] or 0

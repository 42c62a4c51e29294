"""One manifest for a table that was worked on in parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from secureml.errors import ManifestError
from secureml.pseudonymization.manifest import Column, Manifest
from secureml.pseudonymization.sample import merged_samples

__all__ = ["merge_columns"]


def merge_columns(parts: Sequence[Manifest]) -> dict[str, Column]:
    """Return the entries of the columns of a table, from those of its parts.

    Args:
        parts: at least one, each verified.

    Raises:
        ManifestError: they are not of parts of one table that were made in the same way.
    """
    first, *others = parts
    columns = dict(first.columns)
    for part in others:
        if replace(part.key, envelope=None) != replace(first.key, envelope=None):
            raise ManifestError(
                f"one part was pseudonymized with {first.key}, another with {part.key}: rekey one"
                " of them first"
            )
        if part.columns.keys() != columns.keys():
            apart = sorted(part.columns.keys() ^ columns.keys())
            raise ManifestError(
                f"the parts differ in the columns {', '.join(map(repr, apart))}: a manifest is of"
                " all rows of a column"
            )
        for name, entry in part.columns.items():
            columns[name] = _merged(name, columns[name], entry)
    return columns


def _merged(name: str, one: Column, other: Column) -> Column:
    if (one.recipe, one.versions) != (other.recipe, other.versions):
        raise ManifestError(f"column {name!r} was not pseudonymized alike in all parts")
    if one.dtype != other.dtype:
        raise ManifestError(
            f"column {name!r} has dtype {one.dtype} in one part and {other.dtype} in another:"
            " convert the parts to one dtype before they are pseudonymized"
        )
    return replace(
        one,
        rows=one.rows + other.rows,
        nulls=one.nulls + other.nulls,
        empty=one.empty + other.empty,
        tokens=one.tokens + other.tokens,
        nulled=one.nulled + other.nulled,
        sample=_sample(one, other),
    )


def _sample(one: Column, other: Column) -> tuple[str, ...]:
    """Merge two samples; none of a part that should have one is none of the whole."""
    for part in (one, other):
        if not part.sample and part.rows > part.nulls + part.empty + part.nulled:
            return ()
    return merged_samples(one.sample, other.sample)

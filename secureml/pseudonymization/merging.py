"""One manifest for a table that was worked on in parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from secureml.errors import ManifestError
from secureml.pseudonymization.keyring import Keyring
from secureml.pseudonymization.manifest import Column, KeyReference, Manifest, Sketch
from secureml.pseudonymization.sketch import merged_sketches

__all__ = ["merge_columns", "merge_keys"]

KeyringOf = Callable[[int | None], Keyring]
"""Returns the keyring of a version of the key."""


def merge_keys(parts: Sequence[Manifest]) -> list[KeyReference]:
    """Return the versions of the key that the parts of a table list, ascending.

    Args:
        parts: at least one.

    Raises:
        ManifestError: they are not of one key, or of versions that their rows do not tell.
    """
    first = parts[0].key
    keys: dict[int | None, KeyReference] = {}
    for part in parts:
        if (part.key.name, part.key.environment) != (first.name, first.environment):
            raise _other_key(first, part.key)
        for version, reference in part.keys.items():
            known = keys.setdefault(version, reference)
            if known.check != reference.check:
                raise ManifestError(
                    f"the parts name two keys by one number: {reference} was another one when"
                    " another part was made, as after a restore or in another Vault. Rekey one"
                    " part to a key of another name, where its own key is"
                )
        if part.key.version != first.version and not all(map(_tells_versions, parts)):
            raise _other_key(first, part.key)
    return [keys[version] for version in sorted(keys, key=lambda version: version or 0)]


def merge_columns(parts: Sequence[Manifest], keyring_of: KeyringOf) -> dict[str, Column]:
    """Return the entries of the columns of a table, from those of its parts.

    Args:
        parts: at least one, each verified.
        keyring_of: is asked for the versions whose rows are in several parts.

    Raises:
        ManifestError: they are not of parts of one table that were made in the same way.
    """
    first, *others = parts
    columns = dict(first.columns)
    for part in others:
        if part.columns.keys() != columns.keys():
            apart = sorted(part.columns.keys() ^ columns.keys())
            raise ManifestError(
                f"the parts differ in the columns {', '.join(map(repr, apart))}: a manifest is of"
                " all rows of a column"
            )
        for name, entry in part.columns.items():
            columns[name] = _merged(name, columns[name], entry, keyring_of)
    return columns


def _tells_versions(part: Manifest) -> bool:
    columns = [column for column in part.columns.values() if column.recipe.reversible]
    return bool(columns) and all(column.versions for column in columns)


def _other_key(one: KeyReference, other: KeyReference) -> ManifestError:
    return ManifestError(
        f"one part was pseudonymized with {one}, another with {other}: rekey one of them first"
    )


def _merged(name: str, one: Column, other: Column, keyring_of: KeyringOf) -> Column:
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
        arrow=one.arrow if one.arrow == other.arrow else None,
        tweak_arrow=one.tweak_arrow if one.tweak_arrow == other.tweak_arrow else None,
        sketches=_sketches(name, one.sketches, other.sketches, keyring_of),
    )


def _sketches(
    name: str,
    one: Mapping[int | None, Sketch],
    other: Mapping[int | None, Sketch],
    keyring_of: KeyringOf,
) -> dict[int | None, Sketch]:
    merged = {**one, **other}
    for version in one.keys() & other.keys():
        keyring = keyring_of(version)
        first, second = (keyring.opened(name, sketches[version]) for sketches in (one, other))
        whole = Sketch(_both(first.values, second.values), _both(first.pairs, second.pairs))
        merged[version] = keyring.sealed(name, whole)
    return merged


def _both(one: Sequence[str] | None, other: Sequence[str] | None) -> tuple[str, ...] | None:
    """Merge sketches; one that is not known makes that of the whole unknown."""
    return None if one is None or other is None else merged_sketches(one, other)

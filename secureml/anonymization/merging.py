"""``merge_manifests``: one manifest for a table that was worked on in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from secureml.anonymization.arguments import check_key, check_manifest
from secureml.errors import ArgumentError, ManifestError
from secureml.key_management import KeyManager, get_default_key_manager
from secureml.pseudonymization.keys import KeyReference, Keyring, keyring_that_made
from secureml.pseudonymization.manifest import Column, Manifest
from secureml.pseudonymization.sketch import Sketch, merged_sketches

__all__ = ["merge_columns", "merge_keys", "merge_manifests"]

KeyringOf = Callable[[int | None], Keyring]
"""Returns the keyring of a version of the key."""


def merge_manifests(
    manifests: Iterable[Mapping[str, Any] | str], *, key_manager: KeyManager | None = None
) -> dict[str, Any]:
    """Make one manifest of those of the parts of one table.

    Args:
        manifests: of the parts, each as ``anonymize`` left it in ``attrs["secureml"]``, or its
            JSON text; of the same columns, made in the same way with the same version of a key, or
            with several if ``key_versions`` was on.
        key_manager: where the key comes from; by default the process's own.

    Returns:
        The manifest of all their rows together.

    Raises:
        ManifestError: there are none, one was changed, they are not of parts of one table, or
            one version number names two keys.
        SecretError: the key can't be had.
    """
    check_key(key_manager)
    is_table = hasattr(manifests, "__arrow_c_stream__")
    if is_table or isinstance(manifests, str | Mapping) or not isinstance(manifests, Iterable):
        raise ArgumentError.of("manifests", "must be a list of manifests")
    given = list(manifests)
    for manifest in given:
        check_manifest(manifest)
    parts = [Manifest.parse(manifest) for manifest in given]
    if not parts:
        raise ManifestError("there are no manifests to merge")
    *older, newest = merge_keys(parts)
    manager = get_default_key_manager() if key_manager is None else key_manager
    references = {key.version: key for key in (*older, newest)}

    @cache
    def keyring_of(version: int | None) -> Keyring:
        return keyring_that_made(manager, references[version])

    for part in parts:
        part.check(keyring_of(part.key.version))
    columns = merge_columns([part.columns for part in parts], keyring_of)
    return Manifest.of(keyring_of(newest.version), columns, older).document()


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


def merge_columns(
    parts: Sequence[Mapping[str, Column]], keyring_of: KeyringOf
) -> dict[str, Column]:
    """Return the entries of the columns of a table, from those of its parts.

    Args:
        parts: the entries of at least one part, by column.
        keyring_of: is asked for the versions whose rows are in several parts.

    Raises:
        ManifestError: they are not of parts of one table that were made in the same way.
    """
    first, *others = parts
    columns = dict(first)
    for part in others:
        if part.keys() != columns.keys():
            apart = sorted(part.keys() ^ columns.keys())
            raise ManifestError(
                f"the parts differ in the columns {', '.join(map(repr, apart))}: a manifest is of"
                " all rows of a column"
            )
        for name, entry in part.items():
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
        counts=one.counts + other.counts if one.counts and other.counts else None,
        arrow=one.arrow if one.arrow == other.arrow else None,
        tweak_arrow=one.tweak_arrow if one.tweak_arrow == other.tweak_arrow else None,
        sketches=_sketches(name, one.sketches, other.sketches, keyring_of),
    )


def _sketches(
    name: str,
    one: Mapping[int | None, Sketch] | None,
    other: Mapping[int | None, Sketch] | None,
    keyring_of: KeyringOf,
) -> dict[int | None, Sketch] | None:
    if one is None or other is None:
        return None
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

"""Manifests that the columns of a table carry, each its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from secureml.errors import ManifestError
from secureml.pseudonymization.keys import KeyReference
from secureml.pseudonymization.manifest.layouts import ascending
from secureml.pseudonymization.manifest.signed import Manifest

__all__ = ["ColumnManifests", "parse_manifest"]


@dataclass(frozen=True, slots=True)
class ColumnManifests:
    """Manifests that the columns of a table carry, each its own.

    Args:
        documents: by the name that the column has.
        column_of: returns the column that a name in a manifest is of, or is inside of.
        mixed: the columns that have rows of other manifests too, or of none.
    """

    documents: Mapping[str, object]
    column_of: Callable[[str], str]
    mixed: frozenset[str] = frozenset()

    def by_key(self) -> list[ColumnManifests]:
        """Return those of each key.

        Raises:
            ManifestError: one can't be read, or its column was renamed.
        """
        keys: list[KeyReference] = []
        parts: list[dict[str, object]] = []
        for name, manifest in self._manifests().items():
            if manifest.key not in keys:
                keys.append(manifest.key)
                parts.append({})
            parts[keys.index(manifest.key)][name] = self.documents[name]
        return [replace(self, documents=part) for part in parts]

    def joined(self) -> Manifest:
        """Return one manifest of all columns.

        Raises:
            ManifestError: one can't be read, its column was renamed, or they are of several keys.
        """
        parts = list(self._manifests().items())
        first, newest = parts[0]
        keys: dict[int | None, KeyReference] = {}
        for name, part in parts:
            if part.key != newest.key:
                raise ManifestError(
                    f"column {first!r} was pseudonymized with {newest.key}, and {name!r} with"
                    f" {part.key}: take the columns of one key at a time"
                )
            for version, key in part.keys.items():
                if keys.setdefault(version, key) != key:
                    raise ManifestError(
                        f"the manifests of two columns name different keys as {key}"
                    )
        del keys[newest.key.version]
        return Manifest(
            newest.key,
            {name: entry for _, part in parts for name, entry in part.columns.items()},
            mac="",
            schema=min(part.schema for _, part in parts),
            older=tuple(keys[version] for version in ascending(keys)),
            parts=tuple(part for _, part in parts),
        )

    def _manifests(self) -> dict[str, Manifest]:
        manifests = {}
        for name, document in self.documents.items():
            if name in self.mixed:
                raise ManifestError(
                    f"column {name!r} has rows of several manifests, or of none, because tables"
                    " were put together: recover or rekey them before that, or, if key_versions"
                    " was on, pass the manifest that merge_manifests makes of theirs"
                )
            manifests[name] = manifest = Manifest.parse(document)
            renamed = [one for one in manifest.columns if self.column_of(one) != name]
            if renamed:
                raise ManifestError(
                    f"column {name!r} has the manifest of {renamed[0]!r}, which it was renamed or"
                    " copied from: give it its name back, or drop it"
                )
        return manifests


def parse_manifest(document: object) -> Manifest:
    """Read a manifest, or those that columns carry as one.

    Args:
        document: as ``Manifest.parse`` takes it, or the manifests of columns.

    Raises:
        ManifestError: it can't be read, or the columns have no manifest in common.
    """
    if isinstance(document, ColumnManifests):
        return document.joined()
    return Manifest.parse(document)

"""Which versions of which key a file needs, so that nobody destroys one in use."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from secureml.errors import ManifestError
from secureml.files.base import TableFile
from secureml.files.csv import Told
from secureml.files.frames import count_versions
from secureml.files.manifests import SIDECAR, manifest_of, open_told
from secureml.pseudonymization.keys import KeyReference
from secureml.pseudonymization.manifest import Manifest

__all__ = ["KeyUsage", "key_usage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUsage:
    """What a file needs to be recovered.

    Args:
        path: the file.
        key: the name of the key.
        environment: in which it is, None if none was selected.
        columns: those that can be recovered with it.
        versions: how many rows need each version; None stands for a key without versions.
        references: the versions whose check the manifest has, which a number alone does not tell.
    """

    path: Path
    key: str
    environment: str | None
    columns: tuple[str, ...]
    versions: Mapping[int | None, int]
    references: Mapping[int | None, KeyReference]


def key_usage(path: str | os.PathLike[str], *, delimiter: str | None = None) -> KeyUsage:
    """Tell which versions of which key a file needs.

    Args:
        path: a table, or a manifest alone.
        delimiter: of CSV.

    Raises:
        ManifestError: there is no manifest, or it tells that the versions are in a table that is
            not beside it.
        SecureMLError: a file can't be read.
    """
    path = Path(path)
    manifest = Manifest.parse(manifest_of(path))
    columns = {name: entry for name, entry in manifest.columns.items() if entry.recipe.reversible}
    several = [name for name, entry in columns.items() if entry.versions]
    versions: Counter[int | None] = Counter()
    if len(several) < len(columns):
        counted = [entry.counts.rows for entry in columns.values() if entry.counts is not None]
        if not counted:
            chunks = _table_of(path, Told(delimiter=delimiter)).chunks(())
            counted = [sum(len(chunk) for chunk in chunks)]
        versions[manifest.key.version] = max(counted)
    if several:
        versions |= count_versions(
            _table_of(path, Told(delimiter=delimiter)), several, manifest.key.version
        )
    return KeyUsage(
        path=path,
        key=manifest.key.name,
        environment=manifest.key.environment,
        columns=tuple(columns),
        versions=dict(versions),
        references=manifest.keys,
    )


def _table_of(path: Path, told: Told) -> TableFile:
    """Open a table, or the one that a manifest lies beside."""
    table = path.with_name(path.name.removesuffix(SIDECAR))
    if path.suffix == ".json" and (table == path or not table.is_file()):
        raise ManifestError(
            f"{path} does not tell how many rows need which version, which only the table tells:"
            " name that"
        )
    return open_told(table, told)

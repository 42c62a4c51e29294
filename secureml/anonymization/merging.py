"""One manifest for a table that was worked on in parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import pandas as pd

from secureml.anonymization.arguments import check_key, check_manifest
from secureml.anonymization.keyrings import keyring_that_made
from secureml.errors import ArgumentError, ManifestError
from secureml.key_management import KeyManager, get_default_key_manager
from secureml.pseudonymization.keyring import Keyring
from secureml.pseudonymization.manifest import Manifest
from secureml.pseudonymization.merging import merge_columns, merge_keys

__all__ = ["merge_manifests"]


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
    if isinstance(manifests, str | Mapping | pd.DataFrame) or not isinstance(manifests, Iterable):
        raise ArgumentError.of("manifests", "must be a list of manifests")
    given = list(manifests)
    for manifest in given:
        check_manifest(manifest)
    parts = [Manifest.parse(manifest) for manifest in given]
    if not parts:
        raise ManifestError("there are no manifests to merge")
    *older, newest = merge_keys(parts)
    manager = get_default_key_manager() if key_manager is None else key_manager
    references = {one.version: one for one in (*older, newest)}

    @cache
    def keyring_of(version: int | None) -> Keyring:
        return keyring_that_made(manager, references[version])

    for part in parts:
        keyring_of(part.key.version).verify(part)
    columns = merge_columns(parts, keyring_of)
    return keyring_of(newest.version).sign(columns, older).document()

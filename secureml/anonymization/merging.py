"""One manifest for a table that was worked on in parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from secureml.anonymization.arguments import check_key, check_manifest
from secureml.anonymization.keyrings import keyring_that_made
from secureml.errors import ArgumentError, ManifestError
from secureml.key_management import KeyManager, get_default_key_manager
from secureml.pseudonymization.manifest import Manifest
from secureml.pseudonymization.merging import merge_columns

__all__ = ["merge_manifests"]


def merge_manifests(
    manifests: Iterable[Mapping[str, Any] | str], *, key_manager: KeyManager | None = None
) -> dict[str, Any]:
    """Make one manifest of those of the parts of one table.

    Args:
        manifests: of the parts, each as ``anonymize`` left it in ``attrs["secureml"]``, or its
            JSON text; of the same columns, made in the same way with the same version of a key.
        key_manager: where the key comes from; by default the process's own.

    Returns:
        The manifest of all their rows together.

    Raises:
        ManifestError: there are none, one was changed, or they are not of parts of one table.
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
    columns = merge_columns(parts)
    manager = get_default_key_manager() if key_manager is None else key_manager
    keyring = keyring_that_made(manager, parts[0].key)
    for part in parts:
        keyring.verify(part)
    return keyring.sign(columns).document()

"""Whether an exported key recovers a file: what its manifest needs, held against the export."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from secureml.errors import ManifestError, SecretError, SecretNotFoundError
from secureml.files.manifests import manifest_of
from secureml.files.usage import key_usage
from secureml.key_management import KeyManager
from secureml.keys.export import KeyExport
from secureml.pseudonymization.keys import keyring_that_made
from secureml.pseudonymization.manifest import Manifest
from secureml.settings import Settings
from secureml.stores import MemoryStore

__all__ = ["lacking_for"]


def lacking_for(
    export: KeyExport, path: str | os.PathLike[str], *, delimiter: str | None = None
) -> tuple[str, ...]:
    """Tell what an export lacks to recover a file; nothing if the file can be recovered with it.

    Args:
        export: the key, opened.
        path: a table, or a manifest alone.
        delimiter: of CSV.

    Raises:
        ManifestError: there is no manifest, or it tells that the versions are in a table that is
            not beside it.
        SecureMLError: a file can't be read.
    """
    path = Path(path)
    usage = key_usage(path, delimiter=delimiter)
    if (usage.key, usage.environment) != (export.name, export.environment):
        place = "no environment" if usage.environment is None else repr(usage.environment)
        return (f"it needs the key {usage.key!r} of {place}",)
    manifest = Manifest.parse(manifest_of(path))
    settings = Settings(environment=export.environment, use_env_fallback=False)
    # Into memory, and without the states: a version that is disabled is there.
    with KeyManager(settings=settings, store=MemoryStore()) as manager:
        manager.restore_key(replace(export, custom_metadata={}))
        needed = {manifest.key.version, *usage.versions}
        return tuple(filter(None, (_problem(manager, manifest, each) for each in needed)))


def _problem(manager: KeyManager, manifest: Manifest, version: int | None) -> str:
    """Tell why rows under a version can't be recovered; empty if they can."""
    try:
        if version not in manifest.keys:
            # Earlier schemas hold the check of one version alone.
            manager.key_info(manifest.key.name, version)
            return ""
        # Wrapped in the manifest, it is no matter of the export's.
        keyring = keyring_that_made(manager, replace(manifest.keys[version], envelope=None))
        if version == manifest.key.version:
            manifest.check(keyring)
    except SecretNotFoundError:
        return f"it needs version {version}, which the export lacks"
    except (SecretError, ManifestError) as error:
        return error.message
    return ""

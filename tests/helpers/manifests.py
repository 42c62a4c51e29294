"""Manifests as they are before the rows are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from secureml.key_management import KeyManager
from secureml.pseudonymization.keys import keyring_that_made
from secureml.pseudonymization.manifest import Manifest

__all__ = ["before_reading"]


def before_reading(document: Mapping[str, Any], manager: KeyManager) -> dict[str, Any]:
    """Return a manifest without what is known of the rows, signed."""
    made = Manifest.parse(dict(document))
    columns = {
        name: replace(entry, counts=None, sketches=None) for name, entry in made.columns.items()
    }
    return Manifest.of(keyring_that_made(manager, made.key), columns, made.older).document()

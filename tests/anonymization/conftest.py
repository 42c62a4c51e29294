from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict
from typing import Any

import pytest

from secureml.anonymization.keyrings import keyring_of
from secureml.key_management import KeyManager
from secureml.pseudonymization.manifest import Sketch
from secureml.sources import MemoryStore


@pytest.fixture
def manager() -> KeyManager:
    """A manager with two keys of one version each."""
    manager = KeyManager(environment="development", store=MemoryStore())
    manager.generate_key("master_key")
    manager.generate_key("other_key")
    return manager


@pytest.fixture
def opened(manager: KeyManager) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Returns a manifest as two of equal tables have it: sketches decrypted, no MAC."""

    def opened(document: dict[str, Any]) -> dict[str, Any]:
        made = deepcopy(document)
        del made["mac"]
        for name, column in made["columns"].items():
            for sketch in column["sketches"]:
                keyring = keyring_of(manager, made["key"]["name"], sketch["version"])
                places = keyring.opened(name, Sketch(sketch["values"], sketch["pairs"]))
                sketch.update(asdict(places))
        return made

    return opened

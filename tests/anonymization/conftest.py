from __future__ import annotations

import pytest

from secureml.key_management import KeyManager
from secureml.stores import MemoryStore


@pytest.fixture
def manager() -> KeyManager:
    """A manager with two keys of one version each."""
    manager = KeyManager(environment="development", store=MemoryStore())
    manager.generate_key("master_key")
    manager.generate_key("other_key")
    return manager

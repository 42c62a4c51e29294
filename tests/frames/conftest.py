from __future__ import annotations

import pytest

from secureml.key_management import KeyManager
from secureml.stores import MemoryStore


@pytest.fixture(scope="module")
def manager() -> KeyManager:
    manager = KeyManager(environment="development", store=MemoryStore())
    manager.generate_key("master_key")
    manager.generate_key("other_key")
    return manager

from __future__ import annotations

import pandas as pd
import pytest

from helpers.people import SSNS
from secureml.key_management import KeyManager
from secureml.stores import MemoryStore


@pytest.fixture
def manager() -> KeyManager:
    """A manager with two keys of one version each."""
    manager = KeyManager(environment="development", store=MemoryStore())
    manager.generate_key("master_key")
    manager.generate_key("other_key")
    return manager


@pytest.fixture
def people() -> pd.DataFrame:
    """A table with an index and attributes."""
    frame = pd.DataFrame(
        {
            "ssn": [*SSNS, None, ""],
            "name": ["José Müller", "Anna-Lena O'Neil", "山田太郎", "Ян Кравченко", None],
            "id": [1_234_567, -7_654_321, 12_345_678, 99_999_999, 1_234_567],
            "age": [31, 42, 53, 64, 75],
        },
        index=pd.Index(list("vwxyz"), name="row"),
    )
    frame.attrs["source"] = {"file": ["a.csv"]}
    return frame

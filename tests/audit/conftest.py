from __future__ import annotations

from pathlib import Path

import pytest

from helpers.audit import Log, in_memory
from secureml.key_management import KeyManager


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "audit.log")


@pytest.fixture
def manager(log: Log) -> KeyManager:
    return in_memory(audit_log=log.path)

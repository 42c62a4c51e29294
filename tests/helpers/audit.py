"""Managers whose accesses are audited, and the events in a file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from secureml.key_management import KeyManager
from secureml.stores import MemoryStore

__all__ = ["KEY", "Log", "in_memory", "posix_only"]

KEY = bytes(range(100, 132))

posix_only = pytest.mark.skipif(os.name != "posix", reason="about files as POSIX has them")


class Log:
    """Reads the events of a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]

    def last(self, *members: str) -> tuple:
        event = self.events()[-1]
        return tuple(event[member] for member in members)


def in_memory(store: MemoryStore | None = None, **more) -> KeyManager:
    return KeyManager(store=store or MemoryStore(), environment="development", **more)

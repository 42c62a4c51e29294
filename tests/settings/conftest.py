"""Fixtures of the tests of settings."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of the project, whose folder is the working directory."""

    def write(content: str | bytes, name: str = "settings.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a Python program in a fresh process, in the project's folder; return what it prints."""

    def run(program: str, *options: str, **variables: str) -> str:
        path = os.pathsep.join(filter(None, sys.path))
        return subprocess.run(
            [sys.executable, *options, "-c", program],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, **variables},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
        ).stdout

    return run


@pytest.fixture
def runs(request: pytest.FixtureRequest) -> int:
    """How many combinations to compare."""
    return int(request.config.getoption("--model-runs"))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The number of the first one."""
    return int(request.config.getoption("--model-seed"))

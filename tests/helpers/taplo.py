"""Taplo, with which editors check TOML files by a schema."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TAPLO = shutil.which("taplo", path=str(Path(sys.executable).parent)) or shutil.which("taplo")

needs_taplo = pytest.mark.skipif(TAPLO is None, reason="Taplo has no wheel for this machine")


def refused_by_taplo(folder: Path, *options: str) -> set[str]:
    """Return the names of the TOML files of a folder that Taplo finds wrong."""
    ran = subprocess.run(
        [str(TAPLO), "check", "--no-auto-config", "--colors", "never", *options, "*.toml"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    wrong = re.findall(r"^ *┌─ (.+):\d+:\d+$", ran.stderr, re.MULTILINE)
    assert (ran.returncode != 0) == bool(wrong), ran.stderr
    return {Path(path).name for path in wrong}

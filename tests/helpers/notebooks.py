"""Notebooks, run in a real kernel."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RUN = """
import sys
import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
source, target, connection, allow_errors = sys.argv[1:]
notebook = nbformat.read(source, 4)
# By sockets in the file system: nothing listens on a port.
kernel = AsyncKernelManager(transport="ipc", connection_file=connection, kernel_name="python3")
client = NotebookClient(notebook, km=kernel, timeout=120, allow_errors=allow_errors == "True")
client.execute()
nbformat.write(notebook, target)
"""


def execute(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
    source: Path,
    target: Path,
    *,
    allow_errors: bool = False,
    **more: Any,
) -> None:
    """Run all cells of a notebook, and write it with their outputs.

    Args:
        run_python: the fixture.
        source: the notebook.
        target: what is written.
        allow_errors: whether cells after one that raises are run too.
        **more: for the process, such as its environment.
    """
    for module in ("nbclient", "ipykernel"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    with tempfile.TemporaryDirectory() as short:
        places = (str(source), str(target), str(Path(short) / "kernel.json"))
        done = run_python("-c", RUN, *places, str(allow_errors), **more)
    assert done.returncode == 0, done.stderr

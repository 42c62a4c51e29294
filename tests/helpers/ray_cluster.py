"""A cluster of Ray on loopback, with two workers."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.processes import WORKERS_PATH

__all__ = ["started"]

VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # it listens on loopback alone then
}


os.environ.update(VARIABLES)  # which Ray reads when it is imported

import ray  # noqa: E402
import ray.data  # noqa: E402


@contextlib.contextmanager
def started(**runtime_env: Any) -> Iterator[Path]:
    """Start a cluster, and give the folder of its session, which is removed after it.

    Args:
        runtime_env: what its workers start with.
    """
    # The path of a socket has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    variables = {"PYTHONPATH": WORKERS_PATH, **runtime_env.pop("env_vars", {})}
    try:
        _start(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=100_000_000,
            runtime_env={"env_vars": variables, **runtime_env},
            _temp_dir=str(folder),
        )
        # A worker that can't start is started again for ever, and nothing tells so.
        ray.get(ray.remote(lambda: None).remote(), timeout=60)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of settings, as it makes them
            ray.data.DataContext.get_current().enable_progress_bars = False
        yield folder
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _start(**options: Any) -> None:
    """Start Ray, again if it was late: it gives itself 30 seconds, whatever else a machine does."""
    for _ in range(3):
        try:
            ray.init(**options)
        except Exception as error:
            late = "timed out during startup" in str(error)
            ray.shutdown()
            if not late:
                raise
        else:
            return
    pytest.fail("Ray was late three times")

"""Clusters and servers that the tests of engines start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from helpers.spark import Sessions, without_java
from helpers.workers import Employer
from secureml.vault.devserver.server import DevServer

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LOCAL = {
    "spark.python.daemon.module": "helpers.spark_daemon",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
}


@pytest.fixture(scope="module")
def employer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Employer]:
    """A server with a role for each worker."""
    folder = tmp_path_factory.mktemp("employer")
    with DevServer(folder / "bao", audit=True) as server:
        employer = Employer(server, folder / "roles")
        yield employer
        employer.close()


@pytest.fixture(scope="session")
def spark_sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sessions]:
    """The sessions of Spark's in this process."""
    if missing := without_java():
        pytest.skip(missing)
    sessions = Sessions(tmp_path_factory.mktemp("spark"))
    yield sessions
    sessions.close()


@pytest.fixture
def spark(spark_sessions: Sessions) -> SparkSession:
    """A session whose workers have the keys of the contract of frames."""
    return spark_sessions.session(LOCAL)

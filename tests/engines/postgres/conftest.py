"""A PostgreSQL for all tests here, and two databases of it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from docs.conftest import reader
from helpers.postgres import Postgres, binaries, server
from secureml.key_management import KeyManager
from secureml.stores import MemoryStore

__all__ = ["reader"]


@pytest.fixture(scope="session")
def _server() -> Iterator[Postgres]:
    pytest.importorskip("adbc_driver_postgresql")
    if binaries() is None:
        pytest.skip("PostgreSQL is not on this machine: apt-get install postgresql")
    # What it writes down of statements, so that a test can look for secrets in it.
    with server("fsync=off", "full_page_writes=off", "log_statement=all") as here:
        yield here


@pytest.fixture(scope="session")
def _databases(_server: Postgres) -> tuple[Postgres, Postgres]:
    return _server.made("records"), _server.made("other")


@pytest.fixture
def database(_databases: tuple[Postgres, Postgres]) -> Postgres:
    """An empty database."""
    _databases[0].clear()
    return _databases[0]


@pytest.fixture
def other(_databases: tuple[Postgres, Postgres]) -> Postgres:
    """Another one."""
    _databases[1].clear()
    return _databases[1]


@pytest.fixture
def manager() -> KeyManager:
    """A key manager with the master key."""
    manager = KeyManager(store=MemoryStore(), environment="staging")
    manager.generate_key("master_key")
    return manager


@pytest.fixture(autouse=True)
def _no_variables_of_libpq(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("PG"):
            monkeypatch.delenv(name)

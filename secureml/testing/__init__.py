"""A pytest plug-in: fixtures for the tests of programs that use secureml.

pytest loads this module in each run, so that it imports pytest alone: a fixture imports the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from secureml.key_management import KeyManager
    from secureml.settings import Settings
    from secureml.testing.canary import Canary
    from secureml.testing.vault import Vault
    from secureml.vault.devserver.server import DevServer

__all__ = [
    "secureml_canary",
    "secureml_keys",
    "secureml_settings",
    "secureml_vault",
    "secureml_vault_server",
]


@pytest.fixture
def secureml_keys() -> Iterator[KeyManager]:
    """A key manager in memory, without any key, which is the default manager during the test."""
    from secureml.key_management.default import temporary_default_manager
    from secureml.stores import MemoryStore

    with temporary_default_manager(store=MemoryStore()) as manager:
        yield manager


@pytest.fixture
def secureml_settings() -> Iterator[Callable[..., Settings]]:
    """A function that puts other settings on top, in all threads, until the end of the test.

    Its arguments are those of ``secureml.override``. It returns the settings in force.
    """
    from secureml.configuration import get_settings
    from secureml.configuration.process import temporary_settings

    with ExitStack() as stack:

        def put_on_top(*, environment: str | None = None, **settings: object) -> Settings:
            stack.enter_context(temporary_settings(environment, settings))
            return get_settings()

        yield put_on_top


@pytest.fixture(scope="session")
def secureml_vault_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """The session's OpenBao server, shared by its tests: never stop or seal it."""
    from secureml.errors import MissingExtraError
    from secureml.vault.devserver.server import DevServer

    try:
        server = DevServer(tmp_path_factory.mktemp("secureml-vault"))
    except MissingExtraError as error:
        pytest.skip(str(error))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def secureml_vault(secureml_vault_server: DevServer) -> Iterator[Vault]:
    """A fresh namespace of a real OpenBao, with KV v2 at ``secret/`` and a token for all of it."""
    from secureml.testing.vault import fresh_namespace

    with fresh_namespace(secureml_vault_server) as vault:
        yield vault


@pytest.fixture
def secureml_canary(request: pytest.FixtureRequest) -> Iterator[Canary]:
    """A secret and a key; the test fails if they show up in logs, output or warnings."""
    from secureml.testing.canary import watched

    capturing = {"capsys", "capsysbinary", "capfd", "capfdbinary"} & set(request.fixturenames)
    with watched(
        request.getfixturevalue(capturing.pop() if capturing else "capfdbinary")
    ) as canary:
        yield canary


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Fail the test itself, rather than its teardown, if its canary has shown up."""
    yield
    canary = getattr(item, "funcargs", {}).get("secureml_canary")
    if canary is not None:
        canary.check()

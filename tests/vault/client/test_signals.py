"""Signal handlers that use, close or leave a session in the middle of what it does."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from helpers.vault import Vault
from secureml.secret_types import SecretText
from secureml.settings import Layers, Settings, load_settings
from secureml.stores.vault import VaultStore
from secureml.vault.auth import AuthMethod, Login
from secureml.vault.client.session import VaultSession

pytestmark = pytest.mark.skipif(os.name != "posix", reason="about signals as POSIX has them")


class Interrupted(AuthMethod):
    """Logs in with a token that is given; the first login is interrupted by a signal."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.logins = 0

    def login(self, client: Any) -> Login:
        self.logins += 1
        if self.logins == 1:
            signal.raise_signal(signal.SIGUSR1)
        return Login(token=SecretText(self.token))


class Late(Exception):
    """What a handler raises."""


@pytest.fixture
def settings(vault: Vault) -> Settings:
    vault.client().secrets.kv.v2.create_or_update_secret("secureml/k", {"value": "v"})
    arguments = {
        "vault_url": vault.url,
        "vault_namespace": vault.namespace,
        "vault_timeout": 5,
    }
    return load_settings(Layers(arguments=arguments))


@pytest.fixture
def interrupted(vault: Vault, settings: Settings) -> tuple[VaultSession, Callable[[], Any]]:
    """A session whose first login is interrupted, and what reads a secret through it."""
    session = VaultSession(settings, Interrupted(vault.token))
    store = VaultStore(session, settings)

    def read() -> Any:
        outcome = store.read("k")
        return outcome.error or (outcome.record and outcome.record.fields["value"])

    return session, read


def test_a_handler_that_reads_during_a_login_logs_in_for_itself(
    interrupted: Any, in_child: Any
) -> None:
    session, read = interrupted

    def work() -> Any:
        found: list[Any] = []
        signal.signal(signal.SIGUSR1, lambda *_: found.append(read()))
        return [read(), *found]

    assert in_child(work).report() == "['v', 'v']"
    session.close()


def test_a_handler_that_closes_the_session_during_a_login_does_not_wait(
    interrupted: Any, in_child: Any
) -> None:
    session, read = interrupted

    def work() -> Any:
        def handler(*_: object) -> None:
            session.close()
            raise SystemExit

        signal.signal(signal.SIGUSR1, handler)
        return read()

    assert in_child(work).report() == "SystemExit()"
    session.close()


def test_close_does_not_wait_for_ever_for_a_login_of_another_thread(
    settings: Settings, in_child: Any
) -> None:
    class Hanging(AuthMethod):
        def login(self, client: Any) -> Login:
            begun.set()
            threading.Event().wait(60)
            raise AssertionError

    begun = threading.Event()
    session = VaultSession(settings, Hanging())

    def work() -> str:
        login = threading.Thread(target=session.lookup_self, daemon=True)
        login.start()
        assert begun.wait(10)
        session.close()
        return "closed"

    assert in_child(work).report(20) == "'closed'"
    session.close()


def test_an_exception_of_a_handler_during_a_login_leaves_the_session_usable(
    interrupted: Any, in_child: Any
) -> None:
    session, read = interrupted

    def work() -> Any:
        def handler(*_: object) -> None:
            raise Late

        signal.signal(signal.SIGUSR1, handler)
        try:
            read()
        except Late:
            return read()

    assert in_child(work).report() == "'v'"
    session.close()


def test_a_handler_reads_at_any_moment_of_a_read(
    vault: Any, settings: Settings, in_child: Any
) -> None:
    session = VaultSession(settings, Interrupted(vault.token))
    store = VaultStore(session, settings)
    reading = False
    handled = 0

    def handler(*_: object) -> None:
        nonlocal reading, handled
        if not reading:
            reading = True
            assert store.read("k").record is not None
            handled += 1
            reading = False

    def work() -> str:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0013)
        read = 0
        while handled < 100 and read < 5000:
            assert store.read("k").record is not None
            read += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        return f"{handled >= 100}"

    assert in_child(work).report(60) == "'True'"
    session.close()

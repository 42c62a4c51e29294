from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from helpers.faults import TOKEN, settings_of
from helpers.vault import Vault
from secureml.vault.client.session import VaultSession


@pytest.fixture
def session_of() -> Iterator[Callable[..., VaultSession]]:
    """Make sessions, and close them."""
    sessions: list[VaultSession] = []

    def make(url: str, token: Any = TOKEN, **more: Any) -> VaultSession:
        own = {name: more.pop(name) for name in ("auth", "clock") if name in more}
        sessions.append(VaultSession(settings_of(url, token, **more), **own))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()


@pytest.fixture
def session_in(
    vault: Vault, session_of: Callable[..., VaultSession]
) -> Callable[..., VaultSession]:
    """Make sessions with the namespace of this test."""

    def make(url: str | None = None, token: Any = None, **more: Any) -> VaultSession:
        more = {"vault_namespace": vault.namespace, "vault_timeout": 5, **more}
        session: VaultSession = session_of(url or vault.url, token or vault.token, **more)
        return session

    return make


@pytest.fixture
def dead() -> str:
    """The address of a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

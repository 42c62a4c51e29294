"""Managers of one environment, and the engine that keeps their keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from helpers.vault import Vault
from secureml.key_management import KeyManager

if TYPE_CHECKING:
    from hvac.api.secrets_engines import KvV2


@pytest.fixture
def manager_with(vault: Vault) -> Iterator[Callable[..., KeyManager]]:
    """Make managers in the test's namespace, each with a session and a cache of its own."""
    managers = []

    def make(token: str | None = None, **more: Any) -> KeyManager:
        more = {"vault_namespace": vault.namespace, "environment": "staging", **more}
        managers.append(KeyManager(vault.url, token or vault.token, **more))
        return managers[-1]

    yield make
    for each in managers:
        each.close()


@pytest.fixture
def manager(manager_with: Callable[..., KeyManager]) -> KeyManager:
    return manager_with()


@pytest.fixture
def kv(vault: Vault) -> KvV2:
    return vault.client().secrets.kv.v2

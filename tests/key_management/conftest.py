"""Managers of one environment, and the engine that keeps their keys."""

from __future__ import annotations

import pytest

from secureml.key_management import KeyManager


@pytest.fixture
def manager_with(vault):
    """Make managers in the test's namespace, each with a session and a cache of its own."""
    managers = []

    def make(token=None, **more):
        more = {"vault_namespace": vault.namespace, "environment": "staging", **more}
        managers.append(KeyManager(vault.url, token or vault.token, **more))
        return managers[-1]

    yield make
    for each in managers:
        each.close()


@pytest.fixture
def manager(manager_with):
    return manager_with()


@pytest.fixture
def kv(vault):
    return vault.client().secrets.kv.v2

"""What a token that may see metadata alone is told of keys, in a real Vault."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from helpers.vault import Vault
from secureml.errors import AccessDeniedError
from secureml.key_management import KeyManager

RIGHTS = """
path "auth/token/lookup-self" { capabilities = ["read"] }
path "secret/metadata/secureml/staging/*" { capabilities = ["list", "read"] }
"""


@pytest.fixture
def manager(vault: Vault) -> Iterator[Callable[..., KeyManager]]:
    opened: list[KeyManager] = []

    def open_one(rights: str | None = None, **more: object) -> KeyManager:
        token = vault.token if rights is None else vault.policy_token(rights)
        more |= {"vault_namespace": vault.namespace, "use_env_fallback": False}
        opened.append(KeyManager(vault.url, token, environment="staging", **more))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def keys(manager: Callable[..., KeyManager]) -> KeyManager:
    admin = manager()
    admin.generate_key("a", purpose="reports", rotation_period=90)
    admin.rotate_key("a")
    admin.disable_key_version("a", 1)
    admin.generate_key("b")
    return admin


def without_fingerprint(info) -> tuple[object, ...]:
    return info.name, info.version, info.state, info.created, info.purpose, info.due, info.path


def test_metadata_alone_tells_all_but_fingerprints(keys, manager):
    told = manager(RIGHTS)
    for ask in (KeyManager.list_keys, lambda one: one.key_history("a")):
        assert [without_fingerprint(info) for info in ask(told)] == [
            without_fingerprint(info) for info in ask(keys)
        ]
        assert {info.fingerprint for info in ask(told)} == {None}
    assert without_fingerprint(told.key_info("a")) == without_fingerprint(keys.key_info("a"))
    with pytest.raises(AccessDeniedError):
        told.get_key("a")


def test_one_key_with_denied_metadata_does_not_end_the_list(keys, manager):
    rights = RIGHTS + (
        'path "secret/data/secureml/staging/b" { capabilities = ["read"] }\n'
        'path "secret/metadata/secureml/staging/a" { capabilities = ["deny"] }\n'
    )
    denied, seen = manager(rights).list_keys()
    assert (denied.name, denied.version, denied.state) == ("a", None, "denied")
    assert (seen.name, seen.state, len(seen.fingerprint)) == ("b", "enabled", 16)


def test_the_versions_of_a_key_take_one_request_and_no_material(keys, manager, tmp_path):
    told = manager(RIGHTS, audit_log=tmp_path / "audit.log")
    told.key_versions("b")
    requests: list[str] = []
    told._connection.store().session.request, send = (
        lambda method, path, **more: requests.append(path) or send(method, path, **more),
        told._connection.store().session.request,
    )
    assert [(info.version, info.state) for info in told.key_versions("a")] == [
        (1, "disabled"),
        (2, "enabled"),
    ]
    assert requests == ["secret/metadata/secureml/staging/a"]
    events = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    assert [(event["operation"], event["name"]) for event in events] == [
        ("key_versions", "b"),
        ("key_versions", "a"),
    ]

"""What Vault has said to be gone is served to nobody in an outage, whatever was asked for."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from secureml.errors import (
    AuthenticationError,
    SecretDeletedError,
    SecretError,
    VaultUnavailableError,
)
from secureml.key_management import Key, KeyManager
from secureml.vault.devserver.server import DevServer

NAME = "master_key"
PATH = f"secureml/production/{NAME}"
ALL = '{ capabilities = ["create", "read", "update", "patch", "list"] }'
EVERYTHING = f'path "secret/*" {ALL}\npath "transit/*" {ALL}'

OPERATIONS: dict[str, Callable[[KeyManager], object]] = {
    "get_key of another version": lambda manager: manager.get_key(NAME, version=1),
    "key_info": lambda manager: manager.key_info(NAME),
    "key_info of a version": lambda manager: manager.key_info(NAME, version=1),
    "secret_info": lambda manager: manager.secret_info(NAME),
    "key_history": lambda manager: manager.key_history(NAME),
    "list_keys": lambda manager: manager.list_keys(),
    "rotate_key": lambda manager: manager.rotate_key(NAME),
    "rotate_due": lambda manager: manager.rotate_due(),
    "generate_key": lambda manager: manager.generate_key(NAME),
    "import_key": lambda manager: manager.import_key(NAME, "6b" * 32),
    "set_secret": lambda manager: manager.set_secret(NAME, "text"),
    "set_rotation_period": lambda manager: manager.set_rotation_period(NAME, 90),
    "disable_key_version": lambda manager: manager.disable_key_version(NAME, 1),
    "enable_key_version": lambda manager: manager.enable_key_version(NAME, 1),
    "destroy_key_version": lambda manager: manager.destroy_key_version(NAME, 1, "0" * 16),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with DevServer(tmp_path_factory.mktemp("sealed")) as started:
        yield started


class Reader:
    """A manager in production, and who may change Vault; sealing it is the outage."""

    def __init__(self, server: DevServer, **settings: Any) -> None:
        import hvac

        self.server = server
        self.admin = hvac.Client(server.url, token=server.root_token.reveal())
        self.policy = f"p-{uuid.uuid4().hex}"
        self.allow(EVERYTHING)
        created = self.admin.auth.token.create(policies=[self.policy])
        self.token = created["auth"]["client_token"]
        arguments = {
            "vault_url": server.url,
            "environment": "production",
            "cache_ttl": 0,
            **settings,
        }
        self.others = KeyManager(vault_token=server.root_token, **arguments)
        self.manager = KeyManager(
            vault_token=self.token,
            stale_ttl=3600,
            **arguments,
        )

    def allow(self, hcl: str) -> None:
        """Let the manager's token do this alone."""
        self.admin.sys.create_or_update_policy(self.policy, hcl)

    def key_in_an_outage(self) -> Key:
        self.server.seal()
        try:
            return self.manager.get_key(NAME)
        finally:
            self.server.unseal()

    def close(self) -> None:
        remove(self)
        self.manager.close()
        self.others.close()
        self.admin.adapter.close()


@pytest.fixture
def reader(server: DevServer) -> Iterator[Reader]:
    made = Reader(server)
    made.others.generate_key(NAME)
    made.manager.get_key(NAME)
    yield made
    made.close()


def delete(reader: Reader) -> None:
    reader.admin.secrets.kv.v2.delete_latest_version_of_secret(PATH)


def destroy(reader: Reader) -> None:
    reader.admin.secrets.kv.v2.destroy_secret_versions(PATH, [1])


def remove(reader: Reader) -> None:
    reader.admin.secrets.kv.v2.delete_metadata_and_all_versions(PATH)


def disable(reader: Reader) -> None:
    reader.others.disable_key_version(NAME, 1)


def deny(reader: Reader) -> None:
    reader.allow('path "secret/metadata/*" { capabilities = ["read", "list"] }')


@pytest.mark.filterwarnings("ignore::secureml.errors.FallbackWarning")
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("change", [delete, destroy, remove, disable, deny])
def test_a_key_that_any_answer_says_is_gone_is_not_served_in_an_outage(
    reader: Reader, operation: str, change: Callable[[Reader], None]
) -> None:
    change(reader)
    with contextlib.suppress(SecretError):
        OPERATIONS[operation](reader.manager)
    with pytest.raises(VaultUnavailableError):
        reader.key_in_an_outage()


def test_a_key_that_a_list_says_is_gone_is_not_served_from_the_cache(server: DevServer) -> None:
    reader = Reader(server, cache_ttl=60)
    reader.others.generate_key(NAME)
    reader.manager.get_key(NAME)
    delete(reader)
    reader.manager.list_keys()
    with pytest.raises(SecretDeletedError):
        reader.manager.get_key(NAME)
    reader.close()


def test_credentials_that_are_refused_for_one_name_are_refused_for_all(reader: Reader) -> None:
    reader.admin.auth.token.revoke(reader.token)
    with pytest.raises(AuthenticationError):
        reader.manager.key_info("another")
    with pytest.raises(VaultUnavailableError):
        reader.key_in_an_outage()


@pytest.mark.filterwarnings("ignore::secureml.errors.FallbackWarning")
@pytest.mark.parametrize("operation", ["key_info", "key_history", "list_keys"])
def test_an_operation_that_finds_a_key_keeps_it_for_an_outage(
    reader: Reader, operation: str
) -> None:
    OPERATIONS[operation](reader.manager)
    assert reader.key_in_an_outage().info.stale


@pytest.mark.filterwarnings("ignore::secureml.errors.FallbackWarning")
def test_the_absence_of_another_key_keeps_a_key_for_an_outage(reader: Reader) -> None:
    with pytest.raises(SecretError):
        reader.manager.key_info("another")
    assert reader.key_in_an_outage().info.stale


@pytest.mark.parametrize("operation", ["rotate_key", "unwrap_key", "rewrap_key"])
def test_a_wrapped_key_whose_transit_key_is_gone_is_not_served(
    server: DevServer, operation: str
) -> None:
    reader = Reader(server, key_backend="transit")
    client = reader.admin
    client.sys.enable_secrets_engine("transit")
    reader.others.generate_key(NAME)
    envelope = reader.manager.get_key(NAME).envelope
    transit_key = "secureml.production.master_key"
    client.secrets.transit.update_key_configuration(transit_key, deletion_allowed=True)
    client.secrets.transit.delete_key(transit_key)
    arguments = () if operation == "rotate_key" else (envelope, NAME)
    with pytest.raises(SecretError):
        getattr(reader.manager, operation)(*arguments)
    with pytest.raises(VaultUnavailableError):
        reader.key_in_an_outage()
    client.sys.disable_secrets_engine("transit")
    reader.close()

"""Keys that were read before, served while Vault is down, and only then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from helpers.clock import Clock
from helpers.vault import Vault
from secureml.errors import (
    AccessDeniedError,
    AuthenticationError,
    FallbackWarning,
    MalformedAnswerError,
    SecretDeletedError,
    SecretNotFoundError,
    VaultSealedError,
    VaultUnavailableError,
)
from secureml.key_management import KeyManager
from secureml.stores import Record
from secureml.vault.devserver.server import DevServer

if TYPE_CHECKING:
    import hvac
    from hvac.api.secrets_engines import KvV2

KEY = "5a" * 32
OTHER = "6b" * 32
PATH = "secureml/master_key"
READ = f'path "secret/data/{PATH}" {{ capabilities = ["read"] }}'


@pytest.fixture
def managers(clock: Clock) -> Iterator[Callable[..., KeyManager]]:
    """Make managers that hold keys for a minute, and for an hour of outage."""
    made: list[KeyManager] = []

    def make(**settings: Any) -> KeyManager:
        settings = {"cache_ttl": 60, "stale_ttl": 3600, "vault_timeout": 0.3, **settings}
        made.append(KeyManager(clock=clock, use_env_fallback=False, **settings))
        return made[-1]

    yield make
    for manager in made:
        manager.close()


@pytest.fixture
def kv(private_bao: DevServer) -> Iterator[KvV2]:
    import hvac

    client = hvac.Client(private_bao.url, token=private_bao.root_token.reveal())
    client.secrets.kv.v2.create_or_update_secret(PATH, {"value": KEY})
    yield client.secrets.kv.v2
    client.adapter.close()


@pytest.fixture
def manager(private_bao: DevServer, kv: KvV2, managers: Callable[..., KeyManager]) -> KeyManager:
    made: KeyManager = managers(vault_url=private_bao.url, vault_token=private_bao.root_token)
    return made


def test_a_key_is_served_while_vault_is_down_and_not_longer(
    manager: KeyManager, private_bao: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = manager.get_key()
    assert not fresh.info.stale
    private_bao.stop()
    clock.now += 61
    with pytest.warns(FallbackWarning, match="served as it was read before") as seen:
        stale = manager.get_key()
    assert "'master_key' is served as it was read at" in getattr(seen[0].message, "details", "")
    assert [warning.filename for warning in seen] == [__file__]
    assert stale.info.stale
    assert stale.reveal().hex() == KEY
    assert (stale.version, stale.fingerprint) == (fresh.version, fresh.fingerprint)
    assert stale.fetched_at == fresh.fetched_at
    clock.now = 3600
    monkeypatch.setenv("SECUREML_MASTER_KEY", OTHER)  # switched off, so it does not stand in
    with pytest.raises(VaultUnavailableError):
        manager.get_key()


def test_a_sealed_vault_is_down_too(manager: KeyManager, private_bao: Any, clock: Clock) -> None:
    manager.get_key()
    private_bao.seal()
    clock.now += 61
    with pytest.warns(FallbackWarning, match="served as it was read"):
        assert manager.get_key().info.stale
    manager.invalidate()
    with pytest.raises(VaultSealedError):
        manager.get_key()


def test_vault_is_asked_first_again_once_it_is_back(
    manager: KeyManager, private_bao: Any, kv: Any, clock: Clock
) -> None:
    manager.get_key()
    private_bao.seal()
    clock.now += 61
    with pytest.warns(FallbackWarning):
        manager.get_key()
    private_bao.unseal()
    kv.create_or_update_secret(PATH, {"value": OTHER})
    key = manager.get_key()
    assert (key.info.stale, key.reveal().hex()) == (False, OTHER)


def test_a_key_kept_for_an_outage_comes_before_a_variable(
    private_bao: Any, kv: Any, managers: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: KeyManager = managers(
        vault_url=private_bao.url, vault_token=private_bao.root_token, cache_ttl=0
    )
    made.get_key()
    monkeypatch.setenv("SECUREML_MASTER_KEY", OTHER)
    private_bao.seal()
    with pytest.warns(FallbackWarning, match="served as it was read"):
        assert made.get_key().reveal().hex() == KEY


def test_no_key_is_kept_for_an_outage_without_the_setting(
    private_bao: Any, kv: Any, managers: Any, clock: Clock
) -> None:
    made: KeyManager = managers(
        vault_url=private_bao.url, vault_token=private_bao.root_token, stale_ttl=0
    )
    made.get_key()
    private_bao.seal()
    clock.now += 61
    with pytest.raises(VaultSealedError):
        made.get_key()


@pytest.fixture
def in_vault(
    vault: Vault, managers: Callable[..., KeyManager]
) -> tuple[KeyManager, hvac.Client, str]:
    """A manager with a key that it has read, and the client of who may change it."""
    admin = vault.client()
    admin.secrets.kv.v2.create_or_update_secret(PATH, {"value": KEY})
    token = vault.policy_token(READ, no_default_policy=False)
    made: KeyManager = managers(
        vault_url=vault.url, vault_namespace=vault.namespace, vault_token=token, cache_ttl=0
    )
    assert made.get_key().reveal().hex() == KEY
    return made, admin, token


def test_a_deleted_key_is_not_served(in_vault: Any) -> None:
    manager, admin, _ = in_vault
    admin.secrets.kv.v2.delete_latest_version_of_secret(PATH)
    with pytest.raises(SecretDeletedError):
        manager.get_key()


def test_a_key_that_is_gone_altogether_is_not_served(in_vault: Any) -> None:
    manager, admin, _ = in_vault
    admin.secrets.kv.v2.delete_metadata_and_all_versions(PATH)
    with pytest.raises(SecretNotFoundError):
        manager.get_key()


def test_a_key_that_is_denied_by_now_is_not_served(in_vault: Any) -> None:
    manager, admin, token = in_vault
    policy = next(
        name for name in admin.auth.token.lookup(token)["data"]["policies"] if name.startswith("p-")
    )
    admin.sys.create_or_update_policy(policy, 'path "secret/data/x" { capabilities = ["read"] }')
    with pytest.raises(AccessDeniedError):
        manager.get_key()


def test_a_key_is_not_served_after_the_token_was_revoked(in_vault: Any) -> None:
    manager, admin, token = in_vault
    admin.auth.token.revoke(token)
    with pytest.raises(AuthenticationError):
        manager.get_key()


def test_a_later_outage_brings_no_deleted_key_back(
    manager: KeyManager, private_bao: Any, kv: Any, clock: Clock
) -> None:
    manager.get_key()
    kv.delete_latest_version_of_secret(PATH)
    clock.now += 61
    with pytest.raises(SecretDeletedError):
        manager.get_key()
    private_bao.seal()
    with pytest.raises(VaultSealedError):
        manager.get_key()


def test_an_answer_that_is_not_vaults_is_no_outage(
    faulty: Any, managers: Any, clock: Clock
) -> None:
    found = f'{{"data": {{"data": {{"value": "{KEY}"}}, "metadata": {{"version": 1}}}}}}'.encode()
    server = faulty(b"<html></html>", kind="text/html", first=[{"body": found}])
    made: KeyManager = managers(vault_url=server.url, vault_token="t")
    made.get_key()
    clock.now += 61
    with pytest.raises(MalformedAnswerError):
        made.get_key()


def test_a_record_is_equal_whenever_it_was_read() -> None:
    one, other = (Record(fields={}, source="vault", path="p") for _ in range(2))
    assert one == other

"""Keys that Vault's transit engine wraps, against a real server."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import secureml
from helpers.clock import Clock
from helpers.vault import Vault
from secureml.errors import (
    AccessDeniedError,
    ConfigurationError,
    FallbackWarning,
    KeyDisabledError,
    KeyMaterialError,
    SecretDeletedError,
    SecretError,
    SecretExistsError,
    SecretNotFoundError,
    SecureMLWarning,
    VaultUnavailableError,
)
from secureml.key_management import KeyManager
from secureml.key_management.wrapped import Wrapped
from secureml.keys import Envelope
from secureml.stores import MemoryStore
from secureml.vault.client.session import VaultSession

if TYPE_CHECKING:
    import hvac

ENGINE_KEY = "secureml.staging.k"


@pytest.fixture
def client(vault: Vault) -> hvac.Client:
    made = vault.client()
    made.sys.enable_secrets_engine("transit")
    return made


@pytest.fixture
def open_manager(vault: Vault, client: hvac.Client) -> Iterator[Callable[..., KeyManager]]:
    opened = []

    def made(environment: str | None = "staging", **more: Any) -> KeyManager:
        arguments = {"vault_token": vault.token, "key_backend": "transit"} | more
        opened.append(
            KeyManager(
                vault_url=vault.url,
                vault_namespace=vault.namespace,
                environment=environment,
                **arguments,
            )
        )
        return opened[-1]

    yield made
    for manager in opened:
        manager.close()


@pytest.fixture
def manager(open_manager: Callable[..., KeyManager]) -> KeyManager:
    return open_manager()


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The API paths of all requests to Vault, in order."""
    paths: list[str] = []
    original = VaultSession.request

    def recorded(self: VaultSession, method: str, path: str, **more: Any) -> Any:
        paths.append(path)
        return original(self, method, path, **more)

    monkeypatch.setattr(VaultSession, "request", recorded)
    return paths


def stored(client, name="staging/k", version=None):
    answer = client.secrets.kv.v2.read_secret_version(
        f"secureml/{name}", version=version, raise_on_deleted_version=True
    )
    return answer["data"]["data"]


def write(client, fields, name="staging/k"):
    client.secrets.kv.v2.create_or_update_secret(f"secureml/{name}", fields)


def config(client, key=ENGINE_KEY, **traits):
    client.adapter.post(f"/v1/transit/keys/{key}/config", json=traits)


def delete(client, key=ENGINE_KEY):
    config(client, key, deletion_allowed=True)
    client.delete(f"transit/keys/{key}")


def latest(client, key=ENGINE_KEY) -> int:
    version: int = client.read(f"transit/keys/{key}")["data"]["latest_version"]
    return version


def test_a_generated_key_is_kept_wrapped_alone(manager, client):
    info = manager.generate_key("k")
    key = manager.get_key("k")
    assert (info.version, info.state, info.transit_key) == (1, "enabled", f"transit/{ENGINE_KEY}")
    assert info.fingerprint == key.fingerprint == manager.key_info("k").fingerprint
    assert len(key) == 32
    fields = stored(client)
    assert fields.pop("states") == "custom_metadata"
    assert fields.keys() == {"wrapped", "transit_key", "fingerprint", "key_bytes", "earlier"}
    assert key.envelope == Envelope(wrapped=fields["wrapped"], transit_key=fields["transit_key"])
    text = json.dumps(fields)
    assert key.reveal().hex() not in text
    assert base64.b64encode(key.reveal()).decode() not in text
    traits = client.read(f"transit/keys/{ENGINE_KEY}")["data"]
    assert (traits["exportable"], traits["derived"]) == (False, True)


@pytest.mark.parametrize("size", [16, 24, 32, 64, 100])
def test_wrapped_keys_are_generated_in_every_length(manager, size):
    manager.generate_key("k", size)
    assert len(manager.get_encryption_key("k", size)) == size
    with pytest.raises(KeyMaterialError, match="48 bytes"):
        manager.get_encryption_key("k", 48)


def test_an_imported_key_is_wrapped_too(manager, open_manager, client):
    material = bytes(range(40))
    info = manager.import_key("k", material)
    assert "value" not in stored(client)
    with open_manager() as other:
        assert other.get_encryption_key("k", 40) == material
        assert other.get_key("k", key_bytes=40).fingerprint == info.fingerprint


def test_a_reader_of_a_wrapped_key_needs_no_setting(manager, open_manager):
    manager.generate_key("k")
    key = manager.get_key("k")
    with open_manager(key_backend="kv") as reader:
        assert reader.get_key("k").material == key.material
        assert reader.derive_key(reader.get_key("k"), "p") == manager.derive_key(key, "p")


def test_environments_and_names_have_their_own_transit_keys(open_manager, client):
    for environment in ("staging", "production", None):
        with open_manager(environment) as manager:
            manager.generate_key("team/k")
            assert len(manager.get_encryption_key("team/k")) == 32
    assert client.list("transit/keys")["data"]["keys"] == [
        "secureml.production.team.k",
        "secureml.staging.team.k",
        "secureml.team.k",
    ]


@pytest.mark.parametrize("name", ["a.b", "ä", "a b", "k-"])
def test_a_name_that_no_transit_key_can_have_is_refused_before_anything_is_written(
    manager, client, requests, name
):
    with pytest.raises(ConfigurationError, match="vault_transit_key"):
        manager.generate_key(name)
    asking = ("secret/data/", "sys/capabilities-self", "sys/internal/")
    assert [path for path in requests if not path.startswith(asking)] == []
    assert manager.list_keys() == ()


def test_one_transit_key_can_wrap_all(open_manager, client):
    with open_manager(vault_transit_key="shared") as manager:
        manager.generate_key("a.b")
        manager.generate_key("c")
        assert manager.get_key("a.b").envelope.transit_key == "transit/shared"
        assert manager.get_key("c").material != manager.get_key("a.b").material
    assert client.list("transit/keys")["data"]["keys"] == ["shared"]


def test_an_existing_wrapped_key_is_never_overwritten(manager, client):
    manager.generate_key("k")
    before = stored(client)
    for attempt in (
        lambda: manager.generate_key("k"),
        lambda: manager.import_key("k", bytes(32)),
        lambda: manager.set_secret("k", "other"),
    ):
        with pytest.raises(SecretExistsError):
            attempt()
    assert stored(client) == before
    assert latest(client) == 1


def test_one_read_of_vault_takes_one_unwrapping(open_manager, requests):
    with open_manager(cache_ttl=300) as manager:
        manager.generate_key("k")
        requests.clear()
        for _ in range(5):
            manager.get_key("k")
        assert requests == ["secret/data/secureml/staging/k", f"transit/decrypt/{ENGINE_KEY}"]


def people(rows: int) -> pd.DataFrame:
    return pd.DataFrame({"phone": [f"{n:012d}" for n in range(rows)], "n": range(rows)})


def hide(data: pd.DataFrame, manager: KeyManager) -> pd.DataFrame:
    hidden: pd.DataFrame = secureml.anonymize(
        data, sensitive_columns=["phone"], master_key_name="k", key_manager=manager
    )
    return hidden


def test_a_job_takes_one_unwrapping_and_not_one_per_row(open_manager, requests):
    data = people(5000)
    with open_manager(cache_ttl=0) as manager:
        manager.generate_key("k")
        requests.clear()
        hidden = hide(data, manager)
        assert requests.count(f"transit/decrypt/{ENGINE_KEY}") == 1
        requests.clear()
        shown = secureml.reidentify(hidden, key_manager=manager)
        assert requests.count(f"transit/decrypt/{ENGINE_KEY}") == 1
        pd.testing.assert_frame_equal(shown, data)


def test_rotation_wraps_the_same_key_afresh(manager, open_manager, client):
    first = manager.generate_key("k")
    key = manager.get_key("k")
    second = manager.rotate_key("k")
    assert (second.version, second.fingerprint) == (2, first.fingerprint)
    assert stored(client)["wrapped"].startswith("vault:v2:")
    assert stored(client, version=1)["wrapped"].startswith("vault:v1:")
    with open_manager() as other:
        assert other.get_key("k").material == key.material
        assert other.get_key("k", 1).material == key.material
        assert [info.fingerprint for info in other.key_history("k")] == [key.fingerprint] * 2


def test_data_outlives_the_version_of_the_transit_key_that_it_was_made_under(open_manager, client):
    data = people(50)
    with open_manager() as manager:
        manager.generate_key("k")
        hidden = hide(data, manager)
        manager.rotate_key("k")
    config(client, min_decryption_version=2)
    with open_manager() as manager:
        pd.testing.assert_frame_equal(secureml.reidentify(hidden, key_manager=manager), data)
        assert manager.get_key("k", 1).envelope.wrapped.startswith("vault:v2:")
        pd.testing.assert_series_equal(hide(data, manager)["phone"], hidden["phone"])


def test_new_material_leaves_the_old_readable_even_without_its_transit_version(
    open_manager, client
):
    with open_manager() as manager:
        first = manager.generate_key("k")
        keys = [manager.get_key("k").material]
        second = manager.rotate_key("k", new_material=True)
        keys.append(manager.get_key("k").material)
        third = manager.rotate_key("k", new_material=True)
        keys.append(manager.get_key("k").material)
        fourth = manager.rotate_key("k")
    assert len({info.fingerprint for info in (first, second, third)}) == 3
    assert fourth.fingerprint == third.fingerprint
    config(client, min_decryption_version=4)
    with open_manager() as manager:
        assert [manager.get_key("k", version).material for version in (1, 2, 3)] == keys
        assert manager.get_key("k").material == keys[2]


def test_a_transit_version_retired_without_a_rotation_is_told(manager, open_manager, client):
    manager.generate_key("k")
    client.adapter.post(f"/v1/transit/keys/{ENGINE_KEY}/rotate")
    config(client, min_decryption_version=2)
    with open_manager() as other:
        with pytest.raises(KeyDisabledError, match="min_decryption_version"):
            other.get_key("k")
        with pytest.raises(KeyDisabledError, match="min_decryption_version"):
            other.rotate_key("k")
        config(client, min_decryption_version=1)
        assert other.get_key("k").material == manager.get_key("k").material


@pytest.mark.parametrize("new_material", [False, True])
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"min_decryption_version": 2}, KeyDisabledError),
        ({"exportable": True}, ConfigurationError),
        ({"allow_plaintext_backup": True}, ConfigurationError),
    ],
)
def test_a_rotation_that_can_not_succeed_adds_no_version_of_the_transit_key(
    manager, open_manager, client, change, error, new_material
):
    manager.generate_key("k")
    client.adapter.post(f"/v1/transit/keys/{ENGINE_KEY}/rotate")
    config(client, **change)
    with open_manager() as other, pytest.raises(error):
        other.rotate_key("k", new_material=new_material)
    assert latest(client) == 2


def test_a_rotation_without_the_right_to_new_material_adds_no_version_of_the_transit_key(
    manager, open_manager, client, vault
):
    manager.generate_key("k")
    token = vault.policy_token(
        """
        path "secret/*" { capabilities = ["create", "read", "update"] }
        path "transit/*" { capabilities = ["create", "read", "update"] }
        path "transit/datakey/*" { capabilities = ["deny"] }
        path "auth/token/lookup-self" { capabilities = ["read"] }
        """
    )
    with open_manager(vault_token=token) as other, pytest.raises(AccessDeniedError):
        other.rotate_key("k", new_material=True)
    assert latest(client) == 1


def test_a_transit_key_that_was_made_anew_is_named_as_a_cause(manager, open_manager, client):
    manager.generate_key("k")
    config(client, deletion_allowed=True)
    client.adapter.delete(f"/v1/transit/keys/{ENGINE_KEY}")
    client.adapter.post(f"/v1/transit/keys/{ENGINE_KEY}", json={"derived": True})
    with open_manager() as other:
        for attempt in (other.get_key, other.rotate_key):
            with pytest.raises(KeyMaterialError, match="the transit key was deleted and made anew"):
                attempt("k")
    assert latest(client) == 1


def test_a_program_that_dies_between_the_two_steps_of_a_rotation_loses_nothing(
    manager, open_manager, client, monkeypatch
):
    first = manager.generate_key("k")
    with open_manager() as dying:
        store = dying._connection.store()

        def killed(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr(store, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            dying.rotate_key("k")
    assert latest(client) == 2
    with open_manager() as other:
        assert other.get_key("k").fingerprint == first.fingerprint
        assert other.rotate_key("k").version == 2
        assert stored(client)["wrapped"].startswith("vault:v3:")


def test_rotations_at_once_lose_nothing(open_manager, client):
    with open_manager() as manager:
        first = manager.generate_key("k")
        start = threading.Barrier(6)

        def rotate(new_material: bool) -> object:
            start.wait()
            try:
                return manager.rotate_key("k", new_material=new_material)
            except SecretExistsError:
                return None

        with ThreadPoolExecutor(6) as pool:
            made = [info for info in pool.map(rotate, [True, False] * 3) if info]
        assert made
    config(client, min_decryption_version=int(stored(client)["wrapped"].split(":")[1][1:]))
    with open_manager() as manager:
        history = manager.key_history("k")
        assert [info.version for info in history] == list(range(1, len(made) + 2))
        assert history[0].fingerprint == first.fingerprint
        for info in history:
            assert manager.get_key("k", info.version).fingerprint == info.fingerprint


def test_a_key_in_the_clear_is_wrapped_when_it_is_rotated(open_manager, client):
    with open_manager(key_backend="kv") as manager:
        manager.generate_key("k", 16)
        old = manager.get_key("k", key_bytes=16).material
    with open_manager() as manager:
        second = manager.rotate_key("k")
        assert second.transit_key == f"transit/{ENGINE_KEY}"
        assert manager.get_key("k", key_bytes=16).material != old
        assert manager.get_key("k", 1, key_bytes=16).material == old
        assert [info.transit_key is None for info in manager.key_history("k")] == [True, False]
    with open_manager(key_backend="kv") as manager:
        third = manager.rotate_key("k")
        assert (third.version, third.fingerprint) == (3, second.fingerprint)
        assert third.transit_key == second.transit_key


def copied_name(client):
    fields = stored(client)
    del fields["states"]
    write(client, fields, "staging/other")
    return "other", KeyMaterialError


def changed(client):
    fields = stored(client)
    head, text = fields["wrapped"].rsplit(":", 1)
    octets = bytearray(base64.b64decode(text))
    octets[-1] ^= 1
    write(client, {**fields, "wrapped": f"{head}:{base64.b64encode(octets).decode()}"})
    return "k", KeyMaterialError


def other_fingerprint(client):
    write(client, {**stored(client), "fingerprint": "0" * 16})
    return "k", KeyMaterialError


def deleted(client):
    delete(client)
    return "k", SecretDeletedError


def soft_deleted(client):
    client.delete(f"transit/keys/{ENGINE_KEY}/soft-delete")
    return "k", KeyDisabledError


def retired(client):
    client.adapter.post(f"/v1/transit/keys/{ENGINE_KEY}/rotate")
    config(client, min_decryption_version=2)
    return "k", KeyDisabledError


def unmounted(client):
    client.sys.disable_secrets_engine("transit")
    return "k", SecretError


@pytest.mark.parametrize(
    "fault",
    [
        *(copied_name, changed, other_fingerprint, deleted, retired, unmounted),
        pytest.param(soft_deleted, marks=pytest.mark.openbao("soft deletion of transit keys")),
    ],
)
def test_a_key_that_can_not_be_unwrapped_is_an_error_of_its_own_and_never_another_key(
    manager, open_manager, client, monkeypatch, fault
):
    manager.generate_key("k")
    wrapped = stored(client)["wrapped"]
    name, error = fault(client)
    monkeypatch.setenv(f"SECUREML_{name.upper()}", bytes(32).hex())
    with open_manager(use_env_fallback=True) as other:
        for attempt in (
            lambda: other.get_key(name),
            lambda: other.get_encryption_key(name),
            lambda: other.get_secret(name, "a default"),
        ):
            with pytest.raises(error) as caught:
                attempt()
            assert type(caught.value) is error
            assert caught.value.__context__ is None
            assert wrapped not in str(caught.value)


def test_a_record_copied_to_another_environment_is_refused(open_manager, client):
    for environment in ("staging", "production"):
        with open_manager(environment, vault_transit_key="shared") as manager:
            manager.generate_key("k")
    write(client, stored(client, "production/k"), "staging/k")
    with (
        open_manager("staging") as manager,
        pytest.raises(KeyMaterialError, match="this environment"),
    ):
        manager.get_key("k")


@pytest.mark.parametrize(
    "change",
    [
        {"wrapped": 5},
        {"wrapped": "vault:v0:AAAA"},
        {"transit_key": "k"},
        {"transit_key": "transit/../sys/k"},
        {"transit_key": "transit/a/../k"},
        {"transit_key": "transit/k?x"},
        {"fingerprint": None},
        {"key_bytes": "32"},
        {"earlier": []},
        {"earlier": {"0": 1}},
    ],
)
def test_a_record_that_was_tampered_with_is_no_key(manager, client, requests, change):
    manager.generate_key("k")
    write(client, {**stored(client), **change})
    requests.clear()
    for attempt in (manager.get_key, manager.key_info, manager.rotate_key):
        with pytest.raises(KeyMaterialError):
            attempt("k")
    assert manager.list_keys() == ()
    assert not any(path.startswith("transit") for path in requests)


def test_a_key_in_the_clear_is_that_key_whatever_is_beside_it(manager, client, requests):
    manager.generate_key("k")
    write(client, {**stored(client), "value": "5e" * 32})
    requests.clear()
    key = manager.get_key("k")
    assert (key.reveal(), key.envelope, key.info.transit_key) == (b"\x5e" * 32, None, None)
    assert not any(path.startswith("transit") for path in requests)


def test_a_version_is_disabled_like_any_other(manager, open_manager):
    first = manager.generate_key("k")
    manager.disable_key_version("k", 1)
    with open_manager() as other:
        with pytest.raises(KeyDisabledError):
            other.get_key("k")
        second = other.rotate_key("k")
        assert second.fingerprint != first.fingerprint, "rotation does not bring it back"
        assert other.get_key("k").fingerprint == second.fingerprint
        other.enable_key_version("k", 1)
        assert other.get_key("k", 1).fingerprint == first.fingerprint


def test_destroying_a_version_would_destroy_nothing_and_is_refused(manager):
    info = manager.generate_key("k")
    with pytest.raises(SecretError, match="deleting the transit key"):
        manager.destroy_key_version("k", 1, confirm=info.fingerprint)
    assert len(manager.get_encryption_key("k")) == 32


def test_a_token_that_may_not_decrypt_still_sees_the_list_and_history(manager, open_manager, vault):
    info = manager.generate_key("k")
    token = vault.policy_token(
        'path "auth/token/lookup-self" { capabilities = ["read"] }\n'
        'path "secret/data/*" { capabilities = ["read"] }\n'
        'path "secret/metadata/*" { capabilities = ["read", "list"] }'
    )
    with open_manager(vault_token=token) as limited:
        assert limited.key_info("k").fingerprint == info.fingerprint
        assert limited.list_keys()[0].fingerprint == info.fingerprint
        assert limited.key_history("k")[0].transit_key == info.transit_key
        assert limited.secret_info("k").version == 1
        with pytest.raises(AccessDeniedError) as caught:
            limited.get_key("k")
        assert caught.value.path == f"transit/decrypt/{ENGINE_KEY}"


def test_the_envelope_opens_without_the_record(manager, open_manager, client):
    manager.generate_key("k")
    key = manager.get_key("k")
    client.secrets.kv.v2.delete_metadata_and_all_versions("secureml/staging/k")
    with open_manager(key_backend="kv") as other:
        with pytest.raises(SecretNotFoundError):
            other.get_key("k")
        found = other.unwrap_key(key.envelope, "k")
        assert found.material == key.material
        assert (found.version, found.path) == (None, f"transit/{ENGINE_KEY}")
        assert found.envelope == key.envelope
        with pytest.raises(KeyMaterialError, match="16 bytes"):
            other.unwrap_key(key.envelope, "k", key_bytes=16)
        with pytest.raises(KeyMaterialError, match="this name"):
            other.unwrap_key(key.envelope, "other")
    with open_manager("production") as elsewhere, pytest.raises(KeyMaterialError):
        elsewhere.unwrap_key(key.envelope, "k")


def test_an_envelope_can_be_wrapped_afresh(manager, client):
    manager.generate_key("k")
    key = manager.get_key("k")
    manager.rotate_key("k")
    fresh = manager.rewrap_key(key.envelope, "k")
    assert fresh.transit_version == 2
    config(client, min_decryption_version=2)
    assert manager.unwrap_key(fresh, "k").material == key.material
    for attempt in (manager.unwrap_key, manager.rewrap_key):
        with pytest.raises(KeyDisabledError, match="min_decryption_version"):
            attempt(key.envelope, "k")


def test_an_envelope_does_not_decide_where_requests_go(manager, requests):
    strange = Envelope(wrapped="vault:v1:AAAA", transit_key="secret/data/secureml/k")
    for attempt in (manager.unwrap_key, manager.rewrap_key):
        with pytest.raises(KeyMaterialError, match="vault_transit_mount"):
            attempt(strange, "k")
    assert requests == []


def test_without_an_engine_nothing_is_written(open_manager, client, requests):
    with open_manager(vault_transit_mount="nowhere") as manager:
        with pytest.raises(SecretError, match="no transit engine at 'nowhere'"):
            manager.generate_key("k")
        assert manager.list_keys() == ()
    assert not any(path.startswith("secret/metadata/secureml/staging/k") for path in requests)


def test_a_transit_key_that_could_leave_vault_is_not_used(manager, client):
    client.adapter.post(
        f"/v1/transit/keys/{ENGINE_KEY}", json={"derived": True, "exportable": True}
    )
    with pytest.raises(ConfigurationError, match="may leave Vault"):
        manager.generate_key("k")
    assert manager.list_keys() == ()


def test_a_newest_version_that_is_disabled_still_refreshes_the_others(open_manager, client):
    with open_manager() as manager:
        first = manager.generate_key("k")
        manager.rotate_key("k", new_material=True)
        manager.disable_key_version("k", 2)
    config(client, min_decryption_version=2)
    with open_manager() as manager:
        assert manager.get_key("k", 1).fingerprint == first.fingerprint
        with pytest.raises(KeyDisabledError, match="version 2"):
            manager.get_key("k", 2)


@pytest.mark.parametrize("fallback", [True, False])
def test_an_engine_that_is_down_is_treated_as_an_outage(faulty, monkeypatch, fallback):
    fields = Wrapped(
        envelope=Envelope(wrapped="vault:v1:AAAA", transit_key="transit/k"),
        fingerprint="0" * 16,
        key_bytes=32,
    ).fields()
    metadata = {"version": 1, "created_time": "2026-01-01T00:00:00Z", "custom_metadata": None}
    record = json.dumps({"data": {"data": fields, "metadata": metadata}}).encode()
    server = faulty(status="500 Internal Server Error", first=[{"body": record}])
    monkeypatch.setenv("SECUREML_K", bytes(32).hex())
    with KeyManager(
        server.url,
        "a-token",
        environment="staging",
        vault_timeout=0.3,
        use_env_fallback=fallback,
    ) as manager:
        if fallback:
            with pytest.warns(FallbackWarning, match="another source"):
                assert manager.get_encryption_key("k") == bytes(32)
        else:
            with pytest.raises(VaultUnavailableError):
                manager.get_encryption_key("k")


def test_an_unwrapped_key_is_served_during_an_outage(private_bao):
    clock = Clock()
    arguments = {"environment": "development", "key_backend": "transit", "vault_timeout": 1}
    with KeyManager(
        private_bao.url,
        private_bao.root_token,
        clock=clock,
        cache_ttl=10,
        stale_ttl=100,
        **arguments,
    ) as manager:
        manager.vault_client.sys.enable_secrets_engine("transit")
        manager.generate_key("k")
        key = manager.get_key("k")
        private_bao.seal()
        clock.now = 50
        with pytest.warns(FallbackWarning):
            stale = manager.get_key("k")
        assert stale.material == key.material
        assert stale.info.stale


def test_a_store_without_an_engine_says_so():
    with KeyManager(store=MemoryStore(), environment="development") as manager:
        manager.set_secret("k", {"wrapped": "vault:v1:AAAA", "transit_key": "transit/k"})
        with pytest.raises(KeyMaterialError, match="fields"):
            manager.get_key("k")
    with (
        KeyManager(
            store=MemoryStore(), environment="development", key_backend="transit"
        ) as manager,
        pytest.raises(ConfigurationError, match="need Vault"),
    ):
        manager.generate_key("k")


def test_an_envelope_does_not_show_what_is_wrapped():
    envelope = Envelope(wrapped="vault:v3:AAAA", transit_key="a/b/k")
    assert "AAAA" not in repr(envelope)
    assert (envelope.mount, envelope.transit_version) == ("a/b", 3)


def plain(client):
    write(client, {"value": "ab" * 32})


def without_the_chain(client):
    write(client, {**stored(client), "earlier": {}})


def destroyed(client):
    client.secrets.kv.v2.destroy_secret_versions("secureml/staging/k", versions=[3])


@pytest.mark.parametrize("fault", [plain, without_the_chain, destroyed])
def test_a_newest_version_that_was_written_over_or_destroyed_costs_no_older_key(
    open_manager, client, fault
):
    with open_manager() as manager:
        manager.generate_key("k")
        manager.rotate_key("k", new_material=True)
        manager.rotate_key("k", new_material=True)
        keys = [manager.get_key("k", version).material for version in (1, 2)]
        fault(client)
        manager.rotate_key("k")
        made = manager.rotate_key("k")
    config(client, min_decryption_version=latest(client))
    with open_manager() as manager:
        assert [manager.get_key("k", version).material for version in (1, 2)] == keys
        assert manager.get_key("k").fingerprint == made.fingerprint


def test_a_key_is_unwrapped_by_any_version_that_has_it(open_manager, client):
    with open_manager() as manager:
        manager.generate_key("k")
        first = manager.get_key("k").material
        manager.rotate_key("k", new_material=True)
    config(client, min_decryption_version=2)
    write(client, {"value": "ab" * 32})
    write(client, {**stored(client, version=2), "earlier": []})
    with open_manager() as manager:
        assert manager.get_key("k", 1).material == first


def test_a_rotation_names_what_it_can_not_carry(open_manager, client):
    with open_manager() as manager:
        first = manager.generate_key("k")
        second = manager.rotate_key("k", new_material=True)
        write(client, {**stored(client), "earlier": {}})
        config(client, min_decryption_version=2)
        client.secrets.kv.v2.delete_secret_versions("secureml/staging/k", versions=[2])
        with pytest.warns(SecureMLWarning, match="some older keys") as seen:
            third = manager.rotate_key("k")
        (details,) = [getattr(warning.message, "details", "") for warning in seen]
        assert f"fingerprint {first.fingerprint}" in details
        assert "version 2 is deleted" in details
        assert "min_decryption_version" in details
        assert third.fingerprint == second.fingerprint
        assert manager.get_key("k").fingerprint == second.fingerprint

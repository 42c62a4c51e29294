"""One contract for every versioned store: the one in memory and Vault itself."""

from datetime import UTC, datetime, timedelta

import pytest

from secureml.errors import (
    AccessDeniedError,
    SecretDeletedError,
    SecretExistsError,
    SecretNotFoundError,
)
from secureml.settings import Layers, load_settings
from secureml.sources import Finding, MemoryStore, SecretStore
from secureml.sources.vault import VaultStore
from secureml.vault.session import VaultSession


def vault_store(vault, token=None, **more) -> VaultStore:
    settings = load_settings(
        Layers(
            arguments={
                "vault_url": vault.url,
                "vault_token": token or vault.token,
                "vault_namespace": vault.namespace,
                **more,
            }
        )
    )
    return VaultStore(VaultSession(settings), settings)


@pytest.fixture(params=["memory", "vault"])
def store(request):
    made: SecretStore = (
        MemoryStore()
        if request.param == "memory"
        else vault_store(request.getfixturevalue("vault"))
    )
    yield made
    made.close()


def test_what_was_never_written_is_absent(store):
    outcome = store.read("nothing")
    assert outcome.finding is Finding.ABSENT
    assert outcome.record is None
    assert "nothing" in outcome.where
    assert store.versions("nothing") == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"value": "plain"},
        {"value": ""},
        {"value": "ключ 鍵 🔑 \n\t\"'"},
        {"user": "u", "password": "p"},
        {"value": "@format {env[HOME]}"},
        {"value": "12e45678"},
    ],
)
def test_what_is_written_is_read(store, fields):
    before = datetime.now(UTC) - timedelta(minutes=5)
    written = store.write("k", fields, cas=0)
    record = store.read("k").record
    assert record.fields == fields
    assert record.version == written.version == 1
    assert record.path == store.path_of("k")
    assert before < record.created < before + timedelta(minutes=10)


def test_every_version_stays_readable(store):
    for number in range(1, 15):
        store.keep_all_versions("k")
        assert store.room_for_another("k")
        store.write("k", {"value": str(number)}, cas=number - 1)
    assert store.read("k").record.fields == {"value": "14"}
    assert [store.read("k", n).record.fields["value"] for n in (1, 2, 13)] == ["1", "2", "13"]
    assert store.read("k", 15).finding is Finding.ABSENT
    assert [info.version for info in store.versions("k")] == list(range(1, 15))


def test_a_write_that_comes_too_late_changes_nothing(store):
    store.write("k", {"value": "1"}, cas=0)
    for cas in (0, 2):
        with pytest.raises(SecretExistsError) as caught:
            store.write("k", {"value": "lost"}, cas=cas)
        assert caught.value.__context__ is None
    assert store.read("k").record.fields == {"value": "1"}


def test_a_write_without_a_condition_adds_a_version(store):
    store.write("k", {"value": "1"}, cas=0)
    assert store.write("k", {"value": "2"}, cas=None).version == 2


def test_a_destroyed_version_is_gone_and_no_other_takes_its_place(store):
    store.write("k", {"value": "1"}, cas=0)
    store.write("k", {"value": "2"}, cas=1)
    store.destroy("k", 1)
    outcome = store.read("k", 1)
    assert outcome.finding is Finding.DELETED
    assert isinstance(outcome.error, SecretDeletedError)
    assert [info.state for info in store.versions("k")] == ["destroyed", "enabled"]
    assert store.read("k").record.fields == {"value": "2"}


@pytest.mark.parametrize("version", [2, 99])
def test_a_version_that_is_not_there_can_not_be_destroyed(store, version):
    store.write("k", {"value": "1"}, cas=0)
    with pytest.raises(SecretNotFoundError):
        store.destroy("k", version)


def test_names_walk_through_folders(store):
    for name in ("b", "a/x", "a/y/z", "a"):
        store.write(name, {"value": "1"}, cas=0)
    assert store.names() == ("a", "a/x", "a/y/z", "b")


def test_an_empty_store_has_no_names(store):
    assert store.names() == ()


def test_vault_without_an_environment_leaves_the_environments_folders_alone(vault):
    store = vault_store(vault)
    store.write("production/k", {"value": "1"}, cas=0)
    store.write("k", {"value": "1"}, cas=0)
    assert store.names() == ("k",)
    store.close()


def test_vault_reports_a_soft_deleted_version(vault):
    store = vault_store(vault)
    store.write("k", {"value": "1"}, cas=0)
    vault.client().secrets.kv.v2.delete_latest_version_of_secret("secureml/k")
    assert store.read("k").finding is Finding.DELETED
    assert store.versions("k")[0].state == "deleted"
    store.close()


def test_vault_says_when_a_write_would_prune(vault):
    store = vault_store(vault)
    vault.client().secrets.kv.v2.update_metadata("secureml/k", max_versions=2)
    store.write("k", {"value": "1"}, cas=0)
    assert store.room_for_another("k")
    store.write("k", {"value": "2"}, cas=1)
    assert not store.room_for_another("k")
    store.keep_all_versions("k")
    assert store.room_for_another("k")
    store.close()


def test_vault_names_a_mount_that_is_not_there(vault):
    store = vault_store(vault, vault_mount="nowhere")
    outcome = store.read("k")
    assert outcome.finding is Finding.ABSENT
    assert "no KV v2 secrets engine at 'nowhere'" in outcome.where
    with pytest.raises(SecretNotFoundError, match="nowhere"):
        store.write("k", {"value": "1"}, cas=0)
    store.close()


OTHER = 'path "secret/data/other" { capabilities = ["read"] }'

DENIED = [
    ("read", lambda store: store.read("k").error, "secret/data/secureml/k"),
    ("create or update", lambda store: store.write("k", {}, cas=0), "secret/data/secureml/k"),
    ("read", lambda store: store.versions("k"), "secret/metadata/secureml/k"),
    ("list", lambda store: store.names(), "secret/metadata/secureml"),
]


@pytest.mark.parametrize(("capability", "attempt", "path"), DENIED)
def test_vault_names_the_capability_that_is_missing(vault, capability, attempt, path):
    token = vault.policy_token(OTHER, no_default_policy=False)
    store = vault_store(vault, token)
    try:
        error = attempt(store)
    except AccessDeniedError as caught:
        error = caught
    assert isinstance(error, AccessDeniedError)
    assert (error.mount, error.path, error.capability) == ("secret", path, capability)
    assert path in str(error)
    assert token not in str(error)
    store.close()

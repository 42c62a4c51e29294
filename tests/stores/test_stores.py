"""One contract for every versioned store: the one in memory and Vault itself."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from secureml.errors import (
    AccessDeniedError,
    ConfigurationError,
    KeyDisabledError,
    SecretDeletedError,
    SecretError,
    SecretExistsError,
    SecretNotFoundError,
)
from secureml.settings import Layers, load_settings
from secureml.stores import Finding, MemoryStore, SecretStore
from secureml.stores.custom_metadata import DISABLED, state_key
from secureml.stores.vault import VaultStore
from secureml.vault.client.session import VaultSession


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
def store(request: pytest.FixtureRequest) -> Iterator[SecretStore]:
    made: SecretStore = (
        MemoryStore()
        if request.param == "memory"
        else vault_store(request.getfixturevalue("vault"))
    )
    yield made
    made.close()


def test_a_secret_that_was_never_written_is_absent(store):
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
def test_a_written_secret_is_read(store, fields):
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


def test_a_secret_that_was_removed_is_absent_and_can_be_made_anew(vault):
    store = vault_store(vault)
    for number in (1, 2, 3):
        store.write("k", {"value": str(number)}, cas=number - 1)
    vault.client().secrets.kv.v2.delete_metadata_and_all_versions("secureml/k")
    assert store.read("k").finding is Finding.ABSENT
    assert store.read("k", 2).finding is Finding.ABSENT
    assert store.versions("k") == ()
    assert store.write("k", {"value": "new"}, cas=0).version == 1
    assert store.read("k").record.fields == {"value": "new"}
    assert [info.version for info in store.versions("k")] == [1]
    store.close()


def test_vault_reports_a_soft_deleted_version(vault):
    store = vault_store(vault)
    store.write("k", {"value": "1"}, cas=0)
    vault.client().secrets.kv.v2.delete_latest_version_of_secret("secureml/k")
    assert store.read("k").finding is Finding.DELETED
    assert store.versions("k")[0].state == "deleted"
    store.close()


DATA_ONLY = """
path "secret/data/*" { capabilities = ["create", "read", "update"] }
path "secret/metadata/*" { capabilities = ["read"] }
"""
AND_THE_MOUNT = DATA_ONLY + 'path "secret/config" { capabilities = ["read"] }'


@pytest.mark.parametrize(
    ("of_secret", "of_mount", "kept"), [(0, 0, 10), (3, 0, 3), (0, 4, 4), (3, 5, 5), (5, 3, 5)]
)
def test_vault_names_the_version_that_a_write_would_prune(vault, of_secret, of_mount, kept):
    kv = vault.client().secrets.kv.v2
    kv.configure(max_versions=of_mount, mount_point="secret")
    kv.update_metadata("secureml/k", max_versions=of_secret)
    store = vault_store(vault, vault.policy_token(AND_THE_MOUNT, no_default_policy=False))
    for number in range(1, kept + 1):
        store.keep_all_versions("k")
        store.write("k", {"value": str(number)}, cas=number - 1)
    with pytest.raises(SecretError, match="would destroy version 1, and the token may not raise"):
        store.keep_all_versions("k")
    kv.create_or_update_secret("secureml/k", {"value": "one too many"})
    assert store.read("k", 1).finding is Finding.ABSENT
    assert store.read("k", 2).finding is Finding.PRESENT
    store.close()


def test_vault_may_prune_what_was_destroyed(vault):
    kv = vault.client().secrets.kv.v2
    kv.update_metadata("secureml/k", max_versions=2)
    for number in (1, 2):
        kv.create_or_update_secret("secureml/k", {"value": str(number)})
    store = vault_store(vault, vault.policy_token(AND_THE_MOUNT, no_default_policy=False))
    kv.delete_secret_versions("secureml/k", [1])
    with pytest.raises(SecretError, match="version 1"):
        store.keep_all_versions("k")
    kv.destroy_secret_versions("secureml/k", [1])
    store.keep_all_versions("k")
    store.close()


def test_where_vault_does_not_tell_how_many_versions_it_keeps_none_is_risked(vault):
    vault.client().secrets.kv.v2.create_or_update_secret("secureml/k", {"value": "1"})
    store = vault_store(vault, vault.policy_token(DATA_ONLY, no_default_policy=False))
    with pytest.raises(SecretError, match="version 1"):
        store.keep_all_versions("k")
    store.close()


def test_the_newest_version_is_enabled_and_older_ones_are_for_decryption(store):
    for number in (1, 2, 3):
        store.write("k", {"value": str(number)}, cas=number - 1)
    assert [info.state for info in store.versions("k")] == ["decrypt-only"] * 2 + ["enabled"]
    assert store.read("k").record.state == "enabled"
    assert store.read("k", 2).record.state == "decrypt-only"


@pytest.mark.parametrize("version", [1, 2])
def test_a_disabled_version_is_read_only_on_purpose(store, version):
    for number in (1, 2):
        store.write("k", {"value": str(number)}, cas=number - 1)
    store.annotate("k", {state_key(version): DISABLED})
    for asked in {version, None if version == 2 else version}:
        outcome = store.read("k", asked)
        assert outcome.finding is Finding.DISABLED
        assert outcome.record is None
        assert isinstance(outcome.error, KeyDisabledError)
        assert f"version {version}" in str(outcome.error)
    record = store.read("k", version, even_disabled=True).record
    assert (record.state, record.fields) == ("disabled", {"value": str(version)})
    assert store.versions("k")[version - 1].state == "disabled"
    assert store.read("k", 3 - version).finding is Finding.PRESENT
    store.annotate("k", {state_key(version): None})
    assert store.read("k", version).record.fields == {"value": str(version)}
    assert store.versions("k")[version - 1].state == ("enabled" if version == 2 else "decrypt-only")


def test_annotations_leave_each_other_alone(store):
    store.keep_all_versions("k", {"a": "1", "b": "2"})
    assert store.read("k").finding is Finding.ABSENT
    store.write("k", {"value": "1"}, cas=0)
    store.annotate("k", {"b": None, "c": "3"})
    store.keep_all_versions("k", {"d": "4"})
    store.keep_all_versions("k")
    assert store.read("k").record.custom_metadata == {"a": "1", "c": "3", "d": "4"}


def test_annotations_at_once_are_all_kept(store):
    store.write("k", {"value": "1"}, cas=0)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.annotate("k", {f"k{n}": str(n)}), range(40)))
    expected = {f"k{n}": str(n) for n in range(40)}
    assert store.read("k").record.custom_metadata == expected


def test_a_secret_that_does_not_exist_can_not_be_annotated(store):
    with pytest.raises(SecretNotFoundError):
        store.annotate("k", {"a": "1"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"a": "x" * 513}, "1 to 512 bytes, and 513"),
        ({"a": "é" * 257}, "1 to 512 bytes, and 514"),
        ({"a": ""}, "1 to 512 bytes, and 0"),
        ({"a": "line\n"}, "more than printable"),
        ({"k" * 129: "x"}, "1 to 128 bytes"),
        ({f"k{n}": "x" for n in range(65)}, "room for 64 entries, and 65"),
    ],
)
def test_annotations_keep_the_limits_of_vault(store, changes, message):
    store.write("k", {"value": "1"}, cas=0)
    for attempt in (store.annotate, store.keep_all_versions):
        with pytest.raises(SecretError, match=message):
            attempt("k", changes)
    assert store.read("k").record.custom_metadata == {}


def test_the_limits_are_those_of_vault(vault):
    store = vault_store(vault)
    store.write("k", {"value": "1"}, cas=0)
    store.annotate("k", {f"{n:0>128}": "é" * 256 for n in range(64)})
    assert len(store.read("k").record.custom_metadata) == 64
    store.annotate("k", {f"{0:0>128}": None, "another": "x"})
    store.close()


WRONG_MOUNTS = [
    ("nowhere", "nothing is mounted there"),
    ("old", "it is kv version 1"),
    ("transit", "it is transit version 1"),
    ("secret/team", "it lies in the mount 'secret'"),
]


def raised(error):
    if error is not None:
        raise error


ON_A_MOUNT = [
    lambda store: raised(store.read("k").error),
    lambda store: store.write("k", {"value": "1"}, cas=0),
    lambda store: store.keep_all_versions("k"),
    lambda store: store.annotate("k", {"a": "b"}),
    lambda store: store.versions("k"),
    lambda store: store.names(),
    lambda store: store.destroy("k", 1),
]


@pytest.mark.parametrize("attempt", ON_A_MOUNT)
@pytest.mark.parametrize(("mount", "message"), WRONG_MOUNTS)
def test_a_wrong_mount_is_a_mistake_in_the_settings_and_nothing_is_written(
    vault, mount, message, attempt
):
    client = vault.client()
    client.sys.enable_secrets_engine("kv", "old", options={"version": "1"})
    client.sys.enable_secrets_engine("transit")
    store = vault_store(vault, vault_mount=mount)
    with pytest.raises(ConfigurationError) as caught:
        attempt(store)
    assert f"vault_mount {mount!r}" in str(caught.value)
    assert message in str(caught.value)
    assert caught.value.__context__ is None
    assert client.list("old/") is None
    store.close()


def test_a_mount_is_asked_about_once(vault, monkeypatch):
    store = vault_store(vault)
    sent = []
    request = store.session.request

    def counted(method, path, **more):
        sent.append(path)
        return request(method, path, **more)

    monkeypatch.setattr(store.session, "request", counted)
    for name in ("a", "b"):
        assert store.read(name).finding is Finding.ABSENT
        assert store.versions(name) == ()
        store.write(name, {"value": "1"}, cas=0)
    assert store.names() == ("a", "b")
    assert [path for path in sent if path.startswith("sys/")] == ["sys/internal/ui/mounts/secret"]
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

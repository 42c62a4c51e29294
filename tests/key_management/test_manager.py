"""KeyManager against a real server: keys, secrets, versions, refusals."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import hvac
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.clock import Clock
from helpers.vault import Vault
from secureml.errors import (
    AccessDeniedError,
    ConfigurationError,
    KeyMaterialError,
    SecretDeletedError,
    SecretError,
    SecretExistsError,
    SecretNotFoundError,
)
from secureml.key_management import KeyManager, SecretInfo
from secureml.keys import derive, encode, fingerprint_of
from secureml.settings import Layers, load_settings
from secureml.stores import MemoryStore

if TYPE_CHECKING:
    from hvac.api.secrets_engines import KvV2

KEY = bytes(range(32))


@pytest.fixture
def manager(vault: Vault) -> Iterator[KeyManager]:
    with KeyManager(
        vault_url=vault.url,
        vault_token=vault.token,
        vault_namespace=vault.namespace,
        environment="staging",
    ) as made:
        yield made


@pytest.fixture
def kv(vault: Vault) -> KvV2:
    return vault.client().secrets.kv.v2


def in_memory(**more) -> KeyManager:
    return KeyManager(store=MemoryStore(), environment="development", **more)


def test_a_generated_key_is_what_is_read(manager):
    info = manager.generate_key("k")
    key = manager.get_key("k")
    assert (info.name, info.version, info.state) == ("k", 1, "enabled")
    assert info.path == key.path == "secret/secureml/staging/k"
    assert info.environment == key.environment == "staging"
    assert info.source == key.source == "vault"
    assert info.fingerprint == key.fingerprint == fingerprint_of(key.reveal())
    assert manager.get_encryption_key("k") == key.reveal()
    assert datetime.now(UTC) - key.fetched_at < timedelta(minutes=5)


@pytest.mark.parametrize("encoding", ["hex", "base64"])
@pytest.mark.parametrize("size", [16, 32, 64, 100])
def test_keys_are_generated_in_every_length_and_encoding(manager, kv, size, encoding):
    manager.generate_key("k", size, encoding)
    stored = kv.read_secret_version("secureml/staging/k", raise_on_deleted_version=True)
    assert stored["data"]["data"]["encoding"] == encoding
    key = manager.get_encryption_key("k", size)
    assert len(key) == size
    assert manager.get_encryption_key("k", size, "hex") == key.hex()
    assert manager.get_encryption_key("k", size, encoding="base64") == encode(key, "base64")


def test_two_keys_are_never_the_same(manager):
    assert manager.generate_key("a").fingerprint != manager.generate_key("b").fingerprint


def test_the_key_without_a_name_is_the_master_key(manager):
    manager.generate_key("master_key")
    assert manager.get_encryption_key() == manager.get_encryption_key("master_key")


def test_the_master_keys_name_comes_from_the_settings(vault, monkeypatch):
    monkeypatch.setenv("SECUREML_MASTER_KEY_NAME", "master_2027")
    with KeyManager(vault.url, vault.token, vault_namespace=vault.namespace) as manager:
        manager.generate_key("master_2027")
        assert manager.get_key().name == "master_2027"


@pytest.mark.parametrize("text", [KEY.hex(), encode(KEY, "base64"), f"hex:{KEY.hex()}\n"])
def test_a_key_that_an_operator_wrote_is_a_key_like_any_other(manager, kv, text):
    kv.create_or_update_secret("secureml/staging/k", {"value": text})
    assert manager.get_encryption_key("k") == KEY
    assert [info.name for info in manager.list_keys()] == ["k"]
    assert manager.rotate_key("k").version == 2
    assert manager.get_encryption_key("k", version=1) == KEY
    assert len(manager.get_encryption_key("k")) == 32


def test_without_an_environment_the_path_has_no_segment_for_it(vault):
    vault.client().secrets.kv.v2.create_or_update_secret(
        "secureml/master_key", {"value": KEY.hex()}
    )
    with KeyManager(vault.url, vault.token, vault_namespace=vault.namespace) as manager:
        assert manager.get_encryption_key() == KEY
        assert manager.get_key().path == "secret/secureml/master_key"


def test_environments_do_not_see_each_others_keys(vault):
    arguments = {"vault_url": vault.url, "vault_token": vault.token}
    arguments["vault_namespace"] = vault.namespace
    keys = set()
    for environment in ("development", "staging", "production", None):
        with KeyManager(environment=environment, **arguments) as manager:
            manager.generate_key("k")
            keys.add(manager.get_encryption_key("k"))
            assert [info.path for info in manager.list_keys()] == [manager.key_info("k").path]
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"value": "correct horse battery staple"}, "not hex or base64"),
        ({"value": KEY[:16].hex()}, "16 bytes as hex"),
        ({"value": ""}, "0 characters"),
        ({"value": 5}, "no text in the field 'value'"),
        ({"user": "u", "password": "p"}, "no text in the field 'value'"),
        ({"value": KEY.hex(), "encoding": "base64"}, "48 bytes as base64"),
        ({"value": KEY.hex(), "encoding": "utf-8"}, "encoding other than"),
        ({"value": KEY.hex(), "encoding": 1}, "'encoding' is no text"),
    ],
)
def test_a_secret_that_is_no_key_is_refused_without_showing_it(manager, kv, fields, message):
    kv.create_or_update_secret("secureml/staging/k", fields)
    with pytest.raises(KeyMaterialError, match=message) as caught:
        manager.get_encryption_key("k")
    assert "battery" not in str(caught.value)
    assert KEY[:16].hex() not in str(caught.value)


@pytest.mark.parametrize("size", [0, 15, 8161, -1])
def test_impossible_lengths_are_refused(manager, size):
    for attempt in (manager.get_encryption_key, manager.generate_key):
        with pytest.raises(KeyMaterialError, match="16 to 8160"):
            attempt("k", size)
    assert manager.list_keys() == ()


@pytest.mark.parametrize("size", [True, "32", 32.0, None])
def test_lengths_are_integers(manager, size):
    with pytest.raises(TypeError, match="int"):
        manager.get_encryption_key("k", size)


@pytest.mark.parametrize("version", [0, -1])
def test_versions_count_from_one(manager, version):
    with pytest.raises(KeyMaterialError, match="from 1"):
        manager.get_key("k", version)


def test_a_key_is_never_overwritten(manager):
    manager.generate_key("k")
    before = manager.get_encryption_key("k")
    for attempt in (
        lambda: manager.generate_key("k"),
        lambda: manager.import_key("k", KEY),
        lambda: manager.set_secret("k", "other"),
    ):
        with pytest.raises(SecretExistsError, match="secret/secureml/staging/k"):
            attempt()
    manager.invalidate()
    assert manager.get_encryption_key("k") == before
    assert len(manager.key_history("k")) == 1


def test_the_master_key_is_never_overwritten_even_if_an_operator_wrote_it(manager, kv):
    kv.create_or_update_secret("secureml/staging/master_key", {"value": KEY.hex()})
    with pytest.raises(SecretExistsError, match="rotate_key"):
        manager.set_secret("master_key", "other")


def test_a_deleted_key_is_neither_read_nor_overwritten(manager, kv):
    manager.generate_key("k")
    kv.delete_latest_version_of_secret("secureml/staging/k")
    manager.invalidate()
    with pytest.raises(SecretDeletedError, match="deleted"):
        manager.get_encryption_key("k")
    with pytest.raises(SecretExistsError):
        manager.generate_key("k")
    kv.undelete_secret_versions("secureml/staging/k", [1])
    assert len(manager.get_encryption_key("k")) == 32


def test_nothing_is_written_with_an_unknown_encoding(manager):
    with pytest.raises(KeyMaterialError, match="'utf-8'"):
        manager.generate_key("k", encoding="utf-8")
    with pytest.raises(SecretNotFoundError):
        manager.key_history("k")


@pytest.mark.parametrize("material", [KEY, KEY.hex(), encode(KEY, "base64"), bytearray(KEY)])
def test_a_key_made_elsewhere_can_be_imported(manager, material):
    info = manager.import_key("k", material)
    assert info.fingerprint == fingerprint_of(KEY)
    assert manager.get_encryption_key("k") == KEY


@pytest.mark.parametrize("material", [b"", bytes(15), "", "hunter2 hunter2"])
def test_material_that_is_no_key_can_not_be_imported(manager, material):
    with pytest.raises(KeyMaterialError):
        manager.import_key("k", material)


def test_rotation_keeps_every_version(manager):
    manager.generate_key("k", 24, "base64")
    keys = [manager.get_encryption_key("k", 24)]
    for number in range(2, 15):
        assert manager.rotate_key("k").version == number
        keys.append(manager.get_encryption_key("k", 24))
    assert len(set(keys)) == 14
    assert [manager.get_encryption_key("k", 24, version=n) for n in range(1, 15)] == keys
    history = manager.key_history("k")
    assert [info.version for info in history] == list(range(1, 15))
    assert [info.fingerprint for info in history] == [fingerprint_of(key) for key in keys]


def test_rotation_keeps_the_versions_of_a_key_that_was_not_made_here(manager, kv):
    for number in range(10):
        kv.create_or_update_secret("secureml/staging/k", {"value": bytes([number] * 32).hex()})
    manager.rotate_key("k")
    assert manager.get_encryption_key("k", version=1) == bytes(32)


def test_a_key_that_does_not_exist_can_not_be_rotated(manager, monkeypatch):
    monkeypatch.setenv("SECUREML_K", KEY.hex())
    with pytest.raises(SecretNotFoundError):
        manager.rotate_key("k")


def test_one_of_two_rotations_at_once_wins(manager):
    manager.generate_key("k")
    with ThreadPoolExecutor(8) as pool:
        attempts = [pool.submit(manager.rotate_key, "k") for _ in range(8)]
    errors = [attempt.exception() for attempt in attempts]
    winners = [attempt.result().version for attempt in attempts if attempt.exception() is None]
    assert all(error is None or isinstance(error, SecretExistsError) for error in errors)
    assert sorted(winners) == list(range(2, 2 + len(winners)))
    assert len(manager.key_history("k")) == 1 + len(winners)


def test_a_version_is_destroyed_only_by_its_fingerprint(manager):
    first = manager.generate_key("k")
    second = manager.rotate_key("k")
    with pytest.raises(KeyMaterialError, match="nothing was destroyed"):
        manager.destroy_key_version("k", 1, confirm=second.fingerprint)
    assert manager.destroy_key_version("k", 1, confirm=first.fingerprint).state == "destroyed"
    with pytest.raises(SecretDeletedError, match="destroyed"):
        manager.get_encryption_key("k", version=1)
    states = [(info.state, info.fingerprint) for info in manager.key_history("k")]
    assert states == [("destroyed", None), ("enabled", second.fingerprint)]


@pytest.mark.parametrize(("version", "confirm"), [(None, "x"), ("1", "x"), (1, None), (1, b"x")])
def test_destroying_never_guesses_a_version_or_its_fingerprint(manager, version, confirm):
    info = manager.generate_key("k")
    with pytest.raises(TypeError):
        manager.destroy_key_version("k", version, info.fingerprint if confirm == "x" else confirm)
    assert manager.key_history("k")[0].state == "enabled"


def test_a_destroyed_version_is_not_served_from_the_cache(manager):
    info = manager.generate_key("k")
    manager.get_encryption_key("k")
    manager.destroy_key_version("k", 1, confirm=info.fingerprint)
    with pytest.raises(SecretDeletedError):
        manager.get_encryption_key("k")


def test_only_keys_are_listed(manager):
    manager.generate_key("a")
    manager.generate_key("folder/b")
    manager.set_secret("password", "hunter2!")
    manager.set_secret("login", {"user": "u", "password": "p"})
    assert [info.name for info in manager.list_keys()] == ["a", "folder/b"]


@pytest.mark.parametrize(
    "value", ["text", "", "@format {env[HOME]}", "12e45678", "0x10", "1234#tail", "é 鍵 🔑\n"]
)
def test_a_secret_comes_back_unchanged(manager, value):
    info = manager.set_secret("s", value)
    assert info
    assert (info.name, info.version, info.path) == ("s", 1, "secret/secureml/staging/s")
    assert manager.get_secret("s") == value
    assert manager.secret_info("s") == info


def test_a_structured_secret_is_a_dict(manager):
    manager.set_secret("login", {"user": "u", "password": "p"})
    assert manager.get_secret("login") == {"user": "u", "password": "p"}


def test_a_secret_gets_a_new_version(manager):
    manager.set_secret("s", "1")
    assert manager.set_secret("s", "2").version == 2
    assert manager.get_secret("s") == "2"


def test_a_deleted_secret_can_be_written_anew(manager, kv):
    manager.set_secret("s", "1")
    kv.delete_latest_version_of_secret("secureml/staging/s")
    assert manager.set_secret("s", "2").version == 2


@pytest.mark.parametrize("value", [5, None, b"bytes", ["list"], {1: "x"}])
def test_a_secret_is_text_or_a_mapping(manager, value):
    with pytest.raises(TypeError, match="str"):
        manager.set_secret("s", value)


def test_a_value_that_is_no_text_is_not_guessed_at(manager, kv):
    kv.create_or_update_secret("secureml/staging/s", {"value": 5})
    with pytest.raises(SecretError, match="no text"):
        manager.get_secret("s")


def test_a_write_that_is_denied_raises(vault):
    token = vault.policy_token(
        'path "secret/*" { capabilities = ["read"] }', no_default_policy=False
    )
    with KeyManager(vault.url, token, vault_namespace=vault.namespace) as manager:
        with pytest.raises(AccessDeniedError, match="create or update"):
            manager.set_secret("s", "x")
        with pytest.raises(AccessDeniedError, match="'create'"):
            manager.generate_key("k")


def test_writing_needs_a_vault():
    manager = KeyManager(environment="development")
    for attempt in (
        lambda: manager.set_secret("s", "x"),
        lambda: manager.generate_key("k"),
        lambda: manager.rotate_key("k"),
        manager.list_keys,
    ):
        with pytest.raises(ConfigurationError, match="Vault is not configured"):
            attempt()
    assert manager.vault_client is None


BAD_NAMES = ["", "/k", "k/", "a//b", "../k", "a/../b", ".", "a/./b", "a?b", "a#b", "a%2e", "a\nb"]
RESERVED = ["vault_token", "VAULT-TOKEN", "env", "settings", "settings_file", "key_file"]


@pytest.mark.parametrize("name", [*BAD_NAMES, *RESERVED])
def test_a_name_that_leads_elsewhere_is_refused_before_any_request(faulty, name):
    server = faulty(b"{}")
    manager = KeyManager(server.url, "s.token")
    for attempt in (
        lambda: manager.get_secret(name, "default"),
        lambda: manager.get_encryption_key(name),
        lambda: manager.set_secret(name, "x"),
        lambda: manager.generate_key(name),
        lambda: manager.import_key(name, KEY),
        lambda: manager.rotate_key(name),
        lambda: manager.key_info(name),
        lambda: manager.key_history(name),
        lambda: manager.destroy_key_version(name, 1, "0"),
    ):
        with pytest.raises(ConfigurationError):
            attempt()
    assert server.received == []


@pytest.mark.parametrize("name", ["production/k", "staging/k", "development/k"])
def test_without_an_environment_no_name_leads_into_ones_folder(faulty, name):
    server = faulty(b"{}")
    with pytest.raises(ConfigurationError, match="environment's folder"):
        KeyManager(server.url, "s.token").get_secret(name)
    assert server.received == []


def test_without_an_environment_no_name_leads_into_the_folder_of_a_declared_one(faulty, tmp_path):
    server = faulty(b"{}")
    (tmp_path / "settings.toml").write_text("[default]\n[production-eu]\n[canary]\n")
    manager = KeyManager(server.url, "s.token")
    for name in ("production-eu/master_key", "canary/team/k"):
        for attempt in (manager.get_secret, manager.generate_key, manager.rotate_key):
            with pytest.raises(ConfigurationError, match="environment's folder"):
                attempt(name)
    assert server.received == []


@pytest.mark.parametrize("name", [5, b"k", None])
def test_a_name_is_text(name):
    with pytest.raises(TypeError, match="str"):
        in_memory().get_secret(name)


@given(st.binary(min_size=16, max_size=64), st.text(min_size=1), st.integers(1, 64))
def test_a_base_key_derives_the_same_in_every_form(base, purpose, size):
    manager = KeyManager(store=MemoryStore(), environment="development")
    manager.import_key("k", base)
    expected = manager.derive_key(base, purpose, size)
    forms = [base.hex(), encode(base, "base64"), manager.get_key("k", key_bytes=len(base))]
    for form in forms:
        assert manager.derive_key(form, purpose, size) == expected
    assert manager.derive_key(base, purpose, size, "hex") == expected.hex()
    assert manager.derive_key(base, purpose, size, encoding="base64") == encode(expected, "base64")


@pytest.mark.parametrize(
    "arguments",
    [(b"", "p"), (bytes(15), "p"), (KEY, ""), (KEY, "p", 0), (KEY, "p", 8161), ("not a key!", "p")],
)
def test_a_derivation_that_is_not_possible_is_refused(arguments):
    with pytest.raises(KeyMaterialError):
        in_memory().derive_key(*arguments)


@pytest.mark.parametrize(
    "purpose",
    [
        "pseudonymization/fpe/ssn",
        "pseudonymization/manifest",
        "secureml/fingerprint",
        "development/k",
    ],
)
def test_a_purpose_of_the_library_itself_is_refused(purpose):
    manager = in_memory()
    manager.import_key("k", KEY)
    for key in (KEY, KEY.hex(), manager.get_key("k")):
        with pytest.raises(KeyMaterialError, match="are secureml's own"):
            manager.derive_key(key, purpose)
    assert manager.derive_own_key(manager.get_key("k"), purpose, 32) == derive(KEY, purpose, 32)


def test_a_base_key_of_another_type_is_refused():
    with pytest.raises(TypeError, match="int"):
        in_memory().derive_key(5, "p")


def test_a_key_is_cached_for_as_long_as_the_settings_say(manager, vault):
    clock = Clock()
    arguments = {"vault_url": vault.url, "vault_token": vault.token, "environment": "staging"}
    arguments["vault_namespace"] = vault.namespace
    manager.generate_key("k")
    with KeyManager(**arguments, cache_ttl=10, clock=clock, chance=lambda: 0.0) as cached:
        first = cached.get_encryption_key("k")
        manager.rotate_key("k")
        clock.now = 9.9
        assert cached.get_encryption_key("k") == first
        clock.now = 20
        assert cached.get_encryption_key("k") == manager.get_encryption_key("k") != first
        manager.rotate_key("k")
        cached.invalidate("k")
        assert cached.get_encryption_key("k") == manager.get_encryption_key("k")


def test_a_manager_without_a_time_to_live_caches_nothing(manager, vault):
    manager.generate_key("k")
    with KeyManager(
        vault.url,
        vault.token,
        vault_namespace=vault.namespace,
        environment="staging",
        cache_ttl=0,
    ) as uncached:
        first = uncached.get_encryption_key("k")
        manager.rotate_key("k")
        assert uncached.get_encryption_key("k") != first


def test_a_variable_is_read_anew_each_time(monkeypatch):
    manager = KeyManager(environment="development")
    monkeypatch.setenv("SECUREML_K", KEY.hex())
    assert manager.get_encryption_key("k") == KEY
    monkeypatch.setenv("SECUREML_K", KEY[::-1].hex())
    assert manager.get_encryption_key("k") == KEY[::-1]


def test_a_closed_manager_hands_out_nothing(manager):
    manager.generate_key("k")
    manager.get_encryption_key("k")
    manager.close()
    with pytest.raises(SecretError, match="closed"):
        manager.get_encryption_key("k")


def test_the_client_is_hvacs(manager):
    assert isinstance(manager.vault_client, hvac.Client)
    assert manager.vault_client.is_authenticated()


def test_threads_share_a_manager(manager):
    names = [f"k{number}" for number in range(8)]
    expected = {name: manager.generate_key(name).fingerprint for name in names}
    manager.invalidate()

    def read(number: int) -> bool:
        name = names[number % len(names)]
        if number % 5 == 0:
            manager.invalidate(name)
        return fingerprint_of(manager.get_encryption_key(name)) == expected[name]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(400)))


def test_finished_settings_can_be_handed_over():
    settings = load_settings(Layers(environment="development"))
    assert KeyManager(settings=settings).settings is settings
    with pytest.raises(ConfigurationError, match="not both"):
        KeyManager(settings=settings, vault_path="other")


def test_a_manager_shows_no_secret(vault):
    manager = KeyManager(vault.url, vault.token, environment="development")
    assert vault.token not in repr(manager)
    assert vault.token not in repr(manager.settings)
    for refuse in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="pickled"):
            refuse(manager)


def test_wrong_arguments_are_all_named_at_once():
    with pytest.raises(ConfigurationError) as caught:
        KeyManager("ftp://x", vault_path="a/../b", vault_tokn="x", cache_ttl=-1)
    assert len(caught.value.problems) == 4
    assert "vault_token" in str(caught.value)


def test_the_information_on_a_written_secret_is_true():
    assert SecretInfo(name="s", version=1, path="p", source="vault", environment=None)

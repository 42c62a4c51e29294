"""The process-wide default manager: built once, replaced as a whole."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import secureml
from helpers.vault import Vault
from secureml.errors import ConfigurationError
from secureml.key_management import (
    KeyManager,
    configure_default_key_manager,
    get_default_key_manager,
    get_encryption_key,
)
from secureml.stores import MemoryStore


@pytest.fixture(autouse=True)
def default_again() -> Iterator[None]:
    configure_default_key_manager()
    yield
    configure_default_key_manager()


def test_the_default_manager_is_built_on_first_use_and_then_shared():
    with ThreadPoolExecutor(8) as pool:
        managers = set(pool.map(lambda _: get_default_key_manager(), range(64)))
    assert len(managers) == 1


def test_get_encryption_key_reads_with_the_default_manager(monkeypatch):
    monkeypatch.setenv("SECUREML_MASTER_KEY", "ab" * 32)
    assert get_encryption_key() == bytes([0xAB] * 32)
    assert get_encryption_key("master_key", 32, "hex") == "ab" * 32
    assert secureml.get_encryption_key is get_encryption_key


def test_other_arguments_replace_the_default_manager():
    before = get_default_key_manager()
    made = configure_default_key_manager(environment="development", store=MemoryStore())
    made.generate_key("master_key")
    assert get_default_key_manager() is made is not before
    assert get_encryption_key() == made.get_encryption_key()


def test_wrong_arguments_leave_the_default_manager_as_it_was():
    before = get_default_key_manager()
    with pytest.raises(ConfigurationError):
        configure_default_key_manager("ftp://nowhere")
    assert get_default_key_manager() is before


def test_the_default_manager_follows_configure_and_keeps_its_own_arguments():
    configure_default_key_manager(vault_path="mine")
    secureml.configure(environment="staging")
    manager = get_default_key_manager()
    assert isinstance(manager, KeyManager)
    assert manager.environment == "staging"
    assert manager.settings.vault_path == "mine"


def test_the_default_manager_follows_override_there_and_back():
    with secureml.override(environment="staging", master_key_name="other"):
        assert get_default_key_manager().settings.master_key_name == "other"
    assert get_default_key_manager().settings.master_key_name == "master_key"


def test_a_default_manager_that_is_built_in_an_override_block_ends_with_it():
    before = get_default_key_manager()
    with secureml.override(environment="staging"):
        inside = weakref.ref(get_default_key_manager())
        assert get_default_key_manager() is inside() is not before
    gc.collect()
    assert inside() is None
    assert get_default_key_manager() is before


def test_arguments_given_in_an_override_block_stay_for_the_default_manager_outside():
    before = get_default_key_manager()
    with secureml.override(environment="staging"):
        made = configure_default_key_manager(vault_path="mine")
        assert get_default_key_manager() is made
    after = get_default_key_manager()
    assert after not in (before, made)
    assert (after.environment, after.settings.vault_path) == (None, "mine")


def test_threads_inside_and_outside_an_override_block_have_managers_of_their_own():
    before = get_default_key_manager()
    with secureml.override(environment="staging"), ThreadPoolExecutor(1) as pool:
        inside = get_default_key_manager()
        assert pool.submit(get_default_key_manager).result(30) is before
        assert get_default_key_manager() is inside


def test_the_key_of_an_override_block_is_no_change_of_the_current_key_there_or_back():
    manager = configure_default_key_manager(store=MemoryStore())
    for name in ("master_key", "other"):
        manager.generate_key(name)
    seen = []
    manager.on_rotate(lambda old, new: seen.append((new.name, new.version)))
    get_encryption_key()
    with secureml.override(master_key_name="other"):
        get_encryption_key()
        assert seen == []
        get_default_key_manager().rotate_key()
        get_encryption_key()
        assert seen == [("other", 2)]
    get_encryption_key()
    assert seen == [("other", 2)]


def test_reset_forgets_the_default_manager_with_its_arguments_and_callbacks():
    seen = []
    before = configure_default_key_manager(store=MemoryStore(), vault_path="mine")
    before.on_rotate(lambda old, new: seen.append(new))
    before.generate_key("master_key")
    get_encryption_key()
    secureml.reset()
    after = get_default_key_manager()
    assert after is not before
    assert after.settings.vault_path == "secureml"
    manager = configure_default_key_manager(store=MemoryStore())
    manager.generate_key("master_key")
    get_encryption_key()
    manager.rotate_key()
    get_encryption_key()
    assert seen == []


@pytest.fixture
def rotated(vault: Vault) -> tuple[dict[str, str], list[tuple[object, ...]], Callable[[], None]]:
    """A default manager whose callback tells which versions it was called with."""
    arguments = {
        "vault_url": vault.url,
        "vault_token": vault.token,
        "vault_namespace": vault.namespace,
        "environment": "staging",
    }
    manager = configure_default_key_manager(**arguments)
    for name in ("master_key", "other"):
        manager.generate_key(name)
    seen = []
    end = manager.on_rotate(
        lambda old, new: seen.append((old.name, old.version, new.name, new.version))
    )
    get_encryption_key()
    return arguments, seen, end


def test_callbacks_stay_with_the_default_manager(rotated):
    arguments, seen, _ = rotated
    before = get_default_key_manager()
    secureml.configure(cache_ttl=60)
    assert get_default_key_manager() is not before
    get_encryption_key()
    assert seen == []
    get_default_key_manager().rotate_key()
    configure_default_key_manager(**arguments, cache_ttl=0)
    get_encryption_key()
    get_encryption_key()
    assert seen == [("master_key", 1, "master_key", 2)]
    configure_default_key_manager(**arguments, master_key_name="other")
    get_encryption_key()
    assert seen[1:] == [("master_key", 2, "other", 1)]


def test_a_callback_is_ended_for_every_default_manager(rotated):
    arguments, seen, end = rotated
    manager = configure_default_key_manager(**arguments)
    manager.rotate_key()
    get_encryption_key()
    end()
    manager.rotate_key()
    get_encryption_key()
    assert seen == [("master_key", 1, "master_key", 2)]


def test_other_managers_have_callbacks_of_their_own(rotated):
    arguments, seen, _ = rotated
    with KeyManager(**arguments) as manager:
        manager.get_key()
        manager.rotate_key()
        assert manager.get_key().version == 2
    assert seen == []

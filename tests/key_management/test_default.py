"""The process-wide default manager: built once, replaced as a whole."""

from concurrent.futures import ThreadPoolExecutor

import pytest

import secureml
from secureml.errors import ConfigurationError
from secureml.key_management import (
    KeyManager,
    configure_default_key_manager,
    get_default_key_manager,
    get_encryption_key,
)
from secureml.sources import MemoryStore


@pytest.fixture(autouse=True)
def default_again():
    configure_default_key_manager()
    yield
    configure_default_key_manager()


def test_it_is_built_on_first_use_and_then_shared():
    with ThreadPoolExecutor(8) as pool:
        managers = set(pool.map(lambda _: get_default_key_manager(), range(64)))
    assert len(managers) == 1


def test_it_reads_keys(monkeypatch):
    monkeypatch.setenv("SECUREML_MASTER_KEY", "ab" * 32)
    assert get_encryption_key() == bytes([0xAB] * 32)
    assert get_encryption_key("master_key", 32, "hex") == "ab" * 32
    assert secureml.get_encryption_key is get_encryption_key


def test_it_is_replaced_by_one_with_other_arguments():
    before = get_default_key_manager()
    made = configure_default_key_manager(environment="development", store=MemoryStore())
    made.generate_key("master_key")
    assert get_default_key_manager() is made is not before
    assert get_encryption_key() == made.get_encryption_key()


def test_wrong_arguments_leave_it_as_it_was():
    before = get_default_key_manager()
    with pytest.raises(ConfigurationError):
        configure_default_key_manager("ftp://nowhere")
    assert get_default_key_manager() is before


def test_it_follows_configure_and_keeps_its_own_arguments():
    configure_default_key_manager(vault_path="mine")
    secureml.configure(environment="staging")
    manager = get_default_key_manager()
    assert isinstance(manager, KeyManager)
    assert manager.environment == "staging"
    assert manager.settings.vault_path == "mine"


def test_it_follows_override_there_and_back():
    with secureml.override(environment="staging", master_key_name="other"):
        assert get_default_key_manager().settings.master_key_name == "other"
    assert get_default_key_manager().settings.master_key_name == "master_key"

"""The process's settings: built once, replaced as a whole, with Vault's layer at its place."""

from pathlib import Path

import pytest

from secureml import KeyManager, configure, get_settings, override
from secureml.configuration import reset
from secureml.errors import (
    AccessDeniedError,
    ConfigurationError,
    SecretDeletedError,
    VaultUnavailableError,
)


def arguments_for(vault, **more):
    return {
        "vault_url": vault.url,
        "vault_token": vault.token,
        "vault_namespace": vault.namespace,
        "vault_settings": True,
        **more,
    }


def record(vault, environment="production", **fields):
    path = "/".join(filter(None, ("secureml", environment, "settings")))
    vault.client().secrets.kv.v2.create_or_update_secret(path, fields)


def test_settings_are_built_on_first_use_and_then_shared(monkeypatch):
    monkeypatch.setenv("SECUREML_VAULT_PATH", "first")
    assert get_settings() is get_settings()
    monkeypatch.setenv("SECUREML_VAULT_PATH", "second")
    assert get_settings().vault_path == "first"
    reset()
    assert get_settings().vault_path == "second"


def test_configure_replaces_them():
    configure(environment="prod", vault_path="mine")
    assert get_settings().environment == "production"
    assert get_settings().vault_path == "mine"
    configure()
    assert get_settings().environment is None


def test_configure_reads_the_files_it_is_given(tmp_path):
    file = tmp_path / "other.toml"
    file.write_text('[default]\nvault_path = "from-file"\n')
    assert configure(files=[str(file)]).vault_path == "from-file"
    assert configure(host={"vault_path": "from-host"}).vault_path == "from-host"


@pytest.mark.parametrize("wrong", [{"vault_url": "ftp://x"}, {"environment": "prodction"}])
def test_a_failed_configure_keeps_the_last_good_settings(wrong):
    before = configure(vault_path="good")
    with pytest.raises(ConfigurationError):
        configure(**wrong)
    assert get_settings() is before
    assert KeyManager().settings.vault_path == "good"


def test_a_failed_read_of_vaults_layer_keeps_the_last_good_settings(vault, faulty):
    before = configure(vault_path="good")
    down = arguments_for(vault, vault_url=faulty(silent=True).url, vault_timeout=0.2)
    with pytest.raises(VaultUnavailableError):
        configure(**down)
    assert get_settings() is before


def test_override_ends_with_its_block_and_survives_an_exception():
    configure(vault_path="outer")
    with override(environment="staging", cache_ttl=1) as inner:
        assert get_settings() is inner
        assert (inner.environment, inner.vault_path, inner.cache_ttl) == ("staging", "outer", 1)
    assert get_settings().environment is None
    with pytest.raises(ZeroDivisionError), override(environment="staging"):
        raise ZeroDivisionError
    assert get_settings().environment is None


def test_a_wrong_override_changes_nothing():
    before = get_settings()
    with pytest.raises(ConfigurationError), override(cache_ttl="soon"):
        pass
    assert get_settings() is before


def test_vaults_record_sets_what_files_set_and_less_than_variables(vault, monkeypatch):
    Path("settings.toml").write_text('[production]\nmaster_key_name = "from-file"\ncache_ttl = 1\n')
    record(vault, master_key_name="from-vault", cache_ttl="2")
    settings = configure(environment="production", **arguments_for(vault))
    assert (settings.master_key_name, settings.cache_ttl) == ("from-vault", 2)
    assert "secret/secureml/production/settings" in settings.origins["master_key_name"]
    monkeypatch.setenv("SECUREML_MASTER_KEY_NAME", "from-variable")
    settings = configure(environment="production", **arguments_for(vault))
    assert (settings.master_key_name, settings.cache_ttl) == ("from-variable", 2)


@pytest.mark.parametrize("text", ["@format {env[HOME]}", "12e45678", "0x10", "1234_tail", "@none"])
def test_vaults_record_is_taken_as_it_stands(vault, text):
    record(vault, master_key_name=text)
    name = configure(environment="production", **arguments_for(vault)).master_key_name
    assert name == text


@pytest.mark.parametrize(
    "name", ["vault_url", "vault_token", "use_env_fallback", "use_default_fallback", "nonsense"]
)
def test_vaults_record_can_not_set_how_vault_is_reached_nor_the_fallbacks(vault, name):
    record(vault, **{name: "true"})
    with pytest.raises(ConfigurationError, match=name):
        configure(environment="production", **arguments_for(vault))


def test_the_record_is_optional(vault):
    settings = configure(environment="production", **arguments_for(vault))
    assert settings.master_key_name == "master_key"


def test_a_deleted_or_denied_record_is_an_error(vault):
    token = vault.policy_token('path "x" { capabilities = ["read"] }', no_default_policy=False)
    with pytest.raises(AccessDeniedError):
        configure(environment="production", **arguments_for(vault, vault_token=token))
    record(vault, cache_ttl="2")
    vault.client().secrets.kv.v2.delete_latest_version_of_secret("secureml/production/settings")
    with pytest.raises(SecretDeletedError):
        configure(environment="production", **arguments_for(vault))


def test_the_record_needs_an_address():
    with pytest.raises(ConfigurationError, match="vault_url"):
        configure(vault_settings=True)


def test_without_vault_settings_the_record_is_not_read(vault):
    record(vault, None, master_key_name="from-vault")
    assert configure(**arguments_for(vault, vault_settings=False)).master_key_name == "master_key"


def test_a_manager_reads_the_record_when_it_is_first_used(vault, faulty):
    record(vault, master_key_name="rotated")
    with KeyManager(environment="production", **arguments_for(vault)) as manager:
        manager.generate_key("rotated")
        assert manager.get_key().name == "rotated"
    silent = faulty(silent=True)
    KeyManager(environment="production", **arguments_for(vault, vault_url=silent.url))
    assert silent.received == []

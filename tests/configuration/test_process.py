"""The process's settings: built once, replaced as a whole, with Vault's layer at its place."""

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from secureml import KeyManager, configure, get_settings, override, reset
from secureml.configuration import process
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


def test_the_last_of_settings_with_one_meaning_decides():
    configure(vault_token="first", vault_client_cert="/a.pem", vault_client_key="/a.key")
    with override(vault_token_file="/run/token", vault_client_cert="/b.pem") as settings:
        assert (settings.vault_token, settings.vault_token_file) == (None, "/run/token")
        assert (settings.vault_client_cert, settings.vault_client_key) == ("/b.pem", None)
        manager = KeyManager(vault_token="second")
        assert manager.settings.vault_token_file is None
        assert manager.settings.vault_token.reveal() == "second"
    assert get_settings().vault_token.reveal() == "first"


def test_paths_given_to_configure_stay_where_they_were(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    configure(vault_url="http://127.0.0.1:1", vault_token_file="token")
    monkeypatch.chdir(tmp_path / "below")
    assert KeyManager().settings.vault_token_file == str(tmp_path / "token")
    assert KeyManager(vault_token_file="token").settings.vault_token_file == str(
        tmp_path / "below" / "token"
    )


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


@pytest.mark.parametrize("first_to_end", [0, 1])
def test_override_blocks_that_overlap_each_end_their_own_in_one_context(first_to_end):
    configure(vault_path="outer")
    blocks = [override(environment="staging"), override(environment="development")]
    for block in blocks:
        block.__enter__()
    assert get_settings().environment == "development"
    blocks[first_to_end].__exit__(None, None, None)
    assert get_settings().environment == ("development", "staging")[first_to_end]
    blocks[1 - first_to_end].__exit__(None, None, None)
    assert (get_settings().environment, get_settings().vault_path) == (None, "outer")


def test_override_blocks_of_threads_that_overlap_hold_for_their_own_thread():
    both_in, first_out = threading.Barrier(2), threading.Event()

    def run(environment, last):
        with override(environment=environment):
            both_in.wait(30)
            found = [get_settings().environment]
            if last:
                assert first_out.wait(30)
        found.append(get_settings().environment)
        first_out.set()
        return found

    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(run, environment, environment == "staging")
            for environment in ("development", "staging")
        ]
        assert get_settings().environment is None
        found = [each.result(30) for each in runs]
    assert found == [["development", None], ["staging", None]]
    assert get_settings().environment is None


def test_override_blocks_of_tasks_hold_for_their_task_and_what_it_starts():
    async def run(environment, mine, other):
        with override(environment=environment):
            mine.set()
            await other.wait()
            return [
                get_settings().environment,
                (await asyncio.create_task(read())).environment,
                (await asyncio.to_thread(get_settings)).environment,
            ]

    async def read():
        return get_settings()

    async def both():
        one, other = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(
            run("staging", one, other), run("development", other, one), read()
        )

    staging, development, neither = asyncio.run(both())
    assert (staging, development) == (["staging"] * 3, ["development"] * 3)
    assert neither.environment is None


def test_a_task_that_outlives_the_block_it_began_in_leaves_it():
    async def outlives(ended):
        await ended.wait()
        return get_settings().environment

    async def main():
        ended = asyncio.Event()
        with override(environment="staging"):
            task = asyncio.create_task(outlives(ended))
        ended.set()
        return await task

    assert asyncio.run(main()) is None


def test_what_configure_sets_in_another_thread_survives_a_block_that_fails_or_ends():
    def configured(path):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(configure, vault_path=path).result(30)

    with override(environment="staging"):
        configured("first")
        assert (get_settings().environment, get_settings().vault_path) == ("staging", "first")
    assert get_settings().vault_path == "first"
    with contextlib.suppress(ZeroDivisionError), override(environment="staging"):
        configured("second")
        raise ZeroDivisionError
    assert (get_settings().environment, get_settings().vault_path) == (None, "second")


def test_a_wrong_override_does_not_undo_what_another_thread_configures_meanwhile(monkeypatch):
    build = process._remote_settings

    def meanwhile(layers):
        monkeypatch.setattr(process, "_remote_settings", build)
        configure(vault_path="configured")
        return build(layers)

    monkeypatch.setattr(process, "_remote_settings", meanwhile)
    with pytest.raises(ConfigurationError), override(cache_ttl="soon"):
        pass
    assert get_settings().vault_path == "configured"


def test_the_first_settings_are_read_from_vault_once_for_all_threads(vault, relay):
    record(vault, master_key_name="from-vault")
    through = relay(vault.url)
    with override(environment="production", **arguments_for(vault, vault_url=through.url)):
        pass
    before = through.connections
    process._state = process._State(
        process.current_layers("production", arguments_for(vault, vault_url=through.url))
    )
    begin = threading.Barrier(8)

    def read(_):
        begin.wait(30)
        return get_settings()

    with ThreadPoolExecutor(8) as pool:
        found = set(map(id, pool.map(read, range(8))))
    assert len(found) == 1
    assert through.connections == before + 1


def test_a_wrong_override_changes_nothing():
    before = get_settings()
    with pytest.raises(ConfigurationError), override(cache_ttl="soon"):
        pass
    assert get_settings() is before


def test_vaults_record_sets_what_files_set_and_less_than_variables(vault, monkeypatch):
    Path("settings.toml").write_text('[production]\nmaster_key_name = "file-key"\ncache_ttl = 1\n')
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

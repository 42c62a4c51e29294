"""Settings changed in Vault reach programs that run, within settings_ttl and never halfway."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from helpers.clock import Clock
from helpers.vault import Vault
from secureml import configure, get_settings
from secureml.configuration import process
from secureml.configuration.remote import RemoteSettings
from secureml.errors import (
    AccessDeniedError,
    ConfigurationError,
    FallbackWarning,
    SecretError,
    SecureMLWarning,
    VaultUnavailableError,
)
from secureml.key_management import KeyManager, get_default_key_manager
from secureml.settings import Layers, Settings

if TYPE_CHECKING:
    from hvac.api.secrets_engines import KvV2

PATH = "secureml/production/settings"


def details_of(seen: Any) -> str:
    """What the first warning says beside its constant text."""
    details: str = seen[0].message.details
    return details


class Record:
    """The record as Vault would give it; counts how often it is asked for."""

    def __init__(self, **fields: object) -> None:
        self.answer: Any = fields
        self.count = 0
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, local: Settings) -> Any:
        self.count += 1
        answer = self.answer
        self.begun.release()
        assert self.gate.wait(30)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def central(record: Record, clock: Clock, chance: float = 0.0, **arguments: Any) -> RemoteSettings:
    arguments = {"vault_settings": True, **arguments}
    return RemoteSettings(Layers(arguments=arguments), record, clock=clock, chance=lambda: chance)


@pytest.fixture
def kv(vault: Vault) -> KvV2:
    return vault.client().secrets.kv.v2


@pytest.fixture
def managers(vault: Vault, clock: Clock) -> Iterator[Callable[..., KeyManager]]:
    """Make managers that follow the record of one Vault."""
    made: list[KeyManager] = []

    def make(**settings: Any) -> KeyManager:
        settings = {
            "vault_url": vault.url,
            "vault_token": vault.token,
            "vault_namespace": vault.namespace,
            "vault_settings": True,
            "environment": "production",
            "chance": lambda: 0.0,
            **settings,
        }
        made.append(KeyManager(clock=clock, **settings))
        return made[-1]

    yield make
    for manager in made:
        manager.close()


def test_a_new_name_of_the_master_key_reaches_running_programs(
    kv: Any, managers: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    kv.create_or_update_secret(PATH, {"master_key_name": "key_2026"})
    one, other, stubborn = managers(), managers(), managers(master_key_name="own")
    monkeypatch.setenv("SECUREML_MASTER_KEY_NAME", "from-variable")
    by_variable = managers()
    for name in ("key_2026", "key_2027"):
        one.generate_key(name)
    told: list[tuple[str, str]] = []
    one.on_rotate(lambda old, new: told.append((old.name, new.name)))
    assert {one.get_key().name, other.get_key().name} == {"key_2026"}

    kv.create_or_update_secret(PATH, {"master_key_name": "key_2027"})
    clock.now = 59.9
    assert {one.get_key().name, other.get_key().name} == {"key_2026"}
    assert told == []
    clock.now = 60
    assert {one.get_key().name, other.get_key().name} == {"key_2027"}
    assert told == [("key_2026", "key_2027")]
    assert stubborn.settings.master_key_name == "own"
    assert by_variable.settings.master_key_name == "from-variable"


def test_the_whole_record_is_in_force_from_one_moment(kv: Any, managers: Any, clock: Clock) -> None:
    kv.create_or_update_secret(PATH, {"master_key_name": "a", "cache_ttl": "1", "cache_size": "7"})
    manager = managers()
    before = manager.settings
    assert (before.master_key_name, before.cache_ttl, before.cache_size) == ("a", 1, 7)
    assert manager.settings is before
    kv.create_or_update_secret(PATH, {"settings_ttl": 10})
    clock.now = 60
    after = manager.settings
    assert (after.master_key_name, after.cache_ttl, after.cache_size) == ("master_key", 300, 1024)
    assert after.origins["settings_ttl"] == "Vault secret/secureml/production/settings"
    assert after.origins["master_key_name"] == "default"
    kv.delete_metadata_and_all_versions(PATH)
    clock.now = 70
    assert manager.settings.settings_ttl == 60


def test_invalidate_reads_the_record_too(kv: Any, managers: Any) -> None:
    manager = managers()
    assert manager.settings.master_key_name == "master_key"
    kv.create_or_update_secret(PATH, {"master_key_name": "new"})
    manager.invalidate("master_key")
    assert manager.settings.master_key_name == "master_key"
    manager.invalidate()
    assert manager.settings.master_key_name == "new"


def test_while_vault_is_down_the_last_settings_stay(
    kv: Any, private_bao: Any, managers: Any, clock: Clock
) -> None:
    import hvac

    admin = hvac.Client(private_bao.url, token=private_bao.root_token.reveal())
    admin.secrets.kv.v2.create_or_update_secret(PATH, {"master_key_name": "central"})
    manager = managers(
        vault_url=private_bao.url,
        vault_token=private_bao.root_token,
        vault_namespace=None,
        vault_timeout=0.3,
    )
    manager.generate_key("central")
    manager.get_key()
    private_bao.seal()
    clock.now = 60
    with pytest.warns(FallbackWarning, match="the settings stay") as seen:
        assert manager.get_key().name == "central"
    assert "is sealed; the settings stay" in details_of(seen)
    assert [warning.filename for warning in seen] == [__file__]
    clock.now = 64.9
    assert manager.get_key().name == "central"
    clock.now = 65
    with pytest.warns(FallbackWarning, match="the settings stay"):
        manager.get_key()
    private_bao.unseal()
    admin.secrets.kv.v2.create_or_update_secret(PATH, {"master_key_name": "next"})
    admin.adapter.close()
    clock.now = 70
    assert manager.settings.master_key_name == "next"


@pytest.mark.parametrize(
    "answer",
    [
        {"master_key_name": "a//b"},
        {"vault_url": "https://elsewhere.example.com"},
        {"cache_ttl": "soon"},
        {"cache_ttl": 1e300},
        {"cache_size": "9" * 18},
        {"cache_size": 10**400},
        {"master_key_name": "vault_token"},
        {"master_key_name": "team/key_file"},
        {"master_key_name": "settings"},
        {"master_key_name": "production/master_key"},
        AccessDeniedError("denied"),
    ],
)
def test_a_record_that_can_not_be_used_changes_nothing(clock: Clock, answer: Any) -> None:
    record = Record(master_key_name="good")
    settings = central(record, clock)
    before = settings.current()
    record.answer = answer
    clock.now = 60
    with pytest.warns(FallbackWarning) as seen:
        assert settings.current() is before
    assert "elsewhere" not in f"{seen[0].message} {details_of(seen)}"
    record.answer = {"master_key_name": "better"}
    clock.now = 65
    assert settings.current().master_key_name == "better"


def test_after_a_failure_the_next_attempt_comes_seconds_later(clock: Clock) -> None:
    record = Record()
    settings = central(record, clock, settings_ttl=1)
    settings.current()
    record.answer = VaultUnavailableError("down")
    attempts = []
    for tenth in range(10, 210):
        clock.now = tenth / 10
        before = record.count
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FallbackWarning)
            settings.current()
        if record.count > before:
            attempts.append(clock.now)
    assert attempts == [1, 6, 11, 16]


@pytest.mark.parametrize(("chance", "due"), [(0.0, 60.0), (0.5, 57.0), (0.75, 55.5)])
def test_programs_that_began_together_do_not_ask_together(
    clock: Clock, chance: float, due: float
) -> None:
    record = Record()
    settings = central(record, clock, chance)
    settings.current()
    clock.now = due - 0.001
    settings.current()
    assert record.count == 1
    clock.now = due + 0.001
    settings.current()
    assert record.count == 2


def test_one_thread_reads_again_and_the_others_do_not_wait(clock: Clock) -> None:
    record = Record(master_key_name="old")
    settings = central(record, clock)
    old = settings.current()
    assert record.begun.acquire(timeout=30)
    record.answer = {"master_key_name": "new"}
    record.gate.clear()
    clock.now = 60
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(settings.current)
        assert record.begun.acquire(timeout=30)
        for _ in range(3):
            assert settings.current() is old
        record.gate.set()
        assert reader.result(30).master_key_name == "new"
    assert settings.current().master_key_name == "new"
    assert record.count == 2


def test_a_thread_that_dies_while_it_reads_leaves_the_next_attempt_to_others(clock: Clock) -> None:
    record = Record()
    settings = central(record, clock)
    old = settings.current()
    record.answer = KeyboardInterrupt()
    clock.now = 60
    with pytest.raises(KeyboardInterrupt):
        settings.current()
    assert settings.current() is old
    record.answer = {"master_key_name": "new"}
    clock.now = 60 + 10  # vault_timeout and the pause
    assert settings.current().master_key_name == "new"


def test_threads_that_read_the_record_first_share_one_request_and_its_error(clock: Clock) -> None:
    record = Record()
    record.answer = AccessDeniedError("denied")
    settings = central(record, clock)
    with pytest.raises(AccessDeniedError):
        settings.current()
    record.answer = {"master_key_name": "good"}
    with ThreadPoolExecutor(8) as pool:
        found = set(map(id, pool.map(lambda _: settings.current(), range(8))))
    assert len(found) == 1
    assert record.count == 2


@pytest.mark.parametrize("is_first", [True, False])
def test_an_answer_that_was_asked_for_before_expire_is_not_used(
    clock: Clock, is_first: bool
) -> None:
    record = Record(master_key_name="first")
    settings = central(record, clock)
    if not is_first:
        settings.current()
        assert record.begun.acquire(timeout=30)
    record.gate.clear()
    clock.now = 60
    with ThreadPoolExecutor(1) as pool:
        early = pool.submit(settings.current)
        assert record.begun.acquire(timeout=30)
        settings.expire()
        record.gate.set()
        early.result(30)
    record.answer = {"master_key_name": "second"}
    assert settings.current().master_key_name == "second"


def test_without_vault_settings_nothing_is_ever_asked_for(clock: Clock) -> None:
    record = Record(master_key_name="central")
    settings = central(record, clock, vault_settings=False)
    settings.expire()
    clock.now = 1e9
    assert settings.current() is settings.current() is settings.known is settings.local
    assert record.count == 0


def test_a_refresh_of_the_record_reads_no_other_layer_again(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[default]\nvault_path = "before"\n')
    record = Record()
    settings = central(record, clock)
    assert settings.current().vault_path == "before"
    file.write_text("this is no TOML")
    monkeypatch.setenv("SECUREML_ENV", "production")
    monkeypatch.setenv("SECUREML_CACHE_TTL", "1")
    record.answer = {"cache_ttl": 2}
    clock.now = 60
    after = settings.current()
    assert (after.vault_path, after.environment, after.cache_ttl) == ("before", None, 2)


def test_a_refresh_of_the_record_repeats_no_warning(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECUREML_VAULT_PAHT", "x")
    with pytest.warns(SecureMLWarning, match="SECUREML_VAULT_PATH"):
        settings = central(Record(), clock)
    settings.current()
    clock.now = 60
    settings.current()


def test_the_settings_of_the_process_follow_the_record(
    vault: Any, kv: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_clock", clock)
    kv.create_or_update_secret(PATH, {"master_key_name": "old"})
    before = configure(
        environment="production",
        vault_url=vault.url,
        vault_token=vault.token,
        vault_namespace=vault.namespace,
        vault_settings=True,
    )
    manager = get_default_key_manager()
    kv.create_or_update_secret(PATH, {"master_key_name": "new"})
    assert get_settings() is before
    clock.now = 60
    after = get_settings()
    assert (before.master_key_name, after.master_key_name) == ("old", "new")
    assert get_settings() is after
    assert get_default_key_manager() is manager


def test_the_process_keeps_its_settings_while_vault_is_away(
    vault: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_clock", clock)
    token = vault.policy_token(
        'path "secret/data/secureml/settings" { capabilities = ["read"] }', no_default_policy=False
    )
    before = configure(
        vault_url=vault.url,
        vault_token=token,
        vault_namespace=vault.namespace,
        vault_settings=True,
    )
    vault.client().auth.token.revoke(token)
    clock.now = 60
    with pytest.warns(FallbackWarning) as seen:
        assert get_settings() is before
    assert "does not accept the token" in details_of(seen)


def test_configure_while_the_settings_are_being_built_is_not_undone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build = process._remote_settings

    def slowly(layers: Layers) -> RemoteSettings:
        monkeypatch.setattr(process, "_remote_settings", build)
        made = build(layers)
        configure(vault_path="configured")
        return made

    monkeypatch.setattr(process, "_remote_settings", slowly)
    get_settings()
    assert get_settings().vault_path == "configured"


def test_finished_settings_stay_as_they_are(clock: Clock) -> None:
    settings = Settings(environment="development", vault_url="http://127.0.0.1:1")
    manager = KeyManager(settings=settings, clock=clock)
    manager.invalidate()
    assert manager.settings is settings


def test_the_record_needs_a_vault() -> None:
    with pytest.raises(ConfigurationError, match="vault_url is not set"):
        _ = KeyManager(vault_settings=True, environment="production").settings


def test_a_closed_manager_reads_no_record(managers: Any) -> None:
    manager = managers()
    manager.close()
    with pytest.raises(SecretError, match="closed"):
        _ = manager.settings

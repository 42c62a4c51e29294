"""A Vault that went back to older data: restored from a snapshot, or another cluster."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests

from secureml import anonymize, reidentify, rekey
from secureml.errors import (
    KeyRolledBackError,
    SecretDeletedError,
    SecretError,
    SecureMLWarning,
    VaultUnavailableError,
    WrongKeyError,
)
from secureml.key_management import KeyManager
from secureml.vault.devserver.server import DevServer

PATH = "secureml/master_key"
SNAPSHOT = "/v1/sys/storage/raft/snapshot"


@dataclass
class Backup:
    """Snapshots of a server, taken and restored as an operator does."""

    server: DevServer

    @property
    def _headers(self) -> dict[str, str]:
        return {"X-Vault-Token": self.server.root_token.reveal()}

    def take(self) -> bytes:
        answer = requests.get(self.server.url + SNAPSHOT, headers=self._headers, timeout=20)
        assert answer.status_code == 200
        return answer.content

    def restore(self, snapshot: bytes) -> None:
        answer = requests.post(
            self.server.url + SNAPSHOT, data=snapshot, headers=self._headers, timeout=20
        )
        assert answer.status_code == 204
        # It takes requests again after a moment.
        with KeyManager(self.server.url, self.server.root_token, vault_timeout=20) as manager:
            for _ in range(5):
                try:
                    manager.vault_client.sys.read_mount_configuration("secret")
                except requests.RequestException:
                    continue
                return
        raise TimeoutError("the server did not come back")


@pytest.fixture
def backup(private_bao: DevServer) -> Backup:
    return Backup(private_bao)


@pytest.fixture
def open_manager() -> Iterator[Callable[..., KeyManager]]:
    opened: list[KeyManager] = []

    def made(server: DevServer, **more: Any) -> KeyManager:
        arguments = {"vault_url": server.url, "vault_token": server.root_token}
        settings: dict[str, Any] = {**arguments, "cache_ttl": 0, "vault_timeout": 20, **more}
        opened.append(KeyManager(**settings))
        return opened[-1]

    yield made
    for manager in opened:
        manager.close()


@dataclass
class Restored:
    """A server that went back: of each key it has version 2, and version 3 was there.

    ``here`` is the file of a machine that has seen version 3.
    """

    server: DevServer
    here: Path
    unused: list[str]


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restored]:
    folder = tmp_path_factory.mktemp("restored")
    with DevServer(folder / "bao", storage="raft") as server:
        names = [f"key-{number}" for number in range(20)]
        backup = Backup(server)
        with KeyManager(server.url, server.root_token, known_keys=str(folder / "known")) as manager:
            for name in names:
                manager.generate_key(name)
                manager.rotate_key(name)
            snapshot = backup.take()
            for name in names:
                manager.rotate_key(name)
        backup.restore(snapshot)
        yield Restored(server, folder / "known", names)


@pytest.fixture
def name(restored: Restored) -> str:
    """A key that no other test uses."""
    return restored.unused.pop()


@pytest.fixture
def manager(
    restored: Restored, open_manager: Callable[..., KeyManager], tmp_path: Path
) -> KeyManager:
    """That of the machine that has seen version 3 of each key."""
    known = shutil.copy(restored.here, tmp_path / "known")
    return open_manager(restored.server, known_keys=str(known))


@pytest.fixture
def stranger(
    restored: Restored, open_manager: Callable[..., KeyManager], tmp_path: Path
) -> KeyManager:
    """That of a machine that has seen nothing yet."""
    return open_manager(restored.server, known_keys=str(tmp_path / "elsewhere"))


def test_an_older_version_than_was_seen_is_an_error_until_it_is_accepted(
    manager: KeyManager, stranger: KeyManager, name: str
) -> None:
    for attempt in (manager.get_key, manager.get_encryption_key, manager.rotate_key):
        with pytest.raises(KeyRolledBackError, match="version 3 with the fingerprint"):
            attempt(name)
    with pytest.raises(KeyRolledBackError):
        manager.get_secret(name, "a default")
    assert stranger.get_key(name).version == 2
    assert manager.accept_rollback(name) == (3,)
    with pytest.raises(SecretError, match="nothing was changed"):
        manager.accept_rollback(name)
    assert manager.get_key(name).version == 2


def test_no_variable_stands_in_for_a_rolled_back_key(
    manager: KeyManager, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECUREML_" + name.upper().replace("-", "_"), "ab" * 32)
    assert manager.settings.use_env_fallback
    with pytest.raises(KeyRolledBackError):
        manager.get_key(name)


def test_a_rotation_takes_a_number_that_no_version_ever_had(manager: KeyManager, name: str) -> None:
    second = manager.key_history(name)[1]
    manager.accept_rollback(name)
    with pytest.warns(SecureMLWarning, match="passed over") as seen:
        fourth = manager.rotate_key(name)
    assert f"passed over: 3 of secret/secureml/{name}" in [
        getattr(warning.message, "details", "").partition("were ")[2] for warning in seen
    ]
    history = manager.key_history(name)
    assert [(info.version, info.state) for info in history] == [
        (1, "decrypt-only"),
        (2, "decrypt-only"),
        (3, "destroyed"),
        (4, "enabled"),
    ]
    assert fourth.fingerprint == manager.get_key(name).fingerprint != second.fingerprint
    with pytest.raises(SecretDeletedError):
        manager.get_key(name, 3)


def test_a_machine_that_saw_nothing_is_told_the_highest_version(
    manager: KeyManager, stranger: KeyManager, name: str
) -> None:
    assert stranger.accept_rollback(name, 5) == (3, 4, 5)
    with pytest.warns(SecureMLWarning, match="passed over"):
        assert stranger.rotate_key(name).version == 6
    assert manager.get_key(name).version == 6


def test_a_disabled_key_does_not_come_back_under_a_number_that_is_passed_over(
    manager: KeyManager, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.accept_rollback(name, 4)
    manager.disable_key_version(name, 2)
    store = manager._connection.store()
    assert store is not None
    written: list[bool] = []
    original = store.write

    def recorded(name: str, fields: Any, **more: Any) -> Any:
        written.append("value" in fields)
        return original(name, fields, **more)

    monkeypatch.setattr(store, "write", recorded)
    with pytest.warns(SecureMLWarning, match="passed over"):
        manager.rotate_key(name)
    assert written == [False, False, True]


def test_a_destroyed_version_does_not_come_back_under_a_number_that_is_passed_over(
    manager: KeyManager, name: str
) -> None:
    second = manager.key_history(name)[1]
    manager.destroy_key_version(name, 2, str(second.fingerprint))
    with pytest.warns(SecureMLWarning, match="passed over"):
        assert manager.rotate_key(name).version == 4
    assert [info.state for info in manager.key_history(name)][1:] == ["destroyed"] * 2 + ["enabled"]


def test_another_key_under_a_number_that_was_seen_is_an_error(
    manager: KeyManager, stranger: KeyManager, name: str
) -> None:
    other = stranger.rotate_key(name)
    assert other.version == 3
    for version in (None, 3):
        with pytest.raises(KeyRolledBackError, match=f"version 3 is the key {other.fingerprint}"):
            manager.get_key(name, version)
    assert manager.accept_rollback(name) == (3,)
    assert manager.get_key(name).fingerprint == other.fingerprint


def test_threads_that_ask_at_once_are_all_refused(manager: KeyManager, name: str) -> None:
    errors: list[type[BaseException]] = []

    def read() -> None:
        try:
            manager.get_key(name)
        except SecretError as error:
            errors.append(type(error))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [KeyRolledBackError] * 8


def test_accepting_a_rollback_is_an_audit_event(
    restored: Restored,
    manager: KeyManager,
    open_manager: Callable[..., KeyManager],
    tmp_path: Path,
    name: str,
) -> None:
    log = tmp_path / "audit.jsonl"
    with pytest.raises(KeyRolledBackError):
        manager.get_key(name)
    operator = open_manager(restored.server, known_keys=str(tmp_path / "known"), audit_log=str(log))
    operator.accept_rollback(name)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(event["operation"], event["name"], event["outcome"]) for event in events] == [
        ("accept_rollback", name, "attempt"),
        ("accept_rollback", name, "ok"),
    ]
    assert manager.get_key(name).version == 2


def test_a_cached_key_is_not_served_once_vault_is_seen_to_have_gone_back(
    backup: Backup, open_manager: Callable[..., KeyManager]
) -> None:
    now = [0.0]
    manager = open_manager(backup.server, clock=lambda: now[0], cache_ttl=60, stale_ttl=3600)
    manager.generate_key("master_key")
    snapshot = backup.take()
    manager.rotate_key()
    assert manager.get_key().version == 2
    now[0] = 50
    assert manager.get_key(version=2).version == 2
    backup.restore(snapshot)
    now[0] = 70
    with pytest.raises(KeyRolledBackError):
        manager.get_key()
    with pytest.raises(SecretError):
        manager.get_key(version=2)
    backup.server.seal()
    with pytest.raises(VaultUnavailableError):
        manager.get_key()


def test_a_second_restore_is_an_error_again(
    backup: Backup, open_manager: Callable[..., KeyManager]
) -> None:
    manager = open_manager(backup.server)
    manager.generate_key("master_key")
    snapshot = backup.take()
    manager.rotate_key()
    backup.restore(snapshot)
    manager.accept_rollback("master_key")
    with pytest.warns(SecureMLWarning, match="passed over"):
        assert manager.rotate_key().version == 3
    backup.restore(snapshot)
    with pytest.raises(KeyRolledBackError, match="version 3"):
        manager.get_key()
    assert manager.accept_rollback("master_key") == (2, 3)
    with pytest.warns(SecureMLWarning, match="passed over"):
        assert manager.rotate_key().version == 4


def test_a_key_that_was_removed_and_made_anew_is_no_rollback(
    bao: DevServer, open_manager: Callable[..., KeyManager], tmp_path: Path
) -> None:
    manager = open_manager(bao, vault_path="anew")
    other = open_manager(bao, vault_path="anew", known_keys=str(tmp_path / "elsewhere"))
    manager.generate_key("master_key")
    manager.rotate_key()
    assert other.get_key().version == manager.get_key().version == 2
    kv = manager.vault_client.secrets.kv.v2
    for _ in range(2):
        kv.delete_metadata_and_all_versions("anew/master_key")
        made = manager.generate_key("master_key")
        assert other.get_key().fingerprint == manager.get_key().fingerprint == made.fingerprint
        assert manager.rotate_key().version == 2


def test_a_file_that_can_not_be_written_leaves_what_the_process_saw(
    backup: Backup, open_manager: Callable[..., KeyManager]
) -> None:
    manager = open_manager(backup.server, known_keys="/dev/null/known")
    manager.set_secret("db", "one")
    manager.generate_key("master_key")
    snapshot = backup.take()
    manager.set_secret("db", "two")
    manager.rotate_key()
    assert manager.get_secret("db") == "two"
    backup.restore(snapshot)
    with pytest.raises(KeyRolledBackError):
        manager.get_key()
    assert open_manager(backup.server, known_keys="/dev/null").get_key().version == 1
    assert manager.get_secret("db") == "one", "what is no key may go back"


def test_the_file_holds_no_material_and_belongs_to_its_owner_alone(
    bao: DevServer, open_manager: Callable[..., KeyManager], tmp_path: Path
) -> None:
    file = tmp_path / "state" / "known"
    manager = open_manager(bao, vault_path="private", known_keys=str(file))
    manager.generate_key("master_key")
    key = manager.get_key()
    (entry,) = map(json.loads, file.read_text().splitlines())
    assert entry == {
        "vault": [bao.url],
        "namespace": None,
        "path": "secret/private/master_key",
        "version": 1,
        "fingerprint": key.fingerprint,
        "created": key.created and key.created.isoformat(),
    }
    assert [path.stat().st_mode & 0o777 for path in (file, file.parent)] == [0o600, 0o700]


@pytest.mark.parametrize("text", ["correcthorsebatterystaple", "deadbeef" * 4, "hunter2"])
def test_the_file_of_known_keys_remembers_no_password(
    bao: DevServer, open_manager: Callable[..., KeyManager], tmp_path: Path, text: str
) -> None:
    file = tmp_path / "known"
    manager = open_manager(bao, vault_path=f"passwords/{tmp_path.name}", known_keys=str(file))
    manager.set_secret("db", text)
    assert manager.get_secret("db") == text
    assert not file.exists()
    manager.set_secret("by_hand", "5a" * 32)
    manager.get_key("by_hand")
    assert "by_hand" in file.read_text()


@pytest.mark.parametrize("content", ["", "{", "[]\n", '{"version": 1}\n', "\udcff\n", "1\n\n"])
def test_a_file_that_is_damaged_is_as_good_as_none(
    bao: DevServer, open_manager: Callable[..., KeyManager], tmp_path: Path, content: str
) -> None:
    file = tmp_path / "known"
    file.write_text(content, "utf-8", "surrogateescape")
    manager = open_manager(bao, vault_path=f"damaged/{tmp_path.name}", known_keys=str(file))
    assert manager.generate_key("master_key").version == 1
    assert manager.get_key().version == 1


@pytest.fixture
def two_clusters(tmp_path: Path) -> Iterator[tuple[DevServer, DevServer]]:
    servers = DevServer(tmp_path / "first"), DevServer(tmp_path / "second")
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.kill()


def own_token(server: DevServer, token: str) -> None:
    with KeyManager(server.url, server.root_token) as manager:
        manager.vault_client.auth.token.create(policies=["root"], id=token)


def copy_newest(source: DevServer, target: DevServer) -> None:
    with (
        KeyManager(source.url, source.root_token) as one,
        KeyManager(target.url, target.root_token) as other,
    ):
        found = one.vault_client.secrets.kv.v2.read_secret_version(
            PATH, raise_on_deleted_version=True
        )
        fields = {k: v for k, v in found["data"]["data"].items() if k != "states"}
        other.vault_client.secrets.kv.v2.create_or_update_secret(PATH, fields)


def test_a_second_cluster_with_older_data_is_no_substitute(
    two_clusters: tuple[DevServer, DevServer],
) -> None:
    first, second = two_clusters
    for server in two_clusters:
        own_token(server, "everywhere")
    with KeyManager(f"{first.url},{second.url}", "everywhere", cache_ttl=0) as manager:
        manager.generate_key("master_key")
        copy_newest(first, second)
        manager.rotate_key()
        assert manager.get_key().version == 2
        first.kill()
        with pytest.raises(KeyRolledBackError, match="another cluster"):
            manager.get_key()


def test_a_second_cluster_with_the_same_key_under_another_number_is_one(
    two_clusters: tuple[DevServer, DevServer],
) -> None:
    first, second = two_clusters
    for server in two_clusters:
        own_token(server, "everywhere")
    with KeyManager(f"{first.url},{second.url}", "everywhere", cache_ttl=0) as manager:
        manager.generate_key("master_key")
        manager.rotate_key()
        key = manager.get_key()
        copy_newest(first, second)
        first.kill()
        found = manager.get_key()
        assert (found.version, found.material) == (1, key.material)
        with pytest.warns(SecureMLWarning, match="passed over"):
            assert manager.rotate_key().version == 3


def test_rows_of_a_lost_version_are_never_recovered_with_the_next_key_of_its_number(
    backup: Backup, open_manager: Callable[..., KeyManager], tmp_path: Path
) -> None:
    people = pd.DataFrame({"ssn": [f"219-09-{n:04d}" for n in range(50)]})
    manager = open_manager(backup.server)
    manager.vault_client.sys.enable_secrets_engine("transit")
    wrapping = {"key_backend": "transit", "known_keys": str(tmp_path / "other")}
    wrapped = open_manager(backup.server, **wrapping)
    manager.generate_key("plain")
    wrapped.generate_key("wrapped")
    snapshot = backup.take()
    manager.rotate_key("plain")
    wrapped.rotate_key("wrapped")
    lost, kept = (
        anonymize(people, sensitive_columns=["ssn"], master_key_name=name, key_manager=manager)
        for name in ("plain", "wrapped")
    )
    backup.restore(snapshot)
    stranger = open_manager(backup.server, known_keys=str(tmp_path / "elsewhere"))
    for number in (1, 2):
        for work in (reidentify, rekey):
            with pytest.raises(WrongKeyError, match=r"version 2, and .* has its check"):
                work(lost, key_manager=stranger)
        assert stranger.key_history("plain")[-1].version == number
        if number == 1:
            stranger.rotate_key("plain")
    # The data key of the lost version is that of the one before: only its wrapping is lost.
    assert reidentify(kept, key_manager=stranger).equals(people)


def test_a_standby_that_lags_behind_is_asked_again_and_no_rollback(
    faulty: Any, tmp_path: Path
) -> None:
    def answer(body: object) -> dict[str, bytes]:
        return {"body": json.dumps(body).encode()}

    def version(number: int) -> dict[str, bytes]:
        metadata = {"version": number, "created_time": f"2027-01-0{number}T00:00:00Z"}
        data = {"value": f"{number}{number}" * 32, "encoding": "hex"}
        return answer({"data": {"data": data, "metadata": metadata}})

    standby = answer({"ha_enabled": True, "is_self": False})
    reads = [version(2), version(1), version(1), standby, version(1), version(2)]
    server = faulty(**version(2), first=reads)
    settings = {"cache_ttl": 0, "known_keys": str(tmp_path / "known"), "vault_timeout": 20}
    for _ in range(2):  # as two processes
        with KeyManager(server.url, vault_auth="none", **settings) as manager:
            assert manager.get_key().version == 2
    assert len(server.received) == len(reads)

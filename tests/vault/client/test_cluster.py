"""A cluster of three real servers whose leader is killed while sixteen threads read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from helpers.cluster import DevCluster
from secureml.errors import KeyDisabledError, SecretError, VaultUnavailableError
from secureml.key_management import KeyManager

THREADS = 16
DEADLINE = 5.0
KEYS = {f"key{number}": f"{number:02x}" * 32 for number in range(THREADS)}


@dataclass
class Readings:
    """What threads saw that read keys over and over until they were told to stop."""

    stop: threading.Event = field(default_factory=threading.Event)
    succeeded: list[float] = field(default_factory=list)
    failed: list[tuple[float, float, SecretError]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def read(self, manager: KeyManager, first: int) -> None:
        names = list(KEYS)[first:] + list(KEYS)[:first]
        while not self.stop.is_set():
            for name in names:
                began = time.monotonic()
                try:
                    found = manager.get_key(name).reveal().hex()
                except SecretError as error:
                    self.failed.append((began, time.monotonic(), error))
                    continue
                self.succeeded.append(time.monotonic())
                if found != KEYS[name]:
                    self.wrong.append(name)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    with DevCluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def manager(cluster: DevCluster) -> Iterator[KeyManager]:
    import hvac

    client = hvac.Client(cluster.leader().url, token=cluster.root_token.reveal())
    for name, value in KEYS.items():
        client.secrets.kv.v2.create_or_update_secret(f"secureml/{name}", {"value": value})
    client.adapter.close()
    with KeyManager(
        cluster.urls,
        cluster.root_token,
        cache_ttl=0,
        vault_timeout=DEADLINE,
        use_env_fallback=False,
    ) as made:
        _wait_until_all_nodes_have_the_keys(cluster)
        yield made
    for server in cluster.servers:
        server.start()


def _wait_until_all_nodes_have_the_keys(cluster: DevCluster) -> None:
    for server in cluster.servers:
        with KeyManager(server.url, cluster.root_token, cache_ttl=0) as one:
            for _ in range(100):
                if all(one.get_secret(name) == value for name, value in KEYS.items()):
                    break
                time.sleep(0.05)


@pytest.mark.parametrize("first", ["the leader", "a standby"])
def test_reads_outlive_the_leader(cluster: DevCluster, manager: KeyManager, first: str) -> None:
    leader = cluster.leader()
    session: Any = manager._connection.store().session  # type: ignore[union-attr]  # Vault is configured
    session._here().client.preferred = next(
        address
        for address in session._here().client.in_turn()
        if (address.base == leader.url) == (first == "the leader")
    )
    readings = Readings()
    threads = [
        threading.Thread(target=readings.read, args=(manager, number)) for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    try:
        while len(readings.succeeded) < THREADS:
            time.sleep(0.01)
        leader.kill()
        successor = cluster.leader()
        elected = time.monotonic()
        while sum(moment > elected for moment in list(readings.succeeded)) < 10 * THREADS:
            assert time.monotonic() < elected + 2 * DEADLINE, "reads do not resume"
            time.sleep(0.01)
    finally:
        readings.stop.set()
        for thread in threads:
            thread.join(2 * DEADLINE)
    assert not any(thread.is_alive() for thread in threads)
    assert successor is not leader
    assert readings.wrong == []
    for began, _, error in readings.failed:
        assert isinstance(error, VaultUnavailableError)
        assert began < elected, "an error in a read that began under the new leader"


def test_a_written_secret_is_read_from_every_node(cluster: DevCluster, manager: KeyManager) -> None:
    version = manager.get_key("key1").version or 0
    session: Any = manager._connection.store().session  # type: ignore[union-attr]  # Vault is configured
    for turn in range(30):
        addresses = session._here().client._addresses
        session._here().client.preferred = addresses[turn % len(addresses)]
        version += 1
        assert manager.rotate_key("key1").version == version
        read = (manager.get_key, lambda name: manager.key_history(name)[-1])[turn % 2]
        session._here().client.preferred = addresses[(turn + 1) % len(addresses)]
        assert read("key1").version == version


def test_the_state_of_a_version_is_known_to_every_node_at_once(
    cluster: DevCluster, manager: KeyManager
) -> None:
    session: Any = manager._connection.store().session  # type: ignore[union-attr]  # Vault is configured
    addresses = session._here().client._addresses
    version = manager.rotate_key("key2").version
    assert version is not None
    for turn in range(30):
        manager.disable_key_version("key2", version)
        session._here().client.preferred = addresses[turn % len(addresses)]
        with pytest.raises(KeyDisabledError):
            manager.get_key("key2")
        manager.enable_key_version("key2", version)
        session._here().client.preferred = addresses[(turn + 1) % len(addresses)]
        assert manager.get_key("key2").version == version


def test_a_rotation_waits_for_the_new_leader(cluster: DevCluster, manager: KeyManager) -> None:
    before = manager.get_key("key0")
    leader = cluster.leader()
    leader.kill()
    rotated = None
    for _ in range(4):  # an election may take longer than one deadline
        try:
            rotated = manager.rotate_key("key0")
            break
        except VaultUnavailableError:
            continue
    assert rotated is not None
    assert rotated.version == (before.version or 0) + 1
    assert manager.key_history("key0")[-1].version == rotated.version

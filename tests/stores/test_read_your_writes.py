"""What was read or written is what is read next, on a cluster of real servers that lag behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import hvac
import pytest

from helpers.cluster import DevCluster
from secureml.errors import (
    KeyRolledBackError,
    SecretExistsError,
    SecureMLWarning,
    VaultUnavailableError,
)
from secureml.key_management import KeyManager
from secureml.settings import Layers, load_settings
from secureml.stores import Finding
from secureml.stores.custom_metadata import DISABLED, state_key
from secureml.stores.vault import VaultStore
from secureml.vault.client.session import VaultSession
from secureml.vault.devserver.server import DevServer

TIMES = 20
"""Without the index nearly each read on a standby is stale."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    with DevCluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def standbys(cluster: DevCluster) -> list[DevServer]:
    leader = cluster.leader()
    return [server for server in cluster.servers if server is not leader]


@pytest.fixture
def store_of(cluster: DevCluster) -> Iterator[Callable[..., VaultStore]]:
    stores: list[VaultStore] = []

    def make(*servers: DevServer) -> VaultStore:
        arguments = {
            "vault_url": ",".join(server.url for server in servers),
            "vault_token": cluster.root_token,
        }
        settings = load_settings(Layers(arguments=arguments))
        stores.append(VaultStore(VaultSession(settings), settings))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def test_a_version_that_was_written_is_read_from_a_standby(standbys, store_of):
    store = store_of(standbys[0])
    for number in range(TIMES):
        store.write("written", {"value": str(number)}, cas=number)
        assert store.read("written").record.fields["value"] == str(number)
        assert store.versions("written")[-1].version == number + 1


def test_a_state_that_was_set_is_read_from_a_standby(standbys, store_of):
    store = store_of(standbys[0])
    for number in range(1, TIMES):
        store.write("states", {"value": "x"}, cas=number - 1)
        store.annotate("states", {state_key(number): DISABLED})
        assert store.read("states").finding is Finding.DISABLED
        store.annotate("states", {state_key(number): None})
        assert store.read("states").finding is Finding.PRESENT
        store.destroy("states", number)
        assert store.read("states").finding is Finding.DELETED


def test_another_standby_knows_a_secret_that_was_read_or_written(standbys, store_of):
    store = store_of(*standbys)
    session = store.session._process.client
    for number in range(TIMES):
        store.write("both", {"value": str(number)}, cas=number)
        session.preferred = session.in_turn()[1]
        assert store.read("both").record.version == number + 1


def test_after_a_lost_race_the_winner_is_read_from_a_standby(cluster, standbys, store_of):
    winner, loser = store_of(cluster.leader()), store_of(standbys[0])
    for number in range(TIMES):
        winner.write("race", {"value": "winner"}, cas=number)
        with pytest.raises(SecretExistsError):
            loser.write("race", {"value": "loser"}, cas=number)
        assert loser.read("race").record.version == number + 1


def test_a_version_that_is_expected_is_waited_for(cluster, standbys, store_of):
    writer, reader = store_of(cluster.leader()), store_of(standbys[0])
    for number in range(1, TIMES):
        written = writer.write("expected", {"value": "x"}, cas=number - 1)
        reader.expect("expected", number, written.created)
        assert reader.read("expected").record.version == number


def _read_until_refused(manager: KeyManager) -> None:
    """Read while the leader loads the backup and its standbys follow."""
    for _ in range(2_000):
        with suppress(VaultUnavailableError):
            manager.get_key("k")


def test_a_vault_that_was_restored_from_a_backup_is_noticed(cluster, standbys):
    leader = cluster.leader()
    client = hvac.Client(leader.url, token=cluster.root_token.reveal())
    addresses = ",".join(server.url for server in (*standbys, leader))
    with KeyManager(addresses, cluster.root_token, environment="staging", cache_ttl=0) as manager:
        manager.generate_key("k")
        snapshot = client.sys.take_raft_snapshot().content
        manager.rotate_key("k")
        assert manager.get_key("k").version == 2
        client.sys.force_restore_raft_snapshot(snapshot)
        with pytest.raises(KeyRolledBackError):
            _read_until_refused(manager)
        assert manager.accept_rollback("k") == (2,)
        with pytest.warns(SecureMLWarning, match="passed over"):
            assert manager.rotate_key("k").version == manager.get_key("k").version == 3
    client.adapter.close()


def test_after_an_election_what_was_written_before_and_after_is_read(cluster, store_of):
    leader = cluster.leader()
    store = store_of(*cluster.servers)
    store.write("election", {"value": "x"}, cas=0)
    leader.kill()
    cluster.leader()
    assert store.read("election").record.version == 1
    other = store_of(*(server for server in cluster.servers if server is not leader))
    for number in range(1, TIMES):
        other.write("election", {"value": "x"}, cas=number)
        assert other.read("election").record.version == number + 1
    leader.start()

"""Wrapped keys on a cluster of three real servers, whose standbys lag behind the leader."""

from __future__ import annotations

from collections.abc import Iterator

import hvac
import pytest

from helpers.cluster import DevCluster
from secureml.key_management import KeyManager


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    with DevCluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def test_a_standby_that_does_not_know_a_transit_key_or_version_yet_is_not_believed(cluster):
    """It says that there is no such key, or wraps under the version before, for some milliseconds.

    Without a doubt this fails within the first keys.
    """
    leader = cluster.leader()
    client = hvac.Client(leader.url, token=cluster.root_token.reveal())
    client.sys.enable_secrets_engine("transit")
    client.adapter.close()
    standby = next(server for server in cluster.servers if server is not leader)
    with KeyManager(
        standby.url, cluster.root_token, environment="staging", key_backend="transit", cache_ttl=0
    ) as manager:
        for number in range(10):
            name = f"k{number}"
            made = manager.generate_key(name)
            assert manager.get_key(name).fingerprint == made.fingerprint
            assert manager.rotate_key(name).fingerprint == made.fingerprint
            assert manager.get_key(name).envelope.transit_version == 2
            manager.rotate_key(name, new_material=True)
            assert manager.get_key(name, 1).fingerprint == made.fingerprint

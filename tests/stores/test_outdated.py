"""A version that is known to be there: a lagging standby is told from a secret made anew."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from secureml.errors import SecretExistsError, VaultUnavailableError
from secureml.settings import Layers, load_settings
from secureml.stores.vault import VaultStore
from secureml.vault.client.session import VaultSession

STANDBY = {"ha_enabled": True, "is_self": False}
ACTIVE = {"ha_enabled": True, "is_self": True}
ALONE = {"ha_enabled": False, "is_self": False}


def answer(body: object, status: str = "200 OK") -> dict[str, Any]:
    return {"body": json.dumps(body).encode(), "status": status}


def created(version: int, hour: int = 0) -> str:
    return f"2027-01-01T{hour:02}:00:{version:02}Z"


def of(version: int, hour: int = 0) -> dict[str, Any]:
    """The answer to a read."""
    metadata = {"version": version, "created_time": created(version, hour)}
    return answer({"data": {"data": {"value": str(version)}, "metadata": metadata}})


NOTHING = answer({"errors": []}, "404 Not Found")
MOUNT = answer({"data": {"path": "secret/", "type": "kv", "options": {"version": "2"}}})


@pytest.fixture
def store_of():
    """Make stores of the servers given."""
    stores = []

    def make(*servers: Any) -> VaultStore:
        url = ",".join(server.url for server in servers)
        arguments = {"vault_url": url, "vault_auth": "none", "vault_timeout": 0.5}
        settings = load_settings(Layers(arguments=arguments))
        stores.append(VaultStore(VaultSession(settings), settings))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


LOST = answer({"errors": ["check-and-set parameter did not match"]}, "400 Bad Request")


def test_after_a_lost_race_the_winner_is_waited_for(faulty, store_of):
    store = store_of(faulty(**of(3), first=[of(2), LOST, of(2), answer(STANDBY), of(2)]))
    store.read("k")
    with pytest.raises(SecretExistsError):
        store.write("k", {"value": "x"}, cas=2)
    assert store.read("k").record.version == 3


def test_a_write_whose_answer_was_lost_is_found_behind_a_standby(faulty, store_of):
    busy = answer({"errors": []}, "503 Service Unavailable")
    sealed = answer({"sealed": False})
    first = [MOUNT, busy, sealed, LOST, NOTHING, answer(STANDBY), NOTHING]
    store = store_of(faulty(**of(3), first=first))
    assert store.write("k", {"value": "3"}, cas=2).version == 3


def test_a_lost_race_is_told_where_the_winner_may_not_be_read(faulty, store_of):
    denied = answer({"errors": ["permission denied"]}, "403 Forbidden")
    store = store_of(faulty(**denied, first=[MOUNT, LOST]))
    with pytest.raises(SecretExistsError):
        store.write("k", {"value": "x"}, cas=2)


def test_another_address_may_have_caught_up(faulty, store_of):
    behind, ahead = faulty(**of(1)), faulty(**of(2))
    store_of(behind, ahead).expect("k", 2, None)
    assert len(ahead.received) == 1


@pytest.mark.parametrize("old", [of(3), NOTHING])
def test_what_never_catches_up_is_unavailable(faulty, store_of, old):
    with pytest.raises(VaultUnavailableError, match="k it has not version 4, which was there"):
        store_of(faulty(**old)).expect("k", 4, None)


@pytest.mark.parametrize("status", [ACTIVE, ALONE])
def test_the_active_node_is_believed(faulty, store_of, status):
    server = faulty(**of(1), first=[of(1), answer(status)])
    store_of(server).expect("k", 2, None)
    assert len(server.received) == 3


def test_a_secret_made_anew_is_believed_from_anyone(faulty, store_of):
    server = faulty(**of(1, hour=1))
    store_of(server).expect("k", 7, datetime.fromisoformat(created(7)))
    assert len(server.received) == 1


def test_an_older_version_is_for_decryption_alone_once_a_newer_one_was_seen(faulty, store_of):
    store = store_of(faulty(**of(1), first=[of(2)]))
    store.read("k")
    assert store.read("k", 1).record.state == "decrypt-only"

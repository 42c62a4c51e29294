"""Answers from before a version that was seen: a lagging standby, told from a secret made anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from secureml.errors import SecretExistsError, VaultUnavailableError
from secureml.settings import Layers, load_settings
from secureml.stores import Finding
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


def metadata_of(newest: int) -> dict[str, Any]:
    versions = {str(n): {"created_time": created(n)} for n in range(1, newest + 1)}
    return answer({"data": {"current_version": newest, "versions": versions}})


NOTHING = answer({"errors": []}, "404 Not Found")
MOUNT = answer({"data": {"path": "secret/", "type": "kv", "options": {"version": "2"}}})


@pytest.fixture
def store_of() -> Iterator[Callable[..., VaultStore]]:
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


def asked(server: Any) -> list[str]:
    return [request.split()[1].decode().removeprefix("/v1/") for request in server.received]


def test_an_older_version_is_asked_for_again(faulty, store_of):
    server = faulty(**of(2), first=[of(2), of(1), answer(STANDBY), of(1)])
    store = store_of(server)
    assert store.read("k").record.version == 2
    assert store.read("k").record.version == 2
    assert (
        asked(server)
        == ["secret/data/secureml/k"] * 2 + ["sys/leader"] + ["secret/data/secureml/k"] * 2
    )


def test_a_written_version_is_asked_for_again_behind_a_standby(faulty, store_of):
    written = answer({"data": {"version": 5, "created_time": created(5)}})
    store = store_of(faulty(**of(5), first=[MOUNT, written, of(4), answer(STANDBY), of(4)]))
    store.write("k", {"value": "5"}, cas=4)
    assert store.read("k").record.version == 5


LOST = answer({"errors": ["check-and-set parameter did not match"]}, "400 Bad Request")


def test_after_a_lost_race_the_winner_is_seen(faulty, store_of):
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


def test_another_address_is_asked_if_the_first_is_behind(faulty, store_of):
    behind, ahead = faulty(**of(1), first=[of(2)]), faulty(**of(2))
    store = store_of(behind, ahead)
    assert store.read("k").record.version == 2
    assert ahead.received == []
    assert store.read("k").record.version == 2
    assert len(ahead.received) == 1


def test_a_server_that_never_catches_up_is_an_outage(faulty, store_of):
    store = store_of(faulty(**of(3), first=[of(4)]))
    store.read("k")
    outcome = store.read("k")
    assert outcome.finding is Finding.UNAVAILABLE
    assert outcome.record is None
    assert "has not version 4, although version 4 was there" in str(outcome.error)
    assert "secret/secureml/k" in str(outcome.error)


@pytest.mark.parametrize("status", [ACTIVE, ALONE])
def test_the_active_node_is_believed(faulty, store_of, status):
    server = faulty(**of(1), first=[of(2), of(1), answer(status)])
    store = store_of(server)
    assert store.read("k").record.version == 2
    for requests in (4, 5):
        assert store.read("k").record.version == 1
        assert len(server.received) == requests


def test_a_standby_that_became_active_in_between_is_asked_again(faulty, store_of):
    store = store_of(faulty(**of(2), first=[of(2), of(1), answer(ACTIVE), of(2)]))
    store.read("k")
    assert store.read("k").record.version == 2


def test_a_secret_made_anew_is_believed_from_anyone(faulty, store_of):
    server = faulty(**of(1, hour=1), first=[of(7)])
    store = store_of(server)
    store.read("k")
    for requests in (2, 3):
        assert store.read("k").record.version == 1
        assert len(server.received) == requests


@pytest.mark.parametrize("version", [None, 1, 2])
def test_a_secret_that_was_read_does_not_vanish_behind_a_standby(faulty, store_of, version):
    store = store_of(faulty(**of(2), first=[of(2), NOTHING, answer(STANDBY), NOTHING]))
    store.read("k")
    assert store.read("k", version).finding is Finding.PRESENT
    store = store_of(faulty(**NOTHING, first=[of(2)]))
    store.read("k")
    outcome = store.read("k", version)
    assert outcome.finding is Finding.UNAVAILABLE
    assert "although version 2 was there" in str(outcome.error)


def test_a_removed_secret_is_absent(faulty, store_of):
    server = faulty(**NOTHING, first=[of(2), NOTHING, answer(ACTIVE)])
    store = store_of(server)
    store.read("k")
    for requests in (4, 5):
        assert store.read("k").finding is Finding.ABSENT
        assert len(server.received) == requests


def test_a_version_that_was_never_seen_may_be_absent(faulty, store_of):
    server = faulty(**NOTHING, first=[of(2)])
    store = store_of(server)
    store.read("k")
    assert store.read("k", 3).finding is Finding.ABSENT
    assert store.read("other").finding is Finding.ABSENT
    assert len(server.received) == 3


def test_an_older_version_asked_for_is_no_older_answer(faulty, store_of):
    server = faulty(**of(1), first=[of(2)])
    store = store_of(server)
    store.read("k")
    assert store.read("k", 1).record.state == "decrypt-only"
    assert len(server.received) == 2


@pytest.mark.parametrize("old", [metadata_of(2), NOTHING])
def test_metadata_may_be_old_too(faulty, store_of, old):
    first = [of(3), old, answer(STANDBY), old]
    store = store_of(faulty(**metadata_of(3), first=first))
    store.read("k")
    assert [info.version for info in store.versions("k")] == [1, 2, 3]
    store = store_of(faulty(**old, first=[of(3)]))
    store.read("k")
    with pytest.raises(VaultUnavailableError, match="although version 3 was there"):
        store.versions("k")


def test_metadata_tells_what_is_there(faulty, store_of):
    store = store_of(faulty(**of(3), first=[metadata_of(3), of(2), answer(STANDBY), of(2)]))
    store.versions("k")
    assert store.read("k").record.version == 3


def test_a_version_that_is_expected_is_waited_for(faulty, store_of):
    server = faulty(**of(2), first=[of(1), answer(STANDBY), of(1)])
    store = store_of(server)
    store.expect("k", 2, None)
    assert store.read("k").record.version == 2

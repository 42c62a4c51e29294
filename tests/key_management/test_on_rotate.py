"""on_rotate: called once for each change of the current key, in the thread that notices it."""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from secureml.errors import SecureMLWarning
from secureml.key_management import KeyInfo, KeyManager
from secureml.key_management.watch import Watch
from secureml.keys import Key, SecretBytes
from secureml.sources import MemoryStore

MORNING = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def manager(store: MemoryStore) -> KeyManager:
    made = KeyManager(store=store, environment="development", cache_ttl=0)
    made.generate_key("master_key")
    made.generate_key("other")
    return made


@pytest.fixture
def changes(manager: KeyManager) -> list[tuple[KeyInfo, KeyInfo]]:
    seen: list[tuple[KeyInfo, KeyInfo]] = []
    manager.on_rotate(lambda old, new: seen.append((old, new)))
    return seen


def test_a_rotation_through_this_manager_is_told_of_at_the_next_read(
    store: MemoryStore, changes: Any
) -> None:
    manager = KeyManager(store=store, environment="development")
    manager.on_rotate(lambda old, new: changes.append((old, new)))
    first = manager.get_key()
    manager.get_key()
    assert changes == []
    rotated = manager.rotate_key()
    assert changes == []
    second = manager.get_key()
    manager.get_key()
    assert changes == [(first.info, second.info)]
    assert second.fingerprint == rotated.fingerprint != first.fingerprint


@pytest.mark.parametrize(
    "read",
    [
        lambda manager: manager.get_key(),
        lambda manager: manager.get_key("master_key"),
        lambda manager: manager.get_encryption_key(),
        lambda manager: manager.get_encryption_key("master_key", 32, "hex"),
    ],
)
def test_each_way_to_the_current_key_notices(manager: KeyManager, changes: Any, read: Any) -> None:
    read(manager)
    manager.rotate_key()
    read(manager)
    assert [(old.version, new.version) for old, new in changes] == [(1, 2)]


def test_no_other_read_does(manager: KeyManager, changes: Any) -> None:
    manager.get_key()
    manager.get_key("other")
    manager.rotate_key("other")
    manager.get_key("other")
    manager.rotate_key()
    manager.get_key(version=1)
    manager.get_key(version=2)
    manager.key_info()
    manager.get_secret("master_key")
    assert changes == []


def test_a_key_made_anew_under_the_same_version_is_another_one(
    manager: KeyManager, store: MemoryStore, changes: Any
) -> None:
    manager.get_key()
    store._secrets.pop("master_key")
    manager.generate_key("master_key")
    manager.get_key()
    assert [(old.version, new.version) for old, new in changes] == [(1, 1)]


def test_a_stand_in_for_the_key_is_another_one(
    manager: KeyManager, store: MemoryStore, changes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.get_key()
    store._secrets.pop("master_key")
    monkeypatch.setenv("SECUREML_MASTER_KEY", "ab" * 32)
    for _ in range(2):
        manager.get_key()
    assert [new.source for _, new in changes] == ["environment variable"]


def test_every_callback_is_called_until_it_is_taken_away(manager: KeyManager) -> None:
    calls: list[str] = []
    end_first = manager.on_rotate(lambda old, new: calls.append("first"))
    manager.on_rotate(lambda old, new: calls.append("second"))
    manager.get_key()
    manager.rotate_key()
    manager.get_key()
    end_first()
    end_first()
    manager.rotate_key()
    manager.get_key()
    assert calls == ["first", "second", "second"]


def test_a_callback_that_fails_is_a_warning_without_what_it_says(
    manager: KeyManager, changes: Any
) -> None:
    def fails(old: KeyInfo, new: KeyInfo) -> None:
        raise ValueError(manager.get_key().reveal().hex())

    end = manager.on_rotate(fails)
    later: list[int | None] = []
    manager.on_rotate(lambda old, new: later.append(new.version))
    manager.get_key()
    manager.rotate_key()
    with pytest.warns(SecureMLWarning, match="fails failed with ValueError$") as seen:
        key = manager.get_key()
    assert [warning.filename for warning in seen] == [__file__]
    assert (key.version, later, len(changes)) == (2, [2], 1)
    end()


def test_where_warnings_are_errors_every_callback_is_still_called(manager: KeyManager) -> None:
    later: list[int | None] = []
    manager.on_rotate(lambda old, new: 1 / 0)
    manager.on_rotate(lambda old, new: later.append(new.version))
    manager.get_key()
    manager.rotate_key()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SecureMLWarning) as caught:
            manager.get_key()
    assert later == [2]
    assert caught.value.__context__ is None


def test_a_callback_may_use_the_manager_in_any_thread(manager: KeyManager) -> None:
    found: list[int | None] = []

    def read(old: KeyInfo, new: KeyInfo) -> None:
        found.append(manager.get_key().version)
        with ThreadPoolExecutor(1) as pool:
            found.append(pool.submit(lambda: manager.get_key().version).result(30))
        manager.on_rotate(lambda old, new: None)()

    manager.on_rotate(read)
    manager.get_key()
    manager.rotate_key()
    manager.get_key()
    assert found == [2, 2]


def test_it_is_called_in_the_thread_that_noticed_and_once_for_all(manager: KeyManager) -> None:
    threads: list[int] = []
    manager.on_rotate(lambda old, new: threads.append(threading.get_ident()))
    manager.get_key()
    manager.rotate_key()
    barrier = threading.Barrier(8)

    def read(_: int) -> int:
        barrier.wait(30)
        manager.get_key()
        return threading.get_ident()

    with ThreadPoolExecutor(8) as pool:
        readers = set(pool.map(read, range(8)))
    assert len(threads) == 1
    assert threads[0] in readers


@pytest.mark.parametrize("wrong", [None, 5, "print"])
def test_a_callback_can_be_called(manager: KeyManager, wrong: Any) -> None:
    with pytest.raises(TypeError, match="callable"):
        manager.on_rotate(wrong)


def key(version: int, minute: int, name: str = "k") -> Key:
    info = KeyInfo(
        name=name,
        version=version,
        fingerprint=f"{version:016x}",
        source="vault",
        environment=None,
        path="p",
    )
    return Key(
        info=info,
        material=SecretBytes(bytes(32)),
        fetched_at=MORNING + timedelta(minutes=minute),
    )


def test_a_thread_that_comes_late_with_the_old_key_is_no_change() -> None:
    watch = Watch()
    seen: list[tuple[int | None, int | None]] = []
    watch.add(lambda old, new: seen.append((old.version, new.version)))
    watch.saw(key(1, 0), lambda name: True)
    watch.saw(key(2, 2), lambda name: True)
    watch.saw(key(1, 1), lambda name: True)
    watch.saw(key(2, 3), lambda name: True)
    assert seen == [(1, 2)]
    # Read later, it is what Vault has by now.
    watch.saw(key(1, 4), lambda name: True)
    assert seen == [(1, 2), (2, 1)]


def test_nor_is_one_that_comes_late_with_a_key_of_the_old_name() -> None:
    watch = Watch()
    seen: list[tuple[str, str]] = []
    watch.add(lambda old, new: seen.append((old.name, new.name)))
    watch.saw(key(1, 0, "old"), lambda name: name == "old")
    watch.saw(key(1, 1, "new"), lambda name: name == "new")
    watch.saw(key(1, 2, "old"), lambda name: name == "new")
    assert seen == [("old", "new")]


def test_what_is_remembered_holds_no_material() -> None:
    watch = Watch()
    watch.saw(key(1, 0), lambda name: True)
    assert watch.last is not None
    assert not any(isinstance(value, Key | SecretBytes) for value in vars(watch).values())

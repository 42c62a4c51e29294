"""on_rotate: called once for each change of the current key, in the thread that notices it."""

from __future__ import annotations

import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from secureml.errors import SecureMLWarning
from secureml.key_management import KeyInfo, KeyManager
from secureml.key_management.notifier import RotationNotifier
from secureml.keys import Key, SecretBytes
from secureml.stores import MemoryStore

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
def test_each_way_to_read_the_current_key_notices_a_rotation(
    manager: KeyManager, changes: Any, read: Any
) -> None:
    read(manager)
    manager.rotate_key()
    read(manager)
    assert [(old.version, new.version) for old, new in changes] == [(1, 2)]


def test_reads_of_other_keys_or_versions_notice_no_rotation(
    manager: KeyManager, changes: Any
) -> None:
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


def test_a_key_made_anew_under_the_same_version_is_a_change(
    manager: KeyManager, store: MemoryStore, changes: Any
) -> None:
    manager.get_key()
    store._secrets.pop("master_key")
    manager.generate_key("master_key")
    manager.get_key()
    assert [(old.version, new.version) for old, new in changes] == [(1, 1)]


def test_a_variable_that_stands_in_for_the_key_is_a_change(
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
    with pytest.warns(SecureMLWarning, match="^an on_rotate callback failed$") as seen:
        key = manager.get_key()
    assert getattr(seen[0].message, "details", "").endswith("fails failed with ValueError")
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


def test_a_callback_is_called_once_and_in_the_thread_that_noticed(manager: KeyManager) -> None:
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
def test_a_callback_that_is_not_callable_is_refused(manager: KeyManager, wrong: Any) -> None:
    with pytest.raises(TypeError, match="callable"):
        manager.on_rotate(wrong)


def key(version: int | None, name: str = "k", created: datetime | None = None) -> Key:
    info = KeyInfo(
        name=name,
        version=version,
        fingerprint=f"{version or 0:016x}",
        source="vault",
        environment=None,
        path="p",
        created=created,
    )
    return Key(info=info, material=SecretBytes(bytes(32)), fetched_at=MORNING)


def always(name: str) -> bool:
    return True


@pytest.fixture
def watched() -> tuple[RotationNotifier, list[tuple[int | None, int | None]]]:
    """A watch, and the versions that it told of."""
    watch = RotationNotifier()
    told: list[tuple[int | None, int | None]] = []
    watch.add(lambda old, new: told.append((old.version, new.version)))
    return watch, told


def test_a_thread_that_comes_late_with_the_old_key_is_no_change(watched: Any) -> None:
    watch, told = watched
    for version, asked_at in ((1, 0), (2, 2), (1, 1), (2, 3), (1, 4)):
        watch.saw(key(version), asked_at, always)
    assert told == [(1, 2)]


def test_a_new_version_is_a_change_although_it_was_asked_for_before_the_old_one_was(
    watched: Any,
) -> None:
    watch, told = watched
    for version, asked_at in ((1, 0), (1, 2), (2, 1)):
        watch.saw(key(version), asked_at, always)
    assert told == [(1, 2)]


def test_a_key_removed_and_made_anew_begins_at_version_1_again(watched: Any) -> None:
    watch, told = watched
    noon = MORNING + timedelta(hours=6)
    for version, asked_at, created in ((3, 0, MORNING), (1, 2, noon), (3, 1, MORNING)):
        watch.saw(key(version, created=created), asked_at, always)
    assert told == [(3, 1)]


def test_an_older_version_after_a_stand_in_is_no_change(watched: Any) -> None:
    watch, told = watched
    for version, asked_at in ((2, 0), (None, 1), (1, 2), (2, 3)):
        watch.saw(key(version), asked_at, always)
    assert told == [(2, None), (None, 2)]


def test_a_late_stand_in_is_no_change(watched: Any) -> None:
    watch, told = watched
    for version, asked_at in ((1, 0), (2, 2), (None, 1)):
        watch.saw(key(version), asked_at, always)
    assert told == [(1, 2)]


def test_a_late_key_of_the_old_name_is_no_change() -> None:
    watch = RotationNotifier()
    seen: list[tuple[str, str]] = []
    watch.add(lambda old, new: seen.append((old.name, new.name)))
    watch.saw(key(1, "old"), 0, lambda name: name == "old")
    watch.saw(key(1, "new"), 1, lambda name: name == "new")
    watch.saw(key(1, "old"), 2, lambda name: name == "new")
    assert seen == [("old", "new")]


def test_a_read_whose_answer_is_slow_gives_the_version_that_was_seen_meanwhile(
    store: MemoryStore,
) -> None:
    class Slow(MemoryStore):
        """Answers one reader when another one has seen the next version."""

        meanwhile: Any = None

        def read(self, *arguments: Any, **more: Any) -> Any:
            outcome = super().read(*arguments, **more)
            meanwhile, self.meanwhile = self.meanwhile, None
            if meanwhile is None:
                return outcome
            meanwhile()
            return replace(outcome, record=replace(outcome.record, fetched_at=datetime.now(UTC)))

    slow = Slow()
    manager = KeyManager(store=slow, environment="development", cache_ttl=0)
    told: list[tuple[int | None, int | None]] = []
    manager.on_rotate(lambda old, new: told.append((old.version, new.version)))
    manager.generate_key("master_key")
    manager.get_key()

    def rotate_and_read() -> None:
        manager.rotate_key()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(manager.get_key).result(30)

    slow.meanwhile = rotate_and_read
    assert manager.get_key().version == 2
    manager.get_key()
    assert told == [(1, 2)]


def test_changes_are_told_of_in_order_although_one_comes_while_another_is_told_of() -> None:
    watch = RotationNotifier()
    told: list[tuple[str, int | None]] = []

    def first(old: KeyInfo, new: KeyInfo) -> None:
        if new.version == 2:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(watch.saw, key(3), 3, always).result(30)
            watch.saw(key(4), 4, always)
        told.append(("first", new.version))

    watch.add(first)
    watch.add(lambda old, new: told.append(("second", new.version)))
    watch.saw(key(1), 1, always)
    watch.saw(key(2), 2, always)
    assert told == [(who, version) for version in (2, 3, 4) for who in ("first", "second")]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_a_callback_that_exits_does_not_keep_the_others_from_hearing(
    watched: Any, kind: type[BaseException]
) -> None:
    watch = RotationNotifier()
    told: list[int | None] = []

    def leaves(old: KeyInfo, new: KeyInfo) -> None:
        raise kind

    end = watch.add(leaves)
    watch.add(lambda old, new: told.append(new.version))
    watch.saw(key(1), 1, always)
    with pytest.raises(kind):
        watch.saw(key(2), 2, always)
    end()
    watch.saw(key(3), 3, always)
    assert told == [2, 3]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_while_the_parent_tells_of_a_change_tells_of_its_own() -> None:
    watch = RotationNotifier()
    told: list[int | None] = []
    pid: list[int] = []

    def fork(old: KeyInfo, new: KeyInfo) -> None:
        if new.version == 2:
            with ThreadPoolExecutor(1) as pool:
                pid.append(pool.submit(child).result(30))

    def child() -> int:
        made = os.fork()
        if made == 0:
            watch.saw(key(3), 3, always)
            os._exit(told.count(3))
        return made

    watch.add(fork)
    watch.add(lambda old, new: told.append(new.version))
    watch.saw(key(1), 1, always)
    watch.saw(key(2), 2, always)
    assert os.waitstatus_to_exitcode(os.waitpid(pid[0], 0)[1]) == 1


def test_the_notifier_remembers_no_material() -> None:
    watch = RotationNotifier()
    watch.saw(key(1), 0, always)
    assert watch.last is not None
    assert not any(isinstance(value, Key | SecretBytes) for value in vars(watch).values())

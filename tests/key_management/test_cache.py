"""The cache: bounded in age, number and uses; asked for once; and forgetting in time."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from helpers.clock import Clock
from secureml.errors import (
    AccessDeniedError,
    FallbackWarning,
    SecretExistsError,
    SecretNotFoundError,
    VaultUnavailableError,
)
from secureml.key_management import KeyManager
from secureml.key_management.cache import Cache, CacheEntry
from secureml.stores import Finding, MemoryStore, Outcome

THREADS = 8


class Value:
    """Something that a weak reference can watch."""


class Store(MemoryStore):
    """Counts reads; holds them up while ``gate`` is closed; reports ``instead`` where it is set."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[str, int | None]] = []
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self.instead: Outcome | None = None

    def read(self, name: str, version: int | None = None, **more: Any) -> Outcome:
        self.reads.append((name, version))
        outcome = self.instead or super().read(name, version, **more)
        self.begun.release()
        assert self.gate.wait(30)
        return outcome


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def manager(store: Store, clock: Clock) -> Callable[..., KeyManager]:
    """Make managers of one store, in which an entry lives for all of its time."""

    def make(**settings: Any) -> KeyManager:
        settings = {"environment": "production", "chance": lambda: 0.0, **settings}
        made = KeyManager(store=store, clock=clock, **settings)
        store.reads.clear()
        return made

    return make


def written(manager: KeyManager, store: Store, *names: str) -> None:
    for name in names:
        manager.generate_key(name)
    store.reads.clear()


def hold(cache: Cache[Any], name: str, value: object, **terms: Any) -> None:
    cache.fetch((name, None), lambda: value, lambda found: CacheEntry(value=found, **terms))


@pytest.mark.parametrize(("chance", "life"), [(0.0, 100.0), (0.5, 95.0), (0.999, 90.01)])
def test_a_cache_entry_lives_for_nine_tenths_of_its_time_or_more(
    clock: Clock, chance: float, life: float
) -> None:
    cache: Cache[Any] = Cache(clock, lambda: chance)
    hold(cache, "k", "v", ttl=100)
    clock.now = life - 0.001
    assert cache.get(("k", None)) == "v"
    clock.now = life
    assert cache.get(("k", None)) is None


def test_two_cache_entries_do_not_end_together_by_default(clock: Clock) -> None:
    cache: Cache[Any] = Cache(clock)
    for number in range(64):
        hold(cache, str(number), "v", ttl=100)
    ends = {entry.end for entry in cache._entries.values()}
    assert len(ends) > 60
    assert all(90 <= end <= 100 for end in ends)


def test_the_time_for_an_outage_is_kept_to_the_second(clock: Clock) -> None:
    cache: Cache[Any] = Cache(clock, lambda: 0.999)
    hold(cache, "k", "v", ttl=10, stale_ttl=100)
    clock.now = 99.9
    assert cache.get(("k", None)) is None
    assert cache.get_stale(("k", None)) == "v"
    clock.now = 100
    assert cache.get_stale(("k", None)) is None


def test_an_entry_without_time_for_an_outage_ends_with_its_last_use(clock: Clock) -> None:
    cache: Cache[Any] = Cache(clock, lambda: 0.0)
    hold(cache, "k", "v", ttl=10, uses=1)
    assert cache.get(("k", None)) == "v"
    assert cache.get(("k", None)) is None
    assert cache.get_stale(("k", None)) is None


def test_the_last_use_ends_an_entry_but_not_its_copy_for_an_outage(clock: Clock) -> None:
    cache: Cache[Any] = Cache(clock, lambda: 0.0)
    hold(cache, "k", "v", ttl=10, stale_ttl=100, uses=2)
    assert [cache.get(("k", None)) for _ in range(4)] == ["v", "v", None, None]
    assert cache.get_stale(("k", None)) == "v"


def test_the_least_recently_used_entry_is_dropped_first(clock: Clock) -> None:
    cache: Cache[Any] = Cache(clock)
    cache.size = 3
    for name in "abc":
        hold(cache, name, name, ttl=100)
    cache.get(("a", None))
    hold(cache, "d", "d", ttl=100)
    assert [cache.get((name, None)) for name in "abcd"] == ["a", None, "c", "d"]
    cache.size = 1
    hold(cache, "e", "e", ttl=100)
    assert [cache.get((name, None)) for name in "abcde"] == [None, None, None, None, "e"]


def test_the_cache_holds_nothing_without_a_time_to_live(clock: Clock) -> None:
    cache: Cache[Any] = Cache(clock)
    hold(cache, "k", "v", ttl=100)
    cache.drop("k")
    hold(cache, "k", "v")
    assert cache.get(("k", None)) is None
    assert len(cache._entries) == 0


@pytest.mark.parametrize(
    "end",
    [
        lambda cache, clock: cache.drop("k"),
        lambda cache, clock: cache.drop(),
        lambda cache, clock: (setattr(clock, "now", 10), hold(cache, "k", "other", ttl=10)),
        lambda cache, clock: (setattr(cache, "size", 1), hold(cache, "other", "v", ttl=10)),
        lambda cache, clock: [cache.get(("k", None)) for _ in range(3)],
        # Whatever is asked for once its time is over.
        lambda cache, clock: (setattr(clock, "now", 10), cache.get(("other", None))),
    ],
)
def test_an_ended_entry_is_not_kept_in_memory(
    clock: Clock, end: Callable[[Cache[Any], Clock], object]
) -> None:
    cache: Cache[Any] = Cache(clock, lambda: 0.0)
    value = Value()
    watched = weakref.ref(value)
    hold(cache, "k", value, ttl=10, uses=3)
    del value
    gc.collect()
    assert watched() is not None
    end(cache, clock)
    gc.collect()
    assert watched() is None


def test_threads_that_miss_a_key_cause_one_request(manager: Any, store: Store) -> None:
    made: KeyManager = manager()
    written(made, store, "k")
    store.gate.clear()
    barrier = threading.Barrier(THREADS + 1)

    def read() -> bytes:
        barrier.wait(30)
        return made.get_key("k").reveal()

    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(read) for _ in range(THREADS)]
        barrier.wait(30)
        store.gate.set()
        keys = {future.result(30) for future in futures}
    assert len(keys) == 1
    assert store.reads == [("k", None)]


def test_threads_that_wait_share_an_error_and_the_next_one_asks_again(
    manager: Any, store: Store
) -> None:
    made: KeyManager = manager(use_env_fallback=False)
    written(made, store, "k")
    denied = AccessDeniedError("denied")
    store.instead = Outcome(finding=Finding.REFUSED, where="here", error=denied)
    store.gate.clear()
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(made.get_key, "k") for _ in range(THREADS)]
        assert store.begun.acquire(timeout=30)
        store.gate.set()
        errors = [future.exception(30) for future in futures]
    assert {(type(error), error.message) for error in errors} == {(AccessDeniedError, "denied")}
    assert len({id(error) for error in errors}) == THREADS
    assert denied.__traceback__ is None
    store.instead = None
    assert made.get_key("k").version == 1


def test_a_read_that_began_before_invalidate_is_not_cached(manager: Any, store: Store) -> None:
    made: KeyManager = manager()
    written(made, store, "k")
    store.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        early = pool.submit(made.get_key, "k")
        assert store.begun.acquire(timeout=30)
        made._cache.drop("k")
        store.gate.set()
        early.result(30)
    store.reads.clear()
    made.get_key("k")
    assert store.reads == [("k", None)]


def test_a_read_after_invalidate_gets_no_older_value(manager: Any, store: Store) -> None:
    made: KeyManager = manager()
    written(made, store, "k")
    while store.begun.acquire(blocking=False):
        pass
    with ThreadPoolExecutor(1) as pool:
        store.gate.clear()
        early = pool.submit(made.get_key, "k")
        assert store.begun.acquire(timeout=30)
        # As another process would.
        MemoryStore.write(store, "k", {"value": "ab" * 32}, cas=1)
        made.invalidate("k")
        reader = threading.Thread(target=lambda: late.append(made.get_key("k")))
        late: list[Any] = []
        reader.start()
        assert store.begun.acquire(timeout=30)
        store.gate.set()
        reader.join(30)
        early.result(30)  # the older one, or the newer one if that was seen before it came
    assert [key.version for key in late] == [2]
    assert made.get_key("k").version == 2


@pytest.mark.parametrize("uses", [1, 3])
def test_a_key_is_read_again_after_so_many_uses(manager: Any, store: Store, uses: int) -> None:
    made: KeyManager = manager(cache_max_uses=uses)
    written(made, store, "k")
    for _ in range(3 * (uses + 1)):
        made.get_key("k")
    assert len(store.reads) == 3


def test_every_kind_of_read_is_a_use_of_the_same_entry(manager: Any, store: Store) -> None:
    made: KeyManager = manager(cache_max_uses=3)
    written(made, store, "k")
    made.get_key("k")
    made.get_secret("k")
    made.key_info("k")
    made.secret_info("k")
    assert len(store.reads) == 1
    made.get_key("k")
    assert len(store.reads) == 2


def test_as_many_secrets_are_held_as_the_settings_say(manager: Any, store: Store) -> None:
    made: KeyManager = manager(cache_size=2)
    written(made, store, "a", "b", "c")
    for name in ("a", "b", "a", "c", "a", "b"):
        made.get_key(name)
    assert [name for name, _ in store.reads] == ["a", "b", "c", "b"]


def test_a_version_is_held_beside_the_newest(manager: Any, store: Store) -> None:
    made: KeyManager = manager()
    written(made, store, "k")
    made.rotate_key("k")
    store.reads.clear()
    for _ in range(2):
        assert (made.get_key("k").version, made.get_key("k", 1).version) == (2, 1)
    assert store.reads == [("k", None), ("k", 1)]


def test_that_vault_has_no_such_secret_is_held_for_a_short_while(
    manager: Any, store: Store, clock: Clock
) -> None:
    made: KeyManager = manager()
    for now in (0.0, 0.5, 0.999):
        clock.now = now
        assert made.get_secret("s", "default") == "default"
    assert len(store.reads) == 1
    clock.now = 1.0
    made.get_secret("s", "default")
    assert len(store.reads) == 2


def test_a_variable_stands_in_at_once_for_what_vault_is_known_not_to_have(
    manager: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: KeyManager = manager(use_env_fallback=True)
    with pytest.raises(SecretNotFoundError):
        made.get_key("k")
    monkeypatch.setenv("SECUREML_K", "ab" * 32)
    assert made.get_key("k").source == "environment variable"
    assert len(store.reads) == 1


@pytest.mark.parametrize("settings", [{"cache_negative_ttl": 0}, {"cache_ttl": 0}])
def test_an_absent_secret_is_asked_for_again_if_the_settings_say_so(
    manager: Any, store: Store, settings: dict[str, float]
) -> None:
    made: KeyManager = manager(**settings)
    for _ in range(2):
        made.get_secret("s", "default")
    assert len(store.reads) == 2


@pytest.mark.parametrize(
    "write",
    [
        lambda manager: manager.set_secret("s", "ab" * 32),
        lambda manager: manager.generate_key("s"),
        lambda manager: manager.import_key("s", bytes(32)),
    ],
)
def test_a_write_ends_the_memory_that_a_secret_is_absent(
    manager: Any, write: Callable[[KeyManager], object]
) -> None:
    made: KeyManager = manager()
    assert made.get_secret("s", "default") == "default"
    write(made)
    assert made.get_secret("s", "default") != "default"


def test_a_conflict_with_another_writer_ends_the_memory_that_a_secret_is_absent(
    manager: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: KeyManager = manager()
    assert made.get_secret("s", "default") == "default"
    store.write("s", {"value": "ab" * 32}, cas=0)  # as another process would
    with pytest.raises(SecretExistsError):
        made.generate_key("s")
    assert made.get_key("s").version == 1
    write = store.write

    def overtaken(name: str, fields: Any, *, cas: int | None) -> Any:
        write(name, {"value": "cd" * 32}, cas=None)
        return write(name, fields, cas=cas)

    for number, change in enumerate((made.rotate_key, lambda name: made.set_secret(name, "x"))):
        with monkeypatch.context() as patch:
            patch.setattr(store, "write", overtaken)
            with pytest.raises(SecretExistsError):
                change("s")
        assert made.get_key("s").version == number + 2


@pytest.mark.parametrize("finding", [Finding.REFUSED, Finding.UNAVAILABLE, Finding.DELETED])
def test_no_error_of_vault_is_cached(manager: Any, store: Store, finding: Finding) -> None:
    made: KeyManager = manager(use_env_fallback=False, cache_negative_ttl=60)
    written(made, store, "k")
    error = (VaultUnavailableError if finding is Finding.UNAVAILABLE else AccessDeniedError)("no")
    store.instead = Outcome(finding=finding, where="here", error=error)
    for _ in range(2):
        with pytest.raises(type(error)):
            made.get_key("k")
    store.instead = None
    assert made.get_key("k").version == 1


def test_after_its_last_use_a_key_is_still_there_for_an_outage(manager: Any, store: Store) -> None:
    made: KeyManager = manager(cache_max_uses=1, stale_ttl=60, use_env_fallback=False)
    written(made, store, "k")
    made.get_key("k")
    made.get_key("k")
    down = VaultUnavailableError("down")
    store.instead = Outcome(finding=Finding.UNAVAILABLE, where="here", error=down)
    with pytest.warns(FallbackWarning, match="served as it was read") as seen:
        assert made.get_key("k").info.stale
    details = getattr(seen[0].message, "details", "")
    assert details.startswith("down; 'k' is served as it was read at")


def test_a_key_of_another_length_is_refused_from_the_cache_too(manager: Any, store: Store) -> None:
    made: KeyManager = manager()
    written(made, store, "k")
    made.get_key("k")
    for _ in range(2):
        with pytest.raises(ValueError, match="not a key of 16 bytes"):
            made.get_key("k", key_bytes=16)
    assert len(store.reads) == 1
    assert len(made.get_key("k")) == 32

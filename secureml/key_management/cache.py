"""What Vault answered, kept in memory: bounded in age, in number and in uses."""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from secureml.forksafe import ForkSafeLock, SingleFlight, jitter

__all__ = ["Cache", "CacheEntry"]

_Value = TypeVar("_Value")

_Key = tuple[str, int | None]
"""A name and a version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry(Generic[_Value]):
    """What to cache, and for how long.

    Args:
        value: the value.
        ttl: for how many seconds ``get`` returns it; 90 to 100 % of them are used, at random, so
            that applications that began together do not ask again together.
        stale_ttl: for how many seconds ``get_stale`` does, to the second.
        uses: how many times ``get`` returns it; 0 for any number.
    """

    value: _Value
    ttl: float = 0
    stale_ttl: float = 0
    uses: int = 0


class Cache(Generic[_Value]):
    """An LRU cache by name and version.

    Args:
        clock: returns seconds that only ever increase.
        chance: returns numbers from 0 up to 1, evenly distributed.

    Attributes:
        size: how many entries it holds at most.
    """

    def __init__(
        self, clock: Callable[[], float], chance: Callable[[], float] = random.random
    ) -> None:
        self.size = 1024
        self._clock = clock
        self._chance = chance
        self._entries: OrderedDict[_Key, _Stored[_Value]] = OrderedDict()
        self._flights: SingleFlight[_Key, _Value] = SingleFlight()
        self._next_end = math.inf
        self._lock = ForkSafeLock()

    def get(self, key: _Key) -> _Value | None:
        """Return the value of a key; None if there is none, or it has expired."""
        now = self._clock()
        with self._lock.mutex:
            if now >= self._next_end:
                self._remove_ended(now)
            entry = self._entries.get(key)
            if entry is None or now >= entry.fresh_until:
                return None
            try:
                self._entries.move_to_end(key)
            except KeyError:  # a signal handler has dropped it just now
                return None
            if entry.uses:
                entry.uses -= 1
                if not entry.uses:
                    entry.fresh_until = now
                    if now >= entry.stale_until:
                        self._entries.pop(key, None)
            return entry.value

    def get_stale(self, key: _Key) -> _Value | None:
        """Return the value of a key, also an expired one that is kept for an outage; or None."""
        now = self._clock()
        with self._lock.mutex:
            entry = self._entries.get(key)
            return None if entry is None or now >= entry.stale_until else entry.value

    def fetch(
        self,
        key: _Key,
        ask: Callable[[], _Value],
        entry_of: Callable[[_Value], CacheEntry[_Value] | None],
    ) -> _Value:
        """Ask for a value, once for all threads that want it at the same time, and cache it.

        What was asked for before ``drop`` is not cached after it.

        Args:
            key: the key.
            ask: gets the value.
            entry_of: tells what to cache of it; None leaves the entry that there is.
        """

        def put(value: _Value) -> None:
            entry = entry_of(value)
            if entry is not None:
                self._put(key, entry)

        # Another thread may have put it there since this one missed the entry.
        return self._flights.run(key, ask, put, look=partial(self.get, key))

    def drop(self, name: str | None = None, *, sparing_own: bool = False) -> None:
        """Forget all values under one name, or everything, for an outage too.

        Args:
            name: the name; None for all.
            sparing_own: whether what this thread is asking for may be cached nevertheless.
        """
        self._drop(lambda cached: name is None or cached == name, sparing_own=sparing_own)

    def keep(self, names: Collection[str]) -> None:
        """Forget all values under other names than these."""
        kept = frozenset(names)
        self._drop(lambda cached: cached not in kept, sparing_own=True)

    def _drop(self, concerns: Callable[[str], bool], *, sparing_own: bool) -> None:
        # The flights first: one that ended in between would stay otherwise.
        self._flights.discard(lambda key: concerns(key[0]), sparing_own=sparing_own)
        with self._lock.mutex:
            for key in list(self._entries):
                if concerns(key[0]):
                    self._entries.pop(key, None)

    def _put(self, key: _Key, entry: CacheEntry[_Value]) -> None:
        life = jitter(entry.ttl, self._chance)
        now = self._clock()
        with self._lock.mutex:
            self._remove_ended(now)
            self._entries.pop(key, None)
            if entry.ttl <= 0 and entry.stale_ttl <= 0:
                return
            while self._entries and len(self._entries) >= self.size:
                self._entries.popitem(last=False)
            stored = _Stored(entry.value, now + life, now + entry.stale_ttl, entry.uses)
            self._entries[key] = stored
            self._next_end = min(self._next_end, stored.end)

    def _remove_ended(self, now: float) -> None:
        """Remove what can't be returned any more, so that no key is in memory for longer."""
        if now < self._next_end:
            return
        self._next_end = math.inf
        for key, entry in list(self._entries.items()):
            if now >= entry.end:
                self._entries.pop(key, None)
            else:
                self._next_end = min(self._next_end, entry.end)


@dataclass(slots=True, eq=False)
class _Stored(Generic[_Value]):
    value: _Value
    fresh_until: float
    stale_until: float
    uses: int

    @property
    def end(self) -> float:
        return max(self.fresh_until, self.stale_until)

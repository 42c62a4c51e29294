"""What Vault answered, held in memory: bounded in age, in number and in uses."""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Generic, TypeVar

from secureml.forksafe import ForkSafeLock, SingleFlight, spread

__all__ = ["Cache", "CacheEntry"]

_Value = TypeVar("_Value")

_Key = tuple[str, int | None]
"""A name and a version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry(Generic[_Value]):
    """What to hold, and for how long.

    Args:
        value: the value.
        ttl: for how many seconds ``get`` returns it; 90 to 100 % of them are used, by chance, so
            that applications that began together do not ask again together.
        stale_ttl: for how many seconds ``get_stale`` does, to the second.
        uses: how many times ``get`` returns it; 0 for any number.
    """

    value: _Value
    ttl: float = 0
    stale_ttl: float = 0
    uses: int = 0


class Cache(Generic[_Value]):
    """A cache by name and version. The entry that was used least recently goes first.

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
        self._entries: OrderedDict[_Key, _Entry[_Value]] = OrderedDict()
        self._flights: SingleFlight[_Key, _Value] = SingleFlight()
        self._next_end = math.inf
        self._lock = ForkSafeLock()

    def get(self, key: _Key) -> _Value | None:
        """Return what is held under a key; None if nothing is, or not any more."""
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
                    self._stop_serving(key, entry, now)
            return entry.value

    def get_stale(self, key: _Key) -> _Value | None:
        """Return what was held under a key, while it is kept for an outage; or None."""
        now = self._clock()
        with self._lock.mutex:
            entry = self._entries.get(key)
            return None if entry is None or now >= entry.stale_until else entry.value

    def fetch(
        self,
        key: _Key,
        ask: Callable[[], _Value],
        hold: Callable[[_Value], CacheEntry[_Value] | None],
    ) -> _Value:
        """Ask for a value, once for all threads that want it at the same time, and hold it.

        What was asked for before ``drop`` is not held after it.

        Args:
            key: what to hold it under.
            ask: gets the value.
            hold: tells what to hold of it; None leaves what is held already.
        """
        asked = False

        def work() -> _Value:
            # Another thread's flight may have landed since this one missed the entry.
            held = self.get(key)
            if held is not None:
                return held
            nonlocal asked
            asked = True
            return ask()

        def landed(value: _Value) -> None:
            holding = hold(value) if asked else None
            if holding is not None:
                self._put(key, holding)

        return self._flights.run(key, work, landed)

    def drop(self, name: str | None = None, *, sparing_own: bool = False) -> None:
        """Forget all that is held under one name, or everything, for an outage too.

        Args:
            name: the name; None for all.
            sparing_own: whether what this thread is asking for may be held nevertheless.
        """
        self._drop(lambda held: name is None or held == name, sparing_own=sparing_own)

    def keep(self, names: Collection[str]) -> None:
        """Forget all that is held under other names than these."""
        kept = frozenset(names)
        self._drop(lambda held: held not in kept, sparing_own=True)

    def _drop(self, concerns: Callable[[str], bool], *, sparing_own: bool) -> None:
        # First the flights: one that landed in between would stay otherwise.
        self._flights.cut_off(lambda key: concerns(key[0]), sparing_own=sparing_own)
        with self._lock.mutex:
            for key in list(self._entries):
                if concerns(key[0]):
                    self._entries.pop(key, None)

    def _put(self, key: _Key, holding: CacheEntry[_Value]) -> None:
        life = spread(holding.ttl, self._chance)
        now = self._clock()
        with self._lock.mutex:
            self._remove_ended(now)
            self._entries.pop(key, None)
            if holding.ttl <= 0 and holding.stale_ttl <= 0:
                return
            while self._entries and len(self._entries) >= self.size:
                self._entries.popitem(last=False)
            entry = _Entry(holding.value, now + life, now + holding.stale_ttl, holding.uses)
            self._entries[key] = entry
            self._next_end = min(self._next_end, entry.end)

    def _stop_serving(self, key: _Key, entry: _Entry[_Value], now: float) -> None:
        entry.fresh_until = now
        if now >= entry.stale_until:
            self._entries.pop(key, None)

    def _remove_ended(self, now: float) -> None:
        """Remove what can't be served any more, so that no key is in memory for longer."""
        if now < self._next_end:
            return
        self._next_end = math.inf
        for key, entry in list(self._entries.items()):
            if now >= entry.end:
                self._entries.pop(key, None)
            else:
                self._next_end = min(self._next_end, entry.end)


class _Entry(Generic[_Value]):
    """A value, until when it is served, and how many times more."""

    __slots__ = ("fresh_until", "stale_until", "uses", "value")

    def __init__(self, value: _Value, fresh_until: float, stale_until: float, uses: int) -> None:
        self.value = value
        self.fresh_until = fresh_until
        self.stale_until = stale_until
        self.uses = uses

    @property
    def end(self) -> float:
        """When it is of no use any more."""
        return max(self.fresh_until, self.stale_until)

"""What was read from Vault, held in memory for a bounded time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

__all__ = ["Cache"]

_LARGEST = 1024


class Cache:
    """A bounded cache of (kind, name, ...) -> value, each entry with a time to live.

    Args:
        clock: returns seconds that only ever increase.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[tuple[Hashable, ...], tuple[float, float, Any]] = {}

    def get(self, key: tuple[Hashable, ...]) -> Any:
        """Return what is held under a key; None where nothing is, or not any more."""
        entry = self._entries.get(key)
        if entry is None or self._clock() >= entry[0]:
            return None
        return entry[2]

    def get_stale(self, key: tuple[Hashable, ...]) -> Any:
        """Return what was held under a key, while it is kept for an outage; or None."""
        entry = self._entries.get(key)
        if entry is None or self._clock() >= entry[1]:
            return None
        return entry[2]

    def put(
        self, key: tuple[Hashable, ...], value: object, ttl: float, stale_ttl: float = 0
    ) -> None:
        """Hold a value.

        Args:
            key: what it is held under.
            value: the value.
            ttl: for how many seconds ``get`` returns it.
            stale_ttl: for how many seconds, from now, ``get_stale`` does.
        """
        if ttl <= 0 and stale_ttl <= 0:
            return
        with self._lock:
            self._entries.pop(key, None)
            while len(self._entries) >= _LARGEST:
                del self._entries[next(iter(self._entries))]
            now = self._clock()
            self._entries[key] = (now + ttl, now + max(ttl, stale_ttl), value)

    def forget(self, key: tuple[Hashable, ...]) -> None:
        """Forget what is held under one key, for an outage too."""
        with self._lock:
            self._entries.pop(key, None)

    def drop(self, name: str | None = None) -> None:
        """Forget all that is held under one name, or everything."""
        with self._lock:
            self._entries = {
                key: entry
                for key, entry in self._entries.items()
                if name is not None and key[1] != name
            }

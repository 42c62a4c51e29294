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
        self._entries: dict[tuple[Hashable, ...], tuple[float, Any]] = {}

    def get(self, key: tuple[Hashable, ...]) -> Any:
        """Return what is held under a key; None where nothing is, or not any more."""
        entry = self._entries.get(key)
        if entry is None or self._clock() >= entry[0]:
            return None
        return entry[1]

    def put(self, key: tuple[Hashable, ...], value: object, ttl: float) -> None:
        """Hold a value for ``ttl`` seconds; zero holds nothing."""
        if ttl <= 0:
            return
        with self._lock:
            self._entries.pop(key, None)
            while len(self._entries) >= _LARGEST:
                del self._entries[next(iter(self._entries))]
            self._entries[key] = (self._clock() + ttl, value)

    def drop(self, name: str | None = None) -> None:
        """Forget all that is held under one name, or everything."""
        with self._lock:
            self._entries = {
                key: entry
                for key, entry in self._entries.items()
                if name is not None and key[1] != name
            }

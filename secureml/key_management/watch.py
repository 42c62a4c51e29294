"""Tells callers when the current key has become another one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from secureml.concurrency import SharedLock
from secureml.errors import SecureMLWarning, warn
from secureml.keys import Key, KeyInfo

__all__ = ["Callback", "Watch"]

Callback = Callable[[KeyInfo, KeyInfo], object]
"""Takes what was current before, and what is now."""


class Watch:
    """Remembers the current key that was seen last, and calls back when another one is seen.

    Attributes:
        last: what was seen last; None before the first time.
    """

    def __init__(self) -> None:
        self._lock = SharedLock()
        # No Key: its material is to stay no longer than in the cache.
        self.last: KeyInfo | None = None
        self._last_fetched_at = datetime.min
        self._callbacks: dict[object, Callback] = {}

    def add(self, callback: Callback) -> Callable[[], None]:
        """Register a callback; return what takes it away again."""
        if not callable(callback):
            raise TypeError(f"a callback is callable, not {type(callback).__name__}")
        registration = object()
        with self._lock.mutex:
            self._callbacks[registration] = callback

        def remove() -> None:
            with self._lock.mutex:
                self._callbacks.pop(registration, None)

        return remove

    def successor(self) -> Watch:
        """Return a watch that goes on from what this one saw last, with the same callbacks."""
        made = Watch()
        with self._lock.mutex:
            made._lock, made._callbacks = self._lock, self._callbacks
            made.last, made._last_fetched_at = self.last, self._last_fetched_at
        return made

    def saw(self, key: Key, is_current: Callable[[str], bool]) -> None:
        """Take note of a key that was handed out as the current one.

        Args:
            key: the key.
            is_current: tells whether this name is that of the current key by now.

        Warns:
            SecureMLWarning: a callback failed.
        """
        new = key.info
        with self._lock.mutex:
            old = self.last
            if old is not None and (not is_current(new.name) or self._is_overtaken(key, old)):
                return
            self.last, self._last_fetched_at = new, key.fetched_at
            callbacks = tuple(self._callbacks.values())
        if old is None or _identity(new) == _identity(old):
            return
        failures = [_call(callback, old, new) for callback in callbacks]
        for failure in filter(None, failures):
            warn(failure, SecureMLWarning)

    def _is_overtaken(self, key: Key, last: KeyInfo) -> bool:
        """Tell whether a thread comes late with what was read before the last one was."""
        return (
            key.name == last.name
            and key.fetched_at < self._last_fetched_at
            and (key.version or 0) < (last.version or 0)
        )


def _identity(info: KeyInfo) -> tuple[str, int | None, str | None]:
    return info.name, info.version, info.fingerprint


def _call(callback: Callback, old: KeyInfo, new: KeyInfo) -> str | None:
    """Call back; return what to warn of.

    The message does not tell what the exception says, as nobody knows what that holds.
    """
    try:
        callback(old, new)
    except Exception as error:  # it may be any, and whoever asked for a key still gets it
        name = getattr(callback, "__qualname__", type(callback).__name__)
        return f"the on_rotate callback {name} failed with {type(error).__name__}"
    return None

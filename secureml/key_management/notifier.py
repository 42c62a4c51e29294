"""Notifies callers when the current key has become another one."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable

from secureml.errors import SecureMLWarning, warn
from secureml.forksafe import ForkSafeLock
from secureml.keys import Key, KeyInfo

__all__ = ["Callback", "RotationNotifier"]

Callback = Callable[[KeyInfo, KeyInfo], object]
"""Takes the key that was current before, and the one that is now."""


class RotationNotifier:
    """Remembers the current key that was seen last, and calls back when another one is seen.

    Attributes:
        last: what was seen last; None before the first time.
    """

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        # No Key: its material is to stay no longer than in the cache.
        self.last: KeyInfo | None = None
        self._last_version: KeyInfo | None = None
        self._last_asked_at = -math.inf
        self._callbacks: dict[object, Callback] = {}
        self._changes: deque[tuple[KeyInfo, KeyInfo]] = deque()
        self._calling_process: int | None = None

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

    def sibling(self) -> RotationNotifier:
        """Return a notifier with the same callbacks that has seen no key."""
        made = RotationNotifier()
        made._lock, made._callbacks = self._lock, self._callbacks
        return made

    def successor(self) -> RotationNotifier:
        """Return a notifier with the same callbacks that goes on from the key seen last."""
        made = self.sibling()
        with self._lock.mutex:
            made.last, made._last_version = self.last, self._last_version
            made._last_asked_at = self._last_asked_at
        return made

    def saw(self, key: Key, asked_at: float, is_current: Callable[[str], bool]) -> None:
        """Note a key that was handed out as the current one.

        Args:
            key: the key.
            asked_at: when its source was asked for it, in seconds of the monotonic clock.
            is_current: tells whether this name is that of the current key by now.

        Warns:
            SecureMLWarning: a callback failed.
        """
        new = key.info
        with self._lock.mutex:
            old = self.last
            if old is not None and (not is_current(new.name) or self._is_overtaken(new, asked_at)):
                return
            self.last = new
            self._last_asked_at = max(asked_at, self._last_asked_at)
            if new.version is not None:
                self._last_version = new
            if old is None or _identity(new) == _identity(old):
                return
            self._changes.append((old, new))
            if self._calling_process == os.getpid():
                # The thread that calls back for an earlier change goes on with this one.
                return
            self._calling_process = os.getpid()
        self._call_back()

    def _is_overtaken(self, new: KeyInfo, asked_at: float) -> bool:
        """Return whether a thread comes late, with a key from before the one seen last."""
        before = self._last_version
        if before is not None and before.name == new.name and before.version != new.version:
            order = _order(new, before)
            if order:
                return order < 0
        return asked_at < self._last_asked_at

    def _call_back(self) -> None:
        """Call back for all changes in order, one thread at a time."""
        failures: list[str] = []
        exits: list[BaseException] = []
        try:
            while (change := self._next()) is not None:
                for callback in tuple(self._callbacks.values()):
                    try:
                        callback(*change)
                    except Exception as error:  # the caller still gets the key
                        failures.append(_description(callback, error))
                    except BaseException as error:  # the others are to hear of the change first
                        exits.append(error)
        except BaseException:  # a signal handler raised it between two callbacks
            self._calling_process = None
            raise
        for exit_ in exits[:1]:
            raise exit_
        for failure in failures:
            warn("an on_rotate callback failed", SecureMLWarning, failure)

    def _next(self) -> tuple[KeyInfo, KeyInfo] | None:
        with self._lock.mutex:
            if self._changes:
                return self._changes.popleft()
            self._calling_process = None
            return None


def _identity(info: KeyInfo) -> tuple[str, int | None, str | None]:
    return info.name, info.version, info.fingerprint


def _order(new: KeyInfo, old: KeyInfo) -> int:
    """Return 1 for a version after another one, -1 for one before it.

    0 is for one that version and time of creation contradict each other about: a key that was
    removed and made anew begins at 1 again.
    """
    if new.version is None or old.version is None:
        return 0
    is_higher = new.version > old.version
    if new.created is None or old.created is None or is_higher == (new.created > old.created):
        return 1 if is_higher else -1
    return 0


def _description(callback: Callback, error: Exception) -> str:
    """Name the callback that failed; the exception's text is left out, as it may hold anything."""
    name = getattr(callback, "__qualname__", type(callback).__name__)
    return f"the on_rotate callback {name} failed with {type(error).__name__}"

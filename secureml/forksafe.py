"""Locks, single flights and jitter for threads and forked processes."""

from __future__ import annotations

import contextlib
import copy
import logging  # noqa: F401  # see below, where forks are waited for
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from secureml.errors import SecureMLError

__all__ = [
    "BusyError",
    "CachedProperty",
    "ForkSafeLock",
    "Latch",
    "Renewed",
    "SingleFlight",
    "is_forked",
    "jitter",
    "unforked",
]

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")

_JITTER = 0.1
"""The largest share of a time by which it is shortened."""

_LONGEST_WAIT = 30.0
"""Seconds after which a thread gives up a lock, or stops waiting and does the work itself."""


class Renewed(ABC):
    """Base class of what a child process resets, as the parent's threads do not run in it."""

    def __init__(self) -> None:
        self.renew()
        _renewed.add(self)

    @abstractmethod
    def renew(self) -> None:
        """Reset the state that a thread of the parent may have been changing."""


class BusyError(SecureMLError):
    """Another thread of this process does not release a lock.

    This is no outage of Vault: no fallback is used for what could not be read.
    """

    code = "SML-001"
    remedy = "Call again; if it stays so, look for a thread of this process that is stuck."


class Mutex:
    """A lock for ``with``, acquired with a timeout and released whatever exception comes up.

    A signal handler's exception may come up after any call of Python code has returned, so that
    ``acquire`` before ``try`` can leave a lock taken, and ``__exit__`` written in Python may never
    begin. So the exit is the C function itself, and whatever comes up in the entry gives back what
    was taken.
    """

    __slots__ = ("__exit__", "_lock", "_seconds")

    def __init__(self, lock: threading.RLock, seconds: float) -> None:
        self._lock = lock
        self._seconds = seconds
        self.__exit__: Callable[..., None] = lock.__exit__

    def __enter__(self) -> None:
        try:
            if self._lock.acquire(timeout=self._seconds):
                return
        except BaseException:
            # Nothing is called before the release, so that no second exception comes up either.
            try:  # noqa: SIM105  # suppress() would be a call
                self._lock.release()
            except RuntimeError:
                pass
            raise
        raise BusyError("another thread of this process keeps a lock for too long")


class ForkSafeLock(Renewed):
    """A lock that is free in a child process, whichever thread of the parent held it.

    What it guards must be consistent between any two steps under it: the child gets it as it was
    at the fork. It is reentrant, as a signal handler may use the library; ``held`` tells if one
    has interrupted the holder.

    Attributes:
        mutex: the lock itself, for ``with``. It raises BusyError after half a minute.
    """

    def renew(self) -> None:
        """Replace a lock that a thread of the parent may hold."""
        self._lock = threading.RLock()
        self.mutex: Mutex = Mutex(self._lock, _LONGEST_WAIT)

    def within(self, seconds: float) -> Mutex:
        """Return the lock for one ``with``, with a timeout of its own.

        Args:
            seconds: how long to wait before BusyError.
        """
        return Mutex(self._lock, min(seconds, threading.TIMEOUT_MAX))

    @property
    def held(self) -> bool:
        """Whether this thread holds it already, as in a signal handler that interrupted it."""
        return bool(self._lock._is_owned())  # type: ignore[attr-defined]  # as Condition asks it


def is_forked() -> bool:
    """Tell whether this process was forked from one that had loaded the library."""
    return os.getpid() != _loaded_in


def unforked() -> Mutex:
    """Return a lock for ``with``, inside which no child is forked.

    A child that is forked while another thread imports a module, or makes the first TLS context,
    waits for ever as soon as it does the same.
    """
    return _unforked.mutex


class SingleFlight(Renewed, Generic[_Key, _Value]):
    """Does the same work once for all threads that want it at the same time.

    The first thread leads; those that come while it works wait for its result.
    """

    def renew(self) -> None:
        """Forget work whose leader is a thread of the parent: nobody would finish it."""
        self._mutex = Mutex(threading.RLock(), _LONGEST_WAIT)
        self._flights: dict[_Key, _Flight[_Value]] = {}

    def run(
        self,
        key: _Key,
        work: Callable[[], _Value],
        on_result: Callable[[_Value], None] | None = None,
        look: Callable[[], _Value | None] | None = None,
    ) -> _Value:
        """Return the result of the work.

        Args:
            key: identifies the work.
            work: the work. A ``SecureMLError`` that it raises is raised in the waiting threads
                too; after any other exception, which may concern the leading thread alone, one of
                them takes the lead.
            on_result: takes the result before any thread returns it; not called if the work has
                been discarded.
            look: returns the result of work that ended just before this call, if there is one.
        """
        while True:
            mine = _Flight[_Value]()
            try:
                with self._mutex:
                    flight = self._flights.setdefault(key, mine)
                if flight is mine:
                    value = None if look is None else look()
                    if value is None:
                        value = work()
                        with self._mutex:
                            if on_result is not None and self._flights.get(key) is mine:
                                on_result(value)
                    mine.result = (value,)
                    return value
            except SecureMLError as error:
                # A copy has no traceback, which would keep what the leader's frames hold.
                mine.error = copy.copy(error)
                raise
            finally:
                self._end(key, mine)
            if flight.leader == threading.get_ident():
                # The work itself, or a signal handler, asks again: waiting would never end.
                return work()
            if not flight.over.wait(_LONGEST_WAIT):
                return work()
            if flight.error is not None:
                raise copy.copy(flight.error)
            if flight.result is not None:
                return flight.result[0]

    def discard(self, concerns: Callable[[_Key], bool], *, sparing_own: bool = False) -> None:
        """Let no thread wait for work that has begun, and do not keep its result.

        Args:
            concerns: tells by its key which work.
            sparing_own: whether the work that this thread leads goes on.
        """
        me = threading.get_ident() if sparing_own else None
        with self._mutex:
            for key, flight in list(self._flights.items()):
                if flight.leader != me and concerns(key):
                    self._flights.pop(key, None)

    def _end(self, key: _Key, flight: _Flight[_Value]) -> None:
        with self._mutex:
            if self._flights.get(key) is flight:
                self._flights.pop(key, None)
        flight.over.open()


class CachedProperty(Generic[_Value]):
    """An attribute that is computed when it is first asked for, and kept.

    ``functools.cached_property`` has a lock up to Python 3.11, which a fork can leave taken. Here
    two threads may both compute it.
    """

    def __init__(self, compute: Callable[[Any], _Value]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, owner: Any, kind: type | None = None) -> _Value:
        value = self._compute(owner)
        vars(owner)[self._name] = value
        return value


class Latch:
    """An event that happens once.

    Each thread waits for a lock of its own, so that no signal handler or exception blocks the
    others.
    """

    def __init__(self) -> None:
        self._is_open = False
        self._waiting: list[threading.Lock] = []

    def open(self) -> None:
        """Let all waiting threads go on."""
        self._is_open = True
        with contextlib.suppress(IndexError):
            while True:
                self._waiting.pop().release()

    def wait(self, seconds: float) -> bool:
        """Wait; return whether the event has happened.

        Args:
            seconds: how long at most.
        """
        mine = threading.Lock()
        mine.acquire()
        self._waiting.append(mine)
        # The opening thread may have gone through the list before this.
        return self._is_open or mine.acquire(timeout=seconds) or self._is_open


class _Flight(Generic[_Value]):
    """One piece of work under way."""

    def __init__(self) -> None:
        self.leader = threading.get_ident()
        self.over = Latch()
        self.result: tuple[_Value] | None = None
        self.error: SecureMLError | None = None


_renewed: weakref.WeakSet[Renewed] = weakref.WeakSet()
_unforked = ForkSafeLock()
_loaded_in = os.getpid()


def jitter(seconds: float, chance: Callable[[], float]) -> float:
    """Shorten a time at random to 90 to 100 % of it, so that processes do not act in step.

    Args:
        seconds: the time.
        chance: returns numbers from 0 up to 1, evenly distributed.
    """
    return seconds * (1 - _JITTER * chance())


def _renew_all() -> None:
    for each in list(_renewed):
        each.renew()


def _before_fork() -> None:
    # If an import takes too long, the child is forked all the same.
    _unforked._lock.acquire(timeout=_LONGEST_WAIT)


def _after_fork_in_parent() -> None:
    if _unforked.held:
        _unforked._lock.release()


# What is registered last is called first: logging's takes a lock that imports need, and so it must
# come after the wait for them.
if hasattr(os, "register_at_fork"):  # elsewhere processes do not fork
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_renew_all,
    )

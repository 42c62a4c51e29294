"""What threads and processes share: locks, work done once for all, and moments to spread."""

from __future__ import annotations

import copy
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from secureml.errors import SecureMLError

__all__ = ["Flights", "SharedLock", "spread"]

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")

_SPREAD = 0.1
"""The share of a time by which it is shortened at most."""


class _Renewed(ABC):
    """Something that a child process begins anew, as the parent's threads do not go on in it."""

    def __init__(self) -> None:
        self.renew()
        _renewed.add(self)

    @abstractmethod
    def renew(self) -> None:
        """Begin anew."""


class SharedLock(_Renewed):
    """A lock that is free in a child process, whatever a thread of the parent was doing.

    Between any two steps under it, what it guards must be in order: the child gets it as it was at
    the fork. It is reentrant, as a signal handler may come in between and use the library.

    Attributes:
        mutex: the lock itself; to be read anew for each ``with``.
    """

    def renew(self) -> None:
        """Put a new lock in the place of one that a thread of the parent may hold."""
        self.mutex = threading.RLock()


class Flights(_Renewed, Generic[_Key, _Value]):
    """Does the same work once for all threads that want it at the same time.

    The thread that comes first leads; those that come while it works wait for what it gets.
    """

    def renew(self) -> None:
        """Forget work whose leader is a thread of the parent: nobody would ever finish it."""
        self._mutex = threading.RLock()
        self._flights: dict[_Key, _Flight[_Value]] = {}

    def run(
        self,
        key: _Key,
        work: Callable[[], _Value],
        landed: Callable[[_Value], None] | None = None,
    ) -> _Value:
        """Return what the work gives.

        Args:
            key: tells what work is the same.
            work: the work. A ``SecureMLError`` that it raises is raised in the waiting threads
                too; after any other exception, which may concern the leading thread alone, one of
                them takes the lead.
            landed: takes the result, before anyone has it; not called where the flight has been
                cut off.
        """
        while True:
            mine = _Flight[_Value]()
            try:
                with self._mutex:
                    flight = self._flights.setdefault(key, mine)
                if flight is mine:
                    return self._lead(key, flight, work, landed)
            finally:
                self._end(key, mine)
            if flight.leader == threading.get_ident():
                # The work itself, or a signal handler, asks again: waiting would never end.
                return work()
            flight.over.wait()
            if flight.error is not None:
                raise copy.copy(flight.error)
            if flight.result is not None:
                return flight.result[0]

    def cut_off(self, concerns: Callable[[_Key], bool]) -> None:
        """Let nobody else wait for work that has begun, and let its result not land.

        Args:
            concerns: tells by its key which work.
        """
        with self._mutex:
            for key in list(self._flights):
                if concerns(key):
                    self._flights.pop(key, None)

    def _lead(
        self,
        key: _Key,
        flight: _Flight[_Value],
        work: Callable[[], _Value],
        landed: Callable[[_Value], None] | None,
    ) -> _Value:
        try:
            value = work()
        except SecureMLError as error:
            # A copy has no traceback, which would keep what the leader's frames hold.
            flight.error = copy.copy(error)
            raise
        with self._mutex:
            if landed is not None and self._flights.get(key) is flight:
                landed(value)
        flight.result = (value,)
        return value

    def _end(self, key: _Key, flight: _Flight[_Value]) -> None:
        with self._mutex:
            if self._flights.get(key) is flight:
                self._flights.pop(key, None)
        flight.over.set()


class _Flight(Generic[_Value]):
    """One piece of work under way."""

    def __init__(self) -> None:
        self.leader = threading.get_ident()
        self.over = threading.Event()
        self.result: tuple[_Value] | None = None
        self.error: SecureMLError | None = None


_renewed: weakref.WeakSet[_Renewed] = weakref.WeakSet()


def spread(seconds: float, chance: Callable[[], float]) -> float:
    """Shorten a time by chance to 90 to 100 % of it, so that those that began together part.

    Args:
        seconds: the time.
        chance: returns numbers from 0 up to 1, evenly distributed.
    """
    return seconds * (1 - _SPREAD * chance())


def _renew_all() -> None:
    for each in list(_renewed):
        each.renew()


if hasattr(os, "register_at_fork"):  # elsewhere processes do not fork
    os.register_at_fork(after_in_child=_renew_all)

"""Functions of batches that travel to other processes without keys."""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import uuid4

from secureml.forksafe import ForkSafeLock, SingleFlight
from secureml.key_management.default import settings_before_vault

__all__ = ["JobFunction", "JobStarts", "new_job"]

_Given = TypeVar("_Given")
_Result = TypeVar("_Result")
_Value = TypeVar("_Value")
_Function = Callable[[Any], Any]

_KEPT = 16
"""Jobs of which a process keeps the function, with the keys in it."""


def new_job() -> str:
    """Return a name for a job that no other has."""
    return uuid4().hex


@dataclass(frozen=True, slots=True)
class JobFunction(Generic[_Given, _Result]):
    """A function that each process makes for itself, once for a job, with its own login.

    Nothing is fetched when it is unpickled, so that an error comes from the work on a batch. The
    first batch waits for up to ``job_start_jitter`` before.

    Args:
        job: the name of the job.
        make: makes the function.
        arguments: of ``make``, without keys.
    """

    job: str
    make: Callable[..., Callable[[_Given], _Result]]
    arguments: tuple[Any, ...]

    def __call__(self, given: _Given) -> _Result:
        """Apply the function to a batch or an array.

        Raises:
            SecretError: this process can't have the key.
            WrongKeyError: this process has another key under that name.
            PseudonymizationError: the batch holds what can't be worked on.
        """
        function = _made.get(self.job)
        if function is None:
            _starts.wait(self.job, settings_before_vault().job_start_jitter)
            function = _flights.run(
                self.job,
                lambda: self.make(*self.arguments),
                on_result=lambda made: _keep(self.job, made),
                look=lambda: _made.get(self.job),
            )
        made: _Result = function(given)
        return made


class JobStarts:
    """Moments by chance, one for each job, so that a fleet does not ask Vault all at once.

    Threads of one job wait for the same moment. Nobody waits for it twice.

    Args:
        clock: returns seconds that only ever increase.
        chance: returns numbers from 0 up to 1.
        pause: waits for some seconds; a signal handler's exception ends it.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._pause = pause
        self._moments: OrderedDict[str, float] = OrderedDict()

    def wait(self, job: str, longest: float) -> None:
        """Wait for the moment at which this process begins with a job.

        Args:
            job: the name of the job.
            longest: seconds from the first call to the latest moment.
        """
        if not longest:
            return
        with _lock.mutex:
            moment = self._moments.get(job)
            if moment is None:
                moment = self._clock() + longest * self._chance()
                _remember(self._moments, job, moment)
        while (left := moment - self._clock()) > 0:
            self._pause(left)


def _keep(job: str, function: _Function) -> None:
    with _lock.mutex:
        _remember(_made, job, function)


def _remember(known: OrderedDict[str, _Value], job: str, value: _Value) -> None:
    known[job] = value
    while len(known) > _KEPT:
        known.popitem(last=False)


_made: OrderedDict[str, _Function] = OrderedDict()
_lock = ForkSafeLock()
_flights: SingleFlight[str, _Function] = SingleFlight()
_starts = JobStarts()

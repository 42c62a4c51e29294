"""Functions of batches that travel to other processes without keys."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from secureml.forksafe import ForkSafeLock, SingleFlight
from secureml.frames.base import Table
from secureml.frames.streams import OfBatch

__all__ = ["JobFunction", "new_job"]

_KEPT = 16
"""Jobs of which a process keeps the function, with the keys in it."""


def new_job() -> str:
    """Return a name for a job that no other has."""
    return uuid4().hex


@dataclass(frozen=True, slots=True)
class JobFunction:
    """A function that each process makes for itself, once for a job, with its own login.

    Nothing is fetched when it is unpickled, so that an error comes from the work on a batch.

    Args:
        job: the name of the job.
        make: makes the function.
        arguments: of ``make``, without keys.
    """

    job: str
    make: Callable[..., OfBatch]
    arguments: tuple[Any, ...]

    def __call__(self, table: Table) -> Table:
        """Apply the function to a batch.

        Raises:
            SecretError: this process can't have the key.
            WrongKeyError: this process has another key under that name.
            PseudonymizationError: the batch holds what can't be worked on.
        """
        function = _made.get(self.job)
        if function is None:
            function = _flights.run(
                self.job,
                lambda: self.make(*self.arguments),
                on_result=lambda made: _keep(self.job, made),
                look=lambda: _made.get(self.job),
            )
        return function(table)


def _keep(job: str, function: OfBatch) -> None:
    with _lock.mutex:
        _made[job] = function
        while len(_made) > _KEPT:
            _made.popitem(last=False)


_made: OrderedDict[str, OfBatch] = OrderedDict()
_lock = ForkSafeLock()
_flights: SingleFlight[str, OfBatch] = SingleFlight()

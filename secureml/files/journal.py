"""What a job over many files has done, so that it goes on after it was stopped.

The folder ``_secureml`` in that of the results has one record of the job, which names the key and
its version, and one of each file that is complete. They hold digests and no value.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar, cast

from secureml.errors import SecureMLError
from secureml.files.locations import LocalLocation, Location
from secureml.pseudonymization.keys import KeyReference
from secureml.pseudonymization.manifest import read_json

try:
    import fcntl
except ImportError:
    fcntl = cast("Any", None)  # as on Windows; what needs it asks before

__all__ = ["FOLDER", "Finished", "Journal"]

FOLDER = "_secureml"

_JOB = "job.json"
_Record = TypeVar("_Record")
_PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class Finished:
    """A file that is complete.

    Args:
        input: digest of what was read.
        plan: digest of what was done with it.
        bytes: how long the result is.
    """

    input: str
    plan: str
    bytes: int


class Journal:
    """The records of one job.

    Args:
        folder: that of the results.
        kind: of the job, ``anonymize`` or ``reidentify``.
    """

    def __init__(self, folder: Location, kind: str) -> None:
        self._folder = folder.joined(FOLDER)
        self._shown = folder.shown
        self._kind = kind
        self._job = self._folder.joined(_JOB)
        self._done: dict[str, Finished] = {}
        self._digest: Callable[[bytes], str] = lambda text: hashlib.sha256(text).hexdigest()
        self.key: KeyReference | None = None

    def read(self, *, resume: bool, force: bool) -> None:
        """Read what was done before.

        Args:
            resume: go on after it.
            force: begin anew, whatever there is.

        Raises:
            SecureMLError: there is a job, and neither is said; it is another one, or unreadable.
        """
        if not self._job.exists():
            return
        if not resume:
            if force:
                return
            raise SecureMLError(
                f"{self._shown} holds a job: --resume (resume=True) goes on after the files that"
                " are complete, --force (force=True) begins anew"
            )
        job = _read(self._job, _Job)
        if job.kind != self._kind:
            raise SecureMLError(f"{self._shown} holds the results of another kind of job")
        self.key = job.key
        for name, place in self._folder.below():
            if name != _JOB and name.endswith(".json"):
                self._done[name.removesuffix(".json")] = _read(place, Finished)

    def begin(self, key: KeyReference | None, digest: Callable[[bytes], str] | None) -> None:
        """Record which key the whole job is under; a job that goes on has its record.

        Args:
            key: the key, or None for a job that has none of its own.
            digest: keyed, as names and values could be guessed from others; None for SHA-256.
        """
        if digest is not None:
            self._digest = digest
        if self.key is not None or self._done:
            return
        for _, place in self._folder.below():
            place.remove()
        self._write(self._job, asdict(_Job(self._kind, key)))

    def digest(self, *facts: object) -> str:
        """Return a digest of facts."""
        return self._digest(json.dumps(facts, sort_keys=True, default=str).encode())

    def done(self, name: str) -> Finished | None:
        """Return the record of an input, or None if its file is not complete."""
        return self._done.get(self._id(name))

    def add(self, name: str, done: Finished) -> None:
        """Record that the file of an input is complete."""
        self._write(self._folder.joined(f"{self._id(name)}.json"), asdict(done))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other jobs out of the folder, if it is a local one."""
        if not isinstance(self._folder, LocalLocation) or fcntl is None:
            yield
            return
        path, problem = self._folder.path, ""
        is_new = not path.parent.exists()
        self._job.make_folder(0o700)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            problem = f"another job writes to {self._shown} at this moment"
        except OSError as error:
            problem = f"{path} can't be locked ({error.strerror or type(error).__name__})"
        try:
            if problem:
                raise SecureMLError(problem)
            yield
        finally:
            with contextlib.suppress(OSError):
                path.rmdir()  # only if nothing is in it
                if is_new:
                    path.parent.rmdir()
            os.close(descriptor)

    def _id(self, name: str) -> str:
        return self.digest("source", name)[:32]

    def _write(self, place: Location, content: Mapping[str, Any]) -> None:
        place.make_folder(0o700)
        with place.writing(_PRIVATE) as file:
            file.write(json.dumps(content).encode())


@dataclass(frozen=True, slots=True)
class _Job:
    kind: str
    key: KeyReference | None

    def __post_init__(self) -> None:
        if isinstance(self.key, dict):
            object.__setattr__(self, "key", KeyReference(**self.key))


def _read(place: Location, kind: type[_Record]) -> _Record:
    record = None
    with place.reading() as path:
        try:
            record = kind(**read_json(path.read_bytes()))
        except (OSError, ValueError, TypeError, RecursionError):
            record = None
    if record is None:
        raise SecureMLError(f"{place.shown} is no record of a job: begin anew with --force")
    return record

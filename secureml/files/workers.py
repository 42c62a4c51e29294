"""Processes that work on the chunks of a file, each with a key that it fetched itself.

They are new interpreters, which get the plan, the names of settings and the columns of chunks, and
inherit nothing else than the variables of this process.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Protocol, Self, TypeVar

import pyarrow as pa

from secureml.errors import SecureMLError
from secureml.key_management import KeyManager
from secureml.key_management.recipe import ManagerRecipe, recipe_of
from secureml.pseudonymization.ranking.threads import cores, work_alone

__all__ = ["Function", "Outcome", "Work", "Workers", "workers_for"]

Outcome = tuple[pa.Table, Any]
"""The new columns of a chunk, and what is told of them."""

Function = Callable[[pa.Table, pa.Schema | None], Outcome]
"""Makes new columns of those of a chunk, of a schema or of one that the first rows tell."""

_PAYS = 64 << 20
"""Bytes of input from which on processes are worth their start."""

_FEWEST_CORES = 4
"""Fewer are kept busy by reading, work and writing on threads."""

_AHEAD = 2  # chunks that a worker has at most
_MAIN = "import sys; from secureml.files.workers import serve; serve(int(sys.argv[1]))"


class Work(ABC):
    """What is done with the chunks of a file; it pickles without key material."""

    @abstractmethod
    def begin(self, manager: KeyManager) -> Function:
        """Fetch the key, and return what does the work."""


class HasTable(Protocol):
    """A chunk."""

    @property
    def table(self) -> pa.Table:
        """The columns that were asked for."""


_Item = TypeVar("_Item", bound=HasTable)


class Workers:
    """Processes that work for this one; to be used in a ``with`` block, which ends them.

    Args:
        count: how many.
        recipe: of their key managers.
        required: whether one that can't begin is an error; else this process does its work.
    """

    def __init__(self, count: int, recipe: ManagerRecipe, *, required: bool) -> None:
        self._count = count
        self._recipe = recipe
        self._required = required
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end()

    def map(
        self, work: Work, function: Function, items: Iterable[_Item], schema: pa.Schema
    ) -> Iterator[tuple[_Item, Callable[[], Outcome]]]:
        """Do the work of each chunk, and return it with what waits for its outcome, in order.

        Args:
            work: what is done.
            function: does the work in this process, until a worker has begun.
            items: the chunks, of which a few are read ahead.
            schema: what the outcomes are to have.
        """
        pending: deque[tuple[_Item, Callable[[], Outcome]]] = deque()
        for item in items:
            if not self._workers:
                self._workers = [_Worker(self._recipe, work) for _ in range(self._count)]
            ready = [worker for worker in self._workers if worker.has_begun(self._required)]
            worker = min(ready, key=lambda worker: worker.pending, default=None)
            if worker is None:
                pending.append((item, partial(function, item.table, schema)))
            else:
                worker.put(work, item.table, schema)
                pending.append((item, worker.outcome))
            while len(pending) > _AHEAD * len(ready):
                yield pending.popleft()
        yield from pending


def workers_for(
    manager: KeyManager, asked: int | None, size: int
) -> contextlib.AbstractContextManager[Workers | None]:
    """Return processes for a job, or None if this one does it alone.

    Args:
        manager: where keys come from.
        asked: how many processes the caller asks for; None for as many as pay.
        size: of the input, in bytes.

    Raises:
        SecureMLError: some are asked for, and can't fetch keys as this process does.
    """
    count = cores() - 1 if asked is None else asked
    if count < 2 or (asked is None and (size < _PAYS or cores() < _FEWEST_CORES)):
        return contextlib.nullcontext()
    recipe = recipe_of(manager) if os.name == "posix" and sys.executable else None
    if recipe is not None:
        return Workers(count, recipe, required=asked is not None)
    if asked is None:
        return contextlib.nullcontext()
    raise SecureMLError(
        f"workers={asked}: other processes can't fetch the key as this one does, because its key"
        " manager was given a store, a secret or another program's settings. Put them into"
        " variables or the settings file, or leave workers out"
    )


class _Worker:
    """A process, and the chunks that it has."""

    def __init__(self, recipe: ManagerRecipe, work: Work) -> None:
        ours, theirs = socket.socketpair()
        # Not the folder of the caller, but the modules that this process sees.
        path = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(  # noqa: S603  # this interpreter, and a constant
            [sys.executable, "-P", "-c", _MAIN, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        theirs.close()
        self._connection = Connection(ours.detach())
        self._work = work
        self._begun: bool | None = None
        self.pending = 0
        self._send(recipe)
        self._send(work)

    def has_begun(self, required: bool) -> bool:
        """Tell whether it has its key by now.

        Raises:
            SecureMLError: it can't have it, and is required.
        """
        if self._begun is None and (required or self._connection.poll()):
            error: SecureMLError | None = None
            try:
                error = self._received()
            except SecureMLError as caught:
                error = caught.with_traceback(None)
            self._begun = error is None
            if error is not None and required:
                raise error
        return bool(self._begun)

    def put(self, work: Work, columns: pa.Table, schema: pa.Schema) -> None:
        """Give it a chunk."""
        if work is not self._work:
            self._send(work)
            self._work = work
        self._send(schema)
        self._ended_if_broken(partial(self._connection.send_bytes, _packed(columns)))
        self.pending += 1

    def outcome(self) -> Outcome:
        """Wait for what became of the chunk that it has for longest.

        Raises:
            SecureMLError: what the work raised, or the process has ended.
        """
        self.pending -= 1
        answer = self._received()
        if isinstance(answer, BaseException):
            raise answer
        return _unpacked(self._ended_if_broken(self._connection.recv_bytes)), answer

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._connection.close()

    def _send(self, message: object) -> None:
        self._ended_if_broken(partial(self._connection.send, message))

    def _received(self) -> Any:
        return self._ended_if_broken(self._connection.recv)

    def _ended_if_broken(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except (EOFError, OSError):
            pass
        self._process.kill()
        code = self._process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise SecureMLError(
            f"a worker process ended early ({how}): perhaps memory was short. Less is needed with"
            " fewer workers"
        )


def serve(descriptor: int) -> None:
    """Be a worker: fetch the key, and work on chunks until the other side is gone.

    Args:
        descriptor: a socket that leads to the process which this one works for.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process decides what Ctrl-C means
    work_alone()
    connection = Connection(descriptor)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    recipe = connection.recv()
    # Read ahead, so that neither side waits for the other to read while both write.
    threading.Thread(target=_receive, args=(connection, inbox), daemon=True).start()
    with contextlib.suppress(OSError, EOFError):
        try:
            manager = recipe.build()
            function = inbox.get().begin(manager)
        except Exception as error:
            connection.send(_told(error))
            return
        connection.send(None)
        while (message := inbox.get()) is not _END:
            if isinstance(message, Work):
                function = _begun(message, manager)
                continue
            try:
                columns, extra = function(_unpacked(inbox.get()), message)
            except Exception as error:
                connection.send(_told(error))
                continue
            connection.send(extra)
            connection.send_bytes(_packed(columns))


def _begun(work: Work, manager: KeyManager) -> Function:
    """Begin other work; if that can't be, each chunk of it is answered by the error."""
    try:
        return work.begin(manager)
    except Exception as error:
        told = _told(error)

    def fail(columns: pa.Table, schema: pa.Schema | None) -> Outcome:
        raise told

    return fail


_END = object()


def _receive(connection: Connection, inbox: queue.SimpleQueue[Any]) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            message = connection.recv()
            inbox.put(message)
            if isinstance(message, pa.Schema):
                inbox.put(connection.recv_bytes())
    inbox.put(_END)


def _told(error: Exception) -> SecureMLError:
    """Return an error as it is told to the other process: of others its type alone."""
    if isinstance(error, SecureMLError):
        with contextlib.suppress(Exception):
            told: SecureMLError = pickle.loads(pickle.dumps(error))  # noqa: S301  # nosec B301  # its own
            return told
        return SecureMLError(error.message)
    return SecureMLError(f"a worker process failed ({type(error).__name__})")


def _packed(columns: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, columns.schema) as writer:
        writer.write_table(columns)
    return sink.getvalue()


def _unpacked(content: bytes) -> pa.Table:
    with pa.ipc.open_stream(pa.py_buffer(content)) as reader:
        return reader.read_all()

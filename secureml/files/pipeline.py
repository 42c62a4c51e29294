"""Reading, work and writing at the same time, on threads: Arrow leaves the interpreter free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Self, TypeVar

from secureml.pseudonymization.ranking.threads import cores

__all__ = ["Pipeline"]

_Item = TypeVar("_Item")

_END: Any = object()


class Pipeline:
    """Reads one item ahead and writes one behind, in a ``with`` block that ends both.

    On one core everything is done in turn.
    """

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._reading, self._writing = (
            self._stack.enter_context(ThreadPoolExecutor(1) if cores() > 1 else _Here())
            for _ in range(2)
        )
        self._written: Future[None] | None = None
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ahead(self, items: Iterator[_Item]) -> Iterator[_Item]:
        """Go through items, each read while the one before is worked on."""
        read = self._reading.submit(next, items, _END)
        while (item := read.result()) is not _END:
            read = self._reading.submit(next, items, _END)
            yield item

    def behind(self, write: Callable[[], None]) -> None:
        """Write when what was given before is written, and raise its error if it had one."""
        self.finish()
        self._written = self._writing.submit(write)

    def finish(self) -> None:
        """Wait until everything is written, and raise the error of the last if it had one."""
        if self._written is not None:
            self._written.result()


class _Here(Executor):
    """Does at once what is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

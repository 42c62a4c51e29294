"""AsyncKeyManager: the methods of KeyManager as coroutines, for asyncio."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Self, TypeVar

from secureml.errors import ConfigurationError, SecretError
from secureml.forksafe import ForkSafeLock, Renewed
from secureml.key_management.manager import KeyManager
from secureml.secret_types import SecretText, SecretValue, conceals

if TYPE_CHECKING:
    from secureml.keys import Key

__all__ = ["AsyncKeyManager"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

_THREADS = 32
"""How many calls of one manager run at a time; the others wait for their turn."""


def _read(
    method: Callable[Concatenate[KeyManager, _P], _R],
) -> Callable[Concatenate[AsyncKeyManager, _P], Coroutine[Any, Any, _R]]:
    """Make a coroutine of a method that writes nothing: a cancelled task leaves it at once."""
    return _coroutine(method, asyncio.wrap_future)


def _write(
    method: Callable[Concatenate[KeyManager, _P], _R],
) -> Callable[Concatenate[AsyncKeyManager, _P], Coroutine[Any, Any, _R]]:
    """Make a coroutine of a method that writes: a cancelled task leaves it once it is over."""
    return _coroutine(method, _ended)


def _coroutine(
    method: Callable[Concatenate[KeyManager, _P], _R],
    result_of: Callable[[Future[_R]], Awaitable[_R]],
) -> Callable[Concatenate[AsyncKeyManager, _P], Coroutine[Any, Any, _R]]:
    @functools.wraps(method)
    async def call(self: AsyncKeyManager, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        arguments = SecretValue((args, kwargs))
        del args, kwargs  # tracebacks would show them
        return await result_of(self._begin(self._call(method, arguments)))

    return call


async def _ended(future: Future[_R]) -> _R:
    """Wait for the end of some work, also if the task is cancelled, unless it has not begun."""
    ended = asyncio.wrap_future(future)
    try:
        await asyncio.wait([ended])
    except asyncio.CancelledError:
        future.cancel()
        while not ended.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([ended])
        if not ended.cancelled():
            ended.exception()  # or asyncio reports that nobody has asked for it
        raise
    return ended.result()


class AsyncKeyManager:
    """A KeyManager for asyncio: its methods are coroutines, and block no event loop.

    They run in at most 32 threads. It can be shared between event loops, threads and, like a
    KeyManager, with the children of a fork. Settings are read when it is first used, as in
    ``async with``, and what is wrong with them is raised there.

    A cancelled read is left at once; what it asked Vault for may still get into the cache. A
    cancelled write that has not begun never does; one that has begun is awaited, for as long as
    Vault's timeout lasts, so that nothing is written after the task has gone on.

    Args:
        vault_url: as for ``KeyManager``, like all that follow.
        vault_token: the token to use.
        vault_path: the path below the mount.
        use_env_fallback: whether environment variables may be used in place of Vault.
        use_default_fallback: whether deterministic development defaults may.
        manager: the manager to use, in place of one of its own. Both share its cache; ``close``
            leaves it open.
        **more: every other argument of ``KeyManager``.

    Raises:
        ConfigurationError: a manager is given, and arguments for one.
    """

    @conceals("vault_url", "vault_token", "vault_path")
    def __init__(
        self,
        vault_url: str | None = None,
        vault_token: str | SecretText | None = None,
        vault_path: str | None = None,
        use_env_fallback: bool | None = None,
        use_default_fallback: bool | None = None,
        *,
        manager: KeyManager | None = None,
        **more: Any,
    ) -> None:
        arguments = {
            "vault_url": vault_url,
            "vault_token": vault_token,
            "vault_path": vault_path,
            "use_env_fallback": use_env_fallback,
            "use_default_fallback": use_default_fallback,
            **more,
        }
        self._arguments = {name: each for name, each in arguments.items() if each is not None}
        if manager is not None and self._arguments:
            raise ConfigurationError("an AsyncKeyManager takes a manager or the arguments of one")
        self._manager = manager
        self._is_own = manager is None
        self._is_closed = False
        self._lock = ForkSafeLock()
        self._threads = _Threads()

    get_secret: Final = _read(KeyManager.get_secret)
    secret_info: Final = _read(KeyManager.secret_info)
    set_secret: Final = _write(KeyManager.set_secret)

    get_encryption_key: Final = _read(KeyManager.get_encryption_key)
    get_key: Final = _read(KeyManager.get_key)
    unwrap_key: Final = _read(KeyManager.unwrap_key)
    rewrap_key: Final = _read(KeyManager.rewrap_key)
    derive_key: Final = _read(KeyManager.derive_key)

    list_keys: Final = _read(KeyManager.list_keys)
    key_info: Final = _read(KeyManager.key_info)
    key_history: Final = _read(KeyManager.key_history)
    key_versions: Final = _read(KeyManager.key_versions)

    generate_key: Final = _write(KeyManager.generate_key)
    import_key: Final = _write(KeyManager.import_key)
    rotate_key: Final = _write(KeyManager.rotate_key)
    rotate_due: Final = _write(KeyManager.rotate_due)
    set_rotation_period: Final = _write(KeyManager.set_rotation_period)
    disable_key_version: Final = _write(KeyManager.disable_key_version)
    enable_key_version: Final = _write(KeyManager.enable_key_version)
    destroy_key_version: Final = _write(KeyManager.destroy_key_version)
    accept_rollback: Final = _write(KeyManager.accept_rollback)

    export_key: Final = _read(KeyManager.export_key)
    read_export: Final = _read(KeyManager.read_export)
    restore_key: Final = _write(KeyManager.restore_key)

    invalidate: Final = _read(KeyManager.invalidate)
    on_rotate: Final = _write(KeyManager.on_rotate)

    async def keys_of(self, name: str | None = None, *, key_bytes: int = 32) -> AsyncIterator[Key]:
        """Iterate over the different keys under a name, as ``KeyManager.keys_of`` does."""
        keys = (await self.manager()).keys_of(name, key_bytes=key_bytes)
        while (key := await self._run(lambda: next(keys, None))) is not None:
            yield key

    async def manager(self) -> KeyManager:
        """Return the manager that is used, which tells settings and environment.

        Raises:
            ConfigurationError: with every problem found.
        """
        return await self._run(self._opened)

    async def close(self) -> None:
        """Close the manager, unless it was given; this one can't be used afterwards."""
        self._is_closed = True
        # In a thread of its own: the others may all wait for a Vault that does not answer.
        closing = ThreadPoolExecutor(1, "secureml-close")
        await _ended(closing.submit(self._close))
        closing.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        await self.manager()
        return self

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncKeyManager {self._manager or 'not used yet'}>"

    async def _run(self, work: Callable[[], _R]) -> _R:
        return await asyncio.wrap_future(self._begin(work))

    def _begin(self, work: Callable[[], _R]) -> Future[_R]:
        try:
            if not self._is_closed:
                return self._threads.submit(work)
        except RuntimeError:  # the threads have ended meanwhile
            if not self._is_closed:
                raise
        raise SecretError("this KeyManager is closed")

    def _call(self, method: Callable[..., _R], arguments: Any) -> Callable[[], _R]:
        # What is no variable is in no traceback.
        return lambda: method(self._opened(), *arguments.reveal()[0], **arguments.reveal()[1])

    def _opened(self) -> KeyManager:
        if self._manager is None:
            with self._lock.mutex:
                if self._is_closed:
                    raise SecretError("this KeyManager is closed")
                if self._manager is None:
                    self._manager = KeyManager(**self._arguments)
        return self._manager

    def _close(self) -> None:
        self._threads.end()
        with self._lock.mutex:
            manager = self._manager
        if self._is_own and manager is not None:
            manager.close()


class _Threads(Renewed):
    """Threads that start as they are needed; a forked child has its own."""

    def renew(self) -> None:
        """Leave the threads that there are to the parent."""
        self._executor = ThreadPoolExecutor(_THREADS, "secureml")

    def submit(self, work: Callable[[], _R]) -> Future[_R]:
        """Begin some work in the caller's context."""
        return self._executor.submit(contextvars.copy_context().run, work)

    def end(self) -> None:
        """End each thread once it has nothing to do."""
        self._executor.shutdown(wait=False)

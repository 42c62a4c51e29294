"""AsyncKeyManager: what a KeyManager does, without blocking the event loop."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest

from helpers.vault import Vault
from secureml import AsyncKeyManager, KeyManager, override
from secureml.errors import (
    ConfigurationError,
    SecretError,
    SecretExistsError,
    SecretNotFoundError,
    SecureMLError,
)
from secureml.key_management import asynchronous
from secureml.stores import MemoryStore, Outcome, Record

OWN = {"derive_own_key", "watch_with"}
"""What is public for other parts of secureml alone."""

METHODS = {
    name: member
    for name, member in inspect.getmembers(KeyManager, inspect.isfunction)
    if not name.startswith("_") and name not in OWN
}

LATE = 60
"""Seconds after which a test has failed."""


class Gate(MemoryStore):
    """A store that waits before it reads and writes, until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[str] = []
        self.go = threading.Event()

    def read(self, name: str, *args: Any, **options: Any) -> Outcome:
        self._wait(f"read {name}")
        return super().read(name, *args, **options)

    def write(self, name: str, fields: Mapping[str, object], **options: Any) -> Record:
        self._wait(f"write {name}")
        return super().write(name, fields, **options)

    def _wait(self, what: str) -> None:
        self.begun.append(what)
        assert self.go.wait(LATE)


@pytest.fixture
def gate() -> Any:
    gate = Gate()
    yield gate
    gate.go.set()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    async def in_time() -> Any:
        async with asyncio.timeout(LATE):
            return await work

    return asyncio.run(in_time())


async def until(condition: Callable[[], object]) -> None:
    """Wait; the loop runs meanwhile."""
    while not condition():
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("name", METHODS)
def test_each_method_is_a_coroutine_with_the_same_parameters(name: str) -> None:
    method = inspect.getattr_static(AsyncKeyManager, name)
    assert inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
    assert (
        inspect.signature(method).parameters.items()
        == inspect.signature(METHODS[name]).parameters.items()
    )
    assert method.__doc__


def test_keys_and_secrets_are_those_of_vault(vault: Vault) -> None:
    async def work() -> None:
        async with AsyncKeyManager(**vault.settings, environment="staging") as keys:
            assert (await keys.generate_key("master_key")).version == 1
            first = await keys.get_encryption_key()
            assert (await keys.rotate_key("master_key")).version == 2
            assert [key.version async for key in keys.keys_of("master_key")] == [2, 1]
            assert await keys.get_encryption_key(version=1) == first
            assert await keys.set_secret("database/password", "x")
            assert await keys.get_secret("database/password") == "x"
            assert (await keys.manager()).environment == "staging"

    run(work())


def test_errors_are_those_of_a_key_manager(vault: Vault) -> None:
    async def work() -> None:
        async with AsyncKeyManager(**vault.settings) as keys:
            with pytest.raises(SecretNotFoundError):
                await keys.get_key("none")
            await keys.generate_key("k")
            with pytest.raises(SecretExistsError):
                await keys.generate_key("k")
            with pytest.raises(TypeError):
                await keys.get_key("k", versoin=1)  # type: ignore[call-arg]

    run(work())


def test_wrong_settings_are_told_at_the_first_use() -> None:
    async def work() -> None:
        keys = AsyncKeyManager(environment="nowhere")
        with pytest.raises(ConfigurationError):
            async with keys:
                pass

    run(work())


def test_a_given_manager_is_shared_and_left_open() -> None:
    async def work() -> None:
        with KeyManager(store=MemoryStore()) as manager:
            async with AsyncKeyManager(manager=manager) as keys:
                await keys.generate_key("k")
                assert await keys.get_key("k") is manager.get_key("k")
                assert await keys.manager() is manager
            assert manager.get_key("k")
        with pytest.raises(ConfigurationError):
            AsyncKeyManager("https://vault.example.com", manager=manager)

    run(work())


def test_settings_of_an_override_block_hold_where_it_is_first_used() -> None:
    async def work() -> None:
        with override(environment="staging"):
            async with AsyncKeyManager() as keys:
                assert (await keys.manager()).environment == "staging"

    run(work())


def test_the_loop_goes_on_while_vault_does_not_answer(faulty: Any) -> None:
    server = faulty(silent=True)

    async def work() -> None:
        async with AsyncKeyManager(server.url, "token", vault_timeout=LATE) as keys:
            reading = asyncio.create_task(keys.get_key("k"))
            writing = asyncio.create_task(keys.set_secret("s", "x"))
            # Both requests hang, and the loop alone can end that.
            await until(lambda: len(server.received) > 1)
            assert not reading.done()
            assert not writing.done()
            server.close()
            for task in (reading, writing):
                with pytest.raises(SecretError):
                    await task

    run(work())


IMPORTS = """
import asyncio, sys, threading
from importlib.abc import MetaPathFinder
import secureml
secureml.AsyncKeyManager
seen = {}
class Watch(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        seen.setdefault(name, threading.current_thread() is threading.main_thread())
sys.meta_path.insert(0, Watch())
async def work():
    keys = secureml.AsyncKeyManager("http://127.0.0.1:1", "token", vault_timeout=0.2)
    try:
        async with keys:
            await keys.get_key("k")
    except secureml.errors.SecureMLError as error:
        print(type(error).__name__)
asyncio.run(work())
print(seen["dynaconf"], seen["hvac"])
print(sorted(name for name, main in seen.items() if main and name.startswith("secureml")))
"""


def test_what_is_heavy_is_imported_in_another_thread(run_python: Any) -> None:
    done = run_python("-c", IMPORTS)
    assert done.stdout.splitlines() == ["VaultUnavailableError", "False False", "[]"], done.stderr


def test_concurrent_reads_make_one_request(gate: Gate) -> None:
    async def work() -> None:
        async with AsyncKeyManager(store=gate) as keys:
            readers = [asyncio.create_task(keys.get_key("k")) for _ in range(100)]
            await until(lambda: gate.begun)
            gate.go.set()
            await asyncio.gather(*readers)

    MemoryStore.write(gate, "k", {"value": "5e" * 32}, cas=None)
    run(work())
    assert gate.begun == ["read k"]


def test_a_cancelled_read_is_left_at_once_and_keeps_no_lock(gate: Gate) -> None:
    async def work() -> None:
        async with AsyncKeyManager(store=gate) as keys:
            first = asyncio.create_task(keys.get_key("k"))
            await until(lambda: gate.begun)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            gate.go.set()
            assert (await keys.get_key("k")).version == 1

    MemoryStore.write(gate, "k", {"value": "5e" * 32}, cas=None)
    run(work())


def test_a_cancelled_write_is_left_once_it_is_over(gate: Gate) -> None:
    async def work() -> None:
        async with AsyncKeyManager(store=gate) as keys:
            writing = asyncio.create_task(keys.set_secret("s", "x"))
            await until(lambda: gate.begun)
            for _ in range(3):
                writing.cancel()
                await asyncio.sleep(0)
            assert not writing.done()
            gate.go.set()
            with pytest.raises(asyncio.CancelledError):
                await writing
            assert MemoryStore.read(gate, "s").record is not None

    run(work())


def test_a_cancelled_write_that_has_not_begun_never_does(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asynchronous, "_THREADS", 1)

    async def work() -> None:
        async with AsyncKeyManager(store=gate) as keys:
            first = asyncio.create_task(keys.set_secret("first", "x"))
            await until(lambda: gate.begun)
            second = asyncio.create_task(keys.set_secret("second", "x"))
            await asyncio.sleep(0)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            gate.go.set()
            await first

    run(work())
    assert gate.begun == ["read first", "write first"]


def test_close_waits_for_no_read(faulty: Any) -> None:
    server = faulty(silent=True)

    async def work() -> None:
        keys = AsyncKeyManager(server.url, "token", vault_timeout=LATE)
        reading = asyncio.create_task(keys.get_key("k"))
        await until(lambda: server.received)
        await keys.close()
        await keys.close()
        with pytest.raises(SecretError, match="closed"):
            await keys.get_key("k")
        server.close()
        with pytest.raises(SecureMLError):
            await reading

    run(work())


def test_a_manager_that_was_closed_before_its_first_use_is_not_opened() -> None:
    async def work() -> None:
        keys = AsyncKeyManager(environment="nowhere")
        await keys.close()
        with pytest.raises(SecretError, match="closed"):
            await keys.manager()

    run(work())


def test_loops_threads_and_forked_children_share_it(in_child: Any) -> None:
    keys = AsyncKeyManager(store=MemoryStore())
    run(keys.generate_key("k"))
    key = run(keys.get_encryption_key("k"))
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(run(keys.get_encryption_key("k"))))
    thread.start()
    thread.join(LATE)
    assert found == [key]
    assert in_child(lambda: run(keys.get_encryption_key("k")) == key).report() == "True"
    run(keys.close())

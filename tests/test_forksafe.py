"""Work done once for all threads, and locks that a child process can take."""

from __future__ import annotations

import ast
import dis
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import secureml
from secureml import forksafe
from secureml.errors import AccessDeniedError, SecretError, SecretNotFoundError
from secureml.forksafe import BusyError, CachedProperty, ForkSafeLock, Latch, SingleFlight, unforked

THREADS = 8


class Work:
    """Work that waits until it is let go, and counts how often it was begun."""

    def __init__(self, outcome: Callable[[int], Any] = lambda number: number) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.count = 0
        self._outcome = outcome

    def __call__(self) -> Any:
        self.count += 1
        number = self.count
        self.begun.release()
        assert self.go_on.wait(30)
        return self._outcome(number)


@pytest.fixture
def together() -> Iterator[Callable[..., list[Future[Any]]]]:
    """Run ``SingleFlight.run`` in threads; return their futures once all but the leader wait."""
    pools = []

    def start(flights: SingleFlight[str, Any], work: Work, **more: Any) -> list[Future[Any]]:
        pools.append(ThreadPoolExecutor(THREADS))
        leader = pools[-1].submit(flights.run, "k", work, **more)
        assert work.begun.acquire(timeout=30)
        flight = flights._flights["k"]
        arrived = threading.Semaphore(0)
        wait = flight.over.wait

        def arrive(seconds: float) -> bool:
            arrived.release()
            return wait(seconds)

        flight.over.wait = arrive  # type: ignore[method-assign]  # tells that a thread waits
        others = [pools[-1].submit(flights.run, "k", work, **more) for _ in range(THREADS - 1)]
        for _ in others:
            assert arrived.acquire(timeout=30)
        return [leader, *others]

    yield start
    for pool in pools:
        pool.shutdown()


def test_threads_that_want_the_same_at_once_share_one_run(together: Any) -> None:
    flights: SingleFlight[str, Any] = SingleFlight()
    kept: list[Any] = []
    work = Work(lambda number: [number])
    futures = together(flights, work, on_result=kept.append)
    work.go_on.set()
    results = [future.result(30) for future in futures]
    assert all(result is results[0] for result in results)
    assert (work.count, kept) == (1, [results[0]])
    assert flights.run("k", work) == [2]


def test_other_work_does_not_wait() -> None:
    flights: SingleFlight[str, Any] = SingleFlight()
    with ThreadPoolExecutor(1) as pool:
        work = Work()
        future = pool.submit(flights.run, "k", work)
        assert work.begun.acquire(timeout=30)
        assert flights.run("other", lambda: "done") == "done"
        work.go_on.set()
        assert future.result(30) == 1


def test_an_error_is_everyones_and_is_forgotten(together: Any) -> None:
    def fail(number: int) -> None:
        if number == 1:
            raise AccessDeniedError("denied", mount="m", path="p", capability="read")

    flights: SingleFlight[str, Any] = SingleFlight()
    kept: list[Any] = []
    work = Work(fail)
    futures = together(flights, work, on_result=kept.append)
    work.go_on.set()
    errors = [future.exception(30) for future in futures]
    assert all(isinstance(error, AccessDeniedError) for error in errors)
    assert {(error.message, error.path) for error in errors} == {("denied", "p")}  # type: ignore[union-attr]  # see above
    assert len({id(error) for error in errors}) == THREADS
    assert all(error.__context__ is None for error in errors if error is not None)
    assert (work.count, kept) == (1, [])
    assert flights.run("k", work) is None


@pytest.mark.parametrize("reason", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_when_the_leader_dies_another_thread_takes_the_lead(
    together: Any, reason: type[BaseException]
) -> None:
    def die(number: int) -> int:
        if number == 1:
            raise reason
        return number

    flights: SingleFlight[str, Any] = SingleFlight()
    work = Work(die)
    leader, *others = together(flights, work)
    work.go_on.set()
    with pytest.raises(reason):
        leader.result(30)
    # Who comes after the second run is over begins a third.
    assert all(2 <= future.result(30) <= work.count <= THREADS for future in others)
    assert flights._flights == {}


def test_work_that_was_discarded_is_not_kept_and_takes_nobody_on(together: Any) -> None:
    flights: SingleFlight[str, Any] = SingleFlight()
    kept: list[Any] = []
    work = Work()
    futures = together(flights, work, on_result=kept.append)
    flights.discard(lambda key: key == "other")
    flights.discard(lambda key: key == "k")
    assert flights.run("k", lambda: "new", kept.append) == "new"
    work.go_on.set()
    assert [future.result(30) for future in futures] == [1] * THREADS
    assert kept == ["new"]


def test_old_work_ends_no_new_flight() -> None:
    flights: SingleFlight[str, Any] = SingleFlight()
    old, new = Work(), Work()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(flights.run, "k", old)
        assert old.begun.acquire(timeout=30)
        flights.discard(lambda key: True)
        kept: list[Any] = []
        second = pool.submit(flights.run, "k", new, kept.append)
        assert new.begun.acquire(timeout=30)
        old.go_on.set()
        first.result(30)
        new.go_on.set()
        second.result(30)
    assert kept == [1]


def test_work_that_asks_for_itself_does_not_wait_for_itself() -> None:
    flights: SingleFlight[str, Any] = SingleFlight()
    assert flights.run("k", lambda: flights.run("k", lambda: "inner")) == "inner"


@pytest.mark.parametrize("error", [SecretNotFoundError("x", looked_in=["a"]), SecretError("y")])
def test_waiting_threads_raise_an_error_that_says_the_same(
    together: Any, error: SecretError
) -> None:
    error.request_id = "id"

    def fail(_: int) -> None:
        raise error

    work = Work(fail)
    futures = together(SingleFlight(), work)
    work.go_on.set()
    for future in futures:
        found = future.exception(30)
        assert (type(found), vars(found)) == (type(error), vars(error))


FORK = """
    import os, signal, threading
    from secureml import configuration
    from secureml.forksafe import SingleFlight
    from secureml.key_management import KeyManager, default, get_default_key_manager
    from secureml.stores import MemoryStore

    class Store(MemoryStore):
        reads = 0

        def read(self, name, version=None, **more):
            self.reads += 1
            if threading.current_thread().name == "held":
                begun.set()
                threading.Event().wait()
            return super().read(name, version, **more)

    begun = threading.Event()
    store = Store()
    manager = KeyManager(store=store, environment="development", vault_settings=True)
    manager.generate_key("master_key")
    manager.generate_key("other")
    manager.get_key()

    def hold():
        locks = (manager._connection._lock, manager._cache._lock, manager._notifier._lock,
                 manager._remote._lock, configuration.process._lock, default._lock)
        for lock in locks:
            lock.mutex.__enter__()
        manager.get_key("other")

    threading.Thread(target=hold, name="held", daemon=True).start()
    assert begun.wait(30)
    signal.alarm(30)
    before = store.reads
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # ends the child where it hangs
        manager.get_key()
        kept = store.reads == before
        manager.get_key("other")
        manager.on_rotate(lambda old, new: None)
        manager.invalidate()
        manager.rotate_key()
        manager.get_key()
        manager.close()
        configuration.configure(environment="development")
        get_default_key_manager()
        os._exit(7 if kept else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="processes do not fork here")
def test_a_child_can_use_what_a_thread_of_its_parent_was_using(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run_python("-W", "ignore", "-c", textwrap.dedent(FORK))
    assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr


LOCKS = {
    *("Lock", "RLock", "Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier"),
    "cached_property",  # in Python 3.11 it holds a lock while it computes
}


def test_every_lock_of_the_package_is_one_that_forks_and_signals_do_not_leave_taken() -> None:
    package = Path(secureml.__file__).parent
    found = []
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            name = node.attr if isinstance(node, ast.Attribute) else None
            names = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else ()
            if name in LOCKS or LOCKS & set(names):
                found.append(file.relative_to(package).as_posix())
    # Where that lock is made, of the interpreter's own.
    assert set(found) == {"forksafe.py"}


class Late(Exception):
    """What a signal handler raises."""


def interrupted_after(call: int, work: Callable[[], object]) -> bool:
    """Run with an exception after one of the lock's calls; False where it makes fewer.

    There the interpreter looks for signals: after a call, and where a function begins.
    """
    left = call
    last = ""

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left, last
        if frame.f_code.co_filename != forksafe.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            looks_for_signals = last.startswith(("CALL", "RESUME"))
            last = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            left -= looks_for_signals
            if looks_for_signals and left == 0:
                raise Late
        return trace

    before = sys.gettrace()
    # Python 3.12 sends events of opcodes only if a frame wanted them before.
    sys._getframe().f_trace_opcodes = True
    try:
        sys.settrace(trace)
        work()
    except Late:
        return True
    finally:
        sys.settrace(before)
    return False


def test_an_exception_after_any_call_leaves_no_lock_taken() -> None:
    lock = ForkSafeLock()

    def work() -> None:
        with lock.mutex:
            pass

    call = 1
    while interrupted_after(call, work):
        assert not lock.held
        call += 1
    assert call > 1


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no such timer here")
def test_a_storm_of_signals_whose_handler_raises_leaves_no_lock_taken() -> None:
    lock = ForkSafeLock()
    caught = 0

    def handler(*_: object) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, handler)
    try:
        while caught < 2000:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0001)
                while True:
                    with lock.mutex:
                        pass
            except Late:
                caught += 1
            assert not lock.held
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_lock_that_is_not_given_back_is_no_outage() -> None:
    lock = ForkSafeLock()
    with ThreadPoolExecutor(1) as pool, lock.mutex:
        assert lock.held

        def take() -> bool:
            assert not lock.held
            with pytest.raises(BusyError), lock.within(0):
                raise AssertionError("taken twice")
            return True

        assert pool.submit(take).result(30)
    assert not lock.held


def test_a_latch_lets_on_who_waits_and_who_comes_later() -> None:
    latch = Latch()
    assert not latch.wait(0)
    with ThreadPoolExecutor(THREADS) as pool:
        waiting = [pool.submit(latch.wait, 30) for _ in range(THREADS)]
        latch.open()
        assert all(each.result(30) for each in waiting)
    assert latch.wait(0)


def test_no_child_is_forked_while_another_thread_imports(in_child: Any) -> None:
    begun, forks = threading.Event(), threading.Event()
    over: list[bool] = []

    def imports() -> None:
        with unforked():
            begun.set()
            assert forks.wait(30)
            # Time in which the fork comes, and would not wait.
            threading.Event().wait(0.2)
            over.append(True)

    importer = threading.Thread(target=imports)
    importer.start()
    assert begun.wait(30)
    forks.set()
    assert in_child(lambda: over).report() == "[True]"
    importer.join()
    # Both can go on.
    with unforked():
        assert in_child(lambda: over).report() == "[True]"


FIRST_USE = """
    import sys
    import secureml

    url, token = sys.argv[1:]
    manager = secureml.KeyManager(
        url, token, environment="development", vault_path="first-use", vault_timeout=5
    )
    manager._connection.store()
    before = set(sys.modules)
    manager.generate_key("master_key")
    manager.get_key()
    print(sorted(set(sys.modules) - before))

    import pandas

    table = pandas.DataFrame({"ssn": ["219-09-9999"], "email": ["a.person@example.com"]})
    secureml.anonymize
    before = set(sys.modules)
    secureml.anonymize(table, sensitive_columns=["ssn", "email"], key_manager=manager)
    print(sorted(set(sys.modules) - before))
"""


def test_the_first_request_and_the_first_table_import_nothing(bao: Any, run_python: Any) -> None:
    url = bao.url.replace("127.0.0.1", "localhost")
    token = bao.root_token.reveal()
    done = run_python("-c", textwrap.dedent(FIRST_USE), url, token)
    assert (done.returncode, done.stdout) == (0, "[]\n[]\n"), done.stderr


FORK_IN_IMPORT = """
    import importlib.abc, os, select, signal, sys, threading
    import secureml

    module, url, token = sys.argv[1:]
    begun = threading.Event()

    class Slow(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name == module and not begun.is_set():
                begun.set()
                threading.Event().wait(0.3)  # time in which the fork comes, and has to wait

    sys.meta_path.insert(0, Slow())

    def read():
        manager = secureml.KeyManager(url, token, environment="development", vault_path="forked")
        return manager.get_secret("absent", "absent")

    def anonymize():
        # What says that it is of a library has its adapter imported.
        table = type("Frame", (), {"__module__": module})()
        try:
            return secureml.anonymize(table)
        except Exception as error:
            return type(error).__name__

    use = read if module in ("hvac", "dynaconf") else anonymize
    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    assert begun.wait(60)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, use().encode())
        os._exit(0)
    if select.select([reading], [], [], 30)[0]:
        print(os.read(reading, 100).decode())
    else:
        print("hangs")
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
@pytest.mark.parametrize("module", ["hvac", "dynaconf", "pyarrow", "pandas"])
def test_a_child_that_is_forked_while_a_thread_uses_the_library_first_does_not_hang(
    bao: Any, run_python: Any, module: str
) -> None:
    token = bao.root_token.reveal()
    done = run_python("-W", "ignore", "-c", textwrap.dedent(FORK_IN_IMPORT), module, bao.url, token)
    expected = "absent" if module in ("hvac", "dynaconf") else "TypeError"
    assert (done.returncode, done.stdout) == (0, f"{expected}\n"), done.stderr


def test_an_attribute_is_computed_once_and_kept_without_a_lock() -> None:
    class Table:
        computed = 0

        @CachedProperty
        def rows(self) -> int:
            """How many there are."""
            self.computed += 1
            return 5

    table, other = Table(), Table()
    assert (table.rows, table.rows, table.computed, other.computed) == (5, 5, 1, 0)
    assert pickle.loads(pickle.dumps(vars(table))) == {"computed": 1, "rows": 5}

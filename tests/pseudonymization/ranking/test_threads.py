from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from secureml.pseudonymization.ranking import threads


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "FEWEST", 100)
    monkeypatch.setattr(threads, "cores", lambda: 3)


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("rows", "longest", "parts"),
    [(0, 50, 1), (1, 50, 1), (99, 1000, 1), (199, 1000, 1), (200, 1000, 2), (1000, 1000, 3)],
)
def test_a_column_is_cut_for_every_core_that_has_enough_to_do(
    rows: int, longest: int, parts: int
) -> None:
    assert len(threads.cut(rows, longest)) == parts


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("rows", [0, 1, 50, 51, 333, 1000])
def test_parts_are_the_column_and_none_is_too_long(rows: int) -> None:
    spans = threads.cut(rows, 50)
    assert [row for span in spans for row in range(rows)[span]] == list(range(rows))
    assert all(span.stop - span.start <= 50 for span in spans)


@pytest.mark.usefixtures("three")
def test_parts_come_back_in_their_order_from_threads_at_work_together() -> None:
    together = threading.Barrier(3, timeout=30)

    def work(part: int) -> int:
        if part < 3:
            together.wait()
        return -part

    assert threads.on_cores(work, range(10), 1000) == [-part for part in range(10)]


@pytest.mark.usefixtures("three")
def test_a_short_column_is_the_calling_threads() -> None:
    idents = threads.on_cores(lambda _: threading.get_ident(), range(10), 199)
    assert set(idents) == {threading.get_ident()}


@pytest.mark.usefixtures("three")
def test_the_parts_of_a_part_are_its_threads_own() -> None:
    def work(_: int) -> list[bool]:
        here = threading.get_ident()
        return threads.on_cores(lambda _: threading.get_ident() == here, range(4), 1000)

    assert threads.on_cores(work, range(3), 1000) == [[True] * 4] * 3


@pytest.mark.usefixtures("three")
def test_what_a_part_raises_is_raised() -> None:
    def work(part: int) -> float:
        return 1 / (part - 5)

    with pytest.raises(ZeroDivisionError):
        threads.on_cores(work, range(10), 1000)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes can't be bound here")
def test_a_process_that_is_bound_to_one_core_uses_one() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert threads.cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert threads.cores() == len(before)


_LATE = """
import atexit, sys, threading
from secureml.pseudonymization.ranking import threads

threads.cores = lambda: 3

def work(part):
    return threads.on_cores(lambda one: -one, range(part, part + 3), 2 * threads.FEWEST)

def last():
    if threading.current_thread() is not threading.main_thread():
        threading.main_thread().join()
    print(work(0))

if sys.argv[1] == "thread":
    threading.Thread(target=last).start()
else:
    atexit.register(last)
"""


@pytest.mark.parametrize("when", ["thread", "atexit"])
def test_after_the_main_thread_has_ended_the_calling_thread_does_the_work(when: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _LATE, when], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "[0, -1, -2]\n", "")


@pytest.mark.usefixtures("three")
def test_what_no_thread_can_be_started_for_is_the_calling_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, started = threading.Thread.start, []

    def refuse(thread: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    together = threading.Event()

    def work(part: int) -> int:
        if part == 0:
            assert together.wait(30)  # or the first thread would take the others too
        together.set() if part == 9 else None
        return -part

    assert threads.on_cores(work, range(10), 1000) == [-part for part in range(10)]


@pytest.mark.usefixtures("three")
def test_an_error_in_the_work_is_not_taken_for_the_want_of_a_thread() -> None:
    def work(part: int) -> int:
        raise RuntimeError(f"part {part}")

    with pytest.raises(RuntimeError, match="part 0"):
        threads.on_cores(work, range(10), 1000)

"""The file of events: its lines, its owner, its rotation, and processes that share it."""

from __future__ import annotations

import logging
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import secureml
from helpers.audit import KEY, Log, in_memory, posix_only
from secureml.audit import _append
from secureml.errors import SecretError, SecretNotFoundError
from secureml.stores import MemoryStore


@posix_only
def test_only_the_owner_can_read_the_file_from_the_beginning(log, manager):
    before = os.umask(0)
    try:
        manager.generate_key("k")
    finally:
        os.umask(before)
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


def test_the_audit_log_keeps_its_lines_and_its_place(log, monkeypatch, tmp_path):
    log.path.write_text('{"earlier": 1}\n')
    monkeypatch.setenv("SECUREML_AUDIT_LOG", "audit.log")
    manager = in_memory()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    manager.generate_key("k")
    assert [event.get("earlier") for event in log.events()] == [1, None, None]
    assert list(Path.cwd().iterdir()) == []


@posix_only
def test_a_rotated_file_is_left_and_a_new_one_begun(log, manager, tmp_path):
    manager.generate_key("k")
    log.path.rename(tmp_path / "audit.log.1")
    manager.get_key("k")
    assert [event["operation"] for event in log.events()] == ["get_key"]
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
    assert len(Log(tmp_path / "audit.log.1").events()) == 2


def broken(name: str, folder: Path) -> Path:
    """A target that takes no event."""
    match name:
        case "full":
            return Path("/dev/full")
        case "folder removed":
            return folder / "gone" / "audit.log"
        case "a folder":
            return folder
        case "a pipe without a reader":
            os.mkfifo(folder / "pipe")
            return folder / "pipe"
    raise AssertionError(name)


broken_targets = pytest.mark.parametrize(
    "target", ["full", "folder removed", "a folder", "a pipe without a reader"]
)


@posix_only
@broken_targets
def test_no_key_is_handed_out_whose_event_is_required_and_can_not_be_written(
    target, tmp_path, caplog
):
    caplog.set_level(logging.INFO, "secureml.audit")
    store = MemoryStore()
    in_memory(store).import_key("k", KEY)
    caplog.clear()
    path = broken(target, tmp_path)
    manager = in_memory(store, audit_log=path, audit_required=True)
    for attempt in (
        lambda: manager.get_key("k"),
        lambda: manager.get_key("k"),  # held in memory by now
        lambda: manager.get_encryption_key("k", encoding="hex"),
        lambda: manager.get_secret("k"),
        lambda: manager.get_secret("none", default="d"),
        lambda: manager.derive_key(KEY, "purpose"),
        lambda: manager.key_info("k"),
        manager.list_keys,
    ):
        with pytest.raises(SecretError, match="nothing is handed out") as caught:
            attempt()
        assert str(path) in str(caught.value)
        assert caught.value.__context__ is None
    told = [entry.secureml["outcome"] for entry in caplog.records if hasattr(entry, "secureml")]
    assert told == ["SecretError"] * 8


@posix_only
@broken_targets
def test_nothing_is_changed_whose_attempt_can_not_be_written(target, tmp_path):
    store = MemoryStore()
    info = in_memory(store).import_key("k", KEY, rotation_period=1)
    manager = in_memory(store, audit_log=broken(target, tmp_path), audit_required=True)
    for attempt in (
        lambda: manager.generate_key("new"),
        lambda: manager.import_key("new", KEY),
        lambda: manager.set_secret("new", "x"),
        lambda: manager.rotate_key("k"),
        lambda: manager.set_rotation_period("k", 2),
        lambda: manager.disable_key_version("k", 1),
        lambda: manager.enable_key_version("k", 1),
        lambda: manager.destroy_key_version("k", 1, info.fingerprint),
    ):
        with pytest.raises(SecretError, match="nothing was changed") as caught:
            attempt()
        assert caught.value.__context__ is None
    assert store.names() == ("k",)
    assert [version.state for version in store.versions("k")] == ["enabled"]


@posix_only
def test_a_change_whose_result_can_not_be_written_is_reported_as_made(tmp_path):
    target = tmp_path / "audit.log"

    class FillsTheDisk(MemoryStore):
        def write(self, name, fields, *, cas):
            target.unlink()
            target.symlink_to("/dev/full")
            return super().write(name, fields, cas=cas)

    store = FillsTheDisk()
    manager = in_memory(store, audit_log=target, audit_required=True)
    with pytest.raises(SecretError, match="the change itself was made"):
        manager.generate_key("k")
    assert store.names() == ("k",)


@posix_only
def test_an_operation_that_fails_anyway_keeps_its_own_error():
    manager = in_memory(audit_log="/dev/full", audit_required=True)
    with pytest.raises(SecretNotFoundError):
        manager.get_key("none")


@posix_only
@broken_targets
def test_an_event_that_is_not_required_holds_nothing_up_and_is_missed_aloud(
    target, tmp_path, caplog
):
    path = tmp_path / "audit.log"
    path.symlink_to(broken(target, tmp_path))
    manager = in_memory(audit_log=path)
    for _ in range(2):
        manager.get_secret("none")
    assert [(entry.levelname, str(path) in entry.getMessage()) for entry in caplog.records] == [
        ("WARNING", True)
    ]
    path.unlink()
    manager.get_secret("none")
    assert len(Log(path).events()) == 1
    path.unlink()
    path.symlink_to("/dev/full")
    manager.get_secret("none")
    assert len(caplog.records) == 2


def test_the_file_becomes_usable_again_without_a_new_manager(tmp_path):
    target = tmp_path / "logs" / "audit.log"
    store = MemoryStore()
    in_memory(store).import_key("k", KEY)
    manager = in_memory(store, audit_log=target, audit_required=True)
    with pytest.raises(SecretError):
        manager.get_key("k")
    target.parent.mkdir()
    assert manager.get_encryption_key("k") == KEY
    assert len(Log(target).events()) == 1


NO_ROOM = """
    import resource, signal, sys
    from secureml.errors import SecretError
    from secureml.key_management import KeyManager
    from secureml.stores import MemoryStore

    manager = KeyManager(
        store=MemoryStore(), environment="development", audit_log="audit.log", audit_required=True
    )
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most))
    written = 0
    try:
        while True:
            manager.derive_key(bytes(16), "purpose")
            written += 1
    except SecretError as error:
        print(written, "no room for a whole line" in str(error))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    manager.derive_key(bytes(16), "purpose")
"""


@posix_only
def test_a_line_that_fits_only_in_part_is_taken_back(log, run_python):
    done = run_python("-c", textwrap.dedent(NO_ROOM))
    assert done.returncode == 0, done.stderr
    written, is_whole_line = done.stdout.split()
    assert is_whole_line == "True"
    assert len(log.events()) == int(written) + 1


FORK = """
    import os
    from secureml.key_management import KeyManager
    from secureml.stores import MemoryStore

    manager = KeyManager(store=MemoryStore(), environment="development", audit_log="audit.log")
    manager.generate_key("k")
    child = os.fork()
    manager.get_key("k")
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    print(os.getpid(), child)
"""


@posix_only
def test_after_a_fork_both_processes_write_under_their_own_ids(log, run_python):
    done = run_python("-c", textwrap.dedent(FORK))
    assert done.returncode == 0, done.stderr
    parent, child = (int(pid) for pid in done.stdout.split())
    assert Counter(event["pid"] for event in log.events()) == {parent: 3, child: 1}


MANY = """
    from secureml.key_management import KeyManager
    from secureml.stores import MemoryStore

    manager = KeyManager(
        store=MemoryStore(), environment="development", audit_log="audit.log", audit_required=True
    )
    print("ready", flush=True)
    input()
    for number in range(1000):
        manager.derive_key(bytes(16), f"purpose {number} " + "x" * number)
"""


@posix_only
def test_four_processes_write_one_file_of_whole_lines_while_it_is_rotated(log, tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(MANY)]
    environment = {**os.environ, "PYTHONPATH": str(Path(secureml.__file__).parents[1])}
    pipe = subprocess.PIPE
    writers = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment) for _ in range(4)
    ]
    for writer in writers:
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    rotated = tmp_path / "audit.log.1"
    while not rotated.exists():
        if log.path.exists():
            log.path.rename(rotated)
        assert any(writer.poll() is None for writer in writers), "they ended before the rotation"
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert Log(rotated).events()
    events = [*Log(rotated).events(), *log.events()]
    for writer in writers:
        purposes = [event["purpose"] for event in events if event["pid"] == writer.pid]
        assert sorted(int(purpose.split()[1]) for purpose in purposes) == list(range(1000))


def test_threads_share_a_file(log, manager):
    manager.generate_key("k")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: manager.get_key("k"), range(400)))
    assert len({event["id"] for event in log.events()}) == 401


@posix_only
def test_a_file_that_somebody_keeps_locked_can_not_be_written(log, manager, monkeypatch):
    import fcntl

    manager.generate_key("k")
    before = log.path.read_bytes()
    passed = [0.0]
    with log.path.open("rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        problem = _append(
            log.path,
            {"operation": "x"},
            seconds=60,
            clock=lambda: passed[0],
            sleep=lambda seconds: passed.__setitem__(0, passed[0] + seconds),
        )
        assert problem == "another process keeps it locked"
        assert 60 <= passed[0] < 61
        required = in_memory(audit_log=log.path, audit_required=True)
        impatient = {**_append.__kwdefaults__, "seconds": 0}
        monkeypatch.setattr(_append, "__kwdefaults__", impatient)
        with pytest.raises(SecretError, match="keeps it locked; nothing was changed"):
            required.generate_key("other")
    assert log.path.read_bytes() == before


@posix_only
def test_a_fork_while_another_thread_writes_leaves_the_file_unlocked(
    log, manager, in_child, monkeypatch
):
    manager.generate_key("k")
    begun, go_on = threading.Event(), threading.Event()
    write = os.write

    def slowly(file, line):
        monkeypatch.setattr(os, "write", write)
        begun.set()
        assert go_on.wait(30)
        return write(file, line)

    monkeypatch.setattr(os, "write", slowly)
    writer = threading.Thread(target=manager.get_key, args=("k",))
    writer.start()
    assert begun.wait(30)
    ended, end = os.pipe()
    copy = in_child(lambda: os.read(ended, 1))  # lives on, with what it has inherited
    go_on.set()
    writer.join()
    assert in_child(lambda: manager.get_key("k").version).report() == "1"
    os.write(end, b"x")
    assert copy.report() == "b'x'"
    os.close(ended)
    os.close(end)
    assert len(log.events()) == 4


@posix_only
def test_a_signal_handler_in_the_middle_of_a_line_writes_its_own(
    log, manager, in_child, monkeypatch
):
    manager.generate_key("k")
    write = os.write

    def interrupted(file, line):
        monkeypatch.setattr(os, "write", write)
        signal.raise_signal(signal.SIGUSR1)
        return write(file, line)

    def work():
        signal.signal(signal.SIGUSR1, lambda *_: manager.get_key("k"))
        monkeypatch.setattr(os, "write", interrupted)
        return manager.get_key("k").version

    assert in_child(work).report() == "1"
    assert [event["operation"] for event in log.events()][2:] == ["get_key"] * 2


@posix_only
def test_a_link_in_the_place_of_the_file_is_not_followed(log, tmp_path):
    target = tmp_path / "target"
    log.path.symlink_to(target)
    manager = in_memory(audit_log=log.path, audit_required=True)
    with pytest.raises(SecretError, match="it is a symbolic link"):
        manager.generate_key("k")
    assert not target.exists()


def test_a_system_without_shared_locks_is_told_what_is_missing(log, monkeypatch):
    monkeypatch.setattr("secureml.audit.fcntl", None)
    manager = in_memory(audit_log=log.path, audit_required=True)
    with pytest.raises(SecretError, match=r"fcntl is missing\); nothing was changed"):
        manager.generate_key("k")

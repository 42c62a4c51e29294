"""A signal that ends a command leaves nothing in clear."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import secureml
from helpers.commands import Run
from secureml.cli.signals import tidied_up

SCRIPT = Path(__file__).with_name("pausing.py")
ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGXCPU")


@pytest.fixture
def folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a pseudonymized file, whose key is a variable."""
    monkeypatch.setenv("SECUREML_ENV", "development")
    monkeypatch.setenv("SECUREML_MASTER_KEY", "5e" * 32)
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    plain = folder / "plain.csv"
    plain.write_text("ssn\n" + "".join(f"{n}-12-3456\n" for n in range(100, 900)))
    assert run("anonymize", plain, "--output", "hidden.csv", "--columns", "ssn").code == 0
    plain.unlink()
    return folder


def started(kind, *arguments, ignored="none"):
    """Start a command, and wait until it has done some rows."""
    process = subprocess.Popen(
        [sys.executable, SCRIPT, kind, ignored, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(secureml.__file__).parents[1])},
        start_new_session=True,
    )
    killer = threading.Timer(60, process.kill)
    killer.daemon = True
    killer.start()
    assert process.stdout.readline() == b"paused\n", process.stderr.read()
    return process, killer


def ended(process, killer, number):
    """Send a signal, and return the exit code and what is said."""
    process.send_signal(number)
    errors = process.communicate()[1].decode()
    killer.cancel()
    assert "Traceback" not in errors
    return process.returncode, errors


@pytest.mark.parametrize("kind", ["named", "nameless"])
@pytest.mark.parametrize("name", ENDING)
def test_a_signal_leaves_no_file(folder, name, kind):
    before = sorted(folder.iterdir())
    process, killer = started(kind, "reidentify", "hidden.csv", "--output", "back.csv")
    assert len(list(folder.iterdir())) == len(before) + (kind == "named")
    code, _ = ended(process, killer, getattr(signal, name))
    assert code > 0
    if name != "SIGINT":
        assert code == 128 + getattr(signal, name)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("arguments", [("anonymize", "--columns", "n"), ("rekey",)])
def test_other_commands_leave_no_file_of_the_output(folder, arguments, monkeypatch):
    source = "hidden.csv"
    if arguments[0] == "anonymize":
        source = "more.csv"
        (folder / source).write_text("n\n" + "123456789\n" * 500)
    else:
        arguments += ("--to-key", "other_key")
        monkeypatch.setenv("SECUREML_OTHER_KEY", "6e" * 32)
    before = {entry.name for entry in folder.iterdir()}
    command, *options = arguments
    process, killer = started("named", command, source, "--output", "out.csv", *options)
    assert ended(process, killer, signal.SIGTERM)[0] == 128 + signal.SIGTERM
    left = {entry.name for entry in folder.iterdir()} - before
    # What a rekey has done are pseudonyms, with which the next run goes on.
    assert left == ({"out.csv.rekey"} if command == "rekey" else set())


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("reidentify", "out.csv is as it was"),
        ("rekey", "out.csv is as it was; {}/out.csv.rekey holds what is done, so run it"),
    ],
)
def test_ctrl_c_says_what_is_where_and_ends_with_130(folder, monkeypatch, command, said):
    monkeypatch.setenv("SECUREML_OTHER_KEY", "6e" * 32)
    options = ("--to-key", "other_key") if command == "rekey" else ()
    process, killer = started("nameless", command, "hidden.csv", "--output", "out.csv", *options)
    code, errors = ended(process, killer, signal.SIGINT)
    assert code == 130
    assert f"interrupted: {said.format(folder)}" in errors
    assert not (folder / "out.csv").exists()


def test_ctrl_c_says_that_standard_output_is_not_complete(folder):
    process, killer = started("nameless", "reidentify", "hidden.csv", "-o", "-")
    code, errors = ended(process, killer, signal.SIGINT)
    assert (code, errors.strip()) == (
        130,
        "interrupted: what went to standard output is not complete",
    )


def test_ctrl_c_between_files_says_how_many_are_complete_and_how_to_go_on(run, folder, monkeypatch):
    (folder / "in").mkdir()
    for name in ("a", "b", "c"):
        (folder / "in" / f"{name}.csv").write_text("n\n" + "123456789\n" * 500)
    line = ("anonymize", "in", "-o", "out", "--columns", "n")
    monkeypatch.setenv("PAUSE_IN_FILE", "2")
    code, errors = ended(*started("nameless", *line), signal.SIGINT)
    assert code == 130
    assert errors.strip() == (
        "interrupted: 1 of 3 files are complete in out; run it again with --resume to go"
        " on after them"
    )
    assert [path.name for path in (folder / "out").glob("*.csv")] == ["a.csv"]
    ran = run(*line, "--resume")
    assert (ran.code, ran.err) == (0, "note: 1 more were complete before\n")
    assert sorted(path.name for path in (folder / "out").glob("*.csv")) == [
        "a.csv",
        "b.csv",
        "c.csv",
    ]


def test_ctrl_c_at_a_terminal_reaches_all_workers_and_is_one_sentence(folder):
    line = ("reidentify", "hidden.csv", "-o", "back.csv", "--workers", "2")
    process, killer = started("nameless", *line)
    os.killpg(process.pid, signal.SIGINT)
    errors = process.communicate()[1].decode()
    killer.cancel()
    assert (process.returncode, errors) == (130, "\ninterrupted: back.csv is as it was\n")
    with pytest.raises(ProcessLookupError):  # nobody is left in its group
        os.killpg(process.pid, 0)


def pressed_at(event: str, end: str, *arguments: str) -> tuple[int, str]:
    """Run a command that is interrupted at an event, and return the exit code and what is said."""
    script = SCRIPT.with_name("interrupting.py")
    done = subprocess.run(
        [sys.executable, script, event, end, *arguments],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(Path(secureml.__file__).parents[1])},
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize(
    ("event", "end", "said"),
    [
        ("import", "secureml.cli.tables.running", ""),
        ("import", "pyarrow.parquet", ": nothing was changed"),
        ("open", "hidden.csv", ": back.csv is as it was"),
        ("open", "hidden.csv.manifest.json", ": back.csv is as it was"),
    ],
)
def test_ctrl_c_at_any_moment_is_a_sentence_and_changes_nothing(folder, event, end, said):
    before = sorted(folder.iterdir())
    code, errors = pressed_at(event, end, "reidentify", "hidden.csv", "-o", "back.csv")
    assert (code, errors) == (130, f"\ninterrupted{said}\n")
    assert sorted(folder.iterdir()) == before


def test_ctrl_c_while_a_vault_does_not_answer_is_a_sentence(folder, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("SECUREML_VAULT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("SECUREML_VAULT_TOKEN", "t")
        code, errors = pressed_at(
            "socket.connect", "", "reidentify", "hidden.csv", "-o", "back.csv"
        )
    assert (code, errors) == (130, "\ninterrupted: back.csv is as it was\n")


def test_what_a_kill_leaves_is_swept_by_the_next_run(run, folder):
    before = sorted(folder.iterdir())
    process, killer = started("named", "reidentify", "hidden.csv", "--output", "back.csv")
    ended(process, killer, signal.SIGKILL)
    assert len(list(folder.iterdir())) == len(before) + 1
    assert run("reidentify", "hidden.csv", "--output", "back.csv").code == 0
    assert sorted(folder.iterdir()) == sorted([*before, folder / "back.csv"])


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="no files without a name")
def test_a_kill_leaves_nothing_if_files_need_no_name(folder):
    before = sorted(folder.iterdir())
    process, killer = started("nameless", "reidentify", "hidden.csv", "--output", "back.csv")
    ended(process, killer, signal.SIGKILL)
    assert sorted(folder.iterdir()) == before


def test_an_ignored_signal_stays_ignored(folder):
    process, killer = started(
        "named", "reidentify", "hidden.csv", "--output", "back.csv", ignored="SIGHUP"
    )
    process.send_signal(signal.SIGHUP)
    assert ended(process, killer, signal.SIGTERM)[0] == 128 + signal.SIGTERM


@pytest.mark.parametrize("name", ENDING)
def test_a_signal_that_is_lost_ends_the_work_at_the_next_rows(run, folder, monkeypatch, name):
    calls = []

    @contextlib.contextmanager
    def losing(_source, *, quiet):
        def lose(_done):
            calls.append(name)
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                signal.raise_signal(getattr(signal, name))

        yield lose

    monkeypatch.setattr("secureml.files.csv.table.CHUNK_BYTES", 1024)
    monkeypatch.setattr("secureml.cli.tables.running.progress", losing)
    before = sorted(folder.iterdir())
    assert run("reidentify", "hidden.csv", "-o", "back.csv").code == 128 + getattr(signal, name)
    assert calls == [name]
    assert sorted(folder.iterdir()) == before


def test_handlers_are_those_of_before_when_a_command_ends(run):
    before = [signal.getsignal(getattr(signal, name)) for name in ENDING]
    assert run("--version").code == 0
    assert [signal.getsignal(getattr(signal, name)) for name in ENDING] == before


def test_handlers_of_the_host_and_other_threads_are_left_alone():
    def mine(*_):
        raise AssertionError

    before = signal.signal(signal.SIGHUP, mine)
    try:
        with tidied_up():
            assert signal.getsignal(signal.SIGHUP) is mine
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)
    problems = []

    def elsewhere():
        try:
            with tidied_up():
                pass
        except ValueError as error:
            problems.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert not problems

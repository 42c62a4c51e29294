from __future__ import annotations

import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest

from secureml.vault.devserver.child import Child

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)"
)


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped doesn't."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def becomes(wanted: bool, probe) -> bool:
    deadline = time.monotonic() + 10
    while probe() is not wanted:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def sleeper(folder: Path, program: str = "pass") -> Child:
    command = [sys.executable, "-c", f"{program}; import time; time.sleep(60)"]
    return Child(command, directory=folder, log=folder / "log")


@pytest.mark.parametrize("end", [Child.stop, Child.kill])
def test_a_child_runs_until_it_is_ended_and_may_be_ended_twice(tmp_path, end):
    child = sleeper(tmp_path)
    assert child.running
    end(child)
    end(child)
    assert not child.running


def test_a_child_that_ignores_the_request_to_end_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("secureml.vault.devserver.child._STOP_SECONDS", 0.05)
    child = sleeper(tmp_path, STUBBORN)
    assert becomes(True, lambda: (tmp_path / "log").read_text() == "1\n")
    child.stop()
    assert not child.running


def test_no_variable_of_the_parent_reaches_a_child(tmp_path, monkeypatch):
    for name in ("BAO_LOG_LEVEL", "VAULT_ADDR", "http_proxy", "HTTPS_PROXY", "SECUREML_ENV"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    program = "import os; print(sorted(set(os.environ) - {'LC_CTYPE'}), os.environ['HOME'])"
    child = Child([sys.executable, "-c", program], directory=tmp_path, log=tmp_path / "log")
    assert becomes(False, lambda: child.running)
    assert (tmp_path / "log").read_text() == f"['HOME', 'PATH'] {tmp_path}\n"


@linux_only
@pytest.mark.parametrize("end", ["pass", f"os.kill(os.getpid(), {int(signal.SIGKILL)})"])
def test_a_child_ends_with_the_process_that_started_it(tmp_path, run_python, end):
    program = f"""
        import os, pathlib, sys
        from secureml.vault.devserver.child import Child
        folder = pathlib.Path({str(tmp_path)!r})
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
        print(Child(command, directory=folder, log=folder / "log").pid, flush=True)
        {end}
    """
    done = run_python("-c", textwrap.dedent(program))
    assert done.returncode == (0 if end == "pass" else -signal.SIGKILL), done.stderr
    assert becomes(False, lambda: is_alive(int(done.stdout)))

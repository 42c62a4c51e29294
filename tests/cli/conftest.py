"""Two ways to run the command: inside this process, and as a user does."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.commands import Ran, Run, in_process, secureml_command, secureml_environment
from helpers.tables import TABLE
from helpers.vault import Vault
from secureml.cli import main
from secureml.key_management import KeyManager


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process."""

    def run(*arguments: object) -> Ran:
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments], prog_name="secureml")
        captured = capsys.readouterr()
        return Ran(int(stopped.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def installed() -> Run:
    """Run the installed command in a process of its own, or the module where none is installed."""

    return lambda *arguments, **more: in_process(*secureml_command(), *arguments, **more)


@pytest.fixture
def python() -> Run:
    """Run Python in a process of its own, from where it finds the package."""
    return lambda *arguments, **more: in_process(sys.executable, *arguments, **more)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the command in a process of its own; what still runs after the test is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, **options: object) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [*secureml_command(), *arguments], env=secureml_environment(), **options
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            with process:
                process.kill()


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port that is taken and that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def plain(vault: Vault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A table, and the variables that lead to the test's own namespace, which has a key."""
    monkeypatch.setenv("SECUREML_VAULT_URL", vault.url)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", vault.token)
    monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", vault.namespace or "")
    monkeypatch.setenv("SECUREML_ENV", "development")
    with KeyManager() as manager:
        manager.generate_key("master_key")
    path = tmp_path / "plain.csv"
    path.write_text(TABLE)
    return path


@pytest.fixture
def hidden(run: Run, plain: Path) -> Path:
    assert run("anonymize", plain, "--output", "hidden.csv", "--columns", "ssn,name").code == 0
    return plain.with_name("hidden.csv")

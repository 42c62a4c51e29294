"""Two ways to run the command: inside this process, and as a user does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import secureml
from secureml.cli import main


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


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


def in_process(*command: object, data: bytes = b"", **variables: str) -> Ran:
    done = subprocess.run(
        list(map(str, command)),
        input=data,
        capture_output=True,
        env=secureml_environment() | variables,
        timeout=60,
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def secureml_command() -> list[str]:
    script = Path(sys.executable).with_name("secureml")
    return [str(script)] if script.exists() else [sys.executable, "-m", "secureml"]


def secureml_environment() -> dict[str, str]:
    # From a checkout that is not installed, the package is found by this alone.
    return {**os.environ, "PYTHONPATH": str(Path(secureml.__file__).parents[1])}


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port that is taken and that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]

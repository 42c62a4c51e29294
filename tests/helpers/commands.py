"""The commands of ``secureml``: which there are, and how a process of its own runs one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

import secureml
from secureml.cli import main


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


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


def all_commands(group: click.Group = main, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of each command below a group."""
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            found += all_commands(command, (*path, name))
        else:
            found.append((*path, name))
    return found

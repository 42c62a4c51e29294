"""``secureml completion``, in the shells themselves."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.commands import secureml_command, secureml_environment

HEAVY = ("rich", "hvac", "requests", "dynaconf", "pandas", "numpy", "pyarrow", "tomlkit")


@pytest.fixture
def shell_environment(tmp_path: Path) -> dict[str, str]:
    """Variables with which a shell finds the command, and none of its user's files."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "secureml"
    command = " ".join(f"'{part}'" for part in secureml_command())
    script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    script.chmod(0o755)
    environment = secureml_environment()
    path = f"{folder}{os.pathsep}{environment['PATH']}"
    return environment | {"PATH": path, "HOME": str(tmp_path), "ZDOTDIR": str(tmp_path)}


def bash(line: str, environment: dict[str, str]) -> list[str]:
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    script = f"""
eval "$(secureml completion bash)"
COMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1}
compopt() {{ [ "$2" != default ] || COMPREPLY=($(compgen -f -- '{words[-1]}')); }}
_secureml_completion secureml
printf '%s\\n' "${{COMPREPLY[@]}}"
complete -p secureml >&2
"""
    done = run_shell(["bash", "--norc", "-c", script], environment)
    assert "complete -o nosort -F _secureml_completion secureml" in done.stderr
    return done.stdout.split()


def fish(line: str, environment: dict[str, str]) -> list[str]:
    script = f"secureml completion fish | source; complete -C '{line}'"
    done = run_shell(["fish", "--no-config", "-c", script], environment)
    return [each.partition("\t")[0] for each in done.stdout.splitlines()]


def zsh(line: str, environment: dict[str, str]) -> list[str]:
    """Type a line and Tab at a terminal, and read what the shell lists or fills in."""
    folder = Path(environment["HOME"]) / "functions"
    folder.mkdir(exist_ok=True)
    done = run_shell(["sh", "-c", "secureml completion zsh"], environment)
    (folder / "_secureml").write_text(done.stdout)
    setup = (
        f"fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -d {folder}/dump; PS1=ready"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe("zsh", ["zsh", "-f", "-i"], environment | {"TERM": "dumb", "COLUMNS": "200"})
    try:
        os.write(terminal, b"unsetopt zle_bracketed_paste; LISTMAX=1000; " + setup.encode() + b"\n")
        read_until(terminal, b"\rready")
        os.write(terminal, line.encode() + b"\t")
        # What is typed behind it is shown once the list is there.
        os.write(terminal, b"END")
        text = read_until(terminal, b"END")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
    return re.findall(r"[\w./-]+", text)


def read_until(terminal: int, wanted: bytes) -> str:
    read = b""
    while wanted not in read:
        assert select.select([terminal], [], [], 60)[0], read
        read += os.read(terminal, 65536)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\x08", "", read.decode())


def run_shell(command: list[str], environment: dict[str, str]):
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(params=[bash, zsh, fish], ids=lambda shell: shell.__name__)
def complete(
    request: pytest.FixtureRequest, shell_environment: dict[str, str]
) -> Callable[[str], list[str]]:
    """Complete a line in a shell."""
    name = request.param.__name__
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return lambda line: request.param(line, shell_environment)


def test_a_shell_completes_commands_options_values_and_environments(complete):
    Path("settings.toml").write_text("[default]\n[qa-eu]\n")
    assert "keys" in complete("secureml ke")
    found = complete("secureml keys r")
    assert {"rotate", "restore"} <= {*found}
    assert "generate-key" not in found
    assert "--key-name" in complete("secureml keys generate-key --key")
    assert "base64" in complete("secureml keys generate-key --encoding b")
    assert "qa-eu" in complete("secureml doctor --env q")
    assert "qa-eu" in complete("secureml settings diff development q")
    assert "cache_negative_ttl" in complete("secureml settings explain cache_n")


def test_a_shell_completes_names_of_files(complete):
    Path("hidden.csv").write_text("")
    assert "hidden.csv" in complete("secureml doctor hid")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed_and_nothing_else(run, shell):
    ran = run("completion", shell)
    assert ran.code == 0
    assert "_SECUREML_COMPLETE" in ran.out
    assert "\\x" not in ran.out
    assert run("completion", "tcsh").code == 2


@pytest.mark.parametrize(
    "line",
    [
        *("secureml ke", "secureml keys ", "secureml keys generate-key --", "secureml run --"),
        *("secureml doctor --env ", "secureml anonymize --", "secureml vault status --"),
    ],
)
def test_completing_loads_nothing_heavy(python, monkeypatch, line):
    words = line.split(" ")
    script = f"""
import sys
from secureml.cli import main
try:
    main([], prog_name="secureml")
except SystemExit:
    pass
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    ran = python(
        *("-c", script),
        _SECUREML_COMPLETE="bash_complete",
        COMP_WORDS=line,
        COMP_CWORD=str(len(words) - 1),
    )
    assert ran.out.startswith("plain,")
    assert ran.err == "[]\n"


def test_settings_files_that_can_not_be_read_leave_the_three_environments(installed):
    Path("settings.toml").write_text("[default\n")
    ran = installed(
        _SECUREML_COMPLETE="bash_complete", COMP_WORDS="secureml doctor --env ", COMP_CWORD="3"
    )
    assert ran.out.split() == ["plain,development", "plain,staging", "plain,production"]

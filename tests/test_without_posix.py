"""What works, and what says why it doesn't, where the parts of POSIX are missing, as on Windows."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

HIDDEN = """
import asyncio, multiprocessing, signal, socket, ssl, subprocess, tempfile, urllib.request
import os, sys

for module in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[module] = None
for owner, names in {
    os: "fchmod fork getegid geteuid getgid getuid register_at_fork O_DIRECTORY O_NOCTTY O_NOFOLLOW"
        " O_NONBLOCK O_TMPFILE",
    socket: "AF_UNIX",
    signal: "SIGALRM SIGHUP SIGKILL SIGQUIT SIGUSR1 SIGXCPU",
}.items():
    for name in filter(lambda name: hasattr(owner, name), names.split()):
        delattr(owner, name)
from secureml.cli import main

sys.argv = ["secureml", *sys.argv[1:]]
main()
"""


@pytest.fixture
def command(
    run_python: Callable[..., subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    monkeypatch.setenv("SECUREML_ENV", "development")
    monkeypatch.setenv("USERNAME", "somebody")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = run_python("-c", HIDDEN, *arguments)
        assert "Traceback" not in done.stderr
        return done

    return run


def test_a_key_is_read_over_http_and_the_event_is_refused_in_words(command, vault, monkeypatch):
    vault.client().secrets.kv.v2.create_or_update_secret(
        "secureml/development/master_key", {"value": "ab" * 32}
    )
    monkeypatch.setenv("SECUREML_VAULT_URL", vault.url)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", vault.token)
    if vault.namespace:
        monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", vault.namespace)
    done = command("keys", "get-key", "--info")
    assert done.returncode == 0, done.stderr
    assert "version:         1" in done.stdout
    monkeypatch.setenv("SECUREML_AUDIT_LOG", "events.jsonl")
    monkeypatch.setenv("SECUREML_AUDIT_REQUIRED", "true")
    done = command("keys", "get-key", "--info")
    assert done.returncode == 1
    assert "fcntl is missing" in done.stderr


def test_a_unix_socket_is_refused_in_words(command, monkeypatch):
    monkeypatch.setenv("SECUREML_VAULT_URL", "unix:///run/agent.sock")
    done = command("keys", "get-key", "--info")
    assert done.returncode == 2
    assert "this system has no unix sockets" in done.stderr


def test_files_are_hidden_and_recovered_and_a_rekey_says_what_it_lacks(
    command, monkeypatch, tmp_path
):
    monkeypatch.setenv("SECUREML_MASTER_KEY", "ab" * 32)
    (tmp_path / "people.csv").write_text("ssn\n123-45-6789\n")
    done = command("anonymize", "people.csv", "--output", "hidden.csv", "--columns", "ssn")
    assert done.returncode == 0, done.stderr
    assert command("reidentify", "hidden.csv", "--output", "back.csv").returncode == 0
    assert (tmp_path / "back.csv").read_text() == "ssn\n123-45-6789\n"
    done = command("rekey", "hidden.csv")
    assert done.returncode == 1
    assert "fcntl" in done.stderr


def test_the_doctor_tells_what_is_there(command, monkeypatch):
    monkeypatch.setenv("SECUREML_MASTER_KEY", "ab" * 32)
    Path("settings.toml").write_text("[default]\n")
    done = command("doctor")
    assert done.returncode == 0, done.stdout
    assert "settings.toml, mode 0" in done.stdout


def test_a_program_is_run_with_a_secret_in_a_file_that_is_removed(command, monkeypatch):
    monkeypatch.setenv("SECUREML_API_KEY", "hunter22")
    script = 'cat "$KEY"; echo " $KEY"; exit 7'
    done = command("run", "--secret-file", "KEY=api_key", "--", "sh", "-c", script)
    assert done.returncode == 7, done.stderr
    content, path = done.stdout.split()
    assert content == "hunter22"
    assert not Path(path).parent.exists()


def test_settings_are_written_and_shown(command):
    done = command(
        "keys", "configure-vault", "--vault-url", "http://127.0.0.1:8200", "--env", "development"
    )
    assert done.returncode == 0, done.stderr
    assert "http://127.0.0.1:8200" in command("settings", "show").stdout

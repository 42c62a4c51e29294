"""``secureml run``: what a program receives, how it ends, and when it is not started."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.commands import secureml_command, secureml_environment
from helpers.vault import Vault
from secureml.key_management import KeyManager

SECRET = "hunter22-Ωmega"
TELL = (
    sys.executable,
    "-c",
    "import json, os; print(json.dumps(dict(os.environ)))",
)
FOLLOW = """
import signal, sys, threading
def stop(number, _):
    print(f"got {number}", flush=True)
    sys.exit(7)
signal.signal(signal.Signals[sys.argv[1]], stop)
print("ready", flush=True)
threading.Event().wait(60)
"""


@pytest.fixture
def secrets(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Vault:
    """The variables that lead to a Vault that has some secrets."""
    monkeypatch.setenv("SECUREML_VAULT_URL", vault.url)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", vault.token)
    monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", vault.namespace or "")
    monkeypatch.setenv("SECUREML_ENV", "staging")
    monkeypatch.setenv("SECUREML_USE_ENV_FALLBACK", "false")
    with KeyManager() as manager:
        manager.set_secret("database/password", SECRET)
        manager.set_secret("database/login", {"user": "app", "port": 5432, "tls": True})
        manager.set_secret("odd", "a\0b")
    return vault


@pytest.fixture
def started(secrets: Vault) -> Callable[..., subprocess.Popen[bytes]]:
    """Start a program by ``run``, and wait until it says that it is ready."""
    processes = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [*secureml_command(), "run", "--secret", "A=database/password", *arguments],
            env=secureml_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        killer = threading.Timer(60, process.kill)
        killer.daemon = True
        killer.start()
        processes.append((process, killer))
        assert process.stdout.readline() == b"ready\n", process.stderr.read()
        return process

    yield start
    for process, killer in processes:
        killer.cancel()
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_a_program_receives_the_secrets_and_no_variable_of_secureml(installed, secrets):
    ran = installed(
        "run",
        *("--secret", "DB_PASSWORD=database/password", "--secret", "PORT=database/login#port"),
        *("--secret", "TLS=database/login#tls", "--", *TELL),
        VAULT_ADDR="http://127.0.0.1:1",
        BAO_TOKEN="abc",
        _SECUREML_COMPLETE="",
        MY_VAULT="stays",
    )
    assert ran.code == 0, ran.err
    variables = json.loads(ran.out)
    assert variables["DB_PASSWORD"] == SECRET
    assert (variables["PORT"], variables["TLS"]) == ("5432", "true")
    assert variables["MY_VAULT"] == "stays"
    assert variables["PATH"] == os.environ["PATH"]
    own = ("SECUREML_", "_SECUREML_", "VAULT_", "BAO_")
    assert [name for name in variables if name.startswith(own)] == []


@pytest.mark.parametrize("mask", [(), ("--mask",)], ids=["replaced", "masked"])
def test_arguments_input_and_exit_code_are_passed_on(installed, secrets, mask):
    script = "import sys; print(sys.argv[1:], sys.stdin.read()); sys.exit(42)"
    ran = installed(
        *("run", "--secret", "A=database/password", *mask),
        *(sys.executable, "-c", script, "--mask", "-x", "--", "é"),
        data=b"typed",
    )
    assert ran.code == 42, ran.err
    assert ran.out == "['--mask', '-x', '--', 'é'] typed\n"


def test_the_program_takes_the_place_of_the_command(started):
    script = "import os; print('ready', flush=True); print(os.getpid()); input()"
    process = started("--", sys.executable, "-c", script)
    assert int(process.stdout.readline()) == process.pid


def test_no_signal_is_ignored_in_the_program(installed, secrets):
    status = "grep -E 'SigIgn' /proc/self/status"
    before = subprocess.run(["sh", "-c", status], capture_output=True, text=True, check=True)
    for mask in ((), ("--mask",)):
        ran = installed("run", "--secret", "A=database/password", *mask, "--", "sh", "-c", status)
        assert ran.out == before.stdout


@pytest.mark.parametrize("mask", [(), ("--mask",)], ids=["replaced", "masked"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1"])
def test_a_signal_reaches_the_program_which_ends_as_it_likes(started, name, mask):
    process = started(*mask, "--", sys.executable, "-c", FOLLOW, name)
    process.send_signal(getattr(signal, name))
    out, err = process.communicate()
    assert (process.returncode, out) == (7, f"got {getattr(signal, name)}\n".encode()), err


def test_a_signal_that_ends_the_program_is_128_and_its_number(started):
    process = started("--mask", "--", "sh", "-c", "echo ready; kill -TERM $$")
    assert process.wait() == 128 + signal.SIGTERM


def test_ctrl_c_at_a_terminal_reaches_a_masked_program_once(secrets):
    script = """
import signal, sys
signals = signal.SIGINT, signal.SIGUSR1
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
print("ready", flush=True)
count = 0
while signal.sigwait(signals) == signal.SIGINT:
    count += 1
print("count", count)
sys.exit(3)
"""
    arguments = [*secureml_command(), "run", "--secret", "A=database/password", "--mask", "--"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(arguments[0], [*arguments, sys.executable, "-c", script], secureml_environment())
    read = b""

    def until(wanted: bytes) -> None:
        nonlocal read
        while not re.search(wanted, read):
            assert select.select([terminal], [], [], 60)[0], read
            read += os.read(terminal, 4096)

    try:
        until(b"ready")
        os.write(terminal, b"\x03")
        until(rb"\^C")
        os.kill(pid, signal.SIGUSR1)
        until(rb"count \d+\r\n")
        assert b"count 1\r\n" in read
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    finally:
        os.close(terminal)


def test_masking_hides_the_secret_in_both_streams_and_over_two_writes(installed, secrets):
    script = """
import os, sys
secret = os.environb[b"A"]
for stream in (1, 2):
    for place in range(len(secret)):
        os.write(stream, secret[place:place + 1])
    os.write(stream, b" and " + secret + b"\\n")
"""
    masked = installed(
        *("run", "--secret", "A=database/password", "--mask", "--", sys.executable, "-c", script)
    )
    assert (masked.code, masked.out, masked.err) == (0, "*** and ***\n", "*** and ***\n")


def test_output_that_nobody_reads_ends_a_masked_program_as_it_would_alone(secrets):
    command = [*secureml_command(), "run", "--secret", "A=database/password", "--mask", "yes"]
    with subprocess.Popen(
        command, env=secureml_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.read(2) == b"y\n"
        process.stdout.close()
        assert process.wait(60) == 128 + signal.SIGPIPE
        assert process.stderr.read() == b""


def test_output_that_can_not_be_written_is_an_error(secrets):
    command = [*secureml_command(), "run", "--secret", "A=database/password", "--mask"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*command, "echo", "a"],
            env=secureml_environment(),
            stdout=full,
            stderr=-1,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == b"error: the output can't be written (No space left on device)\n"


@pytest.mark.parametrize("mask", [(), ("--mask",)], ids=["replaced", "masked"])
def test_a_secret_in_a_file_is_read_by_the_program_and_its_children(installed, secrets, mask):
    script = """
import os, subprocess, sys
path = os.environ["KEY"]
inner = "import sys; print(open(sys.argv[1], 'rb').read() == bytes.fromhex(sys.argv[2]))"
wanted = "610062"
assert open(path, "rb").read() == bytes.fromhex(wanted)
sys.exit(subprocess.run([sys.executable, "-c", inner, path, wanted]).returncode)
"""
    ran = installed("run", "--secret-file", "KEY=odd", *mask, "--", sys.executable, "-c", script)
    assert (ran.code, ran.out) == (0, "True\n"), ran.err


def test_no_secret_is_in_the_environment_or_the_arguments_of_the_command(started):
    script = "print('ready', flush=True); input()"
    process = started("--mask", "--", sys.executable, "-c", script)
    for name in ("environ", "cmdline"):
        assert SECRET.encode() not in Path(f"/proc/{process.pid}/{name}").read_bytes()


def test_the_table_of_the_settings_names_secrets_and_an_option_is_stronger(installed, secrets):
    Path("settings.toml").write_text(
        '[default.run]\nDB_PASSWORD = "database/password"\nDB_USER = "absent"\n'
        '[staging.run]\nDB_USER = "database/login#user"\nCERT = { file = "database/password" }\n'
    )
    ran = installed("run", "--secret", "CERT=database/login#user", "--", *TELL)
    variables = json.loads(ran.out)
    assert [variables[name] for name in ("DB_PASSWORD", "DB_USER", "CERT")] == [
        SECRET,
        "app",
        "app",
    ]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--secret", "A=missing"], 3, "there is no secret 'missing'; looked in: "),
        (["--secret", "A=database/login#pin"], 3, "'database/login' has no field 'pin'"),
        (["--secret", "A=database/login"], 1, "write database/login#FIELD"),
        (["--secret", "A=odd"], 1, "the secret for A holds a NUL"),
        (["--secret", "A=../x"], 2, "--secret.A must not hold"),
        (["--secret", "1A=odd"], 2, "letters of ASCII"),
        (["--secret", f"{SECRET}"], 2, "it takes NAME=SECRET"),
        (["--secret", "A=odd", "--secret", "A=other"], 2, "given two secrets"),
        (["--secret", "A=odd", "--secret-file", "A=odd"], 2, "both give A"),
        ([], 2, "Name a secret"),
    ],
)
def test_a_program_without_its_secrets_is_not_started(installed, secrets, options, code, said):
    ran = installed("run", *options, "--", "touch", "started")
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err
    assert SECRET not in ran.err
    assert not Path("started").exists()


def test_a_secret_that_is_denied_is_4_and_a_vault_that_is_down_is_5(
    installed, secrets, unused_port
):
    token = secrets.policy_token('path "other" { capabilities = ["read"] }')
    command = ("run", "--secret", "A=database/password", "--", "touch", "started")
    assert installed(*command, SECUREML_VAULT_TOKEN=token).code == 4
    down = f"http://127.0.0.1:{unused_port}"
    assert installed(*command, SECUREML_VAULT_URL=down).code == 5
    assert not Path("started").exists()


@pytest.mark.parametrize("mask", [(), ("--mask",)], ids=["replaced", "masked"])
def test_a_program_that_is_not_found_is_127_and_one_that_can_not_be_run_126(
    installed, secrets, mask
):
    Path("text").write_text("no program")
    command = ("run", "--secret", "A=database/password", *mask)
    absent = installed(*command, "no-such-program")
    assert absent.code == 127
    assert absent.err == "error: no-such-program can't be run (No such file or directory)\n"
    assert installed(*command, "./text").code == 126

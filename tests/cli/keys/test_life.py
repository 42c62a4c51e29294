"""Keys listed, imported, rotated, disabled and destroyed by command, on a real server."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from helpers.vault import Vault
from secureml.key_management import KeyInfo, KeyManager
from secureml.keys import fingerprint_of

KEY = bytes(range(32))


@pytest.fixture
def configured(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Vault:
    """The variables that lead to the test's own namespace."""
    monkeypatch.setenv("SECUREML_VAULT_URL", vault.url)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", vault.token)
    monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", vault.namespace or "")
    return vault


@pytest.fixture
def manager(configured: Vault) -> Iterator[KeyManager]:
    with KeyManager() as made:
        yield made


@pytest.fixture
def three(manager: KeyManager) -> tuple[KeyInfo, ...]:
    """A key of three versions, the first destroyed and the second disabled."""
    first = manager.generate_key("k", purpose="tables of orders", rotation_period=90)
    manager.rotate_key("k")
    manager.rotate_key("k")
    manager.destroy_key_version("k", 1, first.fingerprint)
    manager.disable_key_version("k", 2)
    return manager.key_history("k")


def of_key(*arguments):
    return ("keys", arguments[0], "--key-name", "k", *arguments[1:])


def states(manager):
    return [info.state for info in manager.key_history("k")]


def test_history_lists_every_version_and_shows_no_key(run, manager, three):
    ran = run(*of_key("history"))
    lines = [line.split("  ") for line in ran.out.splitlines()]
    assert [line[:3] for line in lines] == [
        ["k", "version 1", "destroyed"],
        ["k", "version 2", "disabled"],
        ["k", "version 3", "enabled"],
    ]
    assert "fingerprint" not in lines[0][3]
    assert lines[1][3] == f"fingerprint {three[1].fingerprint}"
    assert lines[2][-1].startswith("due 20")
    assert manager.get_key("k").reveal().hex() not in ran.out + ran.err


def test_history_and_info_as_json(run, three):
    found = json.loads(run(*of_key("history", "--json")).out)
    assert [(key["version"], key["state"]) for key in found] == [
        (1, "destroyed"),
        (2, "disabled"),
        (3, "enabled"),
    ]
    facts = json.loads(run(*of_key("info", "--json")).out)
    assert facts == found[2]
    assert facts["purpose"] == "tables of orders"
    assert facts["rotation_period"] == "90d"
    assert facts["due"] == (three[2].created + timedelta(days=90)).isoformat()


def test_info_prints_purpose_and_fingerprint(run, three):
    ran = run(*of_key("info"))
    assert "tables of orders" in ran.out
    assert three[2].fingerprint in ran.out
    assert run(*of_key("info", "--version", 2)).code == 1


def test_a_disabled_key_is_refused_until_it_is_enabled(run, manager):
    manager.generate_key("k")
    ran = run(*of_key("disable", "--version", 1, "--yes"))
    assert ran.code == 0
    assert "disabled" in ran.out
    refused = run("keys", "get-key", "--key-name", "k")
    assert (refused.code, refused.out) == (1, "")
    assert "version 1 is disabled" in refused.err
    found = json.loads(run(*of_key("enable", "--version", 1, "--json")).out)
    assert found["state"] == "enabled"
    assert run("keys", "get-key", "--key-name", "k").code == 0


@pytest.mark.parametrize("command", ["disable", "enable", "destroy"])
def test_commands_on_a_missing_version_exit_with_3(run, manager, command):
    manager.generate_key("k")
    more = {"disable": ["--yes"], "destroy": ["--yes", "--fingerprint", "00"]}.get(command, [])
    assert run(*of_key(command, "--version", 7, *more)).code == 3


@pytest.mark.parametrize(
    ("command", "needed"), [("disable", "--yes"), ("destroy", "--yes and --fingerprint")]
)
def test_commands_that_ask_are_refused_without_a_terminal(run, manager, command, needed):
    manager.generate_key("k")
    ran = run(*of_key(command, "--version", 1))
    assert ran.code == 2
    assert f"asks on a terminal first; if there is none, pass {needed}." in ran.err
    assert states(manager) == ["enabled"]


def test_destroy_takes_the_fingerprint_of_exactly_this_version(run, manager):
    first, second = manager.generate_key("k"), manager.rotate_key("k")
    destroy = of_key("destroy", "--version", 1)
    for more in (["--yes"], ["--fingerprint", first.fingerprint]):
        assert run(*destroy, *more).code == 2
    ran = run(*destroy, "--yes", "--fingerprint", second.fingerprint)
    assert ran.code == 1
    assert "nothing was destroyed" in ran.err
    assert states(manager) == ["decrypt-only", "enabled"]
    ran = run(*destroy, "--yes", "--fingerprint", first.fingerprint)
    assert ran.code == 0
    assert "destroyed" in ran.out
    assert states(manager) == ["destroyed", "enabled"]


@pytest.fixture
def terminal(start: Callable[..., subprocess.Popen[bytes]]) -> Callable[..., tuple[int, str, str]]:
    """Run the command on a terminal, answer its question, return the exit code and what it said."""
    if sys.platform == "win32":
        pytest.skip("there are no pseudo-terminals")

    def run(*arguments: object, question: str, answer: bytes) -> tuple[int, str, str]:
        import pty

        ours, theirs = pty.openpty()
        process = start(
            *map(str, arguments),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        os.close(theirs)
        said = b""
        while question.encode() not in said:
            piece = os.read(process.stderr.fileno(), 1000)
            assert piece, said
            said += piece
        os.write(ours, answer)
        printed, rest = process.communicate(timeout=60)
        os.close(ours)
        return process.returncode, printed.decode(), (said + rest).decode()

    return run


@pytest.mark.parametrize(
    ("answer", "code", "state"),
    [("right", 0, "destroyed"), ("wrong", 1, "enabled"), ("end", 1, "enabled")],
)
def test_destroy_has_the_fingerprint_typed(terminal, manager, answer, code, state):
    info = manager.generate_key("k")
    typed = {"right": f"{info.fingerprint}\n", "wrong": "y\n", "end": "\x04"}[answer]
    ran = terminal(*of_key("destroy", "--version", 1), question="for good: ", answer=typed.encode())
    assert ran[0] == code
    assert f"k, version 1, enabled, at {info.path}\nfingerprint {info.fingerprint}" in ran[2]
    assert ("nothing was destroyed" in ran[2]) == (code == 1)
    assert "for good" not in ran[1]
    assert ran[1].strip(" ") == ran[1]
    assert states(manager) == [state]


@pytest.mark.parametrize(
    ("answer", "code", "state"), [("y\n", 0, "disabled"), ("n\n", 1, "enabled")]
)
def test_disable_asks_before_it_changes_the_state(terminal, manager, answer, code, state):
    manager.generate_key("k")
    ran = terminal(*of_key("disable", "--version", 1), question="[y/N]: ", answer=answer.encode())
    assert ran[0] == code
    assert states(manager) == [state]


def test_history_is_a_table_on_a_terminal_of_80_columns(start, manager):
    import pty

    first = manager.generate_key("k")
    manager.rotate_key("k")
    manager.destroy_key_version("k", 1, first.fingerprint)
    ours, theirs = pty.openpty()
    process = start(*of_key("history"), stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 1000):
            shown += piece
    except OSError:
        pass  # how the end of a terminal shows
    process.wait(timeout=60)
    os.close(ours)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).splitlines()
    assert "┃" in lines[1]
    assert max(map(len, lines)) <= 80
    versions = [line for line in lines if re.search("│ (destroyed|enabled) ", line)]
    assert len(versions) == 2
    assert all(re.search(r" 20\d\d-\d\d-\d\d \d\d:\d\d ", line) for line in versions), versions
    # An empty column would take its width from the others.
    assert "purpose" not in lines[1]


def test_rotate_all_due_rotates_due_keys_alone(run, configured, manager, monkeypatch):
    kv = configured.client().secrets.kv.v2
    kv.create_or_update_secret("secureml/operators", {"value": KEY.hex()})
    manager.generate_key("due", rotation_period=timedelta(seconds=1))
    manager.generate_key("later", rotation_period=30)
    manager.generate_key("never")
    while datetime.now(UTC) <= manager.key_info("due").due:
        pass
    ran = run("keys", "rotate", "--all-due")
    assert ran.code == 0
    assert [line.split("  ")[:2] for line in ran.out.splitlines()] == [["due", "version 2"]]
    manager.set_rotation_period("due", 1)
    again = run("keys", "rotate", "--all-due")
    assert (again.code, again.out, again.err) == (0, "", "note: no key is due\n")
    assert json.loads(run("keys", "rotate", "--all-due", "--json").out) == []
    assert run("keys", "rotate", "--all-due", "--key-name", "k").code == 2


def test_rotate_all_due_names_the_due_keys_that_were_not_rotated(
    run, configured, manager, monkeypatch
):
    for name in ("a", "b", "c"):
        manager.generate_key(name, rotation_period=timedelta(seconds=1))
    while datetime.now(UTC) <= manager.key_info("c").due:
        pass
    rights = """
    path "secret/*" { capabilities = ["read", "list", "patch", "update"] }
    path "secret/data/secureml/b" { capabilities = ["read"] }
    path "secret/data/secureml/c" { capabilities = ["read"] }
    """
    monkeypatch.setenv(
        "SECUREML_VAULT_TOKEN", configured.policy_token(rights, no_default_policy=False)
    )
    ran = run("keys", "rotate", "--all-due")
    assert (ran.code, ran.out) == (4, "")
    (line,) = ran.err.splitlines()
    told = "2 of 3 keys that are due could not be rotated: 'b', 'c' (the others are rotated)."
    assert line.startswith(f"error: {told} The first one: ")
    assert "secureml/b" in line
    assert [manager.key_info(name).version for name in ("a", "b", "c")] == [2, 1, 1]


@pytest.mark.parametrize(
    ("content", "more"),
    [
        (KEY.hex().encode(), []),
        (KEY.hex().encode() + b"\n", ["--length", "32"]),
        (base64.b64encode(KEY), ["--encoding", "base64"]),
        (KEY, ["--raw"]),
        (KEY, ["--raw", "--length", "32"]),
    ],
)
def test_a_key_made_elsewhere_is_imported(run, manager, tmp_path, content, more):
    file = tmp_path / "key"
    file.write_bytes(content)
    ran = run(*of_key("import", "--file", file, *more, "--purpose", "old tables"))
    assert ran.code == 0
    assert fingerprint_of(KEY) in ran.out
    assert KEY.hex() not in ran.out + ran.err
    assert manager.get_key("k").reveal() == KEY
    assert manager.key_info("k").purpose == "old tables"
    assert run(*of_key("import", "--file", file, *more)).code == 1


def test_a_key_is_imported_from_standard_input(installed, manager):
    arguments = of_key("import", "--file", "-", "--rotation-period", "12h")
    ran = installed(*arguments, data=KEY.hex().encode())
    assert ran.code == 0
    assert manager.get_key("k").reveal() == KEY
    assert manager.key_info("k").rotation_period == timedelta(hours=12)


@pytest.mark.parametrize(
    ("content", "more", "code"),
    [
        (b"canary no key", [], 1),
        ("canary schlüssel".encode(), [], 1),
        (KEY.hex().encode(), ["--length", "16"], 1),
        (KEY, ["--raw", "--length", "16"], 1),
        (b"", [], 1),
        (KEY.hex().encode(), ["--rotation-period", "soon"], 2),
        (KEY.hex().encode(), ["--purpose", "x" * 513], 1),
        (KEY.hex().encode(), ["--purpose", " "], 1),
    ],
)
def test_import_refuses_material_that_is_no_key_without_showing_it(
    run, manager, tmp_path, content, more, code
):
    file = tmp_path / "key"
    file.write_bytes(content)
    ran = run(*of_key("import", "--file", file, *more))
    assert (ran.code, ran.out) == (code, "")
    for secret in ("canary", KEY.hex()):
        assert secret not in ran.err
    assert manager.list_keys() == ()


def test_a_key_in_the_place_of_a_file_is_not_shown(run, manager):
    ran = run(*of_key("import", "--file", KEY.hex()))
    assert ran.code == 2
    assert KEY.hex() not in ran.err


def test_generate_key_takes_a_purpose_and_a_period(run, manager):
    made = run(*of_key("generate-key", "--purpose", "orders", "--rotation-period", "90d", "--json"))
    found = json.loads(made.out)
    assert (found["purpose"], found["rotation_period"]) == ("orders", "90d")
    info = manager.key_info("k")
    assert (info.purpose, info.rotation_period) == ("orders", timedelta(days=90))

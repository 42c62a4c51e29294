"""One event for each access: on the logger, in the file, and beside Vault's own audit log."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import secureml
from secureml.audit import _append
from secureml.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    DevelopmentKeyWarning,
    FallbackWarning,
    KeyMaterialError,
    SecretDeletedError,
    SecretError,
    SecretExistsError,
    SecretNotFoundError,
    VaultUnavailableError,
)
from secureml.key_management import KeyManager
from secureml.settings import Settings
from secureml.stores import Finding, MemoryStore, Outcome
from secureml.vault.devserver.server import DevServer

KEY = bytes(range(100, 132))
MEMBERS = [
    *("time", "host", "user", "pid", "role", "accessor", "environment", "id", "operation"),
    *("name", "version", "source", "purpose"),
    *("cached", "stale", "request_id", "outcome", "duration"),
]
NO_VAULT = {"vault_url": "http://127.0.0.1:9", "vault_token": "t", "vault_timeout": 0.2}

posix_only = pytest.mark.skipif(os.name != "posix", reason="about files as POSIX has them")


class Log:
    """Reads the events of a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]

    def last(self, *members: str) -> tuple:
        event = self.events()[-1]
        return tuple(event[member] for member in members)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "audit.log")


@pytest.fixture
def manager(log: Log) -> KeyManager:
    return in_memory(audit_log=log.path)


@pytest.fixture(scope="module")
def audited_bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with DevServer(tmp_path_factory.mktemp("audited"), audit=True) as server:
        yield server


def in_memory(store: MemoryStore | None = None, **more) -> KeyManager:
    return KeyManager(store=store or MemoryStore(), environment="development", **more)


def at(server: DevServer, **more) -> KeyManager:
    return KeyManager(server.url, server.root_token, environment="staging", **more)


def servers_log(server: DevServer) -> dict[str, dict]:
    """What the server's audit log says of each request, by its id."""
    lines = (server.directory / "audit.log").read_text("utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    return {entry["request"]["id"]: entry for entry in entries if entry["type"] == "response"}


def test_an_event_tells_who_when_what_and_how_it_went(log):
    store = MemoryStore()
    in_memory(store).import_key("k", KEY)
    manager = in_memory(store, audit_log=log.path)
    manager.get_key("k")
    (event,) = log.events()
    assert list(event) == MEMBERS
    assert datetime.now(UTC) - datetime.fromisoformat(event.pop("time")) < timedelta(minutes=5)
    assert 0 <= event.pop("duration") < 300
    assert len(event.pop("id")) == 16
    assert event == {
        "host": socket.gethostname(),
        "user": pwd.getpwuid(os.geteuid()).pw_name,
        "pid": os.getpid(),
        "role": None,
        "accessor": None,
        "environment": "development",
        "operation": "get_key",
        "name": "k",
        "version": 1,
        "source": "memory",
        "purpose": None,
        "cached": False,
        "stale": False,
        "request_id": None,
        "outcome": "ok",
    }


def test_an_event_names_the_user_in_vault_and_the_token_of_the_login(vault, log):
    client = vault.client()
    client.sys.enable_auth_method("userpass")
    client.sys.create_or_update_policy("all", 'path "secret/*" { capabilities = ["read"] }')
    client.auth.userpass.create_or_update_user("alice", "hunter2", policies="all")
    client.secrets.kv.v2.create_or_update_secret("secureml/staging/k", {"value": KEY.hex()})
    login = {"vault_auth": "userpass", "vault_username": "alice", "vault_password": "hunter2"}
    manager = KeyManager(
        vault.url,
        vault_namespace=vault.namespace,
        environment="staging",
        audit_log=log.path,
        **login,
    )
    manager.get_key("k")
    role, accessor = log.last("role", "accessor")
    assert role == "alice"
    found = client.auth.token.lookup_accessor(accessor)["data"]
    assert found["display_name"].endswith("userpass-alice")
    manager.close()


def test_the_user_is_said_by_the_system_and_not_by_variables(log, manager, monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody")
    manager.generate_key("k")
    assert log.last("user") == (pwd.getpwuid(os.geteuid()).pw_name,)


def test_the_logger_is_told_the_same_as_the_file(log, manager, caplog):
    caplog.set_level(logging.INFO, "secureml.audit")
    manager.generate_key("k")
    manager.get_key("k")
    with pytest.raises(SecretNotFoundError):
        manager.get_key("other")
    assert [record.secureml for record in caplog.records] == log.events()
    assert [record.getMessage() for record in caplog.records] == [
        "generate_key 'k': attempt",
        "generate_key 'k': ok",
        "get_key 'k': ok",
        "get_key 'other': SecretNotFoundError",
    ]


def test_the_logger_needs_no_file(caplog):
    caplog.set_level(logging.INFO, "secureml.audit")
    in_memory().generate_key("k")
    assert [record.secureml["outcome"] for record in caplog.records] == ["attempt", "ok"]


def test_nobody_is_told_who_did_not_ask(caplog, tmp_path):
    caplog.set_level(logging.WARNING, "secureml.audit")
    in_memory().generate_key("k")
    assert caplog.records == []
    assert list(tmp_path.iterdir()) == []


def test_each_operation_is_an_event_and_each_change_is_announced(log, manager):
    info = manager.generate_key("a")
    manager.import_key("b", KEY)
    manager.rotate_key("a")
    manager.get_encryption_key("a", version=1)
    manager.key_info("a", 2)
    manager.key_history("a")
    manager.list_keys()
    manager.set_rotation_period("a", 1)
    manager.rotate_due(datetime.now(UTC) + timedelta(days=2))
    manager.disable_key_version("a", 2)
    manager.enable_key_version("a", 2)
    manager.destroy_key_version("a", 1, info.fingerprint)
    manager.set_secret("s", "hunter2")
    manager.get_secret("s")
    manager.secret_info("s")
    assert [
        (event["operation"], event["name"], event["version"], event["outcome"])
        for event in log.events()
    ] == [
        ("generate_key", "a", None, "attempt"),
        ("generate_key", "a", 1, "ok"),
        ("import_key", "b", None, "attempt"),
        ("import_key", "b", 1, "ok"),
        ("rotate_key", "a", None, "attempt"),
        ("rotate_key", "a", 2, "ok"),
        ("get_key", "a", 1, "ok"),
        ("key_info", "a", 2, "ok"),
        ("key_history", "a", None, "ok"),
        ("list_keys", None, None, "ok"),
        ("set_rotation_period", "a", None, "attempt"),
        ("set_rotation_period", "a", 2, "ok"),
        ("rotate_due", None, None, "ok"),
        ("rotate_key", "a", None, "attempt"),
        ("rotate_key", "a", 3, "ok"),
        ("disable_key_version", "a", 2, "attempt"),
        ("disable_key_version", "a", 2, "ok"),
        ("enable_key_version", "a", 2, "attempt"),
        ("enable_key_version", "a", 2, "ok"),
        ("destroy_key_version", "a", 1, "attempt"),
        ("destroy_key_version", "a", 1, "ok"),
        ("set_secret", "s", None, "attempt"),
        ("set_secret", "s", 1, "ok"),
        ("get_secret", "s", 1, "ok"),
        ("secret_info", "s", 1, "ok"),
    ]
    identities = Counter(event["id"] for event in log.events())
    assert sorted(identities.values()) == [1] * 7 + [2] * 9


def test_a_failure_is_an_event_with_the_name_of_its_error(log, manager):
    manager.generate_key("k")
    before = len(log.events())
    attempts = {
        "get_key": (SecretNotFoundError, lambda: manager.get_key("none")),
        "generate_key": (SecretExistsError, lambda: manager.generate_key("k")),
        "rotate_key": (SecretNotFoundError, lambda: manager.rotate_key("none")),
        "set_secret": (SecretExistsError, lambda: manager.set_secret("k", {"encoding": "hex"})),
        "destroy_key_version": (
            KeyMaterialError,
            lambda: manager.destroy_key_version("k", 1, "0" * 16),
        ),
        "key_history": (SecretNotFoundError, lambda: manager.key_history("none")),
        "derive_key": (KeyMaterialError, lambda: manager.derive_key(KEY[:5], "purpose")),
    }
    for error, attempt in attempts.values():
        with pytest.raises(error):
            attempt()
    events = [event for event in log.events()[before:] if event["outcome"] != "attempt"]
    assert [(event["operation"], event["outcome"]) for event in events] == [
        (operation, error.__name__) for operation, (error, _) in attempts.items()
    ]


def test_a_key_is_known_to_be_none_only_after_it_was_read(log):
    store = MemoryStore()
    store.write("k", {"value": "correct horse"}, cas=0)
    with pytest.raises(KeyMaterialError):
        in_memory(store, audit_log=log.path).get_key("k")
    assert log.last("name", "version", "source", "outcome") == (
        *("k", 1, "memory"),
        "KeyMaterialError",
    )


def test_a_default_value_does_not_hide_that_the_secret_is_absent(log, manager):
    assert manager.get_secret("none", default="d") == "d"
    assert log.last("operation", "name", "outcome") == (
        *("get_secret", "none"),
        "SecretNotFoundError",
    )


def test_the_event_of_a_cached_read_says_so(log, manager):
    manager.import_key("k", KEY)
    for _ in range(2):
        manager.get_key("k")
    manager.get_secret("k")
    assert [event["cached"] for event in log.events()[2:]] == [False, True, True]
    manager.invalidate()
    manager.get_secret("k")
    manager.get_key("k")
    assert [event["cached"] for event in log.events()[5:]] == [False, True]


def test_the_event_of_a_key_served_during_an_outage_says_so(log):
    class GoesDown(MemoryStore):
        is_down = False

        def read(self, name, version=None, **more):
            if not self.is_down:
                return super().read(name, version, **more)
            error = VaultUnavailableError("down")
            return Outcome(finding=Finding.UNAVAILABLE, where="here", error=error)

    store = GoesDown()
    manager = in_memory(store, audit_log=log.path, cache_ttl=0, stale_ttl=60)
    manager.import_key("k", KEY)
    manager.get_key("k")
    store.is_down = True
    with pytest.warns(FallbackWarning):
        key = manager.get_key("k")
    manager.derive_key(key, "purpose")
    assert [event["stale"] for event in log.events()[2:]] == [False, True, True]


def test_a_stand_in_is_told_from_vault(log, monkeypatch):
    monkeypatch.setenv("SECUREML_MASTER_KEY", KEY.hex())
    with (
        KeyManager(**NO_VAULT, environment="development", audit_log=log.path) as manager,
        pytest.warns(FallbackWarning),
    ):
        manager.get_key()
    members = ("name", "version", "source", "outcome", "request_id")
    assert log.last(*members) == ("master_key", None, "environment variable", "ok", None)
    with KeyManager(
        environment="development", use_default_fallback=True, audit_log=log.path
    ) as manager:
        with pytest.warns(DevelopmentKeyWarning):
            manager.get_secret("other")
        assert log.last("source") == ("development default",)


def test_an_outage_is_an_event(log):
    with (
        KeyManager(**NO_VAULT, environment="production", audit_log=log.path) as manager,
        pytest.raises(VaultUnavailableError),
    ):
        manager.get_key()
    assert log.last("environment", "name", "outcome") == (
        *("production", "master_key"),
        "VaultUnavailableError",
    )


def test_the_purpose_of_a_derived_key_is_told_with_the_key_it_derives_from(log, manager):
    manager.generate_key("k")
    manager.derive_own_key(manager.get_key("k"), "pseudonymization/fpe/ssn", 32)
    members = ("operation", "name", "version", "source", "purpose", "cached")
    assert log.last(*members) == (
        *("derive_key", "k", 1, "memory", "pseudonymization/fpe/ssn", True),
    )
    manager.derive_key(KEY, "reports")
    assert log.last(*members) == ("derive_key", None, None, None, "reports", False)


@pytest.mark.parametrize("purpose", ["a\nb", "\u2028\x85\r", "\ud800", "🔑" * 9000])
def test_an_event_is_one_line_that_fits_into_a_pipe(log, manager, purpose):
    if purpose.isprintable():
        manager.generate_key(purpose)
    else:
        purpose = purpose.replace("\ud800", "\\ud800")
    manager.derive_key(KEY, purpose)
    lines = log.path.read_bytes().splitlines(keepends=True)
    assert [json.loads(line)["operation"] for line in lines][-1] == "derive_key"
    assert all(len(line) <= 4096 for line in lines)
    assert purpose.startswith(json.loads(lines[-1])["purpose"].removesuffix("…"))


def test_a_refused_name_is_not_repeated(log, manager):
    for name in ("../production/k", "vault token: s.abc\n"):
        with pytest.raises(ConfigurationError):
            manager.get_key(name)
        with pytest.raises(ConfigurationError):
            manager.rotate_key(name)
    assert {event["name"] for event in log.events()} == {None}
    assert {event["outcome"] for event in log.events()} == {"ConfigurationError"}


def test_no_value_is_in_an_event_even_where_arguments_are_swapped(log, manager, caplog, vault):
    caplog.set_level(logging.DEBUG)
    canaries = [KEY.hex(), KEY[:16].hex(), "c4nary-s3cret", vault.token, "s.wr0ng"]
    kv = vault.client().secrets.kv.v2
    settings = {"vault_namespace": vault.namespace, "audit_log": log.path}
    for token in (vault.token, "s.wr0ng"):
        with KeyManager(vault.url, token, environment="staging", **settings) as there:
            for one in (there, manager):
                provoke(one)
            if token == vault.token:
                kv.create_or_update_secret(
                    "secureml/staging/broken", {"value": f"c4nary-s3cret {KEY.hex()}"}
                )
                with pytest.raises(KeyMaterialError):
                    there.get_key("broken")
    outcomes = {event["outcome"] for event in log.events()}
    assert {"ok", "attempt", "KeyMaterialError", "AuthenticationError"} <= outcomes
    told = log.path.read_text("utf-8") + "".join(repr(vars(entry)) for entry in caplog.records)
    assert [canary for canary in canaries if canary in told] == []


def provoke(manager: KeyManager) -> None:
    """Call everything with values in the right and in the wrong places."""
    for attempt in (
        lambda: manager.import_key("k", KEY),
        lambda: manager.import_key(KEY.hex(), "k"),
        lambda: manager.set_secret("s", "c4nary-s3cret"),
        lambda: manager.set_secret("t", {"password": "c4nary-s3cret"}),
        lambda: manager.get_secret("s"),
        lambda: manager.get_secret("t", default="c4nary-s3cret"),
        lambda: manager.get_secret("u", default="c4nary-s3cret"),
        lambda: manager.get_encryption_key("k", encoding="hex"),
        lambda: manager.get_key("s"),
        lambda: manager.derive_key(KEY.hex(), "purpose"),
        lambda: manager.derive_key("purpose", KEY.hex()),
        lambda: manager.derive_key(KEY[:16].hex(), ""),
        lambda: manager.destroy_key_version("k", 1, KEY[:16].hex()),
        lambda: manager.rotate_key("k"),
        lambda: manager.key_history("k"),
    ):
        with contextlib.suppress(SecretError):
            attempt()


@posix_only
def test_only_the_owner_can_read_the_file_from_the_beginning(log, manager):
    before = os.umask(0)
    try:
        manager.generate_key("k")
    finally:
        os.umask(before)
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


def test_the_audit_log_keeps_its_lines_and_its_place(log, monkeypatch, tmp_path):
    log.path.write_text('{"earlier": 1}\n')
    monkeypatch.setenv("SECUREML_AUDIT_LOG", "audit.log")
    manager = in_memory()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    manager.generate_key("k")
    assert [event.get("earlier") for event in log.events()] == [1, None, None]
    assert list(Path.cwd().iterdir()) == []


@posix_only
def test_a_rotated_file_is_left_and_a_new_one_begun(log, manager, tmp_path):
    manager.generate_key("k")
    log.path.rename(tmp_path / "audit.log.1")
    manager.get_key("k")
    assert [event["operation"] for event in log.events()] == ["get_key"]
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
    assert len(Log(tmp_path / "audit.log.1").events()) == 2


def broken(name: str, folder: Path) -> Path:
    """A target that takes no event."""
    match name:
        case "full":
            return Path("/dev/full")
        case "folder removed":
            return folder / "gone" / "audit.log"
        case "a folder":
            return folder
        case "a pipe without a reader":
            os.mkfifo(folder / "pipe")
            return folder / "pipe"
    raise AssertionError(name)


broken_targets = pytest.mark.parametrize(
    "target", ["full", "folder removed", "a folder", "a pipe without a reader"]
)


@posix_only
@broken_targets
def test_no_key_is_handed_out_whose_event_is_required_and_can_not_be_written(
    target, tmp_path, caplog
):
    caplog.set_level(logging.INFO, "secureml.audit")
    store = MemoryStore()
    in_memory(store).import_key("k", KEY)
    caplog.clear()
    path = broken(target, tmp_path)
    manager = in_memory(store, audit_log=path, audit_required=True)
    for attempt in (
        lambda: manager.get_key("k"),
        lambda: manager.get_key("k"),  # held in memory by now
        lambda: manager.get_encryption_key("k", encoding="hex"),
        lambda: manager.get_secret("k"),
        lambda: manager.get_secret("none", default="d"),
        lambda: manager.derive_key(KEY, "purpose"),
        lambda: manager.key_info("k"),
        manager.list_keys,
    ):
        with pytest.raises(SecretError, match="nothing is handed out") as caught:
            attempt()
        assert str(path) in str(caught.value)
        assert caught.value.__context__ is None
    told = [entry.secureml["outcome"] for entry in caplog.records if hasattr(entry, "secureml")]
    assert told == ["SecretError"] * 8


@posix_only
@broken_targets
def test_nothing_is_changed_whose_attempt_can_not_be_written(target, tmp_path):
    store = MemoryStore()
    info = in_memory(store).import_key("k", KEY, rotation_period=1)
    manager = in_memory(store, audit_log=broken(target, tmp_path), audit_required=True)
    for attempt in (
        lambda: manager.generate_key("new"),
        lambda: manager.import_key("new", KEY),
        lambda: manager.set_secret("new", "x"),
        lambda: manager.rotate_key("k"),
        lambda: manager.set_rotation_period("k", 2),
        lambda: manager.disable_key_version("k", 1),
        lambda: manager.enable_key_version("k", 1),
        lambda: manager.destroy_key_version("k", 1, info.fingerprint),
    ):
        with pytest.raises(SecretError, match="nothing was changed") as caught:
            attempt()
        assert caught.value.__context__ is None
    assert store.names() == ("k",)
    assert [version.state for version in store.versions("k")] == ["enabled"]


@posix_only
def test_a_change_whose_result_can_not_be_written_is_reported_as_made(tmp_path):
    target = tmp_path / "audit.log"

    class FillsTheDisk(MemoryStore):
        def write(self, name, fields, *, cas):
            target.unlink()
            target.symlink_to("/dev/full")
            return super().write(name, fields, cas=cas)

    store = FillsTheDisk()
    manager = in_memory(store, audit_log=target, audit_required=True)
    with pytest.raises(SecretError, match="the change itself was made"):
        manager.generate_key("k")
    assert store.names() == ("k",)


@posix_only
def test_an_operation_that_fails_anyway_keeps_its_own_error():
    manager = in_memory(audit_log="/dev/full", audit_required=True)
    with pytest.raises(SecretNotFoundError):
        manager.get_key("none")


@posix_only
@broken_targets
def test_an_event_that_is_not_required_holds_nothing_up_and_is_missed_aloud(
    target, tmp_path, caplog
):
    path = tmp_path / "audit.log"
    path.symlink_to(broken(target, tmp_path))
    manager = in_memory(audit_log=path)
    for _ in range(2):
        manager.get_secret("none")
    assert [(entry.levelname, str(path) in entry.getMessage()) for entry in caplog.records] == [
        ("WARNING", True)
    ]
    path.unlink()
    manager.get_secret("none")
    assert len(Log(path).events()) == 1
    path.unlink()
    path.symlink_to("/dev/full")
    manager.get_secret("none")
    assert len(caplog.records) == 2


def test_the_file_becomes_usable_again_without_a_new_manager(tmp_path):
    target = tmp_path / "logs" / "audit.log"
    store = MemoryStore()
    in_memory(store).import_key("k", KEY)
    manager = in_memory(store, audit_log=target, audit_required=True)
    with pytest.raises(SecretError):
        manager.get_key("k")
    target.parent.mkdir()
    assert manager.get_encryption_key("k") == KEY
    assert len(Log(target).events()) == 1


NO_ROOM = """
    import resource, signal, sys
    from secureml.errors import SecretError
    from secureml.key_management import KeyManager
    from secureml.stores import MemoryStore

    manager = KeyManager(
        store=MemoryStore(), environment="development", audit_log="audit.log", audit_required=True
    )
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most))
    written = 0
    try:
        while True:
            manager.derive_key(bytes(16), "purpose")
            written += 1
    except SecretError as error:
        print(written, "no room for a whole line" in str(error))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    manager.derive_key(bytes(16), "purpose")
"""


@posix_only
def test_a_line_that_fits_only_in_part_is_taken_back(log, run_python):
    done = run_python("-c", textwrap.dedent(NO_ROOM))
    assert done.returncode == 0, done.stderr
    written, is_whole_line = done.stdout.split()
    assert is_whole_line == "True"
    assert len(log.events()) == int(written) + 1


FORK = """
    import os
    from secureml.key_management import KeyManager
    from secureml.stores import MemoryStore

    manager = KeyManager(store=MemoryStore(), environment="development", audit_log="audit.log")
    manager.generate_key("k")
    child = os.fork()
    manager.get_key("k")
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    print(os.getpid(), child)
"""


@posix_only
def test_after_a_fork_both_processes_write_under_their_own_ids(log, run_python):
    done = run_python("-c", textwrap.dedent(FORK))
    assert done.returncode == 0, done.stderr
    parent, child = (int(pid) for pid in done.stdout.split())
    assert Counter(event["pid"] for event in log.events()) == {parent: 3, child: 1}


MANY = """
    from secureml.key_management import KeyManager
    from secureml.stores import MemoryStore

    manager = KeyManager(
        store=MemoryStore(), environment="development", audit_log="audit.log", audit_required=True
    )
    print("ready", flush=True)
    input()
    for number in range(1000):
        manager.derive_key(bytes(16), f"purpose {number} " + "x" * number)
"""


@posix_only
def test_four_processes_write_one_file_of_whole_lines_while_it_is_rotated(log, tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(MANY)]
    environment = {**os.environ, "PYTHONPATH": str(Path(secureml.__file__).parents[1])}
    pipe = subprocess.PIPE
    writers = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment) for _ in range(4)
    ]
    for writer in writers:
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    rotated = tmp_path / "audit.log.1"
    while not rotated.exists():
        if log.path.exists():
            log.path.rename(rotated)
        assert any(writer.poll() is None for writer in writers), "they ended before the rotation"
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert Log(rotated).events()
    events = [*Log(rotated).events(), *log.events()]
    for writer in writers:
        purposes = [event["purpose"] for event in events if event["pid"] == writer.pid]
        assert sorted(int(purpose.split()[1]) for purpose in purposes) == list(range(1000))


def test_threads_share_a_file(log, manager):
    manager.generate_key("k")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: manager.get_key("k"), range(400)))
    assert len({event["id"] for event in log.events()}) == 401


def test_the_servers_own_audit_log_has_the_request_of_each_access(audited_bao, log):
    with at(audited_bao, audit_log=log.path) as manager:
        manager.generate_key("joined")
        manager.get_key("joined")
        manager.get_key("joined")
        manager.derive_key(manager.get_key("joined"), "purpose")
        manager.rotate_key("joined")
        manager.set_secret("plain", "x")
        manager.get_secret("plain")
    theirs = servers_log(audited_bao)
    joined = [
        (event["operation"], theirs[event["request_id"]]["request"])
        for event in log.events()
        if event["outcome"] != "attempt"
    ]
    folder = "secret/data/secureml/staging"
    assert [(name, request["operation"], request["path"]) for name, request in joined] == [
        ("generate_key", "update", f"{folder}/joined"),  # its metadata came first
        ("get_key", "read", f"{folder}/joined"),
        ("get_key", "read", f"{folder}/joined"),
        ("get_key", "read", f"{folder}/joined"),
        ("derive_key", "read", f"{folder}/joined"),
        ("rotate_key", "update", f"{folder}/joined"),
        ("set_secret", "create", f"{folder}/plain"),
        ("get_secret", "read", f"{folder}/plain"),
    ]
    # A key held in memory names the request that fetched it.
    identities = [request["id"] for _, request in joined]
    assert len(set(identities[1:5])) == 1
    assert len(set(identities)) == 5


def test_each_unwrapping_is_an_event_with_the_request_of_the_transit_engine(audited_bao, log):
    with at(audited_bao) as operator:
        operator.vault_client.sys.enable_secrets_engine("transit")
    with at(audited_bao, key_backend="transit", audit_log=log.path) as manager:
        manager.generate_key("wrapped")
        envelope = manager.get_key("wrapped").envelope
        manager.get_key("wrapped")  # from memory
        manager.unwrap_key(envelope, "wrapped")
    unwrapped = [event for event in log.events() if event["operation"] == "unwrap"]
    assert [(event["name"], event["outcome"]) for event in unwrapped] == [("wrapped", "ok")] * 2
    theirs = servers_log(audited_bao)
    requests = [theirs[event["request_id"]]["request"] for event in unwrapped]
    assert {request["path"] for request in requests} == {"transit/decrypt/secureml.staging.wrapped"}
    assert requests[0]["id"] != requests[1]["id"]


def test_no_key_is_unwrapped_whose_event_can_not_be_written(vault, tmp_path):
    vault.client().sys.enable_secrets_engine("transit")
    options = {
        "vault_namespace": vault.namespace,
        "environment": "staging",
        "key_backend": "transit",
    }
    with KeyManager(vault.url, vault.token, **options) as manager:
        manager.generate_key("k")
    options |= {"audit_log": tmp_path, "audit_required": True}
    with (
        KeyManager(vault.url, vault.token, **options) as manager,
        pytest.raises(SecretError, match="the event of unwrap can't be written"),
    ):
        manager.get_key("k")


def test_a_login_is_an_event_with_the_accessor_of_its_token(audited_bao, log):
    with at(audited_bao) as operator:
        client = operator.vault_client
        client.sys.enable_auth_method("userpass")
        client.auth.userpass.create_or_update_user("alice", "hunter2")
    login = {"vault_auth": "userpass", "vault_username": "alice", "vault_token": None}
    options = {"environment": "staging", "audit_log": log.path, **login}
    wrong = KeyManager(audited_bao.url, vault_password="wrong", **options)
    with wrong, pytest.raises(AuthenticationError):
        wrong.get_key("k")
    members = ("operation", "name", "outcome", "accessor", "request_id")
    failed = tuple(log.events()[0][member] for member in members)
    assert failed == ("login", "userpass", "AuthenticationError", None, None)
    right = KeyManager(audited_bao.url, vault_password="hunter2", **options)
    with right, pytest.raises(AccessDeniedError):
        right.get_key("k")
    event = next(each for each in log.events() if each["outcome"] == "ok")
    assert (event["operation"], event["name"]) == ("login", "userpass")
    theirs = servers_log(audited_bao)[event["request_id"]]
    assert theirs["request"]["path"] == "auth/userpass/login/alice"
    assert event["accessor"] == log.events()[-1]["accessor"]


def test_a_login_whose_event_is_required_and_can_not_be_written_leaves_no_token(
    audited_bao, tmp_path
):
    with at(audited_bao) as operator:
        client = operator.vault_client
        client.sys.enable_auth_method("userpass", path="others")
        client.auth.userpass.create_or_update_user("bob", "hunter2", mount_point="others")
        before = client.list("auth/token/accessors")["data"]["keys"]
        login = {
            "vault_auth": "userpass",
            "vault_auth_mount": "others",
            "vault_username": "bob",
            "vault_password": "hunter2",
        }
        required = {"audit_log": tmp_path, "audit_required": True}
        manager = KeyManager(audited_bao.url, environment="staging", **login, **required)
        with manager, pytest.raises(SecretError, match="the event of login can't be written"):
            _ = manager.vault_client
        assert client.list("auth/token/accessors")["data"]["keys"] == before


def test_a_destroyed_version_names_the_requests_that_told_of_it(audited_bao, log):
    with at(audited_bao, audit_log=log.path) as manager:
        info = manager.generate_key("doomed")
        manager.destroy_key_version("doomed", 1, info.fingerprint)
        with pytest.raises(SecretDeletedError) as caught:
            manager.get_key("doomed")
    assert log.last("outcome", "request_id") == ("SecretDeletedError", caught.value.request_id)
    theirs = servers_log(audited_bao)
    for event in log.events()[-2:]:
        request = theirs[event["request_id"]]["request"]
        path = "secret/data/secureml/staging/doomed"
        assert (request["operation"], request["path"]) == ("read", path)


def test_a_denied_access_is_an_event_without_an_id_as_vault_tells_none(vault, log):
    token = vault.policy_token('path "auth/token/lookup-self" { capabilities = ["read"] }')
    with (
        KeyManager(
            vault.url,
            token,
            vault_namespace=vault.namespace,
            environment="staging",
            audit_log=log.path,
        ) as manager,
        pytest.raises(AccessDeniedError),
    ):
        manager.get_key("k")
    assert log.last("name", "outcome", "request_id") == ("k", "AccessDeniedError", None)


def test_a_change_that_vault_denies_has_the_id_of_the_read_before_it(vault, log):
    there = {"vault_namespace": vault.namespace, "environment": "staging"}
    with KeyManager(vault.url, vault.token, **there) as manager:
        manager.generate_key("k")
    token = vault.policy_token("""
        path "auth/token/lookup-self" { capabilities = ["read"] }
        path "secret/data/*" { capabilities = ["read"] }
        path "secret/metadata/*" { capabilities = ["read"] }
    """)
    with KeyManager(vault.url, token, audit_log=log.path, **there) as manager:
        read = manager.get_key("k").request_id
        with pytest.raises(AccessDeniedError):
            manager.rotate_key("k")
    members = ("operation", "version", "outcome")
    assert log.last(*members) == ("rotate_key", 1, "AccessDeniedError")
    assert log.last("request_id") not in {(read,), (None,)}


@pytest.mark.parametrize("told", ["s.the-token", KEY.hex(), None, "A" * 36])
def test_only_what_has_the_form_of_a_request_id_is_taken_for_one(faulty, log, told):
    body = {
        "request_id": told,
        "data": {"data": {"value": KEY.hex()}, "metadata": {"version": 1}},
    }
    server = faulty(json.dumps(body).encode())
    with KeyManager(server.url, "t", environment="staging", audit_log=log.path) as manager:
        assert manager.get_key("k").request_id is None
    assert log.last("version", "outcome", "request_id") == (1, "ok", None)


@pytest.mark.parametrize("environment", [None, "development", "production"])
def test_required_audit_needs_a_file(environment, monkeypatch):
    with pytest.raises(ConfigurationError, match="audit_required needs audit_log"):
        Settings(environment=environment, audit_required=True)
    monkeypatch.setenv("SECUREML_AUDIT_REQUIRED", "true")
    with pytest.raises(ConfigurationError, match="set by: SECUREML_AUDIT_REQUIRED"):
        KeyManager(environment=environment)


def test_vaults_record_can_not_set_the_audit_log():
    store = MemoryStore()
    store.write("settings", {"audit_log": "/dev/null"}, cas=0)
    with pytest.raises(ConfigurationError, match="audit_log"):
        _ = in_memory(store, vault_settings=True).settings


@posix_only
def test_a_file_that_somebody_keeps_locked_can_not_be_written(log, manager, monkeypatch):
    import fcntl

    manager.generate_key("k")
    before = log.path.read_bytes()
    passed = [0.0]
    with log.path.open("rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        problem = _append(
            log.path,
            {"operation": "x"},
            seconds=60,
            clock=lambda: passed[0],
            sleep=lambda seconds: passed.__setitem__(0, passed[0] + seconds),
        )
        assert problem == "another process keeps it locked"
        assert 60 <= passed[0] < 61
        required = in_memory(audit_log=log.path, audit_required=True)
        impatient = {**_append.__kwdefaults__, "seconds": 0}
        monkeypatch.setattr(_append, "__kwdefaults__", impatient)
        with pytest.raises(SecretError, match="keeps it locked; nothing was changed"):
            required.generate_key("other")
    assert log.path.read_bytes() == before


@posix_only
def test_a_fork_while_another_thread_writes_leaves_the_file_unlocked(
    log, manager, in_child, monkeypatch
):
    manager.generate_key("k")
    begun, go_on = threading.Event(), threading.Event()
    write = os.write

    def slowly(file, line):
        monkeypatch.setattr(os, "write", write)
        begun.set()
        assert go_on.wait(30)
        return write(file, line)

    monkeypatch.setattr(os, "write", slowly)
    writer = threading.Thread(target=manager.get_key, args=("k",))
    writer.start()
    assert begun.wait(30)
    ended, end = os.pipe()
    copy = in_child(lambda: os.read(ended, 1))  # lives on, with what it has inherited
    go_on.set()
    writer.join()
    assert in_child(lambda: manager.get_key("k").version).report() == "1"
    os.write(end, b"x")
    assert copy.report() == "b'x'"
    os.close(ended)
    os.close(end)
    assert len(log.events()) == 4


@posix_only
def test_a_signal_handler_in_the_middle_of_a_line_writes_its_own(
    log, manager, in_child, monkeypatch
):
    manager.generate_key("k")
    write = os.write

    def interrupted(file, line):
        monkeypatch.setattr(os, "write", write)
        signal.raise_signal(signal.SIGUSR1)
        return write(file, line)

    def work():
        signal.signal(signal.SIGUSR1, lambda *_: manager.get_key("k"))
        monkeypatch.setattr(os, "write", interrupted)
        return manager.get_key("k").version

    assert in_child(work).report() == "1"
    assert [event["operation"] for event in log.events()][2:] == ["get_key"] * 2


@posix_only
def test_a_link_in_the_place_of_the_file_is_not_followed(log, tmp_path):
    target = tmp_path / "target"
    log.path.symlink_to(target)
    manager = in_memory(audit_log=log.path, audit_required=True)
    with pytest.raises(SecretError, match="it is a symbolic link"):
        manager.generate_key("k")
    assert not target.exists()


def test_a_system_without_shared_locks_is_told_what_is_missing(log, monkeypatch):
    monkeypatch.setattr("secureml.audit.fcntl", None)
    manager = in_memory(audit_log=log.path, audit_required=True)
    with pytest.raises(SecretError, match=r"fcntl is missing\); nothing was changed"):
        manager.generate_key("k")

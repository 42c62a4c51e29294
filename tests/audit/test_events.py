"""One event for each access, on the logger and in the file."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pwd
import socket
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from helpers.audit import KEY, in_memory
from secureml.errors import (
    ConfigurationError,
    DevelopmentKeyWarning,
    FallbackWarning,
    KeyMaterialError,
    SecretError,
    SecretExistsError,
    SecretNotFoundError,
    VaultUnavailableError,
)
from secureml.key_management import KeyManager
from secureml.settings import Settings
from secureml.stores import Finding, MemoryStore, Outcome

MEMBERS = [
    *("time", "host", "user", "pid", "role", "accessor", "environment", "id", "operation"),
    *("name", "version", "source", "purpose"),
    *("cached", "stale", "request_id", "outcome", "duration"),
]
NO_VAULT = {"vault_url": "http://127.0.0.1:9", "vault_token": "t", "vault_timeout": 0.2}


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

"""Versions and states of keys, what is told of them, and when they are rotated."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

import secureml
from secureml.errors import (
    AccessDeniedError,
    KeyDisabledError,
    KeyMaterialError,
    SecretDeletedError,
    SecretError,
    SecretExistsError,
    SecretNotFoundError,
    SecureMLWarning,
)
from secureml.key_management import KeyManager, lifecycle
from secureml.key_management.rotation_period import period_in, period_text
from secureml.keys import fingerprint_of
from secureml.stores import MemoryStore, kv2
from secureml.stores import vault as vault_store

KEY = bytes(range(32))


@pytest.fixture(params=["vault", "memory"])
def manager(request: pytest.FixtureRequest) -> KeyManager:
    if request.param == "vault":
        return request.getfixturevalue("manager_with")()
    return KeyManager(store=MemoryStore(), environment="staging")


def states(manager, name="k"):
    return [info.state for info in manager.key_history(name)]


# What is told of a key.


def test_a_key_tells_what_it_is_for_and_when_it_is_due(manager):
    made = manager.generate_key("k", purpose="orders, 2027", rotation_period=90)
    assert made.created_by == f"secureml {secureml.__version__}"
    assert made.purpose == "orders, 2027"
    assert made.rotation_period == timedelta(days=90)
    assert made.due == made.created + timedelta(days=90)
    for info in (
        manager.key_info("k"),
        manager.get_key("k").info,
        *manager.list_keys(),
        *manager.key_history("k"),
    ):
        assert info == made


def test_a_new_version_keeps_purpose_and_period_and_is_due_later(manager):
    first = manager.import_key("k", KEY, purpose="orders", rotation_period=timedelta(hours=1))
    second = manager.rotate_key("k")
    assert (second.purpose, second.rotation_period) == ("orders", timedelta(hours=1))
    assert second.due == second.created + timedelta(hours=1) > first.due
    assert [info.due for info in manager.key_history("k")] == [None, second.due]


def test_a_key_that_an_operator_wrote_has_no_purpose_period_or_creator(manager_with, kv):
    kv.create_or_update_secret("secureml/staging/k", {"value": KEY.hex()})
    manager = manager_with()
    for info in (manager.key_info("k"), *manager.list_keys(), *manager.key_history("k")):
        assert (info.purpose, info.created_by, info.rotation_period, info.due) == (None,) * 4
        assert (info.state, info.fingerprint) == ("enabled", fingerprint_of(KEY))


def test_a_key_that_an_operator_wrote_goes_through_the_same_life(manager_with, kv):
    kv.create_or_update_secret("secureml/staging/k", {"value": KEY.hex()})
    manager = manager_with()
    assert manager.disable_key_version("k", 1).state == "disabled"
    assert manager.rotate_key("k").version == 2
    assert manager.enable_key_version("k", 1).state == "decrypt-only"
    assert manager.set_rotation_period("k", 1).rotation_period == timedelta(days=1)
    assert [info.name for info in manager.rotate_due(datetime.now(UTC) + timedelta(2))] == ["k"]
    assert manager.get_encryption_key("k", version=1) == KEY
    manager.destroy_key_version("k", 1, fingerprint_of(KEY))
    assert states(manager) == ["destroyed", "decrypt-only", "enabled"]


def test_a_version_that_is_no_key_does_not_hide_the_others(manager_with, kv):
    for text in (KEY.hex(), "pasted the wrong thing", KEY[::-1].hex()):
        kv.create_or_update_secret("secureml/staging/k", {"value": text})
    history = manager_with().key_history("k")
    expected = [fingerprint_of(KEY), None, fingerprint_of(KEY[::-1])]
    assert [info.fingerprint for info in history] == expected
    assert [info.state for info in history] == ["decrypt-only", "decrypt-only", "enabled"]


def test_what_an_operator_noted_beside_a_key_stays(manager_with, kv):
    kv.update_metadata("secureml/staging/k", custom_metadata={"owner": "data team"})
    manager = manager_with()
    manager.generate_key("k", purpose="orders")
    manager.disable_key_version("k", 1)
    manager.enable_key_version("k", 1)
    manager.rotate_key("k")
    found = kv.read_secret_metadata("secureml/staging/k")["data"]["custom_metadata"]
    assert found == {
        "owner": "data team",
        "secureml.created_by": f"secureml {secureml.__version__}",
        "secureml.purpose": "orders",
    }


@pytest.mark.parametrize("step", ["keep_all_versions", "write"])
def test_a_writer_that_is_refused_leaves_nothing_on_the_key_of_the_first(
    manager_with, monkeypatch, step
):
    first, second = manager_with(), manager_with()
    store = second._connection.store()
    proceed = getattr(store, step)

    def overtaken(*arguments, **more):
        first.generate_key("k", purpose="orders")
        return proceed(*arguments, **more)

    monkeypatch.setattr(store, step, overtaken)
    with pytest.raises(SecretExistsError):
        second.generate_key("k", purpose="others", rotation_period=2)
    info = first.key_info("k")
    assert (info.purpose, info.rotation_period) == ("orders", None)


def test_an_error_after_a_key_was_made_says_that_it_exists(manager_with, vault):
    token = vault.policy_token(
        'path "secret/data/*" { capabilities = ["create", "read", "update"] }\n'
        'path "secret/metadata/*" { capabilities = ["create", "read", "update"] }',
        no_default_policy=False,
    )
    with pytest.raises(AccessDeniedError, match="was made as version 1, and its purpose"):
        manager_with(token).generate_key("k", purpose="orders")
    assert manager_with().get_key("k").version == 1


@pytest.mark.parametrize(
    ("about", "error"),
    [
        ({"purpose": ""}, KeyMaterialError),
        ({"purpose": " \t"}, KeyMaterialError),
        ({"purpose": "x" * 513}, SecretError),
        ({"purpose": "two\nlines"}, SecretError),
        ({"purpose": b"orders"}, TypeError),
        ({"rotation_period": 0}, KeyMaterialError),
        ({"rotation_period": -1}, KeyMaterialError),
        ({"rotation_period": 10**30}, KeyMaterialError),
        ({"rotation_period": timedelta(milliseconds=1500)}, KeyMaterialError),
        ({"rotation_period": True}, TypeError),
        ({"rotation_period": "90d"}, TypeError),
    ],
)
def test_a_purpose_or_period_that_can_not_be_written_makes_no_key(manager, about, error):
    for attempt in (
        lambda: manager.generate_key("k", **about),
        lambda: manager.import_key("k", KEY, **about),
    ):
        with pytest.raises(error):
            attempt()
    assert manager.list_keys() == ()


@pytest.mark.parametrize(
    ("period", "text"),
    [
        (1, "1d"),
        (timedelta(days=90), "90d"),
        (timedelta(hours=36), "129600s"),
        (timedelta(seconds=1), "1s"),
        (36_500, "36500d"),
    ],
)
def test_a_period_is_written_and_read(period, text):
    assert period_text(period) == text
    assert period_in(text) == (period if isinstance(period, timedelta) else timedelta(period))


@pytest.mark.parametrize(
    "text", ["", "90", "d", "0d", "-1d", "1.5d", "90 d", "36501d", "9" * 10 + "d"]
)
def test_text_that_is_no_rotation_period_is_read_as_none(text):
    assert period_in(text) is None
    assert period_in(None) is None


# States.


@pytest.mark.parametrize("version", [1, 2])
def test_a_disabled_version_is_handed_out_to_nobody(manager, monkeypatch, version):
    monkeypatch.setenv("SECUREML_K", KEY.hex())
    manager.generate_key("k")
    newest = manager.rotate_key("k")
    before = manager.get_encryption_key("k", version=version)
    manager.get_encryption_key("k")
    disabled = manager.disable_key_version("k", version)
    assert (disabled.state, disabled.fingerprint) == ("disabled", fingerprint_of(before))
    attempts = [
        lambda: manager.get_encryption_key("k", version=version),
        lambda: manager.get_key("k", version),
        lambda: manager.key_info("k", version),
    ]
    if version == newest.version:
        attempts += [
            lambda: manager.get_encryption_key("k"),
            lambda: manager.get_secret("k", "default"),
            lambda: manager.secret_info("k"),
        ]
    for attempt in attempts:
        with pytest.raises(KeyDisabledError, match=f"version {version}") as caught:
            attempt()
        assert caught.value.__context__ is None
    assert manager.get_key("k", 3 - version).version == 3 - version
    enabled = manager.enable_key_version("k", version)
    assert enabled.state == ("enabled" if version == 2 else "decrypt-only")
    assert manager.get_encryption_key("k", version=version) == before


def test_the_message_says_how_to_enable_a_version(manager_with):
    manager = manager_with()
    manager.generate_key("k")
    manager.disable_key_version("k", 1)
    with pytest.raises(KeyDisabledError) as caught:
        manager.get_key("k")
    assert "secret/secureml/staging/k version 1" in str(caught.value)
    assert "enable_key_version" in str(caught.value)
    assert "secureml keys enable" in str(caught.value)


def test_a_version_can_be_disabled_and_enabled_twice(manager):
    manager.generate_key("k")
    for _ in range(2):
        assert manager.disable_key_version("k", 1).state == "disabled"
    for _ in range(2):
        assert manager.enable_key_version("k", 1).state == "enabled"


def test_history_tells_every_state_and_every_fingerprint_there_is(manager):
    first = manager.generate_key("k")
    keys = [manager.rotate_key("k") for _ in range(3)]
    manager.destroy_key_version("k", 1, first.fingerprint)
    manager.disable_key_version("k", 2)
    history = manager.key_history("k")
    assert [info.state for info in history] == ["destroyed", "disabled", "decrypt-only", "enabled"]
    assert [info.fingerprint for info in history] == [None, *(info.fingerprint for info in keys)]


def test_a_key_whose_newest_version_is_disabled_can_be_rotated(manager):
    first = manager.generate_key("k", 24, "base64")
    manager.disable_key_version("k", 1)
    assert [info.state for info in manager.list_keys()] == ["disabled"]
    second = manager.rotate_key("k")
    assert (second.version, second.state) == (2, "enabled")
    assert second.fingerprint != first.fingerprint
    assert len(manager.get_encryption_key("k", 24)) == 24
    assert states(manager) == ["disabled", "enabled"]


def test_a_disabled_version_can_be_destroyed(manager):
    manager.generate_key("k")
    manager.rotate_key("k")
    manager.disable_key_version("k", 1)
    fingerprint = manager.key_history("k")[0].fingerprint
    assert manager.destroy_key_version("k", 1, fingerprint).state == "destroyed"
    with pytest.raises(SecretDeletedError):
        manager.get_key("k", 1)
    for attempt in (manager.disable_key_version, manager.enable_key_version):
        with pytest.raises(SecretDeletedError):
            attempt("k", 1)


def test_a_disabled_key_is_still_not_overwritten(manager):
    manager.generate_key("k")
    manager.disable_key_version("k", 1)
    for attempt in (
        lambda: manager.generate_key("k"),
        lambda: manager.import_key("k", KEY),
    ):
        with pytest.raises(SecretExistsError):
            attempt()
    with pytest.raises(SecretError):
        manager.set_secret("k", "other")
    assert len(manager.key_history("k")) == 1


@pytest.mark.parametrize("change", ["disable_key_version", "enable_key_version"])
def test_only_versions_that_exist_can_be_disabled_or_enabled(manager, change):
    manager.generate_key("k")
    manager.set_secret("password", "hunter2 hunter2")
    change = getattr(manager, change)
    for name, version in (("k", 2), ("other", 1)):
        with pytest.raises(SecretNotFoundError):
            change(name, version)
    with pytest.raises(KeyMaterialError):
        change("password", 1)
    with pytest.raises(KeyMaterialError, match="from 1"):
        change("k", 0)
    for version in (None, "1", 1.0, True):
        with pytest.raises(TypeError):
            change("k", version)
    assert states(manager) == ["enabled"]


def test_versions_disabled_at_once_are_all_disabled(manager_with):
    managers = [manager_with() for _ in range(4)]
    managers[0].generate_key("k")
    for _ in range(15):
        managers[0].rotate_key("k")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: managers[n % 4].disable_key_version("k", n), range(1, 16)))
    assert states(managers[0]) == ["disabled"] * 15 + ["enabled"]


def test_vault_has_room_for_so_many_disabled_versions(manager_with, kv):
    manager = manager_with()
    manager.generate_key("k")
    full = {f"note{n}": "x" for n in range(63)} | {"secureml.created_by": "x"}
    kv.update_metadata("secureml/staging/k", custom_metadata=full)
    with pytest.raises(SecretError, match="room for 64 entries"):
        manager.disable_key_version("k", 1)
    assert states(manager) == ["enabled"]


def test_another_process_notices_when_it_reads_vault_again(manager_with):
    ours, theirs = manager_with(), manager_with(cache_ttl=3600)
    ours.generate_key("k")
    theirs.get_key("k")
    ours.disable_key_version("k", 1)
    assert theirs.get_key("k").version == 1
    theirs.invalidate("k")
    with pytest.raises(KeyDisabledError):
        theirs.get_key("k")


# Rights.

READER = """
path "secret/data/secureml/staging/*" { capabilities = ["read"] }
path "secret/metadata/secureml/staging/*" { capabilities = ["read", "list"] }
"""


def test_a_reader_reads_every_state(manager_with, vault):
    admin = manager_with()
    admin.generate_key("k", rotation_period=1)
    admin.rotate_key("k")
    admin.disable_key_version("k", 1)
    reader = manager_with(vault.policy_token(READER, no_default_policy=False))
    assert reader.get_key("k").version == 2
    with pytest.raises(KeyDisabledError):
        reader.get_key("k", 1)
    assert reader.key_history("k") == admin.key_history("k")
    assert reader.list_keys() == admin.list_keys()
    for attempt in (
        lambda: reader.disable_key_version("k", 2),
        lambda: reader.enable_key_version("k", 1),
        lambda: reader.set_rotation_period("k", 2),
    ):
        with pytest.raises(AccessDeniedError, match="'patch'") as caught:
            attempt()
        assert caught.value.path == "secret/metadata/secureml/staging/k"
    assert states(admin) == ["disabled", "enabled"]


# Rotation.


def test_a_rotation_that_would_destroy_a_key_names_it(manager_with, vault, kv):
    kv.update_metadata("secureml/staging/k", max_versions=3)
    for number in range(3):
        kv.create_or_update_secret("secureml/staging/k", {"value": bytes([number] * 32).hex()})
    rights = (
        'path "secret/data/*" { capabilities = ["create", "read", "update"] }\n'
        'path "secret/destroy/*" { capabilities = ["update"] }\n'
        'path "secret/metadata/*" { capabilities = ["read"] }\n'
    )
    manager = manager_with(vault.policy_token(rights, no_default_policy=False))
    with pytest.raises(SecretError, match="would destroy version 1"):
        manager.rotate_key("k")
    assert states(manager) == ["decrypt-only", "decrypt-only", "enabled"]
    manager.destroy_key_version("k", 1, fingerprint_of(bytes(32)))
    assert manager.rotate_key("k").version == 4
    with pytest.raises(SecretError, match="would destroy version 2"):
        manager.rotate_key("k")


def test_a_rotation_raises_the_number_of_kept_versions_if_it_may(manager_with, kv):
    kv.update_metadata("secureml/staging/k", max_versions=1)
    kv.create_or_update_secret("secureml/staging/k", {"value": KEY.hex()})
    manager = manager_with()
    manager.rotate_key("k")
    assert manager.get_encryption_key("k", version=1) == KEY


def test_only_due_keys_are_rotated(manager):
    now = manager.generate_key("a", rotation_period=1).created
    manager.generate_key("folder/b", rotation_period=timedelta(hours=30))
    manager.generate_key("never")
    manager.set_secret("password", "hunter2 hunter2")
    assert manager.rotate_due(now) == ()
    assert [info.name for info in manager.rotate_due(now + timedelta(days=1))] == ["a"]
    later = now + timedelta(days=2)
    rotated = manager.rotate_due(later)
    assert [(info.name, info.version) for info in rotated] == [("a", 3), ("folder/b", 2)]
    assert rotated == tuple(manager.key_info(info.name) for info in rotated)


def test_rotate_due_takes_the_present_time_by_default(manager):
    manager.generate_key("k", rotation_period=1)
    assert manager.rotate_due() == ()


def test_a_disabled_key_is_rotated_when_it_is_due(manager):
    manager.generate_key("k", rotation_period=1)
    manager.disable_key_version("k", 1)
    assert len(manager.rotate_due(datetime.now(UTC) + timedelta(days=2))) == 1


def test_two_programs_that_rotate_due_keys_make_one_version(manager_with):
    managers = [manager_with() for _ in range(6)]
    managers[0].generate_key("k", rotation_period=1)
    tomorrow = datetime.now(UTC) + timedelta(days=1, minutes=1)
    rotated = []
    with ThreadPoolExecutor(6) as pool:
        for found in pool.map(lambda each: each.rotate_due(tomorrow), managers):
            rotated += found
    versions = [info.version for info in managers[0].key_history("k")]
    assert len(versions) == 1 + len(rotated)
    assert versions == list(range(1, len(versions) + 1))


def test_an_unreadable_key_does_not_keep_others_from_being_rotated(manager_with, vault):
    admin = manager_with()
    for name in ("a", "b", "c"):
        admin.generate_key(name, rotation_period=1)
    admin.set_secret("password", "hunter2 hunter2")
    denied = "".join(
        f'path "secret/data/secureml/staging/{name}" {{ capabilities = ["deny"] }}\n'
        for name in ("b", "password")
    )
    rights = 'path "secret/*" { capabilities = ["create", "read", "update", "patch", "list"] }\n'
    manager = manager_with(vault.policy_token(rights + denied, no_default_policy=False))
    later = datetime.now(UTC) + timedelta(days=2)
    with pytest.raises(AccessDeniedError, match=r"1 of 3 keys that are due .* 'b'"):
        manager.rotate_due(later)
    assert [len(admin.key_history(name)) for name in ("a", "b", "c")] == [2, 1, 2]


def test_a_key_that_can_not_be_rotated_does_not_keep_others_from_it(manager_with, vault):
    admin = manager_with()
    for name in ("a", "b", "c", "d"):
        admin.generate_key(name, rotation_period=1)
    rights = READER + (
        'path "secret/data/secureml/staging/a" { capabilities = ["read", "update"] }\n'
        'path "secret/data/secureml/staging/c" { capabilities = ["read", "update"] }\n'
    )
    manager = manager_with(vault.policy_token(rights, no_default_policy=False))
    later = datetime.now(UTC) + timedelta(days=2)
    with pytest.raises(AccessDeniedError) as caught:
        manager.rotate_due(later)
    assert str(caught.value).startswith(
        "2 of 4 keys that are due could not be rotated: 'b', 'd' (the others are rotated)."
        " The first one: "
    )
    assert "staging/b" in str(caught.value)
    assert caught.value.path == "secret/data/secureml/staging/b"
    assert caught.value.__context__ is None
    assert [info.version for info in admin.list_keys()] == [2, 1, 2, 1]
    admin.set_rotation_period("a", None)
    admin.set_rotation_period("c", None)
    with pytest.raises(AccessDeniedError, match=r"^2 of 2 .* rotated: 'b', 'd'\. The"):
        manager.rotate_due(later)


def test_a_period_that_can_not_be_read_is_told(manager_with, kv):
    manager = manager_with()
    manager.generate_key("a", rotation_period=1)
    manager.generate_key("b", rotation_period=1)
    about = {"secureml.created_by": "x", "secureml.rotation_period": "soon"}
    kv.update_metadata("secureml/staging/a", custom_metadata=about)
    with pytest.warns(SecureMLWarning, match="a key has a rotation period") as caught:
        rotated = manager.rotate_due(datetime.now(UTC) + timedelta(days=2))
    assert [info.name for info in rotated] == ["b"]
    assert caught[0].message.details.startswith("secret/secureml/staging/a has a rotation period")
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert manager.get_key("a").info.rotation_period is None


def test_the_rotation_period_can_be_changed(manager):
    made = manager.generate_key("k", purpose="orders", rotation_period=1)
    changed = manager.set_rotation_period("k", timedelta(hours=1))
    assert changed.due == made.created + timedelta(hours=1)
    assert manager.key_info("k") == changed
    assert manager.set_rotation_period("k", None).due is None
    assert manager.rotate_due(datetime.now(UTC) + timedelta(days=1000)) == ()
    assert manager.key_info("k").purpose == "orders"
    with pytest.raises(SecretNotFoundError):
        manager.set_rotation_period("other", 1)
    with pytest.raises(KeyMaterialError):
        manager.set_rotation_period("k", 0)


@pytest.mark.parametrize("size", [16, 32, 48])
def test_a_key_whose_newest_version_was_destroyed_can_be_rotated(manager, size):
    manager.generate_key("k", key_bytes=size)
    manager.rotate_key("k")
    for version in (2, 1):
        fingerprint = manager.key_history("k")[version - 1].fingerprint
        manager.destroy_key_version("k", version, fingerprint)
        rotated = manager.rotate_key("k")
        assert rotated.version == version % 2 + 3
        assert len(manager.get_key("k", key_bytes=size)) == size
    assert states(manager) == ["destroyed", "destroyed", "decrypt-only", "enabled"]


def test_a_key_with_nothing_left_gets_the_usual_length(manager):
    fingerprint = manager.generate_key("k", key_bytes=48).fingerprint
    manager.destroy_key_version("k", 1, fingerprint)
    with pytest.raises(SecretExistsError):
        manager.generate_key("k")
    assert manager.rotate_key("k").version == 2
    assert len(manager.get_key("k")) == 32


def test_a_newest_version_that_was_deleted_is_left_to_be_undeleted(manager_with, kv):
    manager = manager_with()
    manager.generate_key("k")
    kv.delete_latest_version_of_secret("secureml/staging/k")
    with pytest.raises(SecretDeletedError, match="undelete"):
        manager.rotate_key("k")


class _Ahead(datetime):
    """A machine whose clock is a hundred days ahead."""

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + timedelta(days=100)


def test_keys_are_due_by_the_clock_of_vault_and_not_by_that_of_this_machine(
    manager_with, monkeypatch
):
    manager = manager_with()
    manager.generate_key("k", rotation_period=90)
    for module in (lifecycle, vault_store, kv2):
        monkeypatch.setattr(module, "datetime", _Ahead)
    assert manager.rotate_due() == ()


def test_whether_a_planned_deletion_has_happened_is_said_by_the_clock_of_vault(
    manager_with, kv, monkeypatch
):
    manager = manager_with()
    kv.update_metadata("secureml/staging/k", delete_version_after="48h")
    kv.create_or_update_secret("secureml/staging/k", {"value": KEY.hex()})
    for module in (vault_store, kv2):
        monkeypatch.setattr(module, "datetime", _Ahead)
    assert manager.get_key("k").version == 1
    assert states(manager) == ["enabled"]

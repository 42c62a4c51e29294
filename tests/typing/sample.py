"""A typed program of a user, which type checkers read: every public name, with its types."""

from collections.abc import AsyncIterator, Callable
from typing import Any, assert_type

import pandas as pd  # type: ignore[import-untyped]  # pandas has no types of its own

import secureml
from secureml import (
    AsyncKeyManager,
    KeyManager,
    Pseudonymizer,
    anonymize,
    configure,
    configure_default_key_manager,
    get_encryption_key,
    get_settings,
    merge_manifests,
    override,
    preview,
    reidentify,
    rekey,
    reset,
)
from secureml.errors import SecretError, SecureMLError
from secureml.key_management import (
    Envelope,
    Key,
    KeyExport,
    KeyInfo,
    SecretInfo,
    get_default_key_manager,
)
from secureml.settings import Settings
from secureml.stores import MemoryStore


def keys(manager: KeyManager) -> None:
    assert_type(manager.get_encryption_key(), bytes)
    assert_type(manager.get_encryption_key("k", 32, "hex", version=1), str)
    assert_type(manager.get_encryption_key(encoding="base64"), str)
    key = manager.get_key("k", 1, key_bytes=16)
    assert_type(key, Key)
    assert_type(key.info, KeyInfo)
    assert_type(key.fingerprint, str)
    assert_type(key.envelope, Envelope | None)
    assert_type(manager.derive_key(key, "reports"), bytes)
    assert_type(manager.derive_key(b"0" * 32, "reports", 16, encoding="hex"), str)
    assert_type([*manager.keys_of("k", key_bytes=32)], list[Key])
    assert_type(manager.generate_key("k", 32, "hex", purpose="reports"), KeyInfo)
    assert_type(manager.import_key("k", b"0" * 32, rotation_period=90), KeyInfo)
    assert_type(manager.rotate_key("k", new_material=True), KeyInfo)
    assert_type(manager.rotate_due(), tuple[KeyInfo, ...])
    assert_type(manager.set_rotation_period("k", None), KeyInfo)
    assert_type(manager.list_keys(), tuple[KeyInfo, ...])
    assert_type(manager.key_info("k", 1), KeyInfo)
    assert_type(manager.key_history("k"), tuple[KeyInfo, ...])
    assert_type(manager.key_versions("k"), tuple[KeyInfo, ...])
    assert_type(manager.disable_key_version("k", 1), KeyInfo)
    assert_type(manager.enable_key_version("k", 1), KeyInfo)
    assert_type(manager.destroy_key_version("k", 1, confirm="0" * 16), KeyInfo)
    assert_type(manager.accept_rollback("k", 1), tuple[int, ...])
    exported = manager.export_key("k", passphrase="correct horse")
    assert_type(exported, bytes)
    export = manager.read_export(exported, passphrase="correct horse")
    assert_type(export, KeyExport)
    assert_type(manager.restore_key(export, "k2"), tuple[KeyInfo, ...])
    if key.envelope is not None:
        assert_type(manager.rewrap_key(key.envelope, "k"), Envelope)
        assert_type(manager.unwrap_key(key.envelope, "k"), Key)
    assert_type(manager.on_rotate(lambda before, after: None), Callable[[], None])
    manager.invalidate("k")


def secrets(manager: KeyManager) -> str:
    assert_type(manager.set_secret("s", {"user": "u", "password": "p"}), SecretInfo)
    assert_type(manager.secret_info("s"), SecretInfo)
    assert_type(manager.environment, str | None)
    assert_type(manager.settings, Settings)
    try:
        password: str = manager.get_secret("s", default="")
    except SecretError as error:
        problem: SecureMLError = error
        return type(problem).__name__
    return password


async def coroutines(store: MemoryStore) -> None:
    async with AsyncKeyManager(store=store, environment="staging") as keys:
        assert_type(keys, AsyncKeyManager)
        assert_type(await keys.get_encryption_key(), bytes)
        assert_type(await keys.get_encryption_key("k", encoding="hex"), str)
        assert_type(await keys.derive_key(b"0" * 32, "reports"), bytes)
        assert_type(await keys.derive_key(b"0" * 32, "reports", encoding="hex"), str)
        assert_type(await keys.get_key("k", 1, key_bytes=16), Key)
        assert_type(await keys.generate_key("k", purpose="reports"), KeyInfo)
        assert_type(await keys.rotate_key("k", new_material=True), KeyInfo)
        assert_type(await keys.set_secret("s", "x"), SecretInfo)
        assert_type(await keys.list_keys(), tuple[KeyInfo, ...])
        assert_type(keys.keys_of("k"), AsyncIterator[Key])
        assert_type([key async for key in keys.keys_of("k")], list[Key])
        assert_type(await keys.manager(), KeyManager)
    await AsyncKeyManager(manager=KeyManager(store=store)).close()


def tables(table: pd.DataFrame, manager: KeyManager) -> pd.DataFrame:
    hidden: pd.DataFrame = anonymize(table, sensitive_columns=["ssn"], key_manager=manager)
    rows, manifest = anonymize(
        [{"ssn": "219-09-9999"}], sensitive_columns=["ssn"], return_manifest=True
    )
    recovered: list[dict[str, Any]] = reidentify(rows, manifest)
    merged = merge_manifests([manifest, manifest])
    moved: pd.DataFrame = rekey(hidden, to_key="next_key", key_manager=manager)
    assert preview(table, sensitive_columns=["ssn"]).columns
    plan = Pseudonymizer(sensitive_columns=["ssn"])
    assert isinstance(plan, Pseudonymizer)
    assert recovered
    assert merged
    return moved


def process() -> None:
    assert_type(configure(environment="staging", cache_ttl=5), Settings)
    assert_type(get_settings(), Settings)
    with override(environment="development") as settings:
        assert_type(settings, Settings)
    assert_type(configure_default_key_manager(store=MemoryStore()), KeyManager)
    assert_type(get_default_key_manager(), KeyManager)
    assert_type(get_encryption_key(), bytes | str)
    assert_type(secureml.__version__, str)
    reset()

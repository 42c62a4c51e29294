"""Checks of the key of the settings: its length, its age and its rotation."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from secureml.cli.checks.result import Check, warned
from secureml.errors import KeyMaterialError, SecretDeletedError, SecretNotFoundError, SecureMLError
from secureml.keys import Key, KeyInfo
from secureml.settings import Settings, variable_of

__all__ = ["key_checks"]


def key_checks(settings: Settings, now: datetime, vault_problem: str) -> Iterator[Check]:
    """Check the key of the settings, wherever the policy finds it.

    Args:
        settings: name the key.
        now: the time.
        vault_problem: why keys can't be read from Vault; empty if they can.
    """
    if vault_problem:
        yield from (Check.unknown(name, vault_problem) for name in ("key", "rotation"))
        return
    read: tuple[Key, list[Check]] | SecureMLError
    try:
        read = warned(
            "key", "make one in Vault: secureml keys generate-key", lambda: _key_of(settings)
        )
    except SecureMLError as error:
        read = error.with_traceback(None)
    if isinstance(read, SecureMLError):
        yield Check.problem("key", read, _remedy_of(read, settings))
        yield Check.unknown("rotation", "the key can't be read")
        return
    key, warnings = read
    yield from warnings
    info = key.info
    version = f" version {info.version}" if info.version else ""
    age = f", {(now - info.created).days} days old" if info.created else ""
    yield Check.ok("key", f"{info.source} {info.path}{version}, {len(key.material)} bytes{age}")
    yield _rotation_check(info, now)


def _key_of(settings: Settings) -> Key:
    from secureml.key_management import KeyManager

    with KeyManager(settings=settings) as manager:
        return manager.get_key()


def _remedy_of(error: SecureMLError, settings: Settings) -> str:
    if isinstance(error, KeyMaterialError):
        return "make a key with secureml keys generate-key, or name another one in master_key_name"
    if isinstance(error, SecretDeletedError):
        return "undelete it in Vault, or restore it with secureml keys restore"
    if isinstance(error, SecretNotFoundError):
        if settings.vault_url is None:
            return f"secureml keys configure-vault, or set {variable_of(settings.master_key_name)}"
        return "secureml keys generate-key makes one"
    return error.remedy


def _rotation_check(info: KeyInfo, now: datetime) -> Check:
    if info.rotation_period is None:
        return Check.ok("rotation", "no period is set")
    due = info.due
    if due is None:
        return Check.unknown("rotation", "when the key was made is not known")
    if due > now:
        return Check.ok("rotation", f"due on {due:%Y-%m-%d}")
    late = f"the key was due for rotation on {due:%Y-%m-%d}"
    return Check.warning("rotation", late, "secureml keys rotate --all-due")

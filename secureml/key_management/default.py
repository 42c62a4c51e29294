"""The process-wide default manager: built on first use, replaced as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from secureml.configuration import process
from secureml.forksafe import ForkSafeLock
from secureml.key_management.manager import KeyManager
from secureml.key_management.notifier import RotationNotifier
from secureml.keys import format_material
from secureml.secret_types import conceals

if TYPE_CHECKING:
    from secureml.secret_types import SecretText
    from secureml.settings import Settings

__all__ = [
    "configure_default_key_manager",
    "get_default_key_manager",
    "get_encryption_key",
    "settings_before_vault",
    "temporary_default_manager",
]


_ATTACHED = "default manager"

_arguments: Mapping[str, Any] = {}
_notifier = RotationNotifier()
_lock = ForkSafeLock()


@conceals("vault_url", "vault_token", "vault_path")
def configure_default_key_manager(
    vault_url: str | None = None,
    vault_token: str | SecretText | None = None,
    vault_path: str | None = None,
    use_env_fallback: bool | None = None,
    use_default_fallback: bool | None = None,
    **more: Any,
) -> KeyManager:
    """Replace the process-wide default manager; if an argument is wrong, it stays as it was.

    Callbacks of ``on_rotate`` that the manager before it had are those of the new one too.

    Args:
        vault_url: as for ``KeyManager``, like all that follow.
        vault_token: the token to use.
        vault_path: the path below the mount.
        use_env_fallback: whether environment variables may be used in place of Vault.
        use_default_fallback: whether deterministic development defaults may.
        **more: every other argument of ``KeyManager``.

    Returns:
        The new default manager.

    Raises:
        ConfigurationError: with every problem found.
    """
    global _arguments
    arguments = {
        "vault_url": vault_url,
        "vault_token": vault_token,
        "vault_path": vault_path,
        "use_env_fallback": use_env_fallback,
        "use_default_fallback": use_default_fallback,
        **more,
    }
    with _lock.mutex:
        manager = _built(arguments)
        _arguments = arguments
    return manager


def get_default_key_manager() -> KeyManager:
    """Return the process-wide default manager, built on first use and anew after ``configure``.

    In an ``override`` block it is another one, for the length of the block.

    Raises:
        ConfigurationError: with every problem found.
    """
    current = _current()
    if current is not None:
        return current
    with _lock.mutex:
        return _current() or _built(_arguments)


def settings_before_vault() -> Settings:
    """Return the default manager's settings without Vault's layer: nothing is sent for them.

    Raises:
        ConfigurationError: with every problem found.
    """
    return get_default_key_manager()._local


def get_encryption_key(
    key_name: str | None = None,
    key_bytes: int = 32,
    encoding: Literal["bytes", "hex", "base64"] = "bytes",
    *,
    version: int | None = None,
) -> bytes | str:
    """Read a key through the default manager.

    Args:
        key_name: the key's name; by default the setting ``master_key_name``.
        key_bytes: its length in bytes, which must match exactly; 16 to 8160.
        encoding: ``bytes``, ``hex`` or ``base64``.
        version: the version in Vault; the newest by default.

    Returns:
        The key as bytes, or as text in the encoding asked for.

    Raises:
        ConfigurationError: with every problem found.
        SecretError: as for ``KeyManager.get_encryption_key``.
    """
    key = get_default_key_manager().get_key(key_name, version, key_bytes=key_bytes)
    return format_material(key.material, encoding)


@contextmanager
def temporary_default_manager(**arguments: Any) -> Iterator[KeyManager]:
    """Have another default manager in the whole process, for the length of a ``with`` block.

    What is configured inside the block is undone at its end. Made for tests.

    Args:
        **arguments: those of ``KeyManager``.

    Raises:
        ConfigurationError: with every problem found.
    """
    global _arguments, _notifier
    before = _arguments, _notifier
    with process.temporary_settings():
        try:
            with _lock.mutex:
                _notifier = RotationNotifier()
            with configure_default_key_manager(**arguments) as manager:
                yield manager
        finally:
            with _lock.mutex:
                _arguments, _notifier = before


def _current() -> KeyManager | None:
    """Return the manager made for the settings in force and the last arguments, if there is one."""
    made: Any = process.attachments().get(_ATTACHED, (None, None))
    manager: KeyManager | None = made[0]
    return manager if made[1] is _arguments else None


def _built(arguments: Mapping[str, Any]) -> KeyManager:
    """Build the next default manager."""
    global _notifier
    attachments = process.attachments()
    manager = KeyManager(**arguments)
    if process.is_overridden():
        manager.watch_with(_notifier.sibling())
    else:
        _notifier = _notifier.successor()
        manager.watch_with(_notifier)
    attachments[_ATTACHED] = manager, arguments
    return manager


def _forget() -> None:
    global _arguments, _notifier
    with _lock.mutex:
        _arguments, _notifier = {}, RotationNotifier()


process.on_reset(_forget)

"""The process-wide default manager: built on first use, replaced as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from secureml import configuration
from secureml.concealed import conceals
from secureml.concurrency import SharedLock
from secureml.key_management.manager import KeyManager
from secureml.keys import written

if TYPE_CHECKING:
    from secureml.concealed import SecretText

__all__ = ["configure_default_key_manager", "get_default_key_manager", "get_encryption_key"]


@dataclass(frozen=True, slots=True)
class _Default:
    manager: KeyManager
    built_for: object


_default: _Default | None = None
_default_arguments: dict[str, Any] = {}
_default_lock = SharedLock()


@conceals("vault_url", "vault_token", "vault_path")
def configure_default_key_manager(
    vault_url: str | None = None,
    vault_token: str | SecretText | None = None,
    vault_path: str | None = None,
    use_env_fallback: bool | None = None,
    use_default_fallback: bool | None = None,
    **more: Any,
) -> KeyManager:
    """Replace the process-wide default manager; it is left as it was where an argument is wrong.

    Callbacks of ``on_rotate`` that the manager before it had are those of the new one too.

    Args:
        vault_url: as for ``KeyManager``, like all that follow.
        vault_token: the token to use.
        vault_path: the path below the mount.
        use_env_fallback: whether environment variables may stand in for Vault.
        use_default_fallback: whether deterministic development defaults may.
        **more: every other argument of ``KeyManager``.

    Returns:
        The new default manager.

    Raises:
        ConfigurationError: with every problem found.
    """
    global _default, _default_arguments
    arguments = {
        "vault_url": vault_url,
        "vault_token": vault_token,
        "vault_path": vault_path,
        "use_env_fallback": use_env_fallback,
        "use_default_fallback": use_default_fallback,
        **more,
    }
    with _default_lock.mutex:
        made = _built(arguments)
        _default, _default_arguments = made, arguments
    return made.manager


def get_default_key_manager() -> KeyManager:
    """Return the process-wide default manager, built on first use and anew after ``configure``.

    Raises:
        ConfigurationError: with every problem found.
    """
    global _default
    current = _default
    if current is not None and current.built_for is configuration.state_token():
        return current.manager
    with _default_lock.mutex:
        if _default is None or _default.built_for is not configuration.state_token():
            _default = _built(_default_arguments)
        return _default.manager


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
    return written(key.material, encoding)


def _built(arguments: Mapping[str, Any]) -> _Default:
    """Build the manager that comes after the default one."""
    token = configuration.state_token()
    manager = KeyManager(**arguments)
    if _default is not None:
        manager.succeed(_default.manager)
    return _Default(manager, token)

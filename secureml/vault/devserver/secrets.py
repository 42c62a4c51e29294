"""What a development server needs to be started again: its seal key and its root token."""

from __future__ import annotations

import secrets
from pathlib import Path

from secureml.atomic_files import write_file
from secureml.errors import VaultUnavailableError
from secureml.secret_types import SecretText

__all__ = ["DevServerSecrets"]

_KEY_BYTES = 32  # AES-256


class DevServerSecrets:
    """Files in a server's folder, each for its owner alone.

    Args:
        directory: the server's folder.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = directory / "unseal.key"
        self._token = directory / "root-token"

    @staticmethod
    def is_in(directory: Path) -> bool:
        """Tell whether a folder is that of such a server."""
        return (directory / "unseal.key").is_file()

    @property
    def seal(self) -> dict[str, str]:
        """The server's configuration of a seal that opens by itself."""
        return {"current_key_id": "one", "current_key": f"file://{self._key}"}

    def make_key(self) -> None:
        """Make the seal key, unless there is one."""
        if not self._key.exists():
            write_file(self._key, secrets.token_bytes(_KEY_BYTES))

    def save_root_token(self, token: SecretText) -> None:
        """Keep the root token."""
        write_file(self._token, token.reveal().encode())

    def root_token(self) -> SecretText:
        """Return the root token.

        Raises:
            VaultUnavailableError: it isn't there.
        """
        if not self._token.is_file():
            raise VaultUnavailableError(
                f"{self._directory} holds a server that was interrupted when it was first started; "
                "remove the folder"
            )
        return SecretText(self._token.read_text(encoding="ascii").strip())

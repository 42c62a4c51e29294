"""Reads of Vault's API paths that tell an absent path from an error."""

from __future__ import annotations

from secureml.errors import SecretError
from secureml.vault.client.answers import Members
from secureml.vault.client.session import Answer, VaultSession

__all__ = ["Api"]


class Api:
    """Reads API paths; every error is one of the session's.

    Args:
        session: the connection to Vault.
    """

    def __init__(self, session: VaultSession) -> None:
        self._session = session

    def get(self, path: str, capability: str = "read") -> Answer:
        """Read a path; the answer is 2xx, 400 or 404."""
        return self._session.request("get", path, capability=capability)

    def expect(self, path: str) -> Members:
        """Read a path that exists.

        Args:
            path: the path below ``/v1/``.

        Returns:
            The object under ``data``.

        Raises:
            SecretError: it is absent, or Vault can't be asked.
        """
        found = self.find(path)
        if found is None:
            raise SecretError(f"Vault has nothing at {path!r}")
        return found

    def find(self, path: str) -> Members | None:
        """Read a path.

        Args:
            path: the path below ``/v1/``.

        Returns:
            The object under ``data``; None if it is absent.

        Raises:
            SecretError: Vault can't be asked.
        """
        return _found(self.get(path), path)

    def entries(self, path: str) -> list[str]:
        """List a folder; an absent one is empty.

        Raises:
            SecretError: Vault can't be asked.
        """
        found = _found(self._session.request("list", path), path)
        return [] if found is None else found.texts("keys")

    def accepted(self, answer: Answer, path: str) -> None:
        """Raise a SecretError unless the answer accepts what was written."""
        if answer.status not in (200, 204):
            raise SecretError(f"Vault does not accept what was written to {path!r}")


def _found(answer: Answer, path: str) -> Members | None:
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise SecretError(
            f"Vault rejected the request to {path!r} as invalid (HTTP {answer.status})"
        )
    return answer.data

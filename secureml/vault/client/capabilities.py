"""What the token of a session may do, by asking Vault without doing it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from secureml.errors import AccessDeniedError, AuthenticationError
from secureml.vault.client.answers import Members
from secureml.vault.client.session import VaultSession

__all__ = ["Capabilities"]


class Capabilities:
    """The capabilities that a token has on some paths.

    Args:
        held: Vault's answer, by path.
    """

    def __init__(self, held: Members) -> None:
        self._held = held

    @classmethod
    def of(cls, session: VaultSession, paths: Iterable[str]) -> Capabilities | None:
        """Ask about paths; None if the token may not ask.

        Args:
            session: the connection to Vault.
            paths: API paths.

        Raises:
            SecretError: Vault can't be asked.
        """
        wanted = {"paths": list(dict.fromkeys(paths))}
        try:
            answer = session.request("post", "sys/capabilities-self", body=wanted)
        except (AccessDeniedError, AuthenticationError):
            return None
        return cls(answer.data) if answer.status == 200 else None

    def missing(self, path: str, needed: Iterable[str]) -> tuple[str, ...]:
        """Return which of the capabilities needed on a path the token lacks."""
        held = self._held.texts(path)
        return () if "root" in held else tuple(name for name in needed if name not in held)

    def allow(self, needed: Mapping[str, Iterable[str]]) -> bool:
        """Tell whether the token has everything needed, by path."""
        return not any(self.missing(path, names) for path, names in needed.items())

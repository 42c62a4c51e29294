"""Checks that the mount in the settings is a KV v2 secrets engine."""

from __future__ import annotations

import re

from secureml.errors import AccessDeniedError, AuthenticationError, ConfigurationError
from secureml.vault.client.answers import Members
from secureml.vault.client.messages import Answer, Objection
from secureml.vault.client.session import VaultSession

__all__ = ["KvMount", "lifetime_in"]

_LIFETIME = re.compile(r"[0-9.hmsuµn]*[1-9][0-9.hmsuµn]*")


class KvMount:
    """Tells an absent secret from a wrong mount: Vault answers both with 404.

    Args:
        session: the connection to Vault.
        name: the mount, as ``vault_mount`` has it.
    """

    def __init__(self, session: VaultSession, name: str) -> None:
        self._session = session
        self._name = name
        self._is_asked = False
        self._is_right = False

    def check(self) -> bool:
        """Ask what is mounted there, unless Vault has told before.

        Returns:
            Whether Vault told; it does not tell a token without any rights on the mount.

        Raises:
            ConfigurationError: it is no KV v2 secrets engine.
            SecretError: Vault can't be asked.
        """
        if self._is_asked:
            return self._is_right
        try:
            answer = self._session.request(
                "get",
                f"sys/internal/ui/mounts/{self._name}",
                mount=self._name,
                objection=lambda answer: self._problem(answer.data),
            )
        except AccessDeniedError:
            self._is_asked = True
            return False
        except AuthenticationError:
            return False
        problem = self._problem(answer.data)
        if problem:
            raise self._wrong(problem)
        self._is_asked = True
        self._is_right = bool(answer.data)
        return self._is_right

    def answered(self) -> None:
        """Remember that it gave a version of a secret, as only a KV v2 engine does."""
        self._is_asked = self._is_right = True

    def check_absence(self, answer: Answer) -> None:
        """Check that a KV v2 engine has given an answer 404.

        Raises:
            ConfigurationError: it is no KV v2 secrets engine.
            SecretError: Vault can't be asked.
        """
        if answer.has_no_route:
            self._is_asked = self._is_right = False
            self.check()
            raise self._wrong("nothing is mounted there")
        if not answer.data:
            self.check()

    def objection(self, other: Objection | None) -> Objection:
        """Object to a standby, which for a moment may not know the mount.

        Args:
            other: a further objection.
        """

        def objection(answer: Answer) -> str:
            if answer.has_no_route:
                return f"it does not know the mount {self._name!r}"
            return "" if other is None else other(answer)

        return objection

    def _problem(self, mount: Members) -> str:
        if not mount:
            return ""
        root = (mount.text("path") or "").strip("/")
        if not root:
            raise mount.malformed("path")
        if root != self._name:
            return f"it lies in the mount {root!r}"
        engine = f"{mount.word('type')} version {mount.section('options').word('version') or '1'}"
        return "" if engine == "kv version 2" else f"it is {engine}"

    def _wrong(self, problem: str) -> ConfigurationError:
        return ConfigurationError(
            f"vault_mount {self._name!r} names no KV version 2 secrets engine: {problem}"
        )


def lifetime_in(config: Members) -> str:
    """Return the time after which versions are deleted; empty for never.

    Args:
        config: the mount's configuration, or the secret's metadata. The shorter of the two counts.
    """
    text = config.text("delete_version_after") or ""
    return text if _LIFETIME.fullmatch(text) else ""

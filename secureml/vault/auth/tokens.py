"""Tokens that are given, that lie in a file, or that a proxy adds: Vault is not asked for one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from secureml.errors import AuthenticationError
from secureml.secret_types import SecretText
from secureml.vault.auth.base import AuthMethod, Login
from secureml.vault.auth.credentials import Credential
from secureml.vault.auth.login_request import is_token

if TYPE_CHECKING:
    from secureml.vault.client.failover import FailoverClient

__all__ = ["NoAuth", "TokenAuth"]


class TokenAuth(AuthMethod):
    """Uses a token that was given, or the one that a file holds at the time.

    Args:
        token: the token or its file.
    """

    asks_vault = False

    def __init__(self, token: Credential) -> None:
        self._token = token

    @classmethod
    def of_file(cls, file: str | os.PathLike[str]) -> TokenAuth:
        """Use the token that a file holds, whatever else is set.

        Args:
            file: the file's path.
        """
        return cls(Credential(setting="vault_token", value=None, file=os.fspath(file)))

    def login(self, client: FailoverClient) -> Login:
        """Return the token; only its use shows whether Vault accepts it."""
        if self._token.value is None and self._token.file is None:
            raise AuthenticationError(
                "no Vault token is set: export SECUREML_VAULT_TOKEN, or name a file that holds one "
                "in vault_token_file ('secureml keys configure-vault' does that)"
            )
        token = SecretText(self._token.read("token").reveal().strip())
        if not is_token(token.reveal()):
            raise AuthenticationError(f"{self._token.place} holds characters that no token has")
        return Login(token=token)


class NoAuth(AuthMethod):
    """Sends no token: the agent or proxy at ``vault_url`` adds its own."""

    asks_vault = False

    def login(self, client: FailoverClient) -> Login:
        """Return the empty token."""
        return Login(token=SecretText(""))

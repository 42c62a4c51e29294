"""The contract of a login method, and the token that it brings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from secureml.secret_types import SecretText

if TYPE_CHECKING:
    from secureml.vault.client.failover import FailoverClient

__all__ = ["AuthMethod", "Login"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A token, and what is known of it.

    Args:
        token: the token; empty if a proxy adds one.
        ttl: seconds that it is valid for; None if that is unlimited or not known.
        renewable: whether its life can be prolonged.
        own: whether the library obtained it, and so may revoke it.
        batch: whether it is a batch token, which Vault does not store and so can't revoke.
        accessor: the token's accessor; None if not known.
        request_id: Vault's own id of the request that brought it.
    """

    token: SecretText
    ttl: float | None = None
    renewable: bool = False
    own: bool = False
    batch: bool = False
    accessor: str | None = None
    request_id: str | None = None


class AuthMethod(ABC):
    """One way to obtain a token.

    Attributes:
        asks_vault: whether Vault is asked for one.
    """

    asks_vault = True

    def credentials(self) -> object | None:
        """Return what it logs in with now: sessions share a login if that is equal.

        None, as here, means that its logins are not shared.

        Raises:
            AuthenticationError: the credentials are missing.
            ResourceLimitError: no file can be opened.
        """
        return None

    @abstractmethod
    def login(self, client: FailoverClient) -> Login:
        """Obtain a token; credentials are read anew at every call.

        Args:
            client: sends the requests of the login.

        Raises:
            AuthenticationError: the credentials are missing or not accepted.
            VaultUnavailableError: Vault, or what it asks about the credentials, can't serve now.
        """

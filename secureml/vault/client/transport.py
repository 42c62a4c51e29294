"""Sends one request to one address of Vault, and reads the answer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from secureml.errors import MalformedAnswerError, MissingExtraError
from secureml.forksafe import unforked
from secureml.secret_types import SecretText, revealed
from secureml.settings import Settings
from secureml.vault.client.addresses import Address
from secureml.vault.client.answers import Members
from secureml.vault.client.failures import Failure, failure_of
from secureml.vault.client.messages import Answer, Request

if TYPE_CHECKING:
    import hvac

__all__ = ["Transport", "require_extra"]

_WANTS_TLS = b"HTTP request to an HTTPS server"
"""What servers written in Go answer to plain HTTP."""


class Transport:
    """The connections to Vault's addresses. Threads may share one.

    Args:
        settings: how to reach Vault.
        addresses: Vault's addresses.

    Raises:
        ConfigurationError: a certificate can't be used.
    """

    def __init__(self, settings: Settings, addresses: Sequence[Address]) -> None:
        from hvac.adapters import RawAdapter

        from secureml.vault.client.adapters import IsolatedSession

        self._settings = settings
        self._session = IsolatedSession(settings, addresses)
        self._new_adapter = RawAdapter
        self._adapters: dict[str, RawAdapter] = {}

    def plain_client(self, address: Address, token: SecretText) -> hvac.Client:
        """Return a client as hvac's users know it."""
        import hvac

        return hvac.Client(url=address.base, token=token.reveal(), **self._connection())

    def exchange(
        self, request: Request, address: Address, token: SecretText | None
    ) -> Answer | Failure:
        """Send one request to one address.

        Args:
            request: what to send.
            address: where to.
            token: the token to send with it.
        """
        adapter = self._adapters.get(address.base)
        if adapter is None:
            adapter = self._new_adapter(
                base_uri=address.base, token="", ignore_exceptions=True, **self._connection()
            )
            self._adapters[address.base] = adapter
        try:
            # Revealed secrets are in no variable here, where an error report would find them.
            response = adapter.request(
                request.method,
                f"/v1/{request.path}",
                json=None if request.body is None else revealed(request.body),
                params=request.params,
                headers={**request.headers, **_authorization(token)},
            )
        except OSError as error:
            return failure_of(error, address, self._settings)
        if response.status_code == 400 and _WANTS_TLS in response.content:
            message = f"what answers at {address.shown} speaks TLS: write https:// in its place"
            return Failure(error=MalformedAnswerError(message))
        body = Members.parse(response.content, address.shown)
        return Answer(
            response.status_code,
            body or Members({}, address.shown),
            headers=response.headers,
            is_object=body is not None,
        )

    def close(self) -> None:
        """Close the connections."""
        self._adapters.clear()
        self._session.close()

    def _connection(self) -> dict[str, Any]:
        # Values that are not None keep hvac from looking into the environment for others.
        timeout = self._settings.vault_timeout
        return {
            "cert": (),
            "verify": self._session.verify,
            "timeout": (min(self._settings.vault_connect_timeout, timeout), timeout),
            # A redirect would carry the token to wherever it leads.
            "allow_redirects": False,
            "session": self._session,
            "namespace": self._settings.vault_namespace,
        }


def _authorization(token: SecretText | None) -> dict[str, str]:
    return {"X-Vault-Token": token.reveal()} if token else {}


def require_extra() -> None:
    """Import what the extra ``vault`` brings.

    Raises:
        MissingExtraError: it is not installed.
    """
    # All that a request needs is imported here: it may come up in a thread while another one forks.
    with suppress(ImportError), unforked():
        import hvac  # noqa: F401  # only whether it is there

        import secureml.vault.client.adapters  # noqa: F401  # likewise

        return
    raise MissingExtraError.of("vault", "Reading keys from Vault")

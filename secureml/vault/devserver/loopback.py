"""Requests to a server on this machine, with the standard library alone."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secureml.errors import VaultUnavailableError
from secureml.secret_types import SecretText

__all__ = ["LoopbackApi"]

_TIMEOUT_SECONDS = 5.0


class LoopbackApi:
    """The HTTP API of a Vault or OpenBao server on 127.0.0.1; knows no proxy and no redirect.

    Args:
        port: the server's port.
        certificate: PEM file of the certificate that the server must show, for HTTPS.
    """

    def __init__(self, port: int, certificate: Path | None = None) -> None:
        self._port = port
        self._context = _context_that_expects(certificate) if certificate else None

    @property
    def url(self) -> str:
        """The server's address."""
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self._port}"

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        token: SecretText | None = None,
    ) -> tuple[int, Any]:
        """Send one request.

        Args:
            method: the HTTP method.
            path: the path below ``/v1/``.
            body: what to send, as JSON.
            token: the token to send.

        Returns:
            The status, and the JSON of the answer, which is None if it is empty.

        Raises:
            VaultUnavailableError: no answer, or one that is no JSON.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_SECONDS)
        if self._context is not None:
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self._port, timeout=_TIMEOUT_SECONDS, context=self._context
            )
        try:
            connection.request(
                method,
                f"/v1/{path}",
                None if body is None else json.dumps(body),
                {} if token is None else {"X-Vault-Token": token.reveal()},
            )
            response = connection.getresponse()
            content = response.read()
            return response.status, json.loads(content) if content else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            problem = type(error).__name__
        finally:
            connection.close()
        raise VaultUnavailableError(f"{self.url} gave no answer to {method} /v1/{path}: {problem}")

    def expect(
        self,
        status: int,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        token: SecretText | None = None,
    ) -> Any:
        """Send one request and return the JSON of its answer, if that has the status wanted.

        Args:
            status: the status wanted.
            method: as for ``request``, like all that follow.
            path: the path.
            body: what to send.
            token: the token.

        Raises:
            VaultUnavailableError: no answer, or one with another status.
        """
        actual, answer = self.request(method, path, body, token=token)
        if actual != status:
            raise VaultUnavailableError(f"{self.url} answered {actual} to {method} /v1/{path}")
        return answer


def _context_that_expects(certificate: Path) -> ssl.SSLContext:
    """Trust this very certificate, whoever issued it and whatever host it names."""
    # Python's own helper would write session keys to the file in SSLKEYLOGFILE.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context

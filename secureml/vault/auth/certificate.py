"""The client certificate of the TLS connection, and the login with it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from secureml.errors import AuthenticationError, ConfigurationError
from secureml.forksafe import unforked
from secureml.settings import Settings
from secureml.vault.auth.base import Login
from secureml.vault.auth.credentials import needed
from secureml.vault.auth.login_request import LoginRequest, RequestAuth

if TYPE_CHECKING:
    from secureml.vault.client.failover import FailoverClient

__all__ = ["CertAuth", "certificate_problem", "client_certificate"]

_METHOD = "cert"


class CertAuth(RequestAuth):
    """Logs in with the client certificate that the connection shows.

    Args:
        mount: where the method is mounted.
        role: the certificate role; None for any that matches.
        certificate: the files of the certificate and its key, as the connection uses them.
    """

    def __init__(
        self, *, mount: str, role: str | None, certificate: tuple[str, str] | None
    ) -> None:
        self._mount = mount
        self._role = role
        self._certificate = certificate

    def credentials(self) -> object:
        """Return the request, and what tells a certificate from one put in its place."""
        return self.request(), [_stamp(file) for file in self._certificate or ()]

    def login(self, client: FailoverClient) -> Login:
        """Send the request, if the connection can show the certificate."""
        if self._certificate is None:
            needed(None, "vault_client_cert", _METHOD)
        else:
            problem = certificate_problem(*self._certificate)
            if problem:
                raise AuthenticationError(problem)
        if not all(address.base.lower().startswith("https://") for address in client.in_turn()):
            raise AuthenticationError(
                "vault_auth = 'cert' needs a vault_url that begins with https"
            )
        return super().login(client)

    def request(self) -> LoginRequest:
        """Return the request with the role."""
        return LoginRequest(
            method=_METHOD,
            mount=self._mount,
            body={} if self._role is None else {"name": self._role},
            who=f"with role {self._role!r}" if self._role else "",
            hint="no certificate role there accepts vault_client_cert",
        )


def _stamp(file: str) -> object:
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def client_certificate(settings: Settings) -> tuple[str, str] | None:
    """Return the files of the client certificate and of its private key.

    Args:
        settings: the settings. Without ``vault_client_key`` the certificate's file holds the key.

    Returns:
        The two paths, or None if no certificate is set.

    Raises:
        ConfigurationError: there is a key without a certificate.
    """
    certificate, key = settings.vault_client_cert, settings.vault_client_key
    if certificate is None:
        if key is not None:
            raise ConfigurationError("vault_client_key is set, and vault_client_cert is not")
        return None
    return certificate, key or certificate


def certificate_problem(certificate: str, key: str) -> str:
    """Say what is wrong with a certificate's files before a connection uses them.

    Args:
        certificate: the path of the certificate.
        key: the path of its private key.

    Returns:
        The problem; empty if there is none.
    """
    problem = ""
    try:
        with unforked():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            # Without a password an encrypted key would have OpenSSL ask for one on the terminal.
            context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError:
        problem = "not a PEM certificate and its unencrypted private key"
    except OSError as error:
        problem = error.strerror or "can't be read"
    if not problem:
        return ""
    return f"vault_client_cert {certificate!r} with vault_client_key {key!r}: {problem}"

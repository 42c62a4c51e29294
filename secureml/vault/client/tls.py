"""TLS as the settings say: whom to trust, which certificate to show, and the contexts."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from secureml.errors import ConfigurationError, ResourceLimitError
from secureml.forksafe import unforked
from secureml.settings import Settings
from secureml.vault.auth import certificate_problem, client_certificate
from secureml.vault.client.connections import DeadlineTlsSocket

__all__ = ["Tls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How connections are encrypted.

    Args:
        verify: whether certificates are verified, or the file or folder of those to trust.
        authorities: the files of certificates in that folder: OpenSSL finds only those that are
            named by their hash.
        certificate: the files of the certificate to show and of its private key.
        server_name: the name that the server's certificate must be for, instead of the host's.
    """

    verify: bool | str
    authorities: Sequence[Path]
    certificate: tuple[str, str] | None
    server_name: str | None

    @classmethod
    def of(cls, settings: Settings) -> Tls:
        """Take it from the settings.

        Args:
            settings: the settings.

        Raises:
            ConfigurationError: a certificate does not exist, or is none.
        """
        verify = _verification(settings)
        return cls(
            verify=verify,
            authorities=_authorities(verify),
            certificate=_certificate(settings),
            server_name=settings.vault_tls_server_name,
        )

    def context(self) -> ssl.SSLContext:
        """Make the context of connections to Vault; call it under ``unforked``."""
        # urllib3's and Python's own helpers write session keys to the file in SSLKEYLOGFILE.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.sslsocket_class = DeadlineTlsSocket
        context.hostname_checks_common_name = False
        context.post_handshake_auth = True
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        for file in self.authorities:
            context.load_verify_locations(file)
        return context

    def proxy_context(self) -> ssl.SSLContext:
        """Make the context of connections to a proxy; without it, urllib3 makes one of its own."""
        with unforked():
            context = self.context()
            if self.verify is True:
                context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
            elif self.verify and Path(self.verify).is_file():
                context.load_verify_locations(self.verify)
        return context


def _verification(settings: Settings) -> str | bool:
    if not settings.vault_tls_verify:
        return False
    if settings.vault_ca_cert is None:
        return True
    path = Path(settings.vault_ca_cert)
    if not path.exists():
        raise ConfigurationError(f"vault_ca_cert {str(path)!r} does not exist")
    if path.is_file() and not _is_certificate(path):
        raise ConfigurationError(f"vault_ca_cert {str(path)!r} holds no PEM certificate")
    return str(path)


def _authorities(verify: str | bool) -> Sequence[Path]:
    if not isinstance(verify, str) or not Path(verify).is_dir():
        return ()
    files = sorted(Path(verify).iterdir())
    return [file for file in files if file.is_file() and _is_certificate(file)]


def _certificate(settings: Settings) -> tuple[str, str] | None:
    files = client_certificate(settings)
    # The login with the certificate looks at it anew each time, and says more.
    if files is not None and settings.vault_auth != "cert":
        problem = certificate_problem(*files)
        if problem:
            raise ConfigurationError(problem)
    return files


def _is_certificate(file: Path) -> bool:
    try:
        with unforked():
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
            return True
    except OSError as error:
        shortage = ResourceLimitError.behind(f"{file} can't be read", error)
    if shortage is not None:
        raise shortage
    return False

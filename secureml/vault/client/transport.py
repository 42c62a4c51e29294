"""One exchange with one address of Vault, and what came of it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from secureml.errors import (
    AuthenticationError,
    ConfigurationError,
    MalformedAnswerError,
    MissingExtraError,
    ResourceLimitError,
    SecretError,
    VaultSealedError,
    VaultUnavailableError,
)
from secureml.forksafe import unforked
from secureml.secret_types import SecretText
from secureml.settings import Settings
from secureml.settings.checks import is_loopback, split_url
from secureml.vault.auth import certificate_problem, client_certificate
from secureml.vault.auth.exchange import seconds_in
from secureml.vault.client.addresses import Address
from secureml.vault.client.answers import Members

if TYPE_CHECKING:
    import hvac
    import requests

    from secureml.vault.client.deadline import IsolatedSession

__all__ = ["Failure", "Reply", "Send", "Transport", "require_extra"]

Send = Callable[["hvac.Client"], "requests.Response"]
_Result = TypeVar("_Result")

_POOL_SIZE = 32

_UNKNOWN_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})
"""What OpenSSL says of an answer that is no TLS."""

_WANTS_TLS = b"HTTP request to an HTTPS server"
"""What servers written in Go answer to plain HTTP."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whatever its status.

    Args:
        status: the HTTP status.
        body: the answer's members; None if it is no JSON object.
        location: where a redirect leads.
        retry_after: for how many seconds Vault asks to be left alone.
        date: when it was sent, by the server's clock, as HTTP writes a time.
    """

    status: int
    body: Members | None
    location: str | None = field(default=None, repr=False)
    retry_after: float | None = None
    date: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """No usable answer.

    Args:
        error: what to raise.
        passing: whether it may pass, so that another attempt makes sense.
        elsewhere: whether another address may do better.
        unsent: whether Vault has certainly not seen the request.
        absent: whether nobody is there; that may pass where there are other addresses too, whose
            nodes take over from each other.
        retry_after: for how many seconds Vault asks to be left alone.
    """

    error: SecretError
    passing: bool = False
    elsewhere: bool = False
    unsent: bool = False
    absent: bool = False
    retry_after: float | None = None


class Transport:
    """The connections to Vault's addresses. Threads may share one.

    Args:
        settings: how to reach Vault.
        addresses: where.

    Raises:
        ConfigurationError: a certificate's file does not exist.
    """

    def __init__(self, settings: Settings, addresses: Sequence[Address]) -> None:
        self._settings = settings
        self._pool = _pool(settings, addresses)
        self._clients: dict[str, tuple[SecretText | None, hvac.Client]] = {}

    def raw_client(self, address: Address, token: SecretText | None) -> hvac.Client:
        """Return a client whose calls give the response as it is; made anew for a new token."""
        import hvac

        made = self._clients.get(address.base)
        if made is None or made[0] is not token:
            made = token, self._client(address, token, hvac.adapters.RawAdapter)
            self._clients[address.base] = made
        return made[1]

    def plain_client(self, address: Address, token: SecretText | None) -> hvac.Client:
        """Return a client as hvac's users know it."""
        import hvac

        return self._client(address, token, hvac.adapters.JSONAdapter)

    def exchange(self, send: Send, address: Address, token: SecretText | None) -> Reply | Failure:
        """Send one request to one address."""
        response = self.guarded(lambda: send(self.raw_client(address, token)), address)
        if isinstance(response, Failure):
            return response
        if response.status_code == 400 and _WANTS_TLS in response.content:
            message = f"what answers at {address.shown} speaks TLS: write https:// in its place"
            return Failure(error=MalformedAnswerError(message))
        return Reply(
            status=response.status_code,
            body=Members.parse(response.content, address.shown),
            location=response.headers.get("Location"),
            retry_after=seconds_in(response.headers.get("Retry-After")),
            date=response.headers.get("Date"),
        )

    def guarded(self, call: Callable[[], _Result], address: Address) -> _Result | Failure:
        """Make a call that talks to an address; turn what goes wrong on the way into a failure."""
        import requests

        try:
            return call()
        except requests.exceptions.RequestException as error:
            return self._failure(error, address)
        except VaultUnavailableError as error:
            sealed = isinstance(error, VaultSealedError)
            passing = not sealed and not isinstance(error, MalformedAnswerError)
            return Failure(
                error=_detached(error),
                passing=passing,
                elsewhere=(passing or sealed) and not error.is_limit,
                retry_after=error.retry_after,
            )
        except OSError as error:
            # What requests says of a file of certificates that has gone since it was looked for.
            message = f"the certificates for {address.shown} can't be read"
            shortage = ResourceLimitError.behind(message, error)
        return Failure(error=shortage or AuthenticationError(message))

    def close(self) -> None:
        """Close the connections."""
        self._clients.clear()
        self._pool.close()

    def _client(self, address: Address, token: SecretText | None, adapter: type) -> hvac.Client:
        import hvac

        raw = adapter is hvac.adapters.RawAdapter
        timeout = self._settings.vault_timeout
        # Values that are not None keep hvac from looking into the environment for others.
        return hvac.Client(
            url=address.base,
            token=token.reveal() if token else "",
            cert=(),
            verify=self._pool.verify,
            timeout=(min(self._settings.vault_connect_timeout, timeout), timeout),
            # A redirect would carry the token to wherever it leads.
            allow_redirects=False,
            session=self._pool,
            adapter=adapter,
            namespace=self._settings.vault_namespace,
            ignore_exceptions=raw,
        )

    def _failure(self, error: Exception, address: Address) -> Failure:
        from requests.exceptions import ConnectTimeout, SSLError, Timeout
        from urllib3.exceptions import NewConnectionError, ProxyError

        from secureml.vault.client.deadline import TooLargeError

        causes = _causes(error)
        shortage = ResourceLimitError.behind(f"no connection to {address.shown} is made", *causes)
        if shortage is not None:
            return Failure(error=shortage)
        has_proxy = any(isinstance(cause, ProxyError) for cause in causes)
        for cause in causes:
            known = _known_failure(cause, address, "its proxy" if has_proxy else "it")
            if known is not None:
                return known
        if isinstance(error, TooLargeError):
            return Failure(
                error=MalformedAnswerError(
                    f"what answers at {address.shown} sends more than vault_max_response_bytes, "
                    f"{self._settings.vault_max_response_bytes:,} bytes"
                )
            )
        unsent = False
        if isinstance(error, SSLError):
            # TLS may also break once the request is on its way.
            message = f"no TLS connection to {address.shown} could be made"
        elif isinstance(error, ConnectTimeout):
            message, unsent = f"Vault at {address.shown} does not accept connections in time", True
        elif has_proxy or any(isinstance(cause, NewConnectionError) for cause in causes):
            message, unsent = f"Vault at {address.shown} can't be reached", True
        elif isinstance(error, Timeout) or any(isinstance(cause, TimeoutError) for cause in causes):
            seconds = f"{self._settings.vault_timeout:g} s"
            message = f"Vault at {address.shown} did not answer within {seconds}"
        else:
            message = f"Vault at {address.shown} broke the connection off"
        unavailable = VaultUnavailableError(message)
        return Failure(error=unavailable, passing=True, elsewhere=True, unsent=unsent)


def require_extra() -> None:
    """See to it that what the extra ``vault`` brings is there.

    Raises:
        MissingExtraError: it is not.
    """
    try:
        # Named here, so that the error comes before the first request. All that a request needs
        # is imported by then: it may come up in a thread while another one forks a child.
        with unforked():
            import hvac  # noqa: F401  # only whether it is there
            import tenacity  # noqa: F401  # likewise

            import secureml.vault.client.deadline  # noqa: F401  # likewise
    except ImportError:
        missing = True
    else:
        missing = False
    if missing:
        raise MissingExtraError.of("vault", "Reading keys from Vault")


def _pool(settings: Settings, addresses: Sequence[Address]) -> IsolatedSession:
    from secureml.vault.client.deadline import DeadlineAdapter, IsolatedSession, UnixAdapter

    pool = IsolatedSession()
    # hvac goes by these, if they are not false, and not by what its client is given.
    pool.verify = _verification(settings)
    pool.cert = _certificate(settings)
    largest = settings.vault_max_response_bytes
    trust: dict[str, Any] = {"verify": pool.verify, "authorities": _authorities(settings)}
    pool.mount("http://", DeadlineAdapter(_POOL_SIZE, largest, **trust))
    secure = DeadlineAdapter(
        _POOL_SIZE,
        largest,
        encrypted=True,
        server_name=settings.vault_tls_server_name,
        **trust,
    )
    pool.mount("https://", secure)
    if any(address.base.lower().startswith("https:") for address in addresses):
        secure.prepare()
    for address in addresses:
        if address.socket is not None:
            pool.mount(address.base, UnixAdapter(address.socket, _POOL_SIZE, largest))
        elif settings.vault_proxy is not None:
            pool.proxies.update(_proxies(settings.vault_proxy, address))
    return pool


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


def _authorities(settings: Settings) -> Sequence[Path]:
    """List the certificates in a folder: OpenSSL itself finds only those named by their hash."""
    folder = Path(settings.vault_ca_cert or "")
    if settings.vault_ca_cert is None or not folder.is_dir():
        return ()
    return [file for file in sorted(folder.iterdir()) if file.is_file() and _is_certificate(file)]


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
    except OSError as error:
        shortage = ResourceLimitError.behind(f"{file} can't be read", error)
    else:
        return True
    if shortage is not None:
        raise shortage
    return False


def _proxies(proxy: str, address: Address) -> Mapping[str, str]:
    from requests.utils import get_environ_proxies, select_proxy

    if proxy != "environment":
        return {"http": proxy, "https": proxy}
    found = select_proxy(address.base, get_environ_proxies(address.base, no_proxy=None))
    if not found or is_loopback(address.base):
        return {}
    # As curl, the variables may leave the scheme out. No message repeats them: they may hold a
    # password.
    scheme, _, place = found.rpartition("://")
    scheme = scheme or "http"
    if split_url(f"{scheme}://{place.rpartition('@')[2]}") is None:
        raise ConfigurationError(
            f"vault_proxy = 'environment': the proxy that the environment names for "
            f"{address.shown} is no http or https address"
        )
    url = split_url(address.base)
    # Named by its host, so that an address that NO_PROXY lists is reached directly.
    return {f"{url.scheme}://{url.host}": found} if url else {}


def _known_failure(cause: BaseException, address: Address, peer: str) -> Failure | None:
    """Name a cause that stays as it is, however often one tries; None for another."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Failure(
            error=AuthenticationError(
                f"the TLS certificate of {address.shown} is not trusted "
                f"({cause.verify_message}); vault_ca_cert names the CA to trust"
                if peer == "it"
                else f"the TLS certificate of the proxy of {address.shown} is not trusted "
                f"({cause.verify_message}); vault_ca_cert names the CA to trust"
            )
        )
    absent = True
    if isinstance(cause, ConnectionRefusedError):
        reason = f"{peer} refused the connection"
    elif isinstance(cause, FileNotFoundError) and address.socket is not None:
        reason = "there is no such socket"
    elif isinstance(cause, socket.gaierror) and cause.errno in _UNKNOWN_HOST:
        reason = "unknown host" if peer == "it" else f"{peer} is an unknown host"
    elif isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
        reason, absent = f"{peer} speaks plain HTTP, not TLS", False
    else:
        return None
    unavailable = VaultUnavailableError(f"Vault at {address.shown} can't be reached: {reason}")
    return Failure(error=unavailable, elsewhere=True, unsent=True, absent=absent)


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(found) < 16:
        cause = waiting.pop()
        if not isinstance(cause, BaseException) or cause in found:
            continue
        found.append(cause)
        waiting += [*cause.args, cause.__cause__, cause.__context__, getattr(cause, "reason", None)]
    return found


def _detached(error: SecretError) -> SecretError:
    """Drop the frames that the error came through, and what they hold."""
    return error.with_traceback(None)

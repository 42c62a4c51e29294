"""One exchange with one address of Vault, and what came of it."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from secureml.concealed import SecretText
from secureml.concurrency import unforked
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
from secureml.settings import Settings
from secureml.vault.addresses import Address
from secureml.vault.auth import certificate_problem, client_certificate

if TYPE_CHECKING:
    import hvac
    import requests

    from secureml.vault.deadline import IsolatedSession

__all__ = ["Failure", "Reply", "Send", "Transport", "require_extra"]

Send = Callable[["hvac.Client"], "requests.Response"]
_Result = TypeVar("_Result")

_POOL_SIZE = 32
_LONGEST_WAIT = 3600.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whatever its status.

    Args:
        status: the HTTP status.
        body: the JSON object of the answer; None where it has none.
        location: where a redirect leads.
        retry_after: for how many seconds Vault asks to be left alone.
    """

    status: int
    body: Mapping[str, Any] | None = field(repr=False)
    location: str | None = field(default=None, repr=False)
    retry_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """No usable answer.

    Args:
        error: what to raise.
        passing: whether it may pass, so that another attempt makes sense.
        elsewhere: whether another address may do better.
        unsent: whether Vault has certainly not seen the request.
        retry_after: for how many seconds Vault asks to be left alone.
    """

    error: SecretError
    passing: bool = False
    elsewhere: bool = False
    unsent: bool = False
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
        return Reply(
            status=response.status_code,
            body=_json_object(response),
            location=response.headers.get("Location"),
            retry_after=_seconds(response.headers.get("Retry-After")),
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
            return Failure(error=_detached(error), passing=passing, elsewhere=passing or sealed)
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

        causes = _causes(error)
        shortage = ResourceLimitError.behind(f"no connection to {address.shown} is made", *causes)
        if shortage is not None:
            return Failure(error=shortage)
        if isinstance(error, SSLError):
            return _tls_failure(causes, address)
        if isinstance(error, ConnectTimeout):
            return _unreachable(f"Vault at {address.shown} does not accept connections in time")
        if any(isinstance(cause, NewConnectionError | ProxyError) for cause in causes):
            return _unreachable(f"Vault at {address.shown} can't be reached")
        if isinstance(error, Timeout) or any(isinstance(cause, TimeoutError) for cause in causes):
            seconds = f"{self._settings.vault_timeout:g} s"
            message = f"Vault at {address.shown} did not answer within {seconds}"
        else:
            message = f"Vault at {address.shown} broke the connection off"
        return Failure(error=VaultUnavailableError(message), passing=True, elsewhere=True)


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

            import secureml.vault.deadline  # noqa: F401  # likewise
    except ImportError:
        missing = True
    else:
        missing = False
    if missing:
        raise MissingExtraError.of("vault", "Reading keys from Vault")


def _pool(settings: Settings, addresses: Sequence[Address]) -> IsolatedSession:
    from secureml.vault.deadline import DeadlineAdapter, IsolatedSession, UnixAdapter

    pool = IsolatedSession()
    # hvac goes by these, if they are not false, and not by what its client is given.
    pool.verify = _verification(settings)
    pool.cert = _certificate(settings)
    pool.mount("http://", DeadlineAdapter(_POOL_SIZE))
    secure = DeadlineAdapter(
        _POOL_SIZE,
        encrypted=True,
        server_name=settings.vault_tls_server_name,
        verify=settings.vault_tls_verify,
        authorities=_authorities(settings),
    )
    pool.mount("https://", secure)
    if any(address.base.lower().startswith("https:") for address in addresses):
        secure.prepare()
    for address in addresses:
        if address.socket is not None:
            pool.mount(address.base, UnixAdapter(address.socket, _POOL_SIZE))
        elif settings.vault_proxy is not None:
            pool.proxies.update(_proxies(settings.vault_proxy, address))
    return pool


def _verification(settings: Settings) -> str | bool:
    if not settings.vault_tls_verify:
        return False
    if settings.vault_ca_cert is None:
        return True
    path = Path(settings.vault_ca_cert).expanduser()
    if not path.exists():
        raise ConfigurationError(f"vault_ca_cert {str(path)!r} does not exist")
    if path.is_file() and not _is_certificate(path):
        raise ConfigurationError(f"vault_ca_cert {str(path)!r} holds no PEM certificate")
    return str(path)


def _authorities(settings: Settings) -> Sequence[Path]:
    """List the certificates in a folder: OpenSSL itself finds only those named by their hash."""
    folder = Path(settings.vault_ca_cert or "").expanduser()
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
    url = urlsplit(address.base)
    # Named by its host, so that an address that NO_PROXY lists is reached directly.
    return {f"{url.scheme}://{url.hostname}": found} if found else {}


def _json_object(response: requests.Response) -> Mapping[str, Any] | None:
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _seconds(text: str | None) -> float | None:
    """Read a Retry-After header in seconds; in Vault it is never a date."""
    if text is None or not text.isascii() or not text.isdigit():
        return None
    return min(float(text), _LONGEST_WAIT)


def _tls_failure(causes: Sequence[BaseException], address: Address) -> Failure:
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failure(
                error=AuthenticationError(
                    f"the TLS certificate of {address.shown} is not trusted "
                    f"({cause.verify_message}); vault_ca_cert names the CA to trust"
                )
            )
    # TLS may also break once the request is on its way.
    message = f"no TLS connection to {address.shown} could be made"
    return Failure(error=VaultUnavailableError(message), passing=True, elsewhere=True)


def _unreachable(message: str) -> Failure:
    return Failure(error=VaultUnavailableError(message), passing=True, elsewhere=True, unsent=True)


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

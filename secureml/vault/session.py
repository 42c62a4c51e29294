"""Talk to Vault: one connection pool, one login, and every failure told apart.

Requests go through hvac with its error handling off, because the exceptions it raises carry the
response body and the URL; what went wrong is read from the status instead.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secureml.concealed import SecretText
from secureml.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    MalformedAnswerError,
    MissingExtraError,
    SecretError,
    VaultSealedError,
    VaultUnavailableError,
)
from secureml.settings import Settings
from secureml.vault.auth import AuthMethod, auth_from

if TYPE_CHECKING:
    import hvac
    import requests

__all__ = ["Answer", "VaultSession"]

_POOL_SIZE = 32
_UNAVAILABLE = frozenset({408, 412, 425, 429, 472, 473, 500, 501, 502, 503, 504})

Send = Callable[["hvac.Client"], "requests.Response"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What Vault said: 2xx, 400 or 404; every other status has become an error.

    Args:
        status: the HTTP status.
        body: the JSON object of the response, empty where there is none.
    """

    status: int
    body: Mapping[str, Any] = field(repr=False)

    @property
    def data(self) -> Mapping[str, Any]:
        """The object under ``data``; empty where there is none."""
        data = self.body.get("data")
        return data if isinstance(data, dict) else {}


class VaultSession:
    """A connection to one Vault. It logs in when it is first used, and again when it must.

    Safe to share between threads.

    Args:
        settings: where Vault is and how to log in; ``vault_url`` is set.
        auth: how to log in; by default what ``settings`` say.

    Raises:
        MissingExtraError: hvac is not installed.
        ConfigurationError: the CA certificate does not exist.
    """

    def __init__(self, settings: Settings, auth: AuthMethod | None = None) -> None:
        self._settings = settings
        self._auth = auth or auth_from(settings)
        self._lock = threading.Lock()
        self._token: SecretText | None = None
        self._pool = _pool(settings.vault_ca_cert)

    @property
    def client(self) -> hvac.Client:
        """A plain hvac client, logged in, that shares this session's connections."""
        import hvac

        return self._client(hvac.adapters.JSONAdapter, self._login(), ignore_exceptions=False)

    def request(self, send: Send, *, mount: str, path: str, capability: str) -> Answer:
        """Send one request, logging in where needed, once more where the token has expired.

        Args:
            send: makes the request with the client it is given.
            mount: the mount it goes to, for messages.
            path: the API path it goes to, for messages.
            capability: the policy capability it takes, for messages.

        Returns:
            The answer, where it is 2xx, 400 or 404.

        Raises:
            AccessDeniedError: the token is valid and may not do this.
            AuthenticationError: no valid credentials, or a server that can't be trusted.
            VaultUnavailableError: no answer, or one that says that Vault can't serve.
            VaultSealedError: Vault is sealed.
            MalformedAnswerError: an answer that is not Vault's.
        """
        token = self._login()
        answer = self._send(send, token)
        if answer.status not in (401, 403):
            return answer
        if self._is_valid(token):
            raise _denied(mount, path, capability)
        token = self._login(instead_of=token)
        answer = self._send(send, token)
        if answer.status not in (401, 403):
            return answer
        if self._is_valid(token):
            raise _denied(mount, path, capability)
        raise AuthenticationError(
            "Vault does not accept the token: it is wrong, expired or revoked (a valid token that "
            "may not look itself up, for want of the default policy, looks the same)"
        )

    def lookup_self(self) -> Answer:
        """Ask Vault about the session's token: TTL, policies and the like.

        Raises:
            SecretError: as for ``request``.
        """
        path = "auth/token/lookup-self"
        return self.request(
            lambda client: client.auth.token.lookup_self(),
            mount="auth/token",
            path=path,
            capability="read",
        )

    def is_sealed(self) -> bool:
        """Ask whether Vault is sealed; this needs no login.

        Raises:
            VaultUnavailableError: no usable answer.
            AuthenticationError: the server's certificate is not trusted.
        """
        status, body = self._exchange(lambda client: client.sys.read_seal_status(), None)
        if status != 200 or body is None or not isinstance(body.get("sealed"), bool):
            raise MalformedAnswerError(f"what answers at {self._address} does not answer as Vault")
        return bool(body["sealed"])

    def close(self) -> None:
        """Close the connections and forget the token."""
        with self._lock:
            self._token = None
        self._pool.close()

    @property
    def _address(self) -> str:
        return self._settings.vault_url or ""

    def _login(self, *, instead_of: SecretText | None = None) -> SecretText:
        with self._lock:
            if self._token is None or self._token is instead_of:
                self._token = self._auth.login(self._raw_client(None))
            return self._token

    def _is_valid(self, token: SecretText) -> bool:
        return self._send(lambda client: client.auth.token.lookup_self(), token).status == 200

    def _send(self, send: Send, token: SecretText) -> Answer:
        status, body = self._exchange(send, token)
        if status in (401, 403):
            return Answer(status, {})
        if status in _UNAVAILABLE:
            raise self._unavailable(status)
        if status == 204:
            return Answer(status, {})
        if status not in (200, 400, 404) or body is None:
            raise MalformedAnswerError(
                f"what answers at {self._address} does not answer as Vault (HTTP status {status})"
            )
        return Answer(status, body)

    def _unavailable(self, status: int) -> SecretError:
        if status == 503 and self._says_sealed():
            return VaultSealedError(f"Vault at {self._address} is sealed")
        reason = {
            429: "it limits the rate of requests",
            472: "it is a standby of a disaster recovery cluster",
            473: "it is a performance standby",
            501: "it is not initialized",
        }.get(status, "it can't serve requests now")
        return VaultUnavailableError(
            f"Vault at {self._address} is not available: {reason} (HTTP status {status})"
        )

    def _says_sealed(self) -> bool:
        try:
            return self.is_sealed()
        except SecretError:
            return False

    def _exchange(
        self, send: Send, token: SecretText | None
    ) -> tuple[int, Mapping[str, Any] | None]:
        """Send; return the status, and the body where it is a JSON object of Vault's shape."""
        import requests

        failure: SecretError
        try:
            response = send(self._raw_client(token))
            return response.status_code, _json_object(response)
        except requests.exceptions.SSLError as error:
            failure = self._tls_failure(error)
        except requests.exceptions.Timeout:
            failure = VaultUnavailableError(
                f"Vault at {self._address} did not answer within {self._settings.vault_timeout:g} s"
            )
        except requests.exceptions.RequestException:
            failure = VaultUnavailableError(f"Vault at {self._address} can't be reached")
        raise failure

    def _tls_failure(self, error: BaseException) -> SecretError:
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                return AuthenticationError(
                    f"the TLS certificate of {self._address} is not trusted "
                    f"({cause.verify_message}); vault_ca_cert names the CA to trust"
                )
        return VaultUnavailableError(f"no TLS connection to {self._address} could be made")

    def _raw_client(self, token: SecretText | None) -> hvac.Client:
        import hvac

        return self._client(hvac.adapters.RawAdapter, token, ignore_exceptions=True)

    def _client(
        self, adapter: type, token: SecretText | None, *, ignore_exceptions: bool
    ) -> hvac.Client:
        import hvac

        # Values that are not None keep hvac from looking into the environment for others.
        return hvac.Client(
            url=self._address,
            token=token.reveal() if token else "",
            cert=(),
            timeout=self._settings.vault_timeout,
            # A redirect would carry the token to another host.
            allow_redirects=False,
            session=self._pool,
            adapter=adapter,
            namespace=self._settings.vault_namespace,
            ignore_exceptions=ignore_exceptions,
        )


def _pool(ca_cert: str | None) -> requests.Session:
    try:
        import hvac  # noqa: F401  # named here, so that the error comes before the first request
        import requests
    except ImportError:
        missing = True
    else:
        missing = False
    if missing:
        raise MissingExtraError.of("vault", "Reading keys from Vault")
    session = requests.Session()
    # Proxies and CA bundles of the environment are for other software.
    session.trust_env = False
    # hvac goes by the session's own value and not by the one that its client is given.
    session.verify = _verification(ca_cert)
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=_POOL_SIZE)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _verification(ca_cert: str | None) -> str | bool:
    if ca_cert is None:
        return True
    path = Path(ca_cert).expanduser()
    if not path.exists():
        raise ConfigurationError(f"vault_ca_cert {str(path)!r} does not exist")
    return str(path)


def _json_object(response: requests.Response) -> Mapping[str, Any] | None:
    try:
        body = response.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


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


def _denied(mount: str, path: str, capability: str) -> AccessDeniedError:
    return AccessDeniedError(
        f"Vault denies {capability!r} on {path!r}: the token's policies lack it",
        mount=mount,
        path=path,
        capability=capability,
    )

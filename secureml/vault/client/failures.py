"""Tells failures of requests to Vault apart: by what was raised, and by the status."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from secureml.errors import (
    AuthenticationError,
    MalformedAnswerError,
    ResourceLimitError,
    SecretError,
    VaultSealedError,
    VaultUnavailableError,
)
from secureml.settings import Settings
from secureml.vault.client.addresses import Address
from secureml.vault.client.messages import Answer

__all__ = ["Failure", "failure_in", "failure_of", "sealed"]

_REASONS: Mapping[int, str] = {
    408: "the request took too long to arrive",
    412: "this node has not seen an earlier write yet",
    429: "it limits the rate of requests",
    472: "it is a standby of a disaster recovery cluster",
    473: "it is a performance standby",
    501: "it is not initialized",
}
_TRANSIENT = frozenset({412, 425, 429, 472, 473, 500, 502, 503, 504})
_NOT_PROCESSED = frozenset({412, 429, 472, 473, 503})
"""With these Vault says that it has not begun to work on the request."""

_NO_SUCH_USER = "failed to determine alias name from login request"
"""What HashiCorp's Vault says, with status 500, of a name that no user can have."""

_NO_LDAP_SERVER = 'LDAP Result Code 200 "Network Error"'
"""What Vault says, with status 400, if it can't ask its LDAP server about a login."""

_UNKNOWN_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})
"""What OpenSSL says of an answer that is no TLS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """No usable answer.

    Args:
        error: what to raise.
        transient: whether another attempt may succeed.
        try_next: whether another address may do better.
        not_processed: whether Vault has certainly not begun to work on the request.
        absent: whether nobody is there; if there are other addresses, that is transient too, as
            their nodes take over from each other.
        retry_after: for how many seconds Vault asks to be left alone.
    """

    error: SecretError
    transient: bool = False
    try_next: bool = False
    not_processed: bool = False
    absent: bool = False
    retry_after: float | None = None

    @property
    def is_limit(self) -> bool:
        """Whether Vault limits the rate of requests."""
        return isinstance(self.error, VaultUnavailableError) and self.error.is_limit


def failure_in(answer: Answer, address: Address, *, is_login: bool) -> Failure | None:
    """Classify an answer by its status; None if it is 2xx or a refusal.

    Args:
        answer: the answer.
        address: where it comes from.
        is_login: whether the request is part of a login.
    """
    status, body = answer.status, answer.body
    if not is_login:
        is_usable = status in (204, 401, 403) or (status in (200, 400, 404) and answer.is_object)
    elif isinstance(body.get("errors"), list):
        if body.says(_NO_LDAP_SERVER):
            message = f"Vault at {address.shown} can't reach the LDAP server of the login method"
            return Failure(error=VaultUnavailableError(message), transient=True, try_next=True)
        is_usable = status in (200, 400, 401, 403, 404, 405) or body.says(_NO_SUCH_USER)
    else:
        is_usable = status in (401, 403) or (status == 200 and answer.is_object)
    if is_usable:
        return None
    if status < 500 and status not in _REASONS and status not in _TRANSIENT:
        message = f"what answers at {address.shown} does not answer as Vault (HTTP status {status})"
        return Failure(error=MalformedAnswerError(message))
    reason = _REASONS.get(status, "it can't serve requests now")
    if answer.retry_after is not None:
        reason += f" and asks to be left alone for {answer.retry_after:g} s"
    unavailable = VaultUnavailableError(
        f"Vault at {address.shown} is not available: {reason} (HTTP status {status})"
    )
    unavailable.retry_after = answer.retry_after
    unavailable.is_limit = status == 429
    return Failure(
        error=unavailable,
        transient=status in _TRANSIENT,
        try_next=status not in (412, 429),
        not_processed=status in _NOT_PROCESSED,
        retry_after=answer.retry_after,
    )


def sealed(address: Address) -> Failure:
    """Return the failure of a node that is sealed; another one may not be."""
    error = VaultSealedError(f"Vault at {address.shown} is sealed")
    return Failure(error=error, try_next=True, not_processed=True)


def failure_of(error: OSError, address: Address, settings: Settings) -> Failure:
    """Classify what was raised while a request was sent.

    Args:
        error: what was raised.
        address: where the request was sent.
        settings: the settings of the connection.
    """
    from requests.exceptions import ConnectTimeout, RequestException, SSLError, Timeout
    from urllib3.exceptions import NewConnectionError, ProxyError

    from secureml.vault.client.adapters import TooLargeError

    if not isinstance(error, RequestException):
        # What requests says of a file of certificates that has gone since it was looked for.
        message = f"the certificates for {address.shown} can't be read"
        shortage = ResourceLimitError.behind(message, error)
        return Failure(error=shortage or AuthenticationError(message))
    causes = _causes(error)
    shortage = ResourceLimitError.behind(f"no connection to {address.shown} is made", *causes)
    if shortage is not None:
        return Failure(error=shortage)
    has_proxy = any(isinstance(cause, ProxyError) for cause in causes)
    for cause in causes:
        permanent = _permanent_failure(cause, address, has_proxy=has_proxy)
        if permanent is not None:
            return permanent
    if isinstance(error, TooLargeError):
        return Failure(
            error=MalformedAnswerError(
                f"what answers at {address.shown} sends more than vault_max_response_bytes, "
                f"{settings.vault_max_response_bytes:,} bytes"
            )
        )
    not_processed = False
    if isinstance(error, SSLError):
        # TLS may also break once the request is on its way.
        message = f"no TLS connection to {address.shown} could be made"
    elif isinstance(error, ConnectTimeout):
        message, not_processed = (
            f"Vault at {address.shown} does not accept connections in time",
            True,
        )
    elif has_proxy or any(isinstance(cause, NewConnectionError) for cause in causes):
        message, not_processed = f"Vault at {address.shown} can't be reached", True
    elif isinstance(error, Timeout) or any(isinstance(cause, TimeoutError) for cause in causes):
        seconds = f"{settings.vault_timeout:g} s"
        message = f"Vault at {address.shown} did not answer within {seconds}"
    else:
        message = f"Vault at {address.shown} broke the connection off"
    unavailable = VaultUnavailableError(message)
    return Failure(error=unavailable, transient=True, try_next=True, not_processed=not_processed)


def _permanent_failure(
    cause: BaseException, address: Address, *, has_proxy: bool
) -> Failure | None:
    """Name a cause that another attempt at this address meets again; None for another."""
    peer = "its proxy" if has_proxy else "it"
    if isinstance(cause, ssl.SSLCertVerificationError):
        owner = f"the proxy of {address.shown}" if has_proxy else address.shown
        return Failure(
            error=AuthenticationError(
                f"the TLS certificate of {owner} is not trusted ({cause.verify_message}); "
                "vault_ca_cert names the CA to trust"
            )
        )
    absent = True
    if isinstance(cause, ConnectionRefusedError):
        reason = f"{peer} refused the connection"
    elif isinstance(cause, FileNotFoundError) and address.socket is not None:
        reason = "there is no such socket"
    elif isinstance(cause, socket.gaierror) and cause.errno in _UNKNOWN_HOST:
        reason = "its proxy is an unknown host" if has_proxy else "unknown host"
    elif isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
        reason, absent = f"{peer} speaks plain HTTP, not TLS", False
    else:
        return None
    unavailable = VaultUnavailableError(f"Vault at {address.shown} can't be reached: {reason}")
    return Failure(error=unavailable, try_next=True, not_processed=True, absent=absent)


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

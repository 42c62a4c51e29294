"""One login request, and its answer judged: what Vault says of the credentials is never shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from secureml.errors import (
    AuthenticationError,
    MalformedAnswerError,
    VaultSealedError,
    VaultUnavailableError,
)
from secureml.secret_types import SecretText, revealed
from secureml.vault.auth.base import Login
from secureml.vault.client.answers import Members

if TYPE_CHECKING:
    import hvac
    import requests

__all__ = [
    "Attempt",
    "LoginRedirectedError",
    "Reply",
    "is_token",
    "log_in",
    "post",
    "seconds_in",
]

_UNAVAILABLE = frozenset({408, 412, 425, 429, 472, 473})
_REFUSED = frozenset({400, 401, 403, 404, 405})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

_LONGEST_WAIT = 3600.0

_NO_SUCH_USER = "failed to determine alias name from login request"
"""What HashiCorp's Vault says, with status 500, of a name that no user can have."""


class LoginRedirectedError(VaultUnavailableError):
    """A standby sends the login elsewhere; whether to go there is for the session to decide.

    ``location`` is where.
    """

    def __init__(self, message: str, *, location: str = "") -> None:
        super().__init__(message)
        self.location = location


@dataclass(frozen=True, slots=True)
class Reply:
    """What Vault said: 200, or a status that refuses.

    Args:
        status: the HTTP status.
        body: the members of the response; none where there is no body.
    """

    status: int
    body: Members


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One login: where it goes and what it is called in messages.

    Args:
        method: the login method.
        mount: where it is mounted.
        path: the path below the mount.
        who: who logs in, such as ``as 'alice'``; no secret.
        doubt: what is probably wrong where Vault refuses.
    """

    method: str
    mount: str
    path: str = "login"
    who: str = ""
    doubt: str

    def refusal(self, reply: Reply, namespace: str | None) -> AuthenticationError:
        """Say that Vault refuses the login."""
        place = repr(self.mount) + (f" in the namespace {namespace!r}" if namespace else "")
        login = " ".join(
            filter(None, (f"Vault refuses the {self.method} login at", place, self.who))
        )
        if reply.status in (404, 405, 500):
            return AuthenticationError(
                f"{login}: there is no such namespace, login method or user name"
            )
        if reply.body.says("CIDR"):
            return AuthenticationError(
                f"{login}: what it logs in with is bound to other addresses than this machine's "
                "(secret_id_bound_cidrs or token_bound_cidrs of the role)"
            )
        nowhere = ", or no login method is mounted there" if reply.status == 403 else ""
        return AuthenticationError(f"{login}: {self.doubt}{nowhere}")


def log_in(client: hvac.Client, attempt: Attempt, body: Mapping[str, object]) -> Login:
    """Log in, and return the token.

    Args:
        client: a client without a token.
        attempt: where to, and who.
        body: what to send; secrets as `SecretText`.

    Raises:
        AuthenticationError: Vault refuses the credentials, or wants more than one factor.
        VaultUnavailableError: Vault can't serve now, or the LDAP server that it asks.
        MalformedAnswerError: an answer that is not Vault's.
    """
    reply = post(client, f"auth/{attempt.mount}/{attempt.path}", body)
    # A refusal whose text counts: it says that nobody looked at the credentials.
    if reply.body.says('LDAP Result Code 200 "Network Error"'):
        raise VaultUnavailableError(
            f"Vault can't reach the LDAP server of the login method at {attempt.mount!r}"
        )
    if reply.status != 200:
        raise attempt.refusal(reply, client.adapter.namespace)
    auth = reply.body.section("auth")
    if auth.mapping("mfa_requirement"):
        raise AuthenticationError(
            f"the {attempt.method} login at {attempt.mount!r} wants a second factor, which a "
            "program doesn't have; let an operator exempt it"
        )
    if not is_token(auth.text("client_token")):
        raise _malformed(client, reply.status)
    return Login(
        token=SecretText(auth["client_token"]),
        ttl=float(auth.seconds("lease_duration")) or None,
        renewable=auth.flag("renewable"),
        own=True,
        accessor=auth.word("accessor") or None,
        request_id=reply.body.request_id,
    )


def post(
    client: hvac.Client,
    path: str,
    body: Mapping[str, object] | None = None,
    *,
    token: SecretText | None = None,
) -> Reply:
    """Send one request.

    Args:
        client: a client without a token.
        path: the path below ``/v1/``.
        body: what to send, as JSON; secrets as `SecretText`.
        token: the token to send with it.

    Returns:
        The answer, where it is 200 or a refusal.

    Raises:
        VaultUnavailableError: Vault says that it can't serve now.
        VaultSealedError: it is sealed.
        LoginRedirectedError: it sends the login elsewhere.
        MalformedAnswerError: an answer that is not Vault's.
        requests.RequestException: no answer.
    """
    # Revealed secrets are in no variable here, where a debugger or an error report would find them.
    response = client.adapter.post(
        f"/v1/{path}",
        json=revealed(body or {}),
        headers={"X-Vault-Token": token.reveal()} if token else {},
    )
    status = response.status_code
    reply = _reply(response, client.url)
    if status in _UNAVAILABLE or (status >= 500 and reply is None):
        raise _unavailable(client, response)
    if status in _REDIRECTS and "Location" in response.headers:
        raise LoginRedirectedError(
            f"Vault at {client.url} sends the login elsewhere (HTTP status {status})",
            location=response.headers["Location"],
        )
    if reply is None:
        raise _malformed(client, status)
    return reply


def is_token(text: object) -> bool:
    """Tell whether a text is fit to travel as a token in an HTTP header."""
    return (
        isinstance(text, str)
        and text != ""
        and text.isascii()
        and text.isprintable()
        and " " not in text
    )


def _reply(response: requests.Response, place: str) -> Reply | None:
    """The answer, where it is one of Vault's to a login."""
    status = response.status_code
    body = Members.parse(response.content, place)
    if body is not None:
        is_refusal = status in _REFUSED and isinstance(body.get("errors"), list)
        if status == 200 or is_refusal or (status == 500 and body.says(_NO_SUCH_USER)):
            return Reply(status, body)
    return Reply(status, Members({}, place)) if status in (401, 403) else None


def _unavailable(client: hvac.Client, response: requests.Response) -> VaultUnavailableError:
    status = response.status_code
    if status == 503 and _is_sealed(client):
        return VaultSealedError(f"Vault at {client.url} is sealed")
    reason = "it limits the rate of logins" if status == 429 else "no login is possible now"
    seconds = seconds_in(response.headers.get("Retry-After"))
    wait = "" if seconds is None else f" and asks to be left alone for {seconds:g} s"
    error = VaultUnavailableError(
        f"Vault at {client.url} is not available: {reason}{wait} (HTTP status {status})"
    )
    error.retry_after = seconds
    error.is_limit = status == 429
    return error


def seconds_in(text: str | None) -> float | None:
    """Read a Retry-After header; in Vault it is never a date."""
    if text is None or not text.isascii() or not text.isdigit():
        return None
    return min(float(text), _LONGEST_WAIT)


def _is_sealed(client: hvac.Client) -> bool:
    response = client.adapter.get("/v1/sys/seal-status")
    body = Members.parse(response.content, client.url)
    return body is not None and body.get("sealed") is True


def _malformed(client: hvac.Client, status: int) -> MalformedAnswerError:
    return MalformedAnswerError(
        f"what answers at {client.url} does not answer a login as Vault (HTTP status {status})"
    )

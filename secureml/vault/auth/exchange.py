"""One login request, and its answer judged: what Vault says of the credentials is never shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from secureml.concealed import SecretText
from secureml.errors import (
    AuthenticationError,
    MalformedAnswerError,
    VaultSealedError,
    VaultUnavailableError,
)
from secureml.vault.auth.base import Login

if TYPE_CHECKING:
    import hvac
    import requests

__all__ = ["Attempt", "LoginRedirectedError", "Reply", "is_token", "log_in", "post"]

_UNAVAILABLE = frozenset({408, 412, 425, 429, 472, 473})
_REFUSED = frozenset({400, 401, 403, 404, 405})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


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
        body: the JSON object of the response; empty where there is none.
    """

    status: int
    body: Mapping[str, Any] = field(repr=False)

    def section(self, name: str) -> Mapping[str, Any]:
        """The object under a name; empty where there is none."""
        section = self.body.get(name)
        return section if isinstance(section, dict) else {}

    def mentions(self, words: str) -> bool:
        """Whether one of Vault's error texts holds these words."""
        errors = self.body.get("errors")
        texts = errors if isinstance(errors, list) else []
        return any(isinstance(text, str) and words in text for text in texts)


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
        if reply.status in (404, 405):
            return AuthenticationError(
                f"{login}: there is no such namespace, login method or user name"
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
    # The one refusal whose text counts: it says that nobody looked at the credentials.
    if reply.mentions('LDAP Result Code 200 "Network Error"'):
        raise VaultUnavailableError(
            f"Vault can't reach the LDAP server of the login method at {attempt.mount!r}"
        )
    if reply.status != 200:
        raise attempt.refusal(reply, client.adapter.namespace)
    if reply.section("auth").get("mfa_requirement"):
        raise AuthenticationError(
            f"the {attempt.method} login at {attempt.mount!r} wants a second factor, which a "
            "program doesn't have; let an operator exempt it"
        )
    login = _login(reply.section("auth"))
    if login is None:
        raise _malformed(client, reply.status)
    return login


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
        json={name: _revealed(value) for name, value in (body or {}).items()},
        headers={"X-Vault-Token": token.reveal()} if token else {},
    )
    status = response.status_code
    if status in _UNAVAILABLE or status >= 500:
        raise _unavailable(client, status)
    if status in _REDIRECTS and "Location" in response.headers:
        raise LoginRedirectedError(
            f"Vault at {client.url} sends the login elsewhere (HTTP status {status})",
            location=response.headers["Location"],
        )
    reply = _reply(response)
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


def _reply(response: requests.Response) -> Reply | None:
    """The answer, where it is one of Vault's to a login."""
    status = response.status_code
    answer = _json_object(response)
    if status == 200 and answer is not None:
        return Reply(status, answer)
    if status in _REFUSED and answer is not None and isinstance(answer.get("errors"), list):
        return Reply(status, answer)
    return Reply(status, {}) if status in (401, 403) else None


def _login(auth: Mapping[str, Any]) -> Login | None:
    if not is_token(auth.get("client_token")):
        return None
    seconds = auth.get("lease_duration")
    return Login(
        token=SecretText(auth["client_token"]),
        ttl=float(seconds) if isinstance(seconds, int) and seconds > 0 else None,
        renewable=auth.get("renewable") is True,
        own=True,
    )


def _revealed(value: object) -> object:
    return value.reveal() if isinstance(value, SecretText) else value


def _json_object(response: requests.Response) -> Mapping[str, Any] | None:
    try:
        body = response.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _unavailable(client: hvac.Client, status: int) -> VaultUnavailableError:
    if status == 503 and _is_sealed(client):
        return VaultSealedError(f"Vault at {client.url} is sealed")
    return VaultUnavailableError(
        f"Vault at {client.url} is not available: no login is possible now (HTTP status {status})"
    )


def _is_sealed(client: hvac.Client) -> bool:
    answer = _json_object(client.adapter.get("/v1/sys/seal-status"))
    return answer is not None and answer.get("sealed") is True


def _malformed(client: hvac.Client, status: int) -> MalformedAnswerError:
    return MalformedAnswerError(
        f"what answers at {client.url} does not answer a login as Vault (HTTP status {status})"
    )

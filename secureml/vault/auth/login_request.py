"""A login by one request; what Vault says of the credentials is never shown."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from secureml.errors import AuthenticationError
from secureml.secret_types import SecretText
from secureml.vault.auth.base import AuthMethod, Login

if TYPE_CHECKING:
    from secureml.vault.client.failover import FailoverClient
    from secureml.vault.client.messages import Answer

__all__ = ["LoginRequest", "RequestAuth", "is_token"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRequest:
    """What is sent to log in.

    Args:
        method: the login method.
        mount: where it is mounted.
        path: the path below the mount, percent-encoded.
        body: the fields; secrets as `SecretText`.
        who: who logs in, such as ``as 'alice'``; no secret.
        hint: what is probably wrong if Vault refuses.
    """

    method: str
    mount: str
    path: str = "login"
    body: Mapping[str, object] = field(repr=False)
    who: str = field(default="", compare=False)
    hint: str = field(compare=False)

    def send(self, client: FailoverClient) -> Login:
        """Log in, and return the token.

        Args:
            client: sends the request.

        Raises:
            AuthenticationError: Vault refuses the credentials, or wants more than one factor.
            VaultUnavailableError: Vault can't serve now, or the LDAP server that it asks.
            MalformedAnswerError: an answer that is not Vault's.
        """
        answer = client.post(f"auth/{self.mount}/{self.path}", self.body)
        if answer.status != 200:
            namespace = f"in the namespace {client.namespace!r}" if client.namespace else ""
            told = f"Vault refuses the {self.method} login at {self.mount!r}", namespace, self.who
            raise AuthenticationError(f"{' '.join(filter(None, told))}: {self._reason(answer)}")
        auth = answer.body.section("auth")
        if auth.mapping("mfa_requirement"):
            raise AuthenticationError(
                f"the {self.method} login at {self.mount!r} wants a second factor, which a program "
                "doesn't have; let an operator exempt it"
            )
        if not is_token(auth.text("client_token")):
            raise auth.malformed("client_token")
        return Login(
            token=SecretText(auth["client_token"]),
            ttl=float(auth.seconds("lease_duration")) or None,
            renewable=auth.flag("renewable"),
            own=True,
            batch=auth.text("token_type") == "batch",
            accessor=auth.word("accessor") or None,
            request_id=answer.body.request_id,
        )

    def _reason(self, answer: Answer) -> str:
        if answer.status in (404, 405, 500):
            return "there is no such namespace, login method or user name"
        if answer.body.says("CIDR"):
            return (
                "what it logs in with is bound to other addresses than this machine's "
                "(secret_id_bound_cidrs or token_bound_cidrs of the role)"
            )
        unmounted = ", or no login method is mounted there" if answer.status == 403 else ""
        return self.hint + unmounted


class RequestAuth(AuthMethod):
    """A method that logs in by one request, with the same credentials if that is the same."""

    def credentials(self) -> object:
        """Return the request."""
        return self.request()

    def login(self, client: FailoverClient) -> Login:
        """Send the request."""
        return self.request().send(client)

    @abstractmethod
    def request(self) -> LoginRequest:
        """Return the request, with the credentials as they are now.

        Raises:
            AuthenticationError: the credentials are missing.
        """


def is_token(text: object) -> bool:
    """Tell whether a text is fit to travel as a token in an HTTP header."""
    return (
        isinstance(text, str)
        and text != ""
        and text.isascii()
        and text.isprintable()
        and " " not in text
    )

"""The login request that the methods share; what Vault says of the credentials is never shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from secureml.errors import AuthenticationError
from secureml.secret_types import SecretText
from secureml.vault.auth.base import Login

if TYPE_CHECKING:
    from secureml.vault.client.failover import FailoverClient
    from secureml.vault.client.messages import Answer

__all__ = ["is_token", "log_in"]


def log_in(
    client: FailoverClient,
    body: Mapping[str, object],
    *,
    method: str,
    mount: str,
    path: str = "login",
    who: str = "",
    hint: str,
) -> Login:
    """Log in, and return the token.

    Args:
        client: sends the request.
        body: what to send; secrets as `SecretText`.
        method: the login method.
        mount: where it is mounted.
        path: the path below the mount, percent-encoded.
        who: who logs in, such as ``as 'alice'``; no secret.
        hint: what is probably wrong if Vault refuses.

    Raises:
        AuthenticationError: Vault refuses the credentials, or wants more than one factor.
        VaultUnavailableError: Vault can't serve now, or the LDAP server that it asks.
        MalformedAnswerError: an answer that is not Vault's.
    """
    answer = client.post(f"auth/{mount}/{path}", body)
    if answer.status != 200:
        place = repr(mount) + (
            f" in the namespace {client.namespace!r}" if client.namespace else ""
        )
        login = " ".join(filter(None, (f"Vault refuses the {method} login at", place, who)))
        raise AuthenticationError(f"{login}: {_reason(answer, hint)}")
    auth = answer.body.section("auth")
    if auth.mapping("mfa_requirement"):
        raise AuthenticationError(
            f"the {method} login at {mount!r} wants a second factor, which a program doesn't "
            "have; let an operator exempt it"
        )
    if not is_token(auth.text("client_token")):
        raise auth.malformed("client_token")
    return Login(
        token=SecretText(auth["client_token"]),
        ttl=float(auth.seconds("lease_duration")) or None,
        renewable=auth.flag("renewable"),
        own=True,
        accessor=auth.word("accessor") or None,
        request_id=answer.body.request_id,
    )


def is_token(text: object) -> bool:
    """Tell whether a text is fit to travel as a token in an HTTP header."""
    return (
        isinstance(text, str)
        and text != ""
        and text.isascii()
        and text.isprintable()
        and " " not in text
    )


def _reason(answer: Answer, hint: str) -> str:
    if answer.status in (404, 405, 500):
        return "there is no such namespace, login method or user name"
    if answer.body.says("CIDR"):
        return (
            "what it logs in with is bound to other addresses than this machine's "
            "(secret_id_bound_cidrs or token_bound_cidrs of the role)"
        )
    return hint + (", or no login method is mounted there" if answer.status == 403 else "")

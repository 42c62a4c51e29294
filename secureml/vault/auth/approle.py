"""AppRole: a role ID, and a secret ID that may come wrapped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from secureml.concealed import SecretText
from secureml.errors import AuthenticationError, MalformedAnswerError
from secureml.vault.auth.base import AuthMethod, Login
from secureml.vault.auth.credentials import Credential, needed
from secureml.vault.auth.exchange import Attempt, is_token, log_in, post

if TYPE_CHECKING:
    import hvac

__all__ = ["AppRoleAuth"]

_METHOD = "approle"


class AppRoleAuth(AuthMethod):
    """Logs in with a role ID and a secret ID.

    A wrapping token works once. So the secret ID that came out of it is kept for the next login,
    until another wrapping token is found in its place.

    Args:
        mount: where the method is mounted.
        role_id: the role ID.
        secret_id: the secret ID, or the wrapping token for it.
        wrapped: whether it is a wrapping token.
        role: the role that the wrapped secret ID must be for, where that is known.
    """

    def __init__(
        self,
        *,
        mount: str,
        role_id: str | None,
        secret_id: Credential,
        wrapped: bool = False,
        role: str | None = None,
    ) -> None:
        self._mount = mount
        self._role_id = role_id
        self._secret_id = secret_id
        self._wrapped = wrapped
        self._role = role
        self._unwrapped: tuple[SecretText, SecretText] | None = None

    def login(self, client: hvac.Client) -> Login:
        """Log in; unwraps the secret ID first where that is to be done."""
        role_id = needed(self._role_id, "vault_role_id", _METHOD)
        attempt = Attempt(
            method=_METHOD,
            mount=self._mount,
            who=f"with role {self._role!r}" if self._role else "",
            doubt=f"vault_role_id or {self._secret_id.place} is wrong, expired or used up",
        )
        secret_id = self._unwrap(client) if self._wrapped else self._secret_id.read(_METHOD)
        return log_in(client, attempt, {"role_id": role_id, "secret_id": secret_id})

    def _unwrap(self, client: hvac.Client) -> SecretText:
        wrapping = self._wrapping_token()
        if self._unwrapped is not None and self._unwrapped[0] == wrapping:
            return self._unwrapped[1]
        if not is_token(wrapping.reveal()):
            raise AuthenticationError(
                f"{self._secret_id.place} holds characters that no wrapping token has"
            )
        self._check_origin(client, wrapping)
        reply = post(client, "sys/wrapping/unwrap", token=wrapping)
        if reply.status != 200:
            raise self._used()
        secret_id = SecretText(reply.body.section("data").text("secret_id") or "")
        if not secret_id:
            raise MalformedAnswerError(f"{self._secret_id.place}: no secret ID was wrapped in it")
        self._unwrapped = (wrapping, secret_id)
        return self._unwrapped[1]

    def _wrapping_token(self) -> SecretText:
        """The wrapping token; once unwrapped, its file may be emptied or removed."""
        try:
            return self._secret_id.read(_METHOD)
        except AuthenticationError:
            if self._unwrapped is None:
                raise
            return self._unwrapped[0]

    def _check_origin(self, client: hvac.Client, wrapping: SecretText) -> None:
        """Refuse a token that wraps something else than a secret ID of this mount.

        Whoever intercepts one can put another in its place, but can't choose where Vault says
        that it was made.
        """
        reply = post(client, "sys/wrapping/lookup", {"token": wrapping})
        if reply.status != 200:
            raise self._used()
        path = reply.body.section("data").text("creation_path") or ""
        if client.adapter.namespace:
            path = path.removeprefix(f"{client.adapter.namespace.strip('/')}/")
        role = re.fullmatch(
            rf"auth/{re.escape(self._mount)}/role/([^/]+)/(custom-)?secret-id", path
        )
        # Vault takes the names of these roles in any case.
        if role and (self._role is None or self._role.lower() == role[1].lower()):
            return
        wanted = f"role {self._role!r}" if self._role else "a role"
        raise AuthenticationError(
            f"{self._secret_id.place} holds a wrapping token that was not made for a secret ID of "
            f"{wanted} at {self._mount!r}: somebody may have replaced it"
        )

    def _used(self) -> AuthenticationError:
        return AuthenticationError(
            f"{self._secret_id.place} holds a wrapping token that is expired or was used before: "
            "unless that was this program, somebody may have intercepted the secret ID; have it "
            "looked into, and a new one made"
        )

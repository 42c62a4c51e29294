"""AppRole logins: a role ID, and a secret ID that may come wrapped."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from secureml.errors import AuthenticationError, MalformedAnswerError
from secureml.forksafe import is_forked
from secureml.secret_types import SecretText
from secureml.vault.auth.base import AuthMethod, Login
from secureml.vault.auth.credentials import Credential, needed
from secureml.vault.auth.login_request import LoginRequest, is_token

if TYPE_CHECKING:
    from secureml.vault.client.failover import FailoverClient

__all__ = ["AppRoleAuth"]

_METHOD = "approle"

_MOST_KEPT = 256


class _Unwrapped(NamedTuple):
    """A secret ID, the token that wrapped it, where Vault made it, and where the token stood."""

    wrapping: SecretText
    secret_id: SecretText
    path: str
    place: str


_unwrapped: deque[_Unwrapped] = deque(maxlen=_MOST_KEPT)
_accepted: deque[SecretText] = deque(maxlen=_MOST_KEPT)
"""The secret IDs that have logged in, here or in the process that this one was forked from."""


class AppRoleAuth(AuthMethod):
    """Logs in with a role ID and a secret ID.

    A wrapping token works once, so the process keeps the secret ID for all logins with this token;
    a child that is forked afterwards has it too.

    Args:
        mount: where the method is mounted.
        role_id: the role ID.
        secret_id: the secret ID, or the wrapping token for it.
        wrapped: whether it is a wrapping token.
        role: the role that the wrapped secret ID must be for; None for any.
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

    def credentials(self) -> object:
        """Return mount, role and secret ID, or the token that wraps it."""
        secret = self._wrapping_token() if self._wrapped else self._secret_id.read(_METHOD)
        return _METHOD, self._mount, self._role_id, self._role, self._wrapped, secret

    def login(self, client: FailoverClient) -> Login:
        """Log in; unwraps the secret ID first, if it is wrapped."""
        role_id = needed(self._role_id, "vault_role_id", _METHOD)
        secret_id = (
            self._wrapped_secret_id(client) if self._wrapped else self._secret_id.read(_METHOD)
        )
        hint = f"vault_role_id or {self._secret_id.place} is wrong, expired or used up"
        if secret_id in tuple(_accepted):
            hint += (
                " (it has logged in before, here or in the process that this one was forked from: "
                "one that is for a single login can't do so again)"
            )
        login = LoginRequest(
            method=_METHOD,
            mount=self._mount,
            body={"role_id": role_id, "secret_id": secret_id},
            who=f"with role {self._role!r}" if self._role else "",
            hint=hint,
        ).send(client)
        if secret_id not in tuple(_accepted):
            _accepted.append(secret_id)
        return login

    def _wrapped_secret_id(self, client: FailoverClient) -> SecretText:
        wrapping = self._wrapping_token()
        if not is_token(wrapping.reveal()):
            raise AuthenticationError(
                f"{self._secret_id.place} holds characters that no wrapping token has"
            )
        # Looked up again after a refusal: a signal handler may have unwrapped it in between.
        kept = _unwrapped_by(wrapping) or self._unwrap(client, wrapping) or _unwrapped_by(wrapping)
        if kept is None:
            raise self._used_error()
        self._check_origin(kept.path)
        return kept.secret_id

    def _unwrap(self, client: FailoverClient, wrapping: SecretText) -> _Unwrapped | None:
        """Unwrap the secret ID; None if Vault refuses that."""
        answer = client.post("sys/wrapping/lookup", {"token": wrapping})
        if answer.status != 200:
            return None
        path = answer.data.text("creation_path") or ""
        if client.namespace:
            path = path.removeprefix(f"{client.namespace.strip('/')}/")
        self._check_origin(path)
        answer = client.post("sys/wrapping/unwrap", token=wrapping)
        if answer.status != 200:
            return None
        secret_id = SecretText(answer.data.text("secret_id") or "")
        if not secret_id:
            raise MalformedAnswerError(f"{self._secret_id.place}: no secret ID was wrapped in it")
        unwrapped = _Unwrapped(wrapping, secret_id, path, self._secret_id.place)
        _unwrapped.append(unwrapped)
        return unwrapped

    def _wrapping_token(self) -> SecretText:
        """Return the wrapping token; once it is unwrapped, its file may be emptied or removed."""
        try:
            return self._secret_id.read(_METHOD)
        except AuthenticationError:
            place = self._secret_id.place
            here = [each for each in tuple(_unwrapped) if each.place == place]
            if self._secret_id.file is None or not here:
                raise
            return here[-1].wrapping

    def _check_origin(self, path: str) -> None:
        """Refuse a token that wraps anything but a secret ID of this mount.

        Whoever intercepts one can replace it, but can't choose where Vault says it was made.
        """
        role = re.fullmatch(
            rf"auth/{re.escape(self._mount)}/role/([^/]+)/(custom-)?secret-id", path
        )
        # Vault ignores the case of these roles' names.
        if role and (self._role is None or self._role.lower() == role[1].lower()):
            return
        wanted = f"role {self._role!r}" if self._role else "a role"
        raise AuthenticationError(
            f"{self._secret_id.place} holds a wrapping token that was not made for a secret ID of "
            f"{wanted} at {self._mount!r}: somebody may have replaced it"
        )

    def _used_error(self) -> AuthenticationError:
        fork = ""
        if is_forked():
            fork = (
                " (of processes that were forked before one had read a key, one alone can unwrap "
                "it: read a key before the fork)"
            )
        return AuthenticationError(
            f"{self._secret_id.place} holds a wrapping token that is expired or was used before: "
            "unless that was this program, somebody may have intercepted the secret ID; have it "
            f"looked into, and a new one made{fork}"
        )


def _unwrapped_by(wrapping: SecretText) -> _Unwrapped | None:
    return next((each for each in tuple(_unwrapped) if each.wrapping == wrapping), None)

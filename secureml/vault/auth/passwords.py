"""User name and password: LDAP, and Vault's own users."""

from __future__ import annotations

from urllib.parse import quote

from secureml.vault.auth.credentials import Credential, needed
from secureml.vault.auth.login_request import LoginRequest, RequestAuth

__all__ = ["LdapAuth", "UserpassAuth"]


class UserpassAuth(RequestAuth):
    """Logs in as a user that Vault itself knows.

    Args:
        mount: where the method is mounted.
        username: the user's name.
        password: the password or its file.
    """

    method = "userpass"
    hint = "vault_username or {place} is wrong, or the user is locked for a while"

    def __init__(self, *, mount: str, username: str | None, password: Credential) -> None:
        self._mount = mount
        self._username = username
        self._password = password

    def request(self) -> LoginRequest:
        """Return the request with the user name in its path."""
        username = needed(self._username, "vault_username", self.method)
        return LoginRequest(
            method=self.method,
            mount=self._mount,
            path=f"login/{quote(username, safe='')}",
            body={"password": self._password.read(self.method)},
            who=f"as {username!r}",
            hint=self.hint.format(place=self._password.place),
        )


class LdapAuth(UserpassAuth):
    """Logs in as a user of the LDAP server that Vault asks; arguments as for `UserpassAuth`."""

    method = "ldap"
    hint = "vault_username or {place} is wrong, or Vault can't use its LDAP server"

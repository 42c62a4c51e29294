"""JSON web tokens: of any issuer that Vault trusts, and of a Kubernetes service account."""

from __future__ import annotations

from secureml.vault.auth.credentials import Credential, needed
from secureml.vault.auth.login_request import LoginRequest, RequestAuth

__all__ = ["POD_JWT_FILE", "JwtAuth", "KubernetesAuth"]

POD_JWT_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/token"
"""Where Kubernetes puts the token of a pod's service account, and renews it."""


class JwtAuth(RequestAuth):
    """Logs in with a JSON web token.

    Args:
        mount: where the method is mounted.
        role: the role; None for the mount's default role.
        jwt: the token or its file.
    """

    method = "jwt"
    inquiry = "get the keys of the issuer"

    def __init__(self, *, mount: str, role: str | None, jwt: Credential) -> None:
        self._mount = mount
        self._role = role
        self._jwt = jwt

    def request(self) -> LoginRequest:
        """Return the request with the token and the role."""
        role = {} if self._role is None else {"role": self._role}
        return LoginRequest(
            method=self.method,
            mount=self._mount,
            body={**role, "jwt": self._jwt.read(self.method)},
            who=f"with role {self._role!r}" if self._role else "without vault_role",
            hint=f"the role does not exist, it does not accept {self._jwt.place} (any more), or "
            f"Vault can't {self.inquiry}",
        )


class KubernetesAuth(JwtAuth):
    """Logs in as a Kubernetes service account; arguments as for `JwtAuth`, a role is needed."""

    method = "kubernetes"
    inquiry = "ask Kubernetes about it"

    def request(self) -> LoginRequest:
        """Return the request; there is no default role."""
        needed(self._role, "vault_role", self.method)
        return super().request()

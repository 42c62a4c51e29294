"""How a session proves to Vault who it is; each method is one class."""

from __future__ import annotations

from secureml.settings import Settings
from secureml.vault.auth.approle import AppRoleAuth
from secureml.vault.auth.base import AuthMethod, Login
from secureml.vault.auth.certificate import CertAuth, certificate_problem, client_certificate
from secureml.vault.auth.credentials import Credential
from secureml.vault.auth.jwt import POD_JWT_FILE, JwtAuth, KubernetesAuth
from secureml.vault.auth.passwords import LdapAuth, UserpassAuth
from secureml.vault.auth.tokens import NoAuth, TokenAuth

__all__ = [
    "AppRoleAuth",
    "AuthMethod",
    "CertAuth",
    "JwtAuth",
    "KubernetesAuth",
    "LdapAuth",
    "Login",
    "NoAuth",
    "TokenAuth",
    "UserpassAuth",
    "auth_from",
    "certificate_problem",
    "client_certificate",
]


def auth_from(settings: Settings) -> AuthMethod:
    """Make the method that ``vault_auth`` names; what is missing shows at its first login.

    Args:
        settings: the settings.
    """
    mount, role = settings.vault_auth_mount or settings.vault_auth, settings.vault_role
    method: AuthMethod
    match settings.vault_auth:
        case "none":
            method = NoAuth()
        case "token":
            method = TokenAuth(Credential.of(settings, "vault_token"))
        case "token_file":
            file = "~/.vault-token"
            method = TokenAuth(Credential.of(settings, "vault_token", default_file=file))
        case "approle":
            method = AppRoleAuth(
                mount=mount,
                role_id=settings.vault_role_id,
                secret_id=Credential.of(settings, "vault_secret_id"),
                wrapped=settings.vault_secret_id_wrapped,
                role=role,
            )
        case "userpass" | "ldap":
            kind = UserpassAuth if settings.vault_auth == "userpass" else LdapAuth
            password = Credential.of(settings, "vault_password")
            method = kind(mount=mount, username=settings.vault_username, password=password)
        case "kubernetes":
            jwt = Credential.of(settings, "vault_jwt", default_file=POD_JWT_FILE)
            method = KubernetesAuth(mount=mount, role=role, jwt=jwt)
        case "jwt":
            method = JwtAuth(mount=mount, role=role, jwt=Credential.of(settings, "vault_jwt"))
        case "cert":
            method = CertAuth(mount=mount, role=role, certificate=client_certificate(settings))
        case _:
            raise AssertionError(settings.vault_auth)
    return method

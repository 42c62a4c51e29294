"""How a session proves to Vault who it is; each method is one class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from secureml.settings import Settings
from secureml.vault.auth.approle import AppRoleAuth
from secureml.vault.auth.base import AuthMethod, Login
from secureml.vault.auth.certificate import CertAuth, certificate_problem, client_certificate
from secureml.vault.auth.credentials import Credential
from secureml.vault.auth.exchange import LoginRedirectedError
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
    "LoginRedirectedError",
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
    return _MAKERS[settings.vault_auth](settings)


def _mount(settings: Settings) -> str:
    return settings.vault_auth_mount or settings.vault_auth


def _token(settings: Settings) -> AuthMethod:
    return TokenAuth(Credential.of(settings, "vault_token"))


def _token_file(settings: Settings) -> AuthMethod:
    return TokenAuth(Credential.of(settings, "vault_token", default_file="~/.vault-token"))


def _approle(settings: Settings) -> AuthMethod:
    return AppRoleAuth(
        mount=_mount(settings),
        role_id=settings.vault_role_id,
        secret_id=Credential.of(settings, "vault_secret_id"),
        wrapped=settings.vault_secret_id_wrapped,
        role=settings.vault_role,
    )


def _ldap(settings: Settings) -> AuthMethod:
    return LdapAuth(
        mount=_mount(settings),
        username=settings.vault_username,
        password=Credential.of(settings, "vault_password"),
    )


def _userpass(settings: Settings) -> AuthMethod:
    return UserpassAuth(
        mount=_mount(settings),
        username=settings.vault_username,
        password=Credential.of(settings, "vault_password"),
    )


def _kubernetes(settings: Settings) -> AuthMethod:
    return KubernetesAuth(
        mount=_mount(settings),
        role=settings.vault_role,
        jwt=Credential.of(settings, "vault_jwt", default_file=POD_JWT_FILE),
    )


def _jwt(settings: Settings) -> AuthMethod:
    return JwtAuth(
        mount=_mount(settings),
        role=settings.vault_role,
        jwt=Credential.of(settings, "vault_jwt"),
    )


def _cert(settings: Settings) -> AuthMethod:
    return CertAuth(
        mount=_mount(settings),
        role=settings.vault_role,
        certificate=client_certificate(settings),
    )


def _none(_: Settings) -> AuthMethod:
    return NoAuth()


_MAKERS: Mapping[str, Callable[[Settings], AuthMethod]] = MappingProxyType(
    {
        "token": _token,
        "token_file": _token_file,
        "approle": _approle,
        "ldap": _ldap,
        "userpass": _userpass,
        "kubernetes": _kubernetes,
        "jwt": _jwt,
        "cert": _cert,
        "none": _none,
    }
)

"""Checks of Vault: addresses, certificates, clock, login, mount and rights."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from secureml.cli.checks.result import Check, warned
from secureml.cli.diagnosis import KeyAccess, Status, inspect
from secureml.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    MalformedAnswerError,
    MissingExtraError,
    SecretError,
    SecureMLError,
)
from secureml.forksafe import unforked
from secureml.settings import Settings
from secureml.settings.checks import split_url
from secureml.vault.diagnosis import Mount, Node, TokenStatus

__all__ = ["vault_checks"]

_CLOCKS_AGREE = timedelta(seconds=30)
"""Logins with a JWT fail at about a minute; a date in a header is a whole second."""

_SOON = timedelta(days=30)
"""Before the end of a certificate, a warning is due."""

_DEPENDENT = ("login", "token", "mount", "policy")


def vault_checks(settings: Settings, now: datetime) -> Generator[Check, None, str]:
    """Check Vault, as far as one step allows the next.

    Args:
        settings: where Vault is, and how to log in.
        now: the time.

    Returns:
        Why keys can't be read from it; empty if they can, or if no Vault is configured.
    """
    if settings.vault_url is None:
        yield _without_vault(settings)
        return ""
    inspected: tuple[Status, list[Check]] | SecureMLError
    try:
        inspected = warned("Vault", "write https in vault_url", lambda: inspect(settings))
    except (ConfigurationError, MissingExtraError, SecretError) as error:
        inspected = error.with_traceback(None)
    if isinstance(inspected, SecureMLError):
        yield Check.problem("Vault", inspected, inspected.remedy)
        yield from (Check.unknown(name, "Vault can't be asked") for name in _DEPENDENT)
        return "Vault can't be asked"
    found, warnings = inspected
    yield from warnings
    for node in found.nodes:
        yield from _node_checks(node, others=any(each.error is None for each in found.nodes))
    yield from _noted(found, "addresses")
    for node in found.nodes:
        yield from _certificate_checks(settings, node.address, now)
    yield from _client_certificate_checks(settings, now)
    answering = [node for node in found.nodes if node.state != "unavailable"]
    for node in answering[:1]:
        yield _clock_check(settings, node.address, now)
    if all(node.error for node in found.nodes):
        yield from (Check.unknown(name, "Vault does not serve") for name in _DEPENDENT)
        return "Vault does not serve"
    return (yield from _access_checks(settings, found))


def _without_vault(settings: Settings) -> Check:
    if settings.use_env_fallback:
        return Check.ok("Vault", "vault_url is not set: secrets come from environment variables")
    nowhere = ConfigurationError("vault_url is not set, and no variable may stand in for Vault")
    return Check.problem("Vault", nowhere, "set vault_url: secureml keys configure-vault does it")


def _node_checks(node: Node, *, others: bool) -> Iterator[Check]:
    if node.state == "unavailable" and node.error is not None:
        remedy = _remedy_of(node.error)
        if others:
            yield Check.warning("Vault", node.error.message, remedy)
        else:
            yield Check.problem("Vault", node.error, remedy)
        return
    version = f", version {node.version}" if node.version else ""
    yield Check.ok("Vault", f"{node.address} answers{version}")
    if node.error is None:
        yield Check.ok("seal", f"{node.address} is unsealed, {node.state}")
        return
    remedy = f"have an operator {'unseal' if node.state == 'sealed' else 'initialize'} it"
    if others:
        yield Check.warning("seal", node.error.message, remedy)
    else:
        yield Check.problem("seal", node.error, remedy)


def _remedy_of(error: SecretError) -> str:
    if isinstance(error, AuthenticationError):
        return "name the authority's certificate in vault_ca_cert"
    if isinstance(error, MalformedAnswerError):
        return "check that vault_url names Vault itself, with the right one of http and https"
    return "start Vault, or correct vault_url"


def _clock_check(settings: Settings, address: str, now: datetime) -> Check:
    # Both load what the extra `vault` brings.
    from secureml.stores.kv2 import sent_at
    from secureml.vault.auth import NoAuth
    from secureml.vault.client.api import Api
    from secureml.vault.client.session import VaultSession

    plain = replace(settings, vault_url=address, vault_namespace=None)
    sent = None
    try:
        with closing(VaultSession(plain, NoAuth())) as session:
            sent = sent_at(Api(session).get("sys/seal-status"))
    except SecretError:
        pass
    if sent is None:
        return Check.unknown("clock", f"{address} tells no time")
    ahead = sent - now
    if abs(ahead) <= _CLOCKS_AGREE:
        return Check.ok("clock", f"this machine's and that of {address} agree")
    way = "behind" if ahead > timedelta() else "ahead of"
    apart = timedelta(seconds=round(abs(ahead).total_seconds()))
    text = f"this machine's clock is {apart} {way} that of {address}"
    return Check.warning("clock", text, "synchronize both with a time server")


def _certificate_checks(settings: Settings, address: str, now: datetime) -> Iterator[Check]:
    url = split_url(address)
    if url is None or url.scheme != "https":
        return
    if settings.vault_proxy is not None:
        yield Check.unknown("certificate", f"{address} is behind a proxy")
        return
    try:
        end = _end_of_certificate(settings, url.host, url.port or 443)
    except (OSError, ValueError):
        yield Check.unknown("certificate", f"{address} shows none")
        return
    yield _expiry_check(f"the certificate of {address}", end, now)


def _client_certificate_checks(settings: Settings, now: datetime) -> Iterator[Check]:
    if settings.vault_client_cert is None:
        return
    from cryptography import x509

    try:
        content = Path(settings.vault_client_cert).read_bytes()
        end = x509.load_pem_x509_certificate(content).not_valid_after_utc
    except (OSError, ValueError):
        yield Check.unknown("certificate", "vault_client_cert holds none that can be read")
        return
    yield _expiry_check("the client certificate of vault_client_cert", end, now)


def _expiry_check(what: str, end: datetime, now: datetime) -> Check:
    day = f"{end:%Y-%m-%d}"
    if end <= now:
        ended = AuthenticationError(f"{what} ended on {day}")
        return Check.problem("certificate", ended, "renew it")
    if end - now < _SOON:
        return Check.warning("certificate", f"{what} ends on {day}", "renew it")
    return Check.ok("certificate", f"{what} is valid until {day}")


def _end_of_certificate(settings: Settings, host: str, port: int) -> datetime:
    """Return when a server's certificate ends; whether it is trusted was checked before."""
    from cryptography import x509

    with unforked():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if settings.vault_client_cert is not None:
            context.load_cert_chain(settings.vault_client_cert, settings.vault_client_key)
    with (
        socket.create_connection((host, port), timeout=settings.vault_connect_timeout) as plain,
        context.wrap_socket(
            plain, server_hostname=settings.vault_tls_server_name or host
        ) as connection,
    ):
        shown = connection.getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(shown or b"").not_valid_after_utc


def _access_checks(settings: Settings, found: Status) -> Generator[Check, None, str]:
    login, mount, keys = found.login, found.mount, found.keys
    if login is None or mount is None:
        error = found.error or SecretError("Vault can't be asked")
        yield Check.problem("login", error, _login_remedy(settings, error))
        yield from (Check.unknown(name, "Vault can't be asked") for name in _DEPENDENT[1:])
        return "Vault can't be asked"
    if login.error is not None and login.error is found.error:
        yield Check.problem("login", login.error, _login_remedy(settings, login.error))
        yield from (Check.unknown(name, "nobody is logged in") for name in _DEPENDENT[1:])
        return "nobody is logged in"
    yield Check.ok("login", f"by {login.method}, {_policies(login)}")
    yield from _noted(found, "token") or [_token_check(login)]
    yield from _noted(found, "mount") or [_mount_check(mount)]
    yield _policy_check(keys[0])
    yield from _noted(found, "versions", "transit key", "rollback")
    return found.error.message if isinstance(found.error, AccessDeniedError) else ""


def _login_remedy(settings: Settings, error: SecureMLError) -> str:
    if settings.vault_auth == "token" and settings.vault_token is None:
        return "set SECUREML_VAULT_TOKEN, or another login in vault_auth"
    return error.remedy


def _policies(login: TokenStatus) -> str:
    if login.policies is None:
        return "with a token that may not look itself up"
    return f"with the policies {', '.join(login.policies) or 'none'}"


def _token_check(login: TokenStatus) -> Check:
    if login.policies is None:
        return Check.unknown("token", "it may not look itself up")
    if login.ttl is None:
        return Check.ok("token", "valid without an end")
    renewed = ", and renewed in time" if login.lasts else ""
    return Check.ok("token", f"valid for {timedelta(seconds=login.ttl)} more{renewed}")


def _mount_check(mount: Mount) -> Check:
    if mount.engine is None:
        return Check.unknown("mount", f"the token may not ask what is mounted at {mount.name}/")
    return Check.ok("mount", f"{mount.name}/ is {mount.engine}")


def _policy_check(key: KeyAccess) -> Check:
    if key.permissions is None:
        return Check.unknown("policy", "the token may not ask what it may do")
    if "read" not in key.permissions:
        mount, _, below = key.path.partition("/")
        denied = AccessDeniedError(f"the token may not read {key.path}")
        remedy = (
            f'allow "read" on "{mount}/data/{below}", '
            "as the policies of secureml vault bootstrap --print-hcl do"
        )
        return Check.problem("policy", denied, remedy)
    return Check.ok("policy", f"allowed on {key.path}: {', '.join(key.permissions)}")


def _noted(found: Status, *subjects: str) -> list[Check]:
    return [
        Check.warning(each.subject, each.text, each.remedy)
        for each in found.findings
        if each.subject in subjects
    ]

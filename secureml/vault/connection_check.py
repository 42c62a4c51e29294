"""Checks whether Vault can be used, step by step, without a change to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from secureml.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    MalformedAnswerError,
    SecretError,
)
from secureml.settings import Settings
from secureml.vault.auth import AuthMethod
from secureml.vault.client.api import Api
from secureml.vault.client.capabilities import Capabilities
from secureml.vault.client.kv_mount import KvMount
from secureml.vault.client.session import Answer, VaultSession
from secureml.vault.diagnosis import KEY_OPERATIONS, Node, nodes_of, token_status

__all__ = ["Check", "check_connection"]


@dataclass(frozen=True, slots=True)
class Check:
    """Result of one check of the connection.

    Args:
        name: what was checked.
        detail: what was found, or what to do about the error.
        error: why it failed; None if it did not.
        is_known: whether it could be checked at all.
    """

    name: str
    detail: str
    error: SecretError | ConfigurationError | None = None
    is_known: bool = True


def check_connection(settings: Settings, auth: AuthMethod | None = None) -> Iterator[Check]:
    """Check that Vault can be used, without a change to it.

    Args:
        settings: where Vault is, and the path and key to test on.
        auth: how to log in; by default what ``settings`` say.

    Yields:
        Reachable, seal state, token and mount, up to the first failure; then read and write.

    Raises:
        ConfigurationError: Vault's address is not set, or the CA certificate does not exist.
        MissingExtraError: hvac is not installed.
    """
    nodes = nodes_of(settings)
    node = next((each for each in nodes if each.error is None), nodes[0])
    if node.state == "unavailable":
        yield _unreachable(node)
        return
    yield Check("reachable", str(settings.vault_url))
    if node.error is not None:
        what = "unseal" if node.state == "sealed" else "initialize"
        yield Check("seal state", f"have an operator {what} it", node.error)
        return
    yield Check("seal state", "unsealed")
    with closing(VaultSession(settings, auth)) as session:
        yield from _checks_with_token(session, settings)


def _unreachable(node: Node) -> Check:
    if isinstance(node.error, AuthenticationError):
        return Check("TLS", "give the authority's certificate with --vault-ca-cert", node.error)
    remedy = "start Vault, or correct --vault-url"
    if isinstance(node.error, MalformedAnswerError):
        remedy = "check that --vault-url names Vault itself, with the right one of http and https"
    return Check("reachable", remedy, node.error)


def _checks_with_token(session: VaultSession, settings: Settings) -> Iterator[Check]:
    mount = settings.vault_mount
    folder = "/".join(filter(None, (settings.vault_path, settings.environment)))
    key = f"{folder}/{settings.master_key_name}"
    found: Answer | SecretError
    try:
        found = Api(session).get(f"{mount}/data/{key}")
    except SecretError as error:
        found = error
    token = _token_check(session, settings, is_good=isinstance(found, Answer))
    yield token
    if token.error is not None:
        return
    mounted = _mount_check(session, mount, found)
    yield mounted
    if mounted.error is not None:
        return
    if isinstance(found, Answer):
        yield Check("read", f"allowed on {mount}/data/{key}")
    else:
        yield Check("read", f'allow "read" on "{mount}/data/{folder}/*" in a policy', found)
    yield _write_check(session, mount, folder, key)


def _token_check(session: VaultSession, settings: Settings, *, is_good: bool) -> Check:
    try:
        token = token_status(session, settings)
    except SecretError as error:
        return Check("token", "try again", error)
    if token.error is None:
        return Check("token", f"accepted, {_validity(token.ttl)}")
    if not isinstance(token.error, AuthenticationError | AccessDeniedError):
        return Check("namespace", "correct --vault-namespace", token.error)
    # A token without the default policy may not look itself up, and can be good all the same.
    if is_good:
        return Check("token", "accepted; it may not look itself up")
    return Check("token", "log in anew, and give the new token", token.error)


def _validity(ttl: int | None) -> str:
    if ttl is None:
        return "without an end"
    if ttl < 2 * 3600:
        return f"valid for {ttl // 60} more minutes"
    return f"valid for {ttl // 3600} more hours"


def _mount_check(session: VaultSession, name: str, found: Answer | SecretError) -> Check:
    mount = KvMount(session, name)
    remedy = "correct --vault-mount; what follows the mount goes into --vault-path"
    try:
        if mount.check():
            return Check("mount", f"{name!r} is a KV version 2 secrets engine")
        if isinstance(found, SecretError):
            raise found
        if found.status == 404:
            mount.check_absence(found)
    except (AccessDeniedError, AuthenticationError):
        return Check("mount", "the token may not ask about it", is_known=False)
    except ConfigurationError as error:
        return Check("mount", remedy, error)
    except SecretError as error:
        return Check("mount", "try again", error)
    return Check("mount", f"{name!r} answers")


def _write_check(session: VaultSession, mount: str, folder: str, key: str) -> Check:
    needed = KEY_OPERATIONS["write"]
    try:
        held = Capabilities.of(session, [f"{mount}/{section}/{key}" for section in needed])
    except SecretError as error:
        return Check("write", "try again", error)
    if held is None:
        return Check("write", "the token may not ask what it may do", is_known=False)
    for section, capabilities in needed.items():
        path = f"{mount}/{section}/{key}"
        missing = held.missing(path, capabilities)
        if missing:
            what = " and ".join(f'"{name}"' for name in missing)
            denied = AccessDeniedError(
                f"the token's policies lack {what} on {path}",
                mount=mount,
                path=path,
                capability=", ".join(missing),
            )
            return Check("write", f'allow it on "{mount}/{section}/{folder}/*"', denied)
    return Check("write", f"allowed on {mount}/data/{key}")

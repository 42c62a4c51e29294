"""How Vault is and what its token may do, as far as it can be seen without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from secureml.cli.diagnosis import contradictions
from secureml.cli.diagnosis.key_access import KeyAccess, Mount, findings_of, key_accesses, mount_of
from secureml.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    SecretDeletedError,
    SecretError,
    SecretNotFoundError,
    VaultSealedError,
    VaultUnavailableError,
)
from secureml.settings import Settings
from secureml.stores.vault import VaultStore
from secureml.vault.auth import NoAuth
from secureml.vault.client.answers import Members
from secureml.vault.client.session import Answer, VaultSession

__all__ = ["Login", "Node", "Status", "inspect"]

_SOON = 3 * 24 * 3600
"""Seconds before its end in which a token that nothing renews is pointed out."""

_GIVEN = frozenset({"token", "token_file"})
"""The ways to log in that bring no new token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One address of Vault.

    Args:
        address: the address.
        state: active, standby, sealed, not initialized or unavailable.
        version: the server's version.
        leader: the address of the leader, as the node knows it.
        error: why it can't serve.
    """

    address: str
    state: str
    version: str | None = None
    leader: str | None = None
    error: SecretError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """The token in use.

    Args:
        method: how it is obtained.
        ttl: seconds that it is still valid; None if it has no end, or can't be seen.
        renewable: whether that can be prolonged.
        lasts: whether the library sees to it that there is one, by renewing it or a new login.
        policies: its policies; None if they can't be seen.
        error: why there is none, or why it can't be looked up.
    """

    method: str
    ttl: int | None = None
    renewable: bool = False
    lasts: bool = True
    policies: tuple[str, ...] | None = None
    error: SecretError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How Vault is.

    Args:
        nodes: each address.
        login: the token in use; None if no address serves.
        mount: the engine that keeps the keys; None if no address serves.
        keys: the key of the settings, and each that can be listed.
        error: the first reason for which keys can't be used.
        findings: what an operator should look at, in sentences.
    """

    nodes: tuple[Node, ...]
    login: Login | None = None
    mount: Mount | None = None
    keys: tuple[KeyAccess, ...] = ()
    error: SecretError | ConfigurationError | None = None
    findings: tuple[str, ...] = ()


def inspect(settings: Settings) -> Status:
    """Look at every address of Vault, then at the token and the keys.

    Args:
        settings: where Vault is, how to log in, and which keys to look at.

    Raises:
        ConfigurationError: Vault's address is not set, or the settings don't allow to use it.
        MissingExtraError: hvac is not installed.
    """
    if settings.vault_url is None:
        raise ConfigurationError("vault_url is not set")
    nodes = tuple(_node(settings, address) for address in settings.vault_url.split(","))
    if all(node.error for node in nodes):
        return Status(nodes=nodes, error=nodes[0].error)
    store = VaultStore(VaultSession(settings), settings)
    try:
        return _seen_with_token(settings, store, nodes)
    except (SecretError, ConfigurationError) as error:
        return Status(nodes=nodes, error=error)
    finally:
        store.close()


def _node(settings: Settings, address: str) -> Node:
    # Root's namespace answers these, and without a token.
    plain = replace(settings, vault_url=address, vault_namespace=None)
    session = VaultSession(plain, NoAuth())
    try:
        seal = _get(session, "sys/seal-status").body
        version = seal.text("version") or None
        problem = _why_closed(address, seal)
        if problem is not None:
            state = "sealed" if isinstance(problem, VaultSealedError) else "not initialized"
            return Node(address=address, state=state, version=version, error=problem)
        leader = _get(session, "sys/leader").body
        alone = not leader.flag("ha_enabled")
        return Node(
            address=address,
            state="active" if alone or leader.flag("is_self") else "standby",
            version=version,
            leader=address if alone else leader.text("leader_address") or None,
        )
    except SecretError as error:
        return Node(address=address, state="unavailable", error=error)
    finally:
        session.close()


def _why_closed(address: str, seal: Members) -> VaultUnavailableError | None:
    if not seal.flag("initialized"):
        return VaultUnavailableError(f"Vault at {address} is not initialized")
    if seal.flag("sealed"):
        return VaultSealedError(f"Vault at {address} is sealed")
    return None


def _seen_with_token(settings: Settings, store: VaultStore, nodes: tuple[Node, ...]) -> Status:
    login = _login(store.session, settings.vault_auth)
    keys = key_accesses(settings, store)
    mount = mount_of(store.session, settings.vault_mount)
    error = None
    if all(key.permissions is None for key in keys):
        # Not even a token that can't be looked up for want of a policy: that may still be good.
        error = login.error
    elif "read" not in (keys[0].permissions or ()):
        error = AccessDeniedError(
            f"the token may not read {keys[0].path}", path=keys[0].path, capability="read"
        )
    elif keys[0].state == "absent":
        error = SecretNotFoundError(f"there is no key {keys[0].path}", looked_in=(keys[0].path,))
    elif keys[0].state in ("deleted", "destroyed"):
        error = SecretDeletedError(
            f"the key {keys[0].path} is {keys[0].state}", looked_in=(keys[0].path,)
        )
    findings = (
        *contradictions.of_addresses(nodes),
        *_ending(login),
        *mount.findings,
        *findings_of(settings, keys),
        *contradictions.of_keys(settings, store, [key.name for key in keys]),
    )
    return Status(
        nodes=nodes,
        login=login,
        mount=mount,
        keys=keys,
        error=error,
        findings=findings,
    )


def _login(session: VaultSession, method: str) -> Login:
    try:
        token = session.lookup_self().data
    except (AuthenticationError, AccessDeniedError) as error:
        return Login(method=method, error=error)
    return Login(
        method=method,
        ttl=token.seconds("ttl") or None,
        renewable=token.flag("renewable"),
        lasts=method not in _GIVEN or (token.flag("renewable") and token.seconds("period") > 0),
        policies=tuple(sorted({*token.texts("policies"), *token.texts("identity_policies")})),
    )


def _ending(login: Login) -> Iterator[str]:
    if login.ttl is not None and not login.lasts and login.ttl < _SOON:
        yield f"the token ends in {timedelta(seconds=login.ttl)}, and nothing renews it"


def _get(session: VaultSession, path: str) -> Answer:
    return session.request("get", path)

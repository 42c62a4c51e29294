"""How Vault is and what its token may do, as far as it can be seen without a trace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from secureml.central import SETTINGS_RECORD
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
from secureml.sources.base import Finding, VersionInfo
from secureml.sources.vault import VaultStore
from secureml.vault.answers import Members
from secureml.vault.auth import NoAuth
from secureml.vault.session import Answer, VaultSession

__all__ = ["KeyAccess", "Login", "Node", "Status", "inspect"]

# What each thing that can be done with a key takes: section of the API, and capabilities.
_NEEDED: Mapping[str, Mapping[str, frozenset[str]]] = {
    "read": {"data": frozenset({"read"})},
    "history": {"metadata": frozenset({"read"})},
    "write": {
        "data": frozenset({"create", "update"}),
        "metadata": frozenset({"create", "patch", "read", "update"}),
    },
    "destroy": {"destroy": frozenset({"update"})},
}
_SECTIONS = ("data", "metadata", "destroy")


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
        ttl: seconds that it is still valid; None where it has no end, or can't be seen.
        renewable: whether that can be prolonged.
        policies: its policies; None where they can't be seen.
        error: why there is none, or why it can't be looked up.
    """

    method: str
    ttl: int | None = None
    renewable: bool = False
    policies: tuple[str, ...] | None = None
    error: SecretError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAccess:
    """What the token may do with a key.

    Args:
        name: the key's name.
        path: its path.
        permissions: any of read, history, write and destroy; None where it can't be seen.
        state: present, absent, deleted or destroyed; None where it can't be seen.
        deletion_time: when Vault deletes its newest version; None for never, or not known.
    """

    name: str
    path: str
    permissions: tuple[str, ...] | None
    state: str | None = None
    deletion_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How Vault is.

    Args:
        nodes: each address.
        login: the token in use; None where no address serves.
        keys: the key of the settings, and each that can be listed.
        error: the first reason for which keys can't be used.
    """

    nodes: tuple[Node, ...]
    login: Login | None = None
    keys: tuple[KeyAccess, ...] = ()
    error: SecretError | ConfigurationError | None = None


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
    keys = _keys(settings, store)
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
    return Status(nodes=nodes, login=login, keys=keys, error=error)


def _login(session: VaultSession, method: str) -> Login:
    try:
        token = session.lookup_self().data
    except (AuthenticationError, AccessDeniedError) as error:
        return Login(method=method, error=error)
    return Login(
        method=method,
        ttl=token.seconds("ttl") or None,
        renewable=token.flag("renewable"),
        policies=tuple(sorted({*token.texts("policies"), *token.texts("identity_policies")})),
    )


def _keys(settings: Settings, store: VaultStore) -> tuple[KeyAccess, ...]:
    try:
        listed = [name for name in store.names() if name != SETTINGS_RECORD]
    except (AuthenticationError, AccessDeniedError):
        listed = None
    names = list(dict.fromkeys([settings.master_key_name, *(listed or ())]))
    paths = {name: store.path_of(name) for name in names}
    held = _capabilities(settings, store.session, paths.values())
    own, *others = (
        KeyAccess(
            name=name,
            path=path,
            permissions=None if held is None else _permissions(settings, path, held),
            state="present" if listed and name in listed else None,
        )
        for name, path in paths.items()
    )
    versions = store.versions(own.name) if "history" in (own.permissions or ()) else None
    newest = versions[-1] if versions else None
    state = _state(own, store, listed) if versions is None else _state_of(newest)
    deletion_time = None if newest is None else newest.deletion_time
    return replace(own, state=state, deletion_time=deletion_time), *others


def _state_of(newest: VersionInfo | None) -> str:
    if newest is None:
        return "absent"
    return newest.state if newest.state in ("deleted", "destroyed") else "present"


def _state(key: KeyAccess, store: VaultStore, listed: Sequence[str] | None) -> str | None:
    """Tell whether a key is there, by what the token may do without being handed the key."""
    permissions = key.permissions or ()
    if listed is not None:
        return "present" if key.name in listed else "absent"
    if "read" not in permissions:
        return None
    outcome = store.read(key.name, even_disabled=True)
    if isinstance(outcome.error, ConfigurationError):
        raise outcome.error
    return {Finding.PRESENT: "present", Finding.ABSENT: "absent", Finding.DELETED: "deleted"}.get(
        outcome.finding
    )


def _capabilities(
    settings: Settings, session: VaultSession, paths: Iterable[str]
) -> Members | None:
    wanted = [_api_path(settings, path, section) for path in paths for section in _SECTIONS]
    path = "sys/capabilities-self"
    try:
        answer = session.request(
            lambda client: client.adapter.post(f"/v1/{path}", json={"paths": wanted}),
            mount=settings.vault_mount,
            path=path,
            capability="update",
        )
    except (AuthenticationError, AccessDeniedError):
        return None
    return answer.data if answer.status == 200 else None


def _permissions(settings: Settings, path: str, held: Members) -> tuple[str, ...]:
    return tuple(
        permission
        for permission, needed in _NEEDED.items()
        if all(
            _holds(held.texts(_api_path(settings, path, section)), wanted)
            for section, wanted in needed.items()
        )
    )


def _holds(held: Sequence[str], wanted: frozenset[str]) -> bool:
    return "root" in held or wanted <= set(held)


def _api_path(settings: Settings, path: str, section: str) -> str:
    return f"{settings.vault_mount}/{section}/{path.removeprefix(settings.vault_mount + '/')}"


def _get(session: VaultSession, path: str) -> Answer:
    return session.request(
        lambda client: client.adapter.get(f"/v1/{path}"), mount="sys", path=path, capability="read"
    )

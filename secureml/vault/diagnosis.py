"""What can be seen of a Vault without a change to it: its addresses, token, mount and rights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from secureml.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    SecretError,
    VaultSealedError,
    VaultUnavailableError,
)
from secureml.settings import Settings
from secureml.vault.auth import NoAuth
from secureml.vault.client.answers import Members
from secureml.vault.client.api import Api
from secureml.vault.client.kv_mount import lifetime_in
from secureml.vault.client.session import VaultSession

__all__ = [
    "KEY_OPERATIONS",
    "Mount",
    "Node",
    "TokenStatus",
    "mount_of",
    "nodes_of",
    "seen",
    "several_clusters",
    "token_status",
]

KEY_OPERATIONS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "read": {"data": ("read",)},
    "history": {"metadata": ("read",)},
    # Also what it takes to describe a key and to raise the number of versions that are kept.
    "write": {"data": ("create", "update"), "metadata": ("create", "patch", "read", "update")},
    "destroy": {"destroy": ("update",)},
}
"""The capabilities that each operation on a key takes, by section of the KV v2 API."""

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
class TokenStatus:
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
class Mount:
    """The engine that keeps keys.

    Args:
        name: where it is mounted.
        engine: its type and version; None if they can't be seen.
        deletes_after: after how long it deletes every version; empty for never, None if that
            can't be seen.
    """

    name: str
    engine: str | None
    deletes_after: str | None


def nodes_of(settings: Settings) -> tuple[Node, ...]:
    """Ask each address of Vault how it is; this takes no login.

    Args:
        settings: where Vault is.

    Raises:
        ConfigurationError: Vault's address is not set, or the CA certificate does not exist.
        MissingExtraError: hvac is not installed.
    """
    if settings.vault_url is None:
        raise ConfigurationError("vault_url is not set")
    return tuple(_node(settings, address) for address in settings.vault_url.split(","))


def several_clusters(nodes: Iterable[Node]) -> Iterator[str]:
    """Tell of active nodes with different leaders: requests go to one of them by chance.

    Args:
        nodes: every address of Vault.
    """
    active = [node for node in nodes if node.state == "active"]
    if len({node.leader for node in active}) > 1:
        named = " and ".join(node.address for node in active)
        yield f"{named} are all active: they are not one cluster, and their keys may differ"


def token_status(session: VaultSession, settings: Settings) -> TokenStatus:
    """Look the token of a session up.

    Args:
        session: the connection to Vault.
        settings: how it logs in.

    Raises:
        SecretError: Vault can't be asked.
    """
    method = settings.vault_auth
    try:
        answer = session.lookup_self()
    except (AuthenticationError, AccessDeniedError) as error:
        return TokenStatus(method=method, error=error)
    if answer.status != 200:
        missing = SecretError(f"Vault has no namespace {settings.vault_namespace!r}")
        return TokenStatus(method=method, error=missing)
    token = answer.data
    return TokenStatus(
        method=method,
        ttl=token.seconds("ttl") or None,
        renewable=token.flag("renewable"),
        lasts=method not in _GIVEN or (token.flag("renewable") and token.seconds("period") > 0),
        policies=tuple(sorted({*token.texts("policies"), *token.texts("identity_policies")})),
    )


def mount_of(session: VaultSession, name: str) -> Mount:
    """Look at a mount, as far as the token may see it.

    Args:
        session: the connection to Vault.
        name: where it is mounted.
    """
    mount = seen(session, f"sys/internal/ui/mounts/{name}")
    config = seen(session, f"{name}/config")
    engine = None
    if mount is not None:
        version = mount.section("options").word("version")
        engine = f"{mount.word('type')} version {version or '1'}"
    deletes_after = None if config is None else lifetime_in(config)
    return Mount(name=name, engine=engine, deletes_after=deletes_after)


def seen(session: VaultSession, path: str) -> Members | None:
    """Read a path; None if the token may not, or if nothing is there.

    Args:
        session: the connection to Vault.
        path: the API path.
    """
    try:
        answer = Api(session).get(path)
    except (AccessDeniedError, AuthenticationError):
        return None
    return answer.data if answer.status == 200 else None


def _node(settings: Settings, address: str) -> Node:
    # The root namespace answers these, and without a token.
    plain = replace(settings, vault_url=address, vault_namespace=None)
    with closing(VaultSession(plain, NoAuth())) as session:
        try:
            return _state_of(session, address)
        except SecretError as error:
            return Node(address=address, state="unavailable", error=error)


def _state_of(session: VaultSession, address: str) -> Node:
    seal = session.seal_status()
    version = seal.text("version") or None
    if not seal.flag("initialized"):
        closed = VaultUnavailableError(f"Vault at {address} is not initialized")
        return Node(address=address, state="not initialized", version=version, error=closed)
    if seal.flag("sealed"):
        closed = VaultSealedError(f"Vault at {address} is sealed")
        return Node(address=address, state="sealed", version=version, error=closed)
    leader = Api(session).get("sys/leader").body
    alone = not leader.flag("ha_enabled")
    return Node(
        address=address,
        state="active" if alone or leader.flag("is_self") else "standby",
        version=version,
        leader=address if alone else leader.text("leader_address") or None,
    )

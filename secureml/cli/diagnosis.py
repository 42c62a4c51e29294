"""How Vault is, what its token may do with keys, and what an operator should look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from secureml.configuration.remote import SETTINGS_RECORD
from secureml.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    SecretDeletedError,
    SecretError,
    SecretNotFoundError,
)
from secureml.key_management.known_keys import KnownKeys
from secureml.settings import Settings
from secureml.stores.base import Finding, VersionInfo
from secureml.stores.custom_metadata import lost_in
from secureml.stores.vault import VaultStore
from secureml.vault.client.capabilities import Capabilities
from secureml.vault.client.session import VaultSession
from secureml.vault.client.transit import kind_problem
from secureml.vault.diagnosis import (
    KEY_OPERATIONS,
    Mount,
    Node,
    TokenStatus,
    mount_of,
    nodes_of,
    seen,
    several_clusters,
    token_status,
)

__all__ = ["Attention", "KeyAccess", "Status", "inspect", "key_accesses"]

_SOON = 3 * 24 * 3600
"""Seconds before its end in which a token that nothing renews is pointed out."""

_GONE = ("absent", "deleted", "destroyed")

_CLOCKS_AGREE = timedelta(seconds=5)

_Needed = Mapping[str, Mapping[str, Sequence[str]]]
"""By operation: the API paths that it goes to, and the capabilities that it takes there."""


@dataclass(frozen=True, slots=True)
class Attention:
    """What an operator should look at.

    Args:
        subject: what it is about: addresses, token, mount, versions, transit key or rollback.
        text: what was found, a sentence.
        remedy: what to do about it.
    """

    subject: str
    text: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAccess:
    """What the token may do with a key, and what is known of it.

    Args:
        name: the key's name.
        path: its path.
        permissions: any of read, history, write, destroy, unwrap and rewrap; None if it can't
            be seen.
        state: present, absent, deleted or destroyed; None if it can't be seen.
        deletion_time: when Vault deletes its newest version, as ISO 8601 has it; None for never.
        gaps: the versions that are gone: deleted, destroyed, or pruned.
        transit_key: the transit key that wraps it or would; None if none can, or no engine is seen.
        transit_problem: what is wrong with that; empty if nothing is seen to be.
    """

    name: str
    path: str
    permissions: tuple[str, ...] | None
    state: str | None = None
    deletion_time: str | None = None
    gaps: tuple[int, ...] = ()
    transit_key: str | None = None
    transit_problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How Vault is.

    Args:
        nodes: each address.
        login: the token in use; None if no address serves.
        mount: the engine that keeps the keys; None if no address serves.
        keys: the key of the settings, and each that can be listed.
        error: the first reason for which keys can't be used.
        findings: what an operator should look at.
    """

    nodes: tuple[Node, ...]
    login: TokenStatus | None = None
    mount: Mount | None = None
    keys: tuple[KeyAccess, ...] = ()
    error: SecretError | ConfigurationError | None = None
    findings: tuple[Attention, ...] = ()


def inspect(settings: Settings) -> Status:
    """Look at every address of Vault, then at the token and the keys.

    Args:
        settings: where Vault is, how to log in, and which keys to look at.

    Raises:
        ConfigurationError: Vault's address is not set, or the settings don't allow to use it.
        MissingExtraError: hvac is not installed.
    """
    nodes = nodes_of(settings)
    if all(node.error for node in nodes):
        return Status(nodes=nodes, error=nodes[0].error)
    session = VaultSession(settings)
    store = VaultStore(session, settings)
    try:
        login = token_status(session, settings)
        keys = key_accesses(settings, store)
        mount = mount_of(session, settings.vault_mount)
        findings = (
            *(
                Attention("addresses", text, "name the addresses of one cluster in vault_url")
                for text in several_clusters(nodes)
            ),
            *_findings(settings, login, mount, keys),
            *_contradictions(settings, store, keys),
        )
        return Status(
            nodes=nodes,
            login=login,
            mount=mount,
            keys=keys,
            error=_problem(login, keys),
            findings=findings,
        )
    except (SecretError, ConfigurationError) as error:
        return Status(nodes=nodes, error=error)
    finally:
        store.close()


def key_accesses(settings: Settings, store: VaultStore) -> tuple[KeyAccess, ...]:
    """Look at the key of the settings, and at each that can be listed.

    Args:
        settings: name the key.
        store: where keys are kept.
    """
    try:
        listed = [name for name in store.names() if name != SETTINGS_RECORD]
    except (AuthenticationError, AccessDeniedError):
        listed = None
    names = dict.fromkeys([settings.master_key_name, *(listed or ())])
    engine = mount_of(store.session, settings.vault_transit_mount).engine or ""
    wraps = engine.startswith("transit ")
    transit_keys = {name: _transit_key(store, name) if wraps else None for name in names}
    needed = {name: _needed(settings, store, name, transit_keys[name]) for name in names}
    paths = [path for each in needed.values() for held_on in each.values() for path in held_on]
    held = Capabilities.of(store.session, paths)
    keys = []
    for name in names:
        permissions = None
        if held is not None:
            permissions = tuple(what for what, each in needed[name].items() if held.allow(each))
        keys.append(_key(store, name, permissions, transit_keys[name], listed))
    return tuple(keys)


def _problem(
    login: TokenStatus, keys: Sequence[KeyAccess]
) -> SecretError | ConfigurationError | None:
    """Return why the key of the settings, which is the first, can't be used."""
    key = keys[0]
    if all(each.permissions is None for each in keys):
        # The token may be good although it can't be looked up, if not even that is known.
        return login.error
    if "read" not in (key.permissions or ()):
        return AccessDeniedError(
            f"the token may not read {key.path}", path=key.path, capability="read"
        )
    if key.state == "absent":
        return SecretNotFoundError(f"there is no key {key.path}", looked_in=(key.path,))
    if key.state in ("deleted", "destroyed"):
        return SecretDeletedError(f"the key {key.path} is {key.state}", looked_in=(key.path,))
    return None


def _findings(
    settings: Settings, login: TokenStatus, mount: Mount, keys: Sequence[KeyAccess]
) -> Iterator[Attention]:
    if login.ttl is not None and not login.lasts and login.ttl < _SOON:
        ends = f"the token ends in {timedelta(seconds=login.ttl)}, and nothing renews it"
        yield Attention("token", ends, "log in by a method that renews it, such as approle")
    if mount.deletes_after:
        deletes = f"the mount {mount.name}/ deletes each version after {mount.deletes_after}"
        yield Attention("mount", deletes, "run secureml vault bootstrap")
    for key in keys:
        if key.deletion_time is not None and key.state not in _GONE:
            deletes = f"Vault deletes the newest version of {key.path} at {key.deletion_time}"
            yield Attention("versions", deletes, "run secureml vault bootstrap")
        if key.gaps and key.state not in _GONE:
            versions = ", ".join(map(str, key.gaps))
            gone = f"{key.path} has no material of these versions: {versions}"
            yield Attention("versions", gone, "look with secureml keys usage for who needs them")
        if key.transit_problem:
            wrong = f"the transit key {key.transit_key} {key.transit_problem}"
            yield Attention("transit key", wrong, "restore it from a backup, or correct it")
        wraps = settings.key_backend == "transit" and key.transit_key is not None
        if wraps and key.permissions is not None and "unwrap" not in key.permissions:
            denied = f"the token may not unwrap with the transit key {key.transit_key}"
            path = "/decrypt/".join((key.transit_key or "").rsplit("/", 1))
            yield Attention("transit key", denied, f'allow "update" on "{path}"')


def _contradictions(
    settings: Settings, store: VaultStore, keys: Sequence[KeyAccess]
) -> Iterator[Attention]:
    """Tell of versions that were seen and are not there, or were written at another time.

    No key is read for it, and a key whose versions can't be listed is left out.
    """
    known = KnownKeys(settings)
    for key in keys:
        earlier = known.of(key.path)
        if not earlier:
            continue
        try:
            versions, custom_metadata = store.described(key.name)
        except SecretError:
            continue
        lost = lost_in(custom_metadata)
        created = {info.version: info.created for info in versions}
        newest = max(created, default=0)
        for version, before in sorted(earlier.items()):
            what = f"{key.path}: version {version} ({before.fingerprint}) was"
            if version in lost:
                continue
            if version > newest:
                what += f" seen, and the newest one is {newest}"
            elif version in created and before.created != created[version]:
                what += f" created at {before.created}, and Vault has one of {created[version]}"
            else:
                continue
            yield Attention("rollback", what, "restore Vault, or secureml keys accept-rollback")


def _needed(settings: Settings, store: VaultStore, name: str, transit_key: str | None) -> _Needed:
    below = store.path_of(name).removeprefix(f"{settings.vault_mount}/")
    needed: dict[str, Mapping[str, Sequence[str]]] = {
        operation: {f"{settings.vault_mount}/{part}/{below}": names for part, names in each.items()}
        for operation, each in KEY_OPERATIONS.items()
    }
    if transit_key:
        mount, _, key = transit_key.rpartition("/")
        rewrap, keys = f"{mount}/rewrap/{key}", f"{mount}/keys/{key}"
        needed |= {
            "unwrap": {f"{mount}/decrypt/{key}": ("update",)},
            "rewrap": {rewrap: ("update",), f"{keys}/rotate": ("update",), keys: ("read",)},
        }
    return needed


def _key(
    store: VaultStore,
    name: str,
    permissions: tuple[str, ...] | None,
    transit_key: str | None,
    listed: Sequence[str] | None,
) -> KeyAccess:
    versions: Sequence[VersionInfo] = ()
    deletion = None
    if "history" in (permissions or ()):
        versions = store.versions(name)
        newest = versions[-1].state if versions else "absent"
        state: str | None = newest if newest in _GONE else "present"
        deletion = versions[-1].deletion_time if versions else None
    elif listed is not None:
        state = "present" if name in listed else "absent"
    else:
        state = _state_as_read(store, name) if "read" in (permissions or ()) else None
    problem = ""
    if transit_key is not None and "rewrap" in (permissions or ()):
        problem = _transit_problem(store.session, transit_key, versions)
    return KeyAccess(
        name=name,
        path=store.path_of(name),
        permissions=permissions,
        state=state,
        deletion_time=None if deletion is None else deletion.isoformat(),
        gaps=_gaps(versions),
        transit_key=transit_key,
        transit_problem=problem,
    )


def _state_as_read(store: VaultStore, name: str) -> str | None:
    outcome = store.read(name, even_disabled=True)
    if isinstance(outcome.error, ConfigurationError):
        raise outcome.error
    known = (Finding.PRESENT, Finding.ABSENT, Finding.DELETED)
    return outcome.finding.value if outcome.finding in known else None


def _transit_key(store: VaultStore, name: str) -> str | None:
    try:
        return store.transit.name_of(name)
    except ConfigurationError:
        return None


def _transit_problem(session: VaultSession, key: str, versions: Sequence[VersionInfo]) -> str:
    mount, _, name = key.rpartition("/")
    traits = seen(session, f"{mount}/keys/{name}")
    if not traits:
        return ""
    made = [traits.section("keys").integer(each) for each in traits.section("keys")]
    written = versions[-1].created if versions else None
    oldest = min((each for each in made if each), default=None)
    if written and oldest and datetime.fromtimestamp(oldest, UTC) > written + _CLOCKS_AGREE:
        return "is younger than what it wraps: it was made anew, or its versions were trimmed"
    return kind_problem(traits)


def _gaps(versions: Sequence[VersionInfo]) -> tuple[int, ...]:
    there = {each.version for each in versions if each.state not in ("deleted", "destroyed")}
    newest = versions[-1].version if versions else 0
    return tuple(number for number in range(1, newest + 1) if number not in there)

"""What a token may do with keys, and what is amiss with them, as far as it may see that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain

from secureml.configuration.remote import SETTINGS_RECORD
from secureml.errors import AccessDeniedError, AuthenticationError, ConfigurationError
from secureml.settings import Settings
from secureml.stores.base import Finding, VersionInfo
from secureml.stores.vault import VaultStore
from secureml.vault.client.answers import Members
from secureml.vault.client.api import Api
from secureml.vault.client.capabilities import Capabilities
from secureml.vault.client.kv_mount import lifetime_in
from secureml.vault.client.session import VaultSession
from secureml.vault.client.transit import kind_problem

__all__ = ["KeyAccess", "Mount", "findings_of", "key_accesses", "mount_of"]

_GONE = ("absent", "deleted", "destroyed")

_CLOCKS_AGREE = timedelta(seconds=5)


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

    @property
    def findings(self) -> tuple[str, ...]:
        """What an operator should look at."""
        if not self.deletes_after:
            return ()
        return (f"the mount {self.name}/ deletes each version after {self.deletes_after}",)


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
        transit_problem: what is amiss with that; empty if nothing is seen to be.
    """

    name: str
    path: str
    permissions: tuple[str, ...] | None
    state: str | None = None
    deletion_time: str | None = None
    gaps: tuple[int, ...] = ()
    transit_key: str | None = None
    transit_problem: str = ""


def mount_of(session: VaultSession, name: str) -> Mount:
    """Look at the mount of keys.

    Args:
        session: the connection to Vault.
        name: where it is mounted.
    """
    api = Api(session)
    told = _seen(api, f"sys/internal/ui/mounts/{name}")
    config = _seen(api, f"{name}/config")
    engine = None
    if told is not None:
        version = told.section("options").word("version")
        engine = f"{told.word('type')} version {version or '1'}"
    deletes_after = None if config is None else lifetime_in(config)
    return Mount(name=name, engine=engine, deletes_after=deletes_after)


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
    names = list(dict.fromkeys([settings.master_key_name, *(listed or ())]))
    engine = mount_of(store.session, settings.vault_transit_mount).engine or ""
    wraps = engine.startswith("transit ")
    needed = {name: _needed(settings, store, name, wraps=wraps) for name in names}
    paths = chain.from_iterable(path for each in needed.values() for path in each.values())
    held = Capabilities.of(store.session, paths)
    keys = (_key(store, name, needed[name], held) for name in names)
    own, *others = (
        replace(key, state="present") if listed and key.name in listed and not key.state else key
        for key in keys
    )
    return replace(own, state=own.state or _state(own, store, listed)), *others


def findings_of(settings: Settings, keys: Sequence[KeyAccess]) -> Iterator[str]:
    """Say what an operator should look at.

    Args:
        settings: say whether keys are wrapped.
        keys: the keys.
    """
    for key in keys:
        if key.deletion_time is not None and key.state not in _GONE:
            yield f"Vault deletes the newest version of {key.path} at {key.deletion_time}"
        if key.gaps and key.state not in _GONE:
            versions = ", ".join(map(str, key.gaps))
            yield f"{key.path} has no material of these versions: {versions}"
        if key.transit_problem:
            yield f"the transit key {key.transit_key} {key.transit_problem}"
        wraps = settings.key_backend == "transit" and key.transit_key is not None
        if wraps and key.permissions is not None and "unwrap" not in key.permissions:
            yield f"the token may not unwrap with the transit key {key.transit_key}"


def _needed(
    settings: Settings, store: VaultStore, name: str, *, wraps: bool
) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Return what each thing that can be done with a key takes: API paths and capabilities."""
    below = store.path_of(name).removeprefix(f"{settings.vault_mount}/")
    data, metadata, destroy = (
        f"{settings.vault_mount}/{section}/{below}" for section in ("data", "metadata", "destroy")
    )
    needed: dict[str, Mapping[str, tuple[str, ...]]] = {
        "read": {data: ("read",)},
        "history": {metadata: ("read",)},
        "write": {data: ("create", "update"), metadata: ("create", "patch", "read", "update")},
        "destroy": {destroy: ("update",)},
    }
    mount, _, key = (_transit_key(store, name) or "").rpartition("/")
    if wraps and key:
        rewrap, keys = f"{mount}/rewrap/{key}", f"{mount}/keys/{key}"
        needed |= {
            "unwrap": {f"{mount}/decrypt/{key}": ("update",)},
            "rewrap": {rewrap: ("update",), f"{keys}/rotate": ("update",), keys: ("read",)},
        }
    return needed


def _key(
    store: VaultStore,
    name: str,
    needed: Mapping[str, Mapping[str, tuple[str, ...]]],
    held: Capabilities | None,
) -> KeyAccess:
    permissions = (
        None if held is None else tuple(what for what, each in needed.items() if held.allow(each))
    )
    may_see = "history" in (permissions or ())
    versions = store.versions(name) if may_see else ()
    state = deletion = None
    if may_see:
        newest = versions[-1].state if versions else "absent"
        state = newest if newest in _GONE else "present"
        deletion = versions[-1].deletion_time if versions else None
    transit_key = _transit_key(store, name) if "unwrap" in needed else None
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


def _transit_key(store: VaultStore, name: str) -> str | None:
    try:
        return store.transit.name_of(name)
    except ConfigurationError:
        return None


def _transit_problem(session: VaultSession, key: str, versions: Sequence[VersionInfo]) -> str:
    """Say what is amiss with a transit key, if there is one."""
    mount, _, name = key.rpartition("/")
    traits = _seen(Api(session), f"{mount}/keys/{name}")
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


def _state(key: KeyAccess, store: VaultStore, listed: Sequence[str] | None) -> str | None:
    """Tell whether a key is there, by what the token may do without being handed the key."""
    if listed is not None:
        return "present" if key.name in listed else "absent"
    if "read" not in (key.permissions or ()):
        return None
    outcome = store.read(key.name, even_disabled=True)
    if isinstance(outcome.error, ConfigurationError):
        raise outcome.error
    return {Finding.PRESENT: "present", Finding.ABSENT: "absent", Finding.DELETED: "deleted"}.get(
        outcome.finding
    )


def _seen(api: Api, path: str) -> Members | None:
    """Read what a token may not be allowed to see; None then, or if nothing is there."""
    try:
        answer = api.get(path)
    except (AccessDeniedError, AuthenticationError):
        return None
    return answer.data if answer.status == 200 else None

"""What can't be right about a Vault: two active addresses, and keys other than were seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from secureml.errors import SecretError
from secureml.key_management.known import KnownKeys
from secureml.stores.custom_metadata import lost_in

if TYPE_CHECKING:
    from secureml.cli.diagnosis.inspection import Node
    from secureml.settings import Settings
    from secureml.stores import SecretStore

__all__ = ["of_addresses", "of_keys"]


def of_addresses(nodes: Iterable[Node]) -> tuple[str, ...]:
    """Tell of active nodes that are not of one cluster: which one is asked is a matter of chance.

    Args:
        nodes: every address of Vault.
    """
    active = [node for node in nodes if node.state == "active"]
    if len({node.leader for node in active}) < 2:
        return ()
    named = " and ".join(node.address for node in active)
    return (f"{named} are all active: they are not one cluster, and their keys may differ",)


def of_keys(settings: Settings, store: SecretStore, names: Iterable[str]) -> tuple[str, ...]:
    """Tell of versions that were seen and are not there, or were written at another time.

    No key is read for it, and a key whose versions can't be listed is left out.

    Args:
        settings: name the file of what was seen.
        store: where the keys are.
        names: the keys.
    """
    known = KnownKeys(settings)
    return tuple(
        f"{store.path_of(name)}: {problem}"
        for name in names
        for problem in _problems(known, store, name)
    )


def _problems(known: KnownKeys, store: SecretStore, name: str) -> Iterator[str]:
    seen = known.of(store.path_of(name))
    if not seen:
        return
    try:
        versions, custom_metadata = store.described(name)
    except SecretError:
        return
    lost = lost_in(custom_metadata)
    created = {info.version: info.created for info in versions}
    newest = max(created, default=0)
    for version, before in sorted(seen.items()):
        if version in lost:
            continue
        if version > newest:
            yield (
                f"version {version} ({before.fingerprint}) was seen, and the newest one is {newest}"
            )
        elif version in created and before.created != created[version]:
            yield (
                f"version {version} ({before.fingerprint}) was created at {before.created}, and "
                f"Vault has one of {created[version]}"
            )

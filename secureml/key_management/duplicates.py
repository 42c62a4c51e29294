"""Versions that hold the same key: a change to one of them changes nothing for the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from secureml.errors import SecureMLWarning, warn
from secureml.keys import KeyInfo

__all__ = ["groups_of_duplicates", "warn_of_duplicates"]


def groups_of_duplicates(history: Iterable[KeyInfo]) -> Iterator[tuple[KeyInfo, ...]]:
    """Go through the sets of versions that hold the same key, each in the order of the history.

    Such versions come of ``kv patch`` and ``rollback``. Wrapped keys are left out: their versions
    are one key in several wrappings by design.

    Args:
        history: every version of the key.
    """
    groups: dict[str, list[KeyInfo]] = {}
    for info in history:
        if info.fingerprint and not info.transit_key:
            groups.setdefault(info.fingerprint, []).append(info)
    return (tuple(group) for group in groups.values() if len(group) > 1)


def warn_of_duplicates(info: KeyInfo, history: Iterable[KeyInfo]) -> None:
    """Warn if a version is out of use and its key is not.

    Args:
        info: the version, with its new state.
        history: every version of the key, as it was before.
    """
    left = [
        f"{other.version} ({other.state})"
        for other in history
        if other.version != info.version
        and other.fingerprint == info.fingerprint
        and other.state not in ("deleted", "destroyed")
        and (info.state == "destroyed" or other.state != info.state)
    ]
    if left:
        warn(
            "a version of a key is out of use, and another one holds the same key",
            SecureMLWarning,
            f"{info.path} version {info.version} is {info.state}, and the same key is still in "
            f"version {', '.join(left)}",
        )

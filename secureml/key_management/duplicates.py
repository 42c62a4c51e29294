"""Versions that hold the same key: a change to one of them changes nothing for the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from secureml.errors import SecureMLWarning, warn
from secureml.keys import KeyInfo

__all__ = ["duplicates_of", "groups_of_duplicates", "warn_of_duplicates"]

_GONE = frozenset({"deleted", "destroyed"})


def duplicates_of(info: KeyInfo, history: Iterable[KeyInfo]) -> tuple[KeyInfo, ...]:
    """Return the other versions that hold the same key, as ``kv patch`` and ``rollback`` make them.

    Args:
        info: the version.
        history: every version of the key.
    """
    return tuple(
        other
        for other in history
        if other.version != info.version
        and other.fingerprint == info.fingerprint
        and other.state not in _GONE
    )


def groups_of_duplicates(history: Iterable[KeyInfo]) -> Iterator[tuple[KeyInfo, ...]]:
    """Go through the sets of versions that hold the same key, each in the order of the history.

    Wrapped keys are left out: their versions are one key in several wrappings by design.

    Args:
        history: every version of the key.
    """
    plain = [info for info in history if info.fingerprint and not info.transit_key]
    for first in plain:
        duplicates = duplicates_of(first, plain)
        if duplicates and plain.index(first) < plain.index(duplicates[0]):
            yield first, *duplicates


def warn_of_duplicates(info: KeyInfo, duplicates: Iterable[KeyInfo]) -> None:
    """Warn that a version is out of use and its key is not.

    Args:
        info: the version, with its new state.
        duplicates: the other versions that hold the same key; disabled ones do not
            count, unless this one was destroyed.
    """
    left = [each for each in duplicates if info.state == "destroyed" or each.state != info.state]
    if not left:
        return
    numbers = ", ".join(f"{each.version} ({each.state})" for each in left)
    warn(
        "a version of a key is out of use, and another one holds the same key",
        SecureMLWarning,
        f"{info.path} version {info.version} is {info.state}, and the same key is still in "
        f"version {numbers}",
    )

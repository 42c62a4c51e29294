"""Versions that hold the same key: what becomes of one of them changes nothing for the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from secureml.errors import SecureMLWarning, warn
from secureml.keys import KeyInfo

__all__ = ["groups_of_twins", "twins_of", "warn_of_twins"]

_GONE = frozenset({"deleted", "destroyed"})


def twins_of(info: KeyInfo, history: Iterable[KeyInfo]) -> tuple[KeyInfo, ...]:
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


def groups_of_twins(history: Iterable[KeyInfo]) -> Iterator[tuple[KeyInfo, ...]]:
    """Go through the sets of versions that hold the same key, each in the order of the history.

    Wrapped keys are left out: their versions are one key in several wrappings by design.

    Args:
        history: every version of the key.
    """
    plain = [info for info in history if info.fingerprint and not info.transit_key]
    for first in plain:
        twins = twins_of(first, plain)
        if twins and plain.index(first) < plain.index(twins[0]):
            yield first, *twins


def warn_of_twins(info: KeyInfo, twins: Iterable[KeyInfo]) -> None:
    """Warn that a version is out of use, and its key is not.

    Args:
        info: the version, as it is by now.
        twins: the other versions that hold the same key; those that are disabled are in use by
            nobody, unless this one was destroyed.
    """
    left = [twin for twin in twins if info.state == "destroyed" or twin.state != info.state]
    if not left:
        return
    numbers = ", ".join(f"{twin.version} ({twin.state})" for twin in left)
    warn(
        "a version of a key is out of use, and another one holds the same key",
        SecureMLWarning,
        f"{info.path} version {info.version} is {info.state}, and the same key is still in "
        f"version {numbers}",
    )

"""What secureml keeps in the custom metadata of a secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from secureml.errors import SecretError

__all__ = [
    "CREATED_BY",
    "DISABLED",
    "LOST",
    "PURPOSE",
    "ROTATION_PERIOD",
    "STATES_KEPT",
    "UNKNOWN",
    "lost_in",
    "lost_text",
    "merged",
    "record_state",
    "state_key",
    "state_of",
]

CREATED_BY = "secureml.created_by"
PURPOSE = "secureml.purpose"
ROTATION_PERIOD = "secureml.rotation_period"
DISABLED = "disabled"
UNKNOWN = "unknown"

STATES_KEPT = {"states": "custom_metadata"}
"""A field of a record: the secret's custom metadata has ``CREATED_BY``, unless it was replaced."""
LOST = "secureml.lost"
"""Versions that were there before Vault went back to older data, and are given up."""

_STATE = "secureml.state."
_MOST_ENTRIES = 64
_LONGEST_KEY = 128
_LONGEST_VALUE = 512
_NUMBER = re.compile("[1-9][0-9]{0,5}")


def state_key(version: int) -> str:
    """Return the entry of a version's state: one each, so that changes at once are all kept."""
    return f"{_STATE}{version}"


def state_of(custom_metadata: Mapping[str, str], version: int, newest: int | None = None) -> str:
    """Return the state of a version whose content is there.

    Args:
        custom_metadata: the secret's custom metadata.
        version: the version.
        newest: the newest version, if it is known.
    """
    if custom_metadata.get(state_key(version)) == DISABLED:
        return DISABLED
    return "enabled" if newest is None or version >= newest else "decrypt-only"


def record_state(
    fields: Mapping[str, object],
    custom_metadata: Mapping[str, str],
    version: int,
    newest: int | None = None,
) -> str:
    """Return the state of a version by its content too.

    Args:
        fields: what is stored in it. It can tell that somebody has replaced the custom metadata,
            and with it what tells which versions are disabled.
        custom_metadata: the secret's custom metadata.
        version: the version.
        newest: the newest version, if it is known.
    """
    if STATES_KEPT.items() <= fields.items() and CREATED_BY not in custom_metadata:
        return UNKNOWN
    return state_of(custom_metadata, version, newest)


def lost_in(custom_metadata: Mapping[str, str]) -> frozenset[int]:
    """Return the versions that are given up."""
    numbers = custom_metadata.get(LOST, "").split(",")
    return frozenset(int(number) for number in numbers if _NUMBER.fullmatch(number))


def lost_text(versions: Iterable[int]) -> str:
    """Write the versions that are given up, as custom metadata holds them."""
    return ",".join(map(str, sorted(versions)))


def merged(
    path: str, custom_metadata: Mapping[str, str], changes: Mapping[str, str | None]
) -> dict[str, str]:
    """Return custom metadata with changes made to it.

    Args:
        path: the secret's path, for messages.
        custom_metadata: what there is.
        changes: what to change; None removes an entry.

    Raises:
        SecretError: Vault would not take it: more than 64 entries, a key of more than 128 bytes,
            or a value that is empty, of more than 512 bytes or not printable.
    """
    result = {**custom_metadata, **changes}
    kept = {key: value for key, value in result.items() if value is not None}
    if len(kept) > _MOST_ENTRIES:
        raise SecretError(
            f"the custom metadata of {path} has room for {_MOST_ENTRIES} entries, and "
            f"{len(kept)} are wanted; a version that is enabled again frees one"
        )
    for key in changes.keys() & kept.keys():
        if not 0 < len(key.encode()) <= _LONGEST_KEY:
            raise SecretError(f"a key in custom metadata takes 1 to {_LONGEST_KEY} bytes")
        if not kept[key].isprintable():
            raise SecretError(f"{key} of {path} holds more than printable characters")
        if not 0 < len(kept[key].encode()) <= _LONGEST_VALUE:
            raise SecretError(
                f"{key} of {path} takes 1 to {_LONGEST_VALUE} bytes, and "
                f"{len(kept[key].encode())} were given"
            )
    return kept

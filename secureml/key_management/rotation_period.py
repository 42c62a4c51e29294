"""Rotation periods, and the other custom metadata that describes a key."""

from __future__ import annotations

import re
from datetime import timedelta

from secureml import __version__
from secureml.errors import KeyMaterialError
from secureml.stores.custom_metadata import CREATED_BY, PURPOSE, ROTATION_PERIOD

__all__ = ["description", "period_in", "period_text"]

_LONGEST = timedelta(days=36_500)
_DAY = timedelta(days=1)
_UNITS = {"d": _DAY, "h": timedelta(hours=1), "m": timedelta(minutes=1), "s": timedelta(seconds=1)}
_PERIOD = re.compile(r"([0-9]{1,10})([dhms])")


def description(purpose: str | None, rotation_period: int | timedelta | None) -> dict[str, str]:
    """Return the custom metadata of a new key.

    Args:
        purpose: what the key is for.
        rotation_period: after how long it is to be rotated, in days or as a timedelta.

    Raises:
        TypeError: the purpose is no text, or the period neither.
        KeyMaterialError: the purpose is empty, or the period impossible.
    """
    entries = {CREATED_BY: f"secureml {__version__}"}
    if purpose is not None:
        if not isinstance(purpose, str):
            raise TypeError(f"a purpose is a str, not {type(purpose).__name__}")
        if not purpose.strip():
            raise KeyMaterialError("the purpose of a key must not be empty")
        entries[PURPOSE] = purpose
    if rotation_period is not None:
        entries[ROTATION_PERIOD] = period_text(rotation_period)
    return entries


def period_text(period: int | timedelta) -> str:
    """Write a rotation period as custom metadata holds it: ``90d``, or whole seconds as ``5400s``.

    Args:
        period: a number of days, or a timedelta.

    Raises:
        TypeError: it is neither.
        KeyMaterialError: it is not from one second to a hundred years, in whole seconds.
    """
    if isinstance(period, bool) or not isinstance(period, int | timedelta):
        raise TypeError(f"a rotation period is an int or a timedelta, not {type(period).__name__}")
    length = period if isinstance(period, timedelta) else min(period, _LONGEST.days + 1) * _DAY
    if not _UNITS["s"] <= length <= _LONGEST or length % _UNITS["s"]:
        raise KeyMaterialError(
            f"a rotation period is from one second to {_LONGEST.days} days, in whole seconds"
        )
    return f"{length // _UNITS['s']}s" if length % _DAY else f"{length // _DAY}d"


def period_in(text: str | None) -> timedelta | None:
    """Read a rotation period, which may be in days, hours, minutes or seconds.

    Args:
        text: what custom metadata holds.

    Returns:
        The period; None if there is none, or none that can be read.
    """
    found = _PERIOD.fullmatch(text or "")
    if found is None:
        return None
    count, unit = int(found[1]), _UNITS[found[2]]
    return count * unit if 0 < count <= _LONGEST // unit else None

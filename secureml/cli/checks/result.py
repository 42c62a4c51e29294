"""The result of a check."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from secureml.cli.base import exit_code_of
from secureml.errors import SecureMLError, SecureMLWarning

__all__ = ["Check", "State", "warned", "worst"]

State = Literal["ok", "warning", "problem", "unknown"]

_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Check:
    """Result of one check.

    Args:
        name: what was checked.
        state: ``ok``, ``warning`` if it works and needs attention, ``problem`` if it does not work,
            ``unknown`` if it could not be checked.
        text: what was found.
        remedy: what to do about it; empty if nothing has to be done.
        exit_code: how the command ends for it.
    """

    name: str
    state: State
    text: str
    remedy: str = ""
    exit_code: int = 0

    @classmethod
    def ok(cls, name: str, text: str) -> Check:
        """Nothing has to be done."""
        return cls(name, "ok", text)

    @classmethod
    def warning(cls, name: str, text: str, remedy: str) -> Check:
        """It works, and needs attention."""
        return cls(name, "warning", text, remedy, 1)

    @classmethod
    def problem(cls, name: str, error: SecureMLError | str, remedy: str) -> Check:
        """It does not work; the exit code is that of the error, 1 for a sentence."""
        code = exit_code_of(error) if isinstance(error, SecureMLError) else 1
        return cls(name, "problem", " ".join(str(error).split()), remedy, code)

    @classmethod
    def unknown(cls, name: str, why: str) -> Check:
        """It could not be checked."""
        return cls(name, "unknown", why)


def worst(checks: Iterable[Check]) -> int:
    """Return the exit code of the worst result: the highest one, 0 if there is none."""
    return max((check.exit_code for check in checks), default=0)


def warned(name: str, remedy: str, work: Callable[[], _R]) -> tuple[_R, list[Check]]:
    """Do something, and return its result with what it warns of as results of checks.

    Args:
        name: what is checked.
        remedy: what to do about a warning that does not tell.
        work: what to do.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = work()
    checks = []
    for each in caught:
        if issubclass(each.category, SecureMLWarning):
            message = getattr(each.message, "details", "") or str(each.message)
            text, _, advice = message.partition("; ")
            checks.append(Check.warning(name, text, advice or remedy))
    return result, list(dict.fromkeys(checks))

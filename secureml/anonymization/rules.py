"""The rules of the settings: which columns they name, and what they say of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import pandas as pd

from secureml.errors import ArgumentError, PseudonymizationError
from secureml.frames.pandas import check_columns, check_levels, listed
from secureml.settings import Settings
from secureml.settings.rules import KEEP, ColumnRule, Profile, Rules

__all__ = ["ruled_columns", "rules_in_force"]


def rules_in_force(settings: Settings, profile: str | None) -> Profile:
    """Return what the settings say, with what a profile says over it.

    Raises:
        ArgumentError: there is no such profile.
    """
    for_all = Profile(settings.columns.pairs, settings.domain_prefix)
    if profile is None:
        return for_all
    if profile not in settings.profiles:
        near = difflib.get_close_matches(profile, settings.profiles, 1)
        known = ", ".join(map(repr, settings.profiles)) or "none"
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {known}"
        problem = f"the settings have no profile {profile!r}; {hint}"
        raise ArgumentError(problem, argument="profile")
    return settings.profiles[profile].above(for_all)


def ruled_columns(
    frame: pd.DataFrame, sensitive_columns: Iterable[str] | None, rules: Rules, *, strict: bool
) -> Mapping[str, ColumnRule]:
    """Return the columns to pseudonymize, and what the rules say of each.

    Args:
        frame: the table.
        sensitive_columns: the columns that the caller names; None leaves it to the rules.
        rules: those in force.
        strict: whether a column that neither names is an error.

    Raises:
        PseudonymizationError: a column is unknown, or none or not every one is named.
    """
    named = None if sensitive_columns is None else check_columns(frame, listed(sensitive_columns))
    found = {name: rules.of(name) for name in frame.columns if isinstance(name, str)}
    if strict:
        _check_strict(frame, found, named or ())
    levels = [*frame.index.names, *frame.columns.names]
    if named is not None:
        check_levels(levels, named)
        said = {name: found[name] or ColumnRule() for name in named}
        return {
            name: ColumnRule() if rule.strategy == KEEP else rule for name, rule in said.items()
        }
    ruled = {name: rule for name, rule in found.items() if rule and rule.strategy != KEEP}
    named_levels = {name: rules.of(name) for name in levels if isinstance(name, str)}
    check_levels(
        levels, [name for name, rule in named_levels.items() if rule and rule.strategy != KEEP]
    )
    if not ruled:
        reason = "no rule names a column of the table" if rules else "there are no rules"
        raise ArgumentError(
            f"nothing would be pseudonymized: {reason}. Name the columns in sensitive_columns, or"
            " write rules under [default.columns] in the settings file"
        )
    return ruled


def _check_strict(
    frame: pd.DataFrame, found: Mapping[str, ColumnRule | None], named: Iterable[str]
) -> None:
    unnamed = [name for name in frame.columns.difference(named, False) if not found.get(name)]
    if unnamed:
        raise PseudonymizationError(
            f"strict_columns is on, and no rule names {', '.join(map(repr, unnamed))}. Give each a"
            " rule; strategy = 'keep' lets a column stay as it is"
        )

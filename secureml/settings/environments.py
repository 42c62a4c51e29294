"""Environments: their names, their spellings, and how strict each one is."""

from __future__ import annotations

import difflib
import enum
import re
from collections.abc import Collection, Iterable

from secureml.errors import ConfigurationError

__all__ = [
    "ENVIRONMENTS",
    "NAME_PATTERN",
    "NAME_RULE",
    "NO_SECTIONS",
    "Tier",
    "canonical",
    "did_you_mean",
    "is_name",
    "nearest",
    "resolve",
    "section_problem",
    "tier_of",
]

ENVIRONMENTS = ("development", "staging", "production")

_ALIASES = {"dev": "development", "stage": "staging", "prod": "production"}
NAME_RULE = "made of a-z, 0-9, '-' and '_', 63 at most"
NAME_PATTERN = "^[a-z0-9][a-z0-9_-]{0,62}"
_NAME = re.compile(NAME_PATTERN)
_MEANT_AS_DEFAULT = ("global", "secureml")
NO_SECTIONS = (*_ALIASES, *_MEANT_AS_DEFAULT)
"""Names of sections that are refused, with the right one in the message."""


class Tier(enum.Enum):
    """How strict an environment is about where a secret may come from."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    STRICT = "strict"


def tier_of(environment: str | None) -> Tier:
    """Return the tier of an environment.

    Args:
        environment: its name, or None if none is selected.

    Returns:
        STRICT for production, for none, and for every environment that a user declares.
    """
    if environment is None:
        return Tier.STRICT
    tiers = {"development": Tier.DEVELOPMENT, "staging": Tier.STAGING}
    return tiers.get(canonical(environment), Tier.STRICT)


def canonical(name: str) -> str:
    """Return a name in lower case, an alias (``dev``, ``stage``, ``prod``) in full."""
    folded = name.strip().lower()
    return _ALIASES.get(folded, folded)


def is_name(name: str) -> bool:
    """Tell whether a canonical name is fit for an environment, and so for a segment of a path."""
    return _NAME.fullmatch(name) is not None


def resolve(name: str, declared: Collection[str]) -> str:
    """Find the environment that a name means.

    Args:
        name: a name or an alias in any case.
        declared: the environments that the user's settings files declare.

    Returns:
        The canonical name.

    Raises:
        ConfigurationError: there is no such environment; the message suggests the nearest name.
    """
    wanted = canonical(name)
    known = [*ENVIRONMENTS, *sorted(set(declared) - set(ENVIRONMENTS))]
    if wanted in known:
        return wanted
    hint = nearest(wanted, [*known, *_ALIASES])
    suggestion = f"did you mean '{canonical(hint)}'? " if hint else ""
    raise ConfigurationError(
        f"there is no environment {name[:80]!r}; {suggestion}known: {', '.join(known)} "
        f"(a section of the settings file declares another)"
    )


def section_problem(section: str) -> str | None:
    """Say what is wrong with the name of a settings file's section.

    Args:
        section: ``default``, an environment's name, or a name that declares one.

    Returns:
        The problem, or None. A name close to a known one is taken for a slip, because a section
        that nothing selects would be ignored in silence.
    """
    known = ("default", *ENVIRONMENTS)
    if section in known:
        return None
    right = canonical(section)
    if right in _MEANT_AS_DEFAULT:
        return "write [default] for what holds in every environment"
    if not is_name(right):
        return f"the name of an environment is {NAME_RULE}"
    if section != right:
        return f"write [{right}]"
    hint = nearest(section, known, 0.8)
    # production-eu and staging2 are names in their own right; [defaults] never is.
    if hint and (hint == "default" or not section.startswith(hint)):
        return f"did you mean [{hint}]?"
    return None


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known word that is most like this one, if any is."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the end of a message that suggests the nearest known word; empty if none is near."""
    meant = nearest(word, known, cutoff)
    return f"; did you mean {meant!r}?" if meant else ""

"""Strategies: how the values of a column are replaced."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats import Option, options_of
from secureml.pseudonymization.keys import DomainKeys
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.strategies.base import Kind, Outcome, Strategy
from secureml.pseudonymization.strategies.fpe import ON_INVALID, SMALL_DOMAIN, TOKEN_PREFIX, Fpe
from secureml.pseudonymization.strategies.hash import Hash, collision_probability
from secureml.pseudonymization.strategies.one_way import Custom, Mask, Null, Redact
from secureml.pseudonymization.strategies.token import Token

__all__ = [
    "ON_INVALID",
    "SMALL_DOMAIN",
    "TOKEN_PREFIX",
    "WITHOUT_FORMAT",
    "Custom",
    "Fpe",
    "Hash",
    "Kind",
    "Mask",
    "Null",
    "Outcome",
    "Redact",
    "Strategy",
    "Token",
    "collision_probability",
    "make_strategy",
]

WITHOUT_FORMAT: Mapping[str, type[Strategy]] = {
    "token": Token,
    "hash": Hash,
    "mask": Mask,
    "redact": Redact,
    "null": Null,
    "custom": Custom,
}
"""The strategies beside ``fpe``, by name."""


def make_strategy(
    name: str,
    options: Mapping[str, Option],
    keys: DomainKeys,
    row_tweaks: RowTweaks | None = None,
) -> Strategy:
    """Make a strategy that needs no format.

    Raises:
        PseudonymizationError: there is no such strategy, or an option does not fit.
    """
    kind = WITHOUT_FORMAT[name]
    known = options_of(kind)
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise PseudonymizationError(f"the strategy {name!r} has no option {option!r}{hint}")
    made: Strategy = kind(keys, row_tweaks, **options)  # type: ignore[call-arg]  # checked above
    return made

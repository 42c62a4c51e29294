"""Strategies: how the values of a column are replaced."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from secureml.pseudonymization.formats import Option, check_options
from secureml.pseudonymization.keys import DomainKeys
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.strategies.base import Kind, Outcome, Strategy
from secureml.pseudonymization.strategies.hash import collision_probability
from secureml.registry import STRATEGIES

__all__ = [
    "Kind",
    "Outcome",
    "Strategy",
    "collision_probability",
    "make_strategy",
    "strategy_type",
]


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
    kind = strategy_type(name)
    check_options(f"the strategy {name!r}", kind, options)
    return kind(keys, row_tweaks, **options)


@cache
def strategy_type(name: str) -> type[Strategy]:
    """Return the class of a strategy.

    Raises:
        PseudonymizationError: there is none of this name, or its package is broken.
    """
    return STRATEGIES.load(name, Strategy)  # type: ignore[type-abstract]  # as for formats

"""What is to be done with each column: from arguments to recipes, all checked beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from secureml.anonymization.versions import version_column
from secureml.errors import ArgumentError, PseudonymizationError
from secureml.frames.columns import Column, arrow_name, dtype_name, read_column
from secureml.frames.pandas import by_column, check_columns, check_sensitive
from secureml.frames.recovery import check_dtype
from secureml.frames.unread import UnreadColumn
from secureml.pseudonymization.column_spec import ColumnSpec, check_strategy, scale_of
from secureml.pseudonymization.formats import resolve_format
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.ranking.permutation import MIN_TABLE
from secureml.pseudonymization.strategies import strategy_type
from secureml.settings.rules import NAMED, ColumnRule, Option

__all__ = [
    "Function",
    "Job",
    "check_tweaks",
    "checked_formats",
    "checked_options",
    "chosen_strategies",
    "job_of",
]

Function = Callable[[pd.Series], Any]
"""A strategy of the caller's own: from a column to its replacement."""


@dataclass(frozen=True, slots=True)
class Job:
    """One column that is to be pseudonymized.

    Args:
        column: its values.
        recipe: how they are replaced.
        dtype: of the column.
        arrow: its Arrow type, as text, or None.
        function: the caller's own, which replaces them instead.
        smallest: how many members a domain has at least that is permuted by a table.
    """

    column: Column | UnreadColumn
    recipe: ColumnSpec
    dtype: str
    arrow: str | None
    function: Function | None = None
    smallest: int = MIN_TABLE


def chosen_strategies(
    given: str | Function | Mapping[str, str | Function] | None, names: Sequence[str]
) -> tuple[dict[str, str], dict[str, Function]]:
    """Return the strategy of each column that has one by name, and of each that has a function.

    Raises:
        ArgumentError: one is neither, or names another column.
    """
    if not (given is None or isinstance(given, str | Mapping) or callable(given)):
        raise ArgumentError.of("strategy", "must be a name, a function, or a mapping by column")
    chosen = dict(given) if isinstance(given, Mapping) else dict.fromkeys(names, given)
    functions = {name: one for name, one in chosen.items() if callable(one)}
    named = {name: one for name, one in chosen.items() if one is not None and not callable(one)}
    check_sensitive("strategy", functions, names)
    found = by_column("strategy", named, names)
    for one in found.values():
        check_strategy(one, NAMED)
    return found, functions


def checked_formats(
    given: Mapping[str, str] | None,
    options: Mapping[str, Mapping[str, Option]],
    names: Sequence[str],
) -> dict[str, str]:
    """Return the format of each column that is given one.

    Raises:
        ArgumentError: it is none, names another column, or has an option that does not fit.
    """
    formats = by_column("formats", given, names)
    problem = ""
    for name, written in formats.items():
        try:
            resolve_format(written, options.get(name, {}))
        except PseudonymizationError as error:
            problem = f"column {name!r}: {error}"
            break
    if problem:
        raise ArgumentError(problem, argument="formats")
    return formats


def job_of(
    series: pd.Series, rule: ColumnRule, function: Function | None, domain_prefix: str | None
) -> Job:
    """Settle what is done with one column.

    Args:
        series: the column.
        rule: what is said of it.
        function: in place of a strategy, the caller's own.
        domain_prefix: what sets the column's domain apart, or None.

    Raises:
        PseudonymizationError: the rule does not fit, or not the column.
    """
    if function is not None:
        rule = replace(rule, strategy="custom")
    blind = not strategy_type(rule.strategy or "fpe").reads
    if not blind and rule.on_ordered != "keep" and getattr(series.dtype, "ordered", False):
        raise PseudonymizationError(
            "it is an ordered categorical, and the order of its pseudonyms would tell its values:"
            " drop the order with .cat.as_unordered(), or pass on_ordered='keep'"
        )
    scale = scale_of(rule.format, rule.options)
    column = _read(series, blind=blind, distinct=rule.tweak is None, scale=scale)
    recipe = ColumnSpec.of(rule, str(series.name), type(column.values))
    recipe = replace(recipe, domain_prefix=domain_prefix)
    dtype = dtype_name(series, column)
    if recipe.reversible:
        check_dtype(dtype, column)
    return Job(column, recipe, dtype, arrow_name(series, column), function)


def _read(
    series: pd.Series, *, blind: bool, distinct: bool, scale: int | None
) -> Column | UnreadColumn:
    """Read a column; one that can't be read is none the less good for what does not look at it."""
    if not blind:
        return read_column(series, distinct=distinct, scale=scale)
    try:
        return read_column(series, distinct=distinct, scale=scale)
    except PseudonymizationError:
        return UnreadColumn(series)


def checked_options(
    given: Mapping[str, Mapping[str, Option]] | None, names: Sequence[str]
) -> dict[str, Mapping[str, Option]]:
    if given is not None and not isinstance(given, Mapping):
        raise ArgumentError.of("options", "must be a mapping by column of names to values")
    given = {} if given is None else dict(given)
    check_sensitive("options", given, names)
    for name, options in given.items():
        if not isinstance(options, Mapping) or not all(isinstance(one, str) for one in options):
            problem = "must be a mapping of names to values"
            raise ArgumentError.of("options", problem, f"[{name!r}]")
    return given


def check_tweaks(
    frame: pd.DataFrame, jobs: Mapping[str, Job], earlier: Mapping[str, Entry]
) -> None:
    """Check that what recovery of a column reads in others stays as it is, after rekey too.

    Args:
        frame: the table.
        jobs: by column.
        earlier: the entries of columns that were pseudonymized before.

    Raises:
        PseudonymizationError: tweaks are missing, or a column of them is pseudonymized.
    """
    for name, job in jobs.items():
        tweak = job.recipe.tweak
        if tweak is None:
            continue
        check_columns(frame, [tweak])
        if tweak in jobs or (tweak in earlier and earlier[tweak].recipe.reversible):
            raise PseudonymizationError(
                f"column {name!r}: its tweaks can't lie in {tweak!r}, which is pseudonymized too"
            )
    for name, entry in earlier.items():
        read = (entry.recipe.tweak, version_column(name) if entry.versions else None)
        for needed in read:
            if needed in jobs and entry.recipe.reversible:
                raise PseudonymizationError(
                    f"column {needed!r}: recovery of {name!r} reads {needed!r} as it is now"
                )

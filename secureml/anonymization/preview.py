"""What would become of a table: before and after, and figures for each column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from secureml.anonymization.jobs import Job
from secureml.anonymization.problems import in_column, rows_at
from secureml.anonymization.protection import applied, row_tweaks
from secureml.pseudonymization.keyring import Keyring
from secureml.pseudonymization.strategies import Outcome, collision_probability

__all__ = ["ColumnPreview", "Preview", "previewed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnPreview:
    """What would become of one column.

    Args:
        column: its name.
        strategy: how values are replaced.
        format: of "fpe", with its version; else None.
        domain: the name of the domain of its keys.
        domain_prefix: what sets that apart, or None.
        rows: how many rows there are.
        nulls: how many of them are null.
        distinct: how many distinct values the others have.
        domain_size: the least number of possible pseudonyms of a value that is permuted; 0 where
            none is.
        valid: how many rows get a pseudonym that is valid in the column's format.
        invalid: how many rows are not of the format and would be refused.
        small: how many rows have too few possible pseudonyms and would be refused.
        tokens: how many rows get a token in place of a pseudonym of the format.
        nulled: how many rows become null.
        reversible: whether the values can be had back.
        remark: what else there is to know.
    """

    column: str
    strategy: str
    format: str | None
    domain: str
    domain_prefix: str | None
    rows: int
    nulls: int
    distinct: int
    domain_size: int
    valid: int
    invalid: int
    small: int
    tokens: int
    nulled: int
    reversible: bool
    remark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What would become of a table.

    Args:
        columns: one for each column that would be replaced.
        rows: the first rows, each column before and after side by side.
    """

    columns: tuple[ColumnPreview, ...]
    rows: pd.DataFrame

    @property
    def passes(self) -> bool:
        """Whether no value would be refused."""
        return not any(column.invalid or column.small for column in self.columns)

    def __str__(self) -> str:
        figures = pd.DataFrame(
            [
                {
                    "column": one.column,
                    "how": one.format or one.strategy,
                    "distinct": f"{one.distinct:,}",
                    "domain size": f"{one.domain_size:,}" if one.domain_size else "",
                    "valid": _share(one.valid, one.rows - one.nulls) if one.format else "",
                    "refused": f"{one.invalid + one.small:,}",
                    "tokens": f"{one.tokens:,}",
                    "nulled": f"{one.nulled:,}",
                    "remark": one.remark,
                }
                for one in self.columns
            ]
        )
        return f"{self.rows.to_string()}\n\n{figures.to_string(index=False)}"


def previewed(
    frame: pd.DataFrame, jobs: Mapping[str, Job], keyring: Keyring, count: int
) -> Preview:
    """Work on all rows, refuse none, and show the first.

    Args:
        frame: the table.
        jobs: what is to be done, by column.
        keyring: the keys.
        count: how many rows to show.
    """
    columns, shown = [], {}
    for name, job in jobs.items():
        column = job.column
        if job.function is not None:
            outcome = Outcome(values=column.values)
            after = pd.Series(applied(job.function, frame[name]))
        else:
            tweaks = in_column(name, row_tweaks, frame, job.recipe, column)
            keys = keyring.domain(job.recipe.key_domain, job.recipe.domain_prefix)
            strategy = job.recipe.make(keys, tweaks)
            prepared = in_column(name, job.recipe.prepared, column.values)
            outcome = in_column(name, strategy.protect, prepared)
            made = in_column(name, column.rebuilt, outcome.values, outcome.nulled)
            after = pd.Series(made).astype(object)
            refused = np.union1d(outcome.small.rows, outcome.invalid).astype(np.intp)
            after[rows_at(column, refused)] = "<refused>"
        shown[f"{name}, before"] = frame[name].head(count).reset_index(drop=True)
        shown[f"{name}, after"] = after.head(count)
        columns.append(_figures(name, job, frame[name], outcome))
    return Preview(columns=tuple(columns), rows=pd.DataFrame(shown))


def _figures(name: str, job: Job, series: pd.Series, outcome: Outcome) -> ColumnPreview:
    column, recipe = job.column, job.recipe
    small = column.occurrences(outcome.small.rows)
    invalid = column.occurrences(outcome.invalid)
    tokens = column.occurrences(outcome.tokens)
    nulled = column.occurrences(outcome.nulled)
    nulls = int(column.nulls.sum())
    # Before version 3, pandas counts strings once in nunique that are equal up to a NUL.
    distinct = int((series.value_counts(sort=False) > 0).sum())
    remark = "" if recipe.reversible else "can't be turned back"
    bits = recipe.options.get("bits")
    if recipe.strategy == "hash" and type(bits) is int:
        chance = collision_probability(distinct, bits)
        remark += f"; {bits} bits: two values collide with probability {chance:.1e}"
    if outcome.small.domain:
        remark = f"as few as {outcome.small.domain:,} possible pseudonyms"
    kept = recipe.format is not None
    return ColumnPreview(
        column=name,
        strategy=recipe.strategy,
        format=recipe.format,
        domain=recipe.key_domain,
        domain_prefix=recipe.domain_prefix,
        rows=len(series),
        nulls=nulls,
        distinct=distinct,
        domain_size=outcome.domain,
        valid=len(series) - nulls - small - invalid - tokens - nulled if kept else 0,
        invalid=invalid,
        small=small,
        tokens=tokens,
        nulled=nulled,
        reversible=recipe.reversible,
        remark=remark,
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""

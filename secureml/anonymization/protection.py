"""From the columns of a table to their pseudonyms, with the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from secureml.anonymization.jobs import Function, Job
from secureml.anonymization.problems import in_column, invalid_values, refusal
from secureml.anonymization.sketches import sketches_of, tweak_type
from secureml.anonymization.versions import with_versions
from secureml.errors import PseudonymizationError
from secureml.frames.columns import CategoryColumn, Column
from secureml.frames.pandas import with_columns
from secureml.frames.recovery import read_tweaks
from secureml.frames.unread import UnreadColumn, without_remains
from secureml.pseudonymization.column_spec import ColumnSpec
from secureml.pseudonymization.keyring import Keyring
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.manifest import KeyReference
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.strategies import Outcome

__all__ = ["protected", "row_tweaks"]


def protected(
    frame: pd.DataFrame,
    jobs: Mapping[str, Job],
    keyring: Keyring,
    entries: Mapping[str, Entry],
    *,
    versions: Iterable[str],
    older: Iterable[KeyReference] = (),
) -> pd.DataFrame:
    """Pseudonymize columns, and extend the manifest's entries by theirs.

    The tweaks of a column are those that it has when the columns before it are done, which is what
    recovery finds.

    Args:
        frame: the table.
        jobs: what is to be done, by column.
        keyring: the keys.
        entries: those of other columns.
        versions: the columns that get one of key versions beside them.
        older: other versions of the key, under which there are rows of the other columns.
    """
    arrays, entries, versions = {}, dict(entries), dict.fromkeys(versions)
    frame = with_versions(frame, versions, keyring.reference)
    read = {job.recipe.tweak for job in jobs.values()}
    refused: dict[str, tuple[int, int]] = {}
    invalid: dict[str, Index] = {}
    for name, job in jobs.items():
        column = job.column
        if job.function is not None:
            arrays[name] = applied(job.function, frame[name])
            entries[name] = _entry(job, Outcome(values=column.values), versions=False)
            continue
        tweaks = in_column(name, row_tweaks, frame, job.recipe, column)
        keys = keyring.domain(job.recipe.key_domain, job.recipe.domain_prefix)
        strategy = job.recipe.make(keys, tweaks, smallest=job.smallest)
        prepared = in_column(name, job.recipe.prepared, column.values)
        outcome = in_column(name, strategy.protect, prepared)
        if len(outcome.invalid):
            invalid[name] = outcome.invalid
        if len(outcome.small.rows):
            refused[name] = outcome.small.domain, column.occurrences(outcome.small.rows)
        elif not refused and not invalid:
            arrays[name] = in_column(name, column.rebuilt, outcome.values, outcome.nulled)
            entries[name] = replace(
                _entry(job, outcome, versions=name in versions),
                tweak_arrow=None if tweaks is None else tweak_type(frame[job.recipe.tweak]),
                sketches=sketches_of(name, job, outcome, tweaks, keyring),
            )
            if name in read:
                frame = with_columns(frame, {name: arrays[name]}, None)
    if invalid:
        raise invalid_values({name: (jobs[name], rows) for name, rows in invalid.items()})
    if refused:
        raise refusal(refused)
    return with_columns(frame, arrays, keyring.sign(entries, older).document())


def row_tweaks(
    frame: pd.DataFrame,
    recipe: ColumnSpec,
    column: Column | UnreadColumn,
    *,
    bounded: bool = True,
) -> RowTweaks | None:
    """Read the tweaks of a column's rows, where the recipe has some.

    Args:
        frame: with the column of tweaks.
        recipe: of the column.
        column: the one that is to be pseudonymized or recovered.
        bounded: as for ``read_tweaks``.
    """
    if recipe.tweak is None:
        return None
    if recipe.tweak not in frame.columns:
        raise PseudonymizationError(f"the column {recipe.tweak!r} that holds its tweaks is missing")
    if isinstance(column, UnreadColumn):
        raise PseudonymizationError("its strategy takes no tweaks")
    if isinstance(column, CategoryColumn):
        raise PseudonymizationError(
            "it is a categorical, whose rows can't have a tweak each: convert it to text first"
        )
    read = partial(read_tweaks, frame[recipe.tweak], column, bounded=bounded)
    tweaks: RowTweaks = in_column(recipe.tweak, read)
    return tweaks


def applied(function: Function, series: pd.Series) -> Any:
    """Apply a function of the caller's to a column.

    Raises:
        PseudonymizationError: it does not return one value per row.
    """
    made = function(series.copy())
    problem = ""
    if not isinstance(made, pd.Series):
        problem = f"returned {type(made).__name__}, not a Series"
    elif len(made) != len(series):
        problem = f"returned {len(made)} values for {len(series)} rows"
    if problem:
        raise PseudonymizationError(f"column {series.name!r}: its function {problem}")
    return without_remains(made.array)


def _entry(job: Job, outcome: Outcome, *, versions: bool) -> Entry:
    column = job.column
    return Entry(
        job.recipe,
        dtype=job.dtype,
        versions=versions,
        rows=len(column.nulls),
        nulls=int(np.count_nonzero(column.nulls)),
        empty=column.empty,
        tokens=column.occurrences(outcome.tokens),
        nulled=column.occurrences(outcome.nulled),
        arrow=job.arrow,
    )

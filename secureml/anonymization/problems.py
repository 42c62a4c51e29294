"""Errors that name their columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.anonymization.jobs import Job
from secureml.errors import DomainTooSmallError, InvalidValueError, PseudonymizationError
from secureml.frames.columns import CategoryColumn, Column
from secureml.frames.repeated import RepeatedColumn
from secureml.frames.unread import UnreadColumn
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import MIN_DOMAIN, MIN_TABLE
from secureml.pseudonymization.ranking.pipeline import MOST_CHARACTERS
from secureml.pseudonymization.values.kinds import as_numbers
from secureml.pseudonymization.values.text import Text

__all__ = ["in_column", "invalid_values", "refusal", "rows_at"]

_LOOKED_AT = 100
_SHOWN = 32


def in_column(name: str, function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function, and name the column in its error."""
    kind, problem = PseudonymizationError, ""
    try:
        return function(*arguments)
    except PseudonymizationError as error:
        kind, problem = type(error), str(error)
    raise kind(f"column {name!r}: {problem}")


def refusal(refused: Mapping[str, tuple[int, int]]) -> DomainTooSmallError:
    """Make one error of all columns with values that are too short, the smallest first."""
    ordered = sorted(refused.items(), key=lambda item: item[1])
    listing = "; ".join(
        f"column {name!r}: {rows} rows, with as few as {domain}" for name, (domain, rows) in ordered
    )
    name, (domain, rows) = ordered[0]
    return DomainTooSmallError(
        f"values with fewer than {MIN_DOMAIN} possible pseudonyms of their format ({listing})."
        " Pass small_domain='token' to replace them by reversible tokens, 'permute' to permute"
        f" each domain of {MIN_TABLE} or more by a table, or 'null' to remove them",
        column=name,
        domain_size=domain,
        rows=rows,
    )


def invalid_values(refused: Mapping[str, tuple[Job, Index]]) -> InvalidValueError:
    """Make one error of all columns with values that are not of their format.

    Args:
        refused: by column, what was to be done with it, and the places of these values.
    """
    listing = []
    for name, (job, places) in refused.items():
        values = job.column.values
        some, long = places[:_LOOKED_AT], 0
        if isinstance(values, Text):
            strings = values.strings_at(some)
            long = int((values.lengths[places] > MOST_CHARACTERS).sum())
        else:
            strings = as_numbers(values).at(some).strings()
        examples = list(dict.fromkeys(map(_masked, strings)))[:3]
        rows = np.flatnonzero(rows_at(job.column, places))
        first = f", the first of them row {rows[0] + 1}" if len(rows) else ""
        listing.append(
            f"column {name!r}: {len(rows)} rows are not of the format {job.recipe.format!r}{first},"
            f" such as {', '.join(map(repr, examples))} (letters as x, digits as 9)"
        )
        if long:
            listing[-1] += f"; {long} have more than {MOST_CHARACTERS:,} characters"
    name, (job, places) = next(iter(refused.items()))
    return InvalidValueError(
        "; ".join(listing) + ". Pass on_invalid='token' to replace them by reversible tokens, or"
        " 'null' to remove them",
        column=name,
        rows=job.column.occurrences(places),
    )


def rows_at(column: Column | UnreadColumn, places: Index) -> NDArray[np.bool_]:
    """Tell which rows hold the values at these places, shape (rows,)."""
    if isinstance(column, CategoryColumn | RepeatedColumn):
        return np.isin(column.codes, places)
    # A column of text has a value for every row, others for those that are not null.
    rows = np.flatnonzero(~column.nulls) if len(column.values) < len(column.nulls) else None
    marked = np.zeros(len(column.nulls), np.bool_)
    marked[places if rows is None else rows[places]] = True
    return marked


def _masked(text: str) -> str:
    """Show the shape of a value and nothing of what it says."""
    shape = "".join(_mask_of(character) for character in text[:_SHOWN])
    return shape + ("..." if len(text) > _SHOWN else "")


def _mask_of(character: str) -> str:
    if character.isdigit():
        return "9"
    if character.isupper():
        return "X"
    return character if character.isascii() and not character.isalpha() else "x"

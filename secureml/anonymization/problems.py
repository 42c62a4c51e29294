"""Errors about values of several columns, which show what the values look like, and no value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from secureml.errors import DomainTooSmallError, InvalidValueError
from secureml.frames.base import Table, rows_of
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import MIN_DOMAIN, MIN_TABLE
from secureml.pseudonymization.ranking.pipeline import MOST_CHARACTERS
from secureml.pseudonymization.values.kinds import as_numbers
from secureml.pseudonymization.values.text import Text

if TYPE_CHECKING:
    from secureml.anonymization.apply import ReplacedColumn
    from secureml.anonymization.plan import Plan
    from secureml.pseudonymization.ranking.mixed_radix import Index

__all__ = ["invalid_values", "too_small_domains"]

_LOOKED_AT = 100
_SHOWN = 32


def too_small_domains(table: Table, replaced: Mapping[str, ReplacedColumn]) -> DomainTooSmallError:
    """Make one error of all columns with values that are too short, the smallest first."""
    figures = {
        name: (each.outcome.small.domain, len(_rows(table, name, each, each.outcome.small.rows)))
        for name, each in replaced.items()
    }
    ordered = sorted(figures.items(), key=lambda item: item[1])
    listing = "; ".join(
        f"column {name!r}: {rows_of(rows)}, with as few as {domain}"
        for name, (domain, rows) in ordered
    )
    name, (domain, rows) = ordered[0]
    return DomainTooSmallError(
        f"values with fewer than {MIN_DOMAIN} possible pseudonyms of their format ({listing})."
        " Pass small_domain='token' to replace them by reversible tokens, 'permute' to permute"
        f" each domain of {MIN_TABLE} or more by a table, or 'null' to remove them",
        column=name,
        domain_size=domain,
        rows=rows,
        places=_places(
            _rows(table, each, one, one.outcome.small.rows) for each, one in replaced.items()
        ),
    )


def invalid_values(
    plan: Plan, table: Table, replaced: Mapping[str, ReplacedColumn]
) -> InvalidValueError:
    """Make one error of all columns with values that are not of their format."""
    listing = []
    for name, each in replaced.items():
        values, places = each.column.values, each.outcome.invalid
        some, long = places[:_LOOKED_AT], 0
        if isinstance(values, Text):
            strings = values.strings_at(some)
            long = int((values.lengths[places] > MOST_CHARACTERS).sum())
        else:
            strings = as_numbers(values).at(some).strings()
        examples = list(dict.fromkeys(map(_masked, strings)))[:3]
        rows = _rows(table, name, each, places)
        are = f"{rows_of(len(rows))} {'is' if len(rows) == 1 else 'are'}"
        first = f", the first of them row {rows[0] + 1}" if len(rows) else ""
        listing.append(
            f"column {name!r}: {are} not of the format {plan.columns[name].format!r}{first},"
            f" such as {', '.join(map(repr, examples))} (letters as x, digits as 9)"
        )
        if long:
            has = "1 has" if long == 1 else f"{long} have"
            listing[-1] += f"; {has} more than {MOST_CHARACTERS:,} characters"
    name, first_column = next(iter(replaced.items()))
    return InvalidValueError(
        "; ".join(listing) + ". Pass on_invalid='token' to replace them by reversible tokens, or"
        " 'null' to remove them",
        column=name,
        rows=len(_rows(table, name, first_column, first_column.outcome.invalid)),
        places=_places(
            _rows(table, each, one, one.outcome.invalid) for each, one in replaced.items()
        ),
    )


def _places(found: Iterable[Index]) -> list[int]:
    """Return the rows of several columns together, each once."""
    places: list[int] = np.unique(np.concatenate(list(found))).tolist()
    return places


def _rows(table: Table, name: str, replaced: ReplacedColumn, places: Index) -> Index:
    """Return the rows of a table that hold the values at some places."""
    return np.unique(table.rows_of(name)[replaced.column.rows_at(places)])


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

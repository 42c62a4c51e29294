"""What of a column the sketch in its manifest is taken of, and held against."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from secureml.anonymization.jobs import Job
from secureml.errors import WrongTableError
from secureml.frames.columns import CategoryColumn, Column, arrow_name
from secureml.frames.quantities import converted, parse_numbers
from secureml.frames.recovery import numbers_before
from secureml.pseudonymization.formats import NO_ROWS
from secureml.pseudonymization.keyring import Keyring
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.manifest import Sketch
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.strategies import Outcome
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text

__all__ = ["check_sketch", "check_tweak_type", "sketches_of", "tweak_type"]


def sketches_of(
    name: str, job: Job, outcome: Outcome, tweaks: RowTweaks | None, keyring: Keyring
) -> dict[int | None, Sketch]:
    """Take the sketches of a column that was pseudonymized; none of what can't be reversed.

    Args:
        name: of the column.
        job: what was done with it.
        outcome: what became of its values.
        tweaks: of these.
        keyring: of the version that was used.
    """
    if not job.recipe.reversible:
        return {}
    made, rows = outcome.values, _present(job.column, outcome.nulled)
    assert isinstance(made, Text | WholeNumbers)
    if rows is not None:
        made, tweaks = made.at(rows), tweaks and tweaks.at(rows)
    values, pairs = keyring.sketcher().sketch(made), None
    if tweaks is not None:
        pairs = keyring.sketcher(pairs=True).sketch(made, tweaks)
    return {keyring.reference.version: keyring.sealed(name, Sketch(values, pairs))}


def check_sketch(
    column: Column, tweaks: RowTweaks | None, entry: Entry, keyring: Keyring, sketch: Sketch
) -> None:
    """Check that a column holds rows of the table that the manifest is of.

    Args:
        column: rows under one version of the key.
        tweaks: of its values, if they are at hand.
        entry: what the manifest tells of it.
        keyring: of the version.
        sketch: of it, opened.

    Raises:
        WrongTableError: it holds pseudonyms that the table did not have, or with other tweaks.
    """
    held, rows = column.values, _present(column, NO_ROWS)
    like = numbers_before(entry)
    if like is not None and isinstance(held, Text) and not entry.recipe.makes_text:
        rows = np.flatnonzero(held.lengths)
        held = parse_numbers(like, held.strings_at(rows))
    elif rows is not None:
        held = held.at(rows)
    if like is not None and not isinstance(held, Text):
        held = converted(held, like)
        held = Text.of(held.strings()) if entry.recipe.makes_text else held
    if not isinstance(held, Text if like is None else Text | WholeNumbers):
        return  # recovery tells what is wrong with its dtype
    if sketch.values is not None and not keyring.sketcher().fits(sketch.values, held):
        raise WrongTableError(
            "it holds values that are not of this table: the manifest is of other rows or of"
            " another version of the key, or rows were added or edited since. Pass the manifest"
            " that was made with these rows (merge_manifests makes one of several), or"
            " check_table=False if this is the right one"
        )
    if sketch.pairs is None or tweaks is None:
        return
    tweaks = tweaks if rows is None else tweaks.at(rows)
    if not keyring.sketcher(pairs=True).fits(sketch.pairs, held, tweaks):
        raise WrongTableError(
            f"its tweaks in {entry.recipe.tweak!r} are not those that its rows had: they were"
            " edited, put in another order or read in another way since, such as empty text as"
            " null. Restore that column, or pass check_table=False if it is right"
        )


def tweak_type(series: pd.Series) -> str:
    """Return the Arrow type of a column of tweaks."""
    return arrow_name(series) or "string"  # tweaks are whole numbers, or text of whatever dtype


def check_tweak_type(series: pd.Series, entry: Entry) -> None:
    """Check that tweaks of text are no numbers by now.

    Raises:
        WrongTableError: they are.
    """
    before, now = entry.tweak_arrow or "", tweak_type(series)
    if "string" in before and "string" not in now and not series.isna().all():
        raise WrongTableError(
            f"its tweaks in {entry.recipe.tweak!r} were text, and are {series.dtype} by now, which"
            ' has no leading zeros ("007" is 7): read that column as text, for instance with'
            f" pandas.read_csv(..., dtype={{{entry.recipe.tweak!r}: 'str'}}), or pass"
            " check_table=False if its digits are as they were"
        )


def _present(column: Any, nulled: Index) -> Index | None:
    """Return which values rows hold: not those of unused categories, nor nulled ones."""
    if not isinstance(column, CategoryColumn) and not len(nulled):
        return None
    present = np.ones(len(column.values), np.bool_)
    if isinstance(column, CategoryColumn):
        present[:] = False
        present[column.codes[column.codes >= 0]] = True
    present[nulled] = False
    return np.flatnonzero(present)

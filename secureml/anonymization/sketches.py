"""What of a column the sketch in its manifest is taken of, and held against."""

from __future__ import annotations

from typing import Any

import numpy as np

from secureml.errors import WrongTableError
from secureml.frames.columns import CategoryColumn, Column
from secureml.frames.quantities import converted, parse_numbers
from secureml.frames.recovery import numbers_before
from secureml.pseudonymization.domains import Index
from secureml.pseudonymization.formats import NO_ROWS
from secureml.pseudonymization.keyring import Keyring
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.manifest import Sketch
from secureml.pseudonymization.numbers import WholeNumbers
from secureml.pseudonymization.recipe import Recipe
from secureml.pseudonymization.strategies import Outcome
from secureml.pseudonymization.text import Text

__all__ = ["check_sketch", "sketches_of"]


def sketches_of(
    name: str, column: Any, recipe: Recipe, outcome: Outcome, keyring: Keyring
) -> dict[int | None, Sketch]:
    """Take the sketch of a column that was pseudonymized; none of what can't be reversed."""
    if not recipe.reversible:
        return {}
    made = outcome.values
    assert isinstance(made, Text | WholeNumbers)
    places = keyring.sketcher().sketch(_present(column, made, outcome.nulled))
    return {keyring.reference.version: Sketch(keyring.sketch_seal().seal(name, places))}


def check_sketch(column: Column, name: str, entry: Entry, keyring: Keyring, sketch: Sketch) -> None:
    """Check that a column holds rows of the table that the manifest is of.

    Args:
        column: rows under one version of the key.
        name: of the column.
        entry: what the manifest tells of it.
        keyring: of the version.
        sketch: of it.

    Raises:
        WrongTableError: it holds pseudonyms that the table did not have.
    """
    if sketch.values is None:
        return
    places = keyring.places(name, sketch.values)
    held = _present(column, column.values, NO_ROWS)
    like = numbers_before(entry)
    if like is not None and entry.recipe.makes_text:
        held = held if isinstance(held, Text) else Text.of(converted(held, like).strings())
    elif like is not None and isinstance(held, Text):
        held = parse_numbers(like, [text for text in held.strings() if text])
    elif like is not None:
        held = converted(held, like)
    if not isinstance(held, Text if like is None else Text | WholeNumbers):
        return  # recovery tells what is wrong with its dtype
    if not keyring.sketcher().fits(places, held):
        raise WrongTableError(
            "it holds values that are not of this table: the manifest is of other rows or of"
            " another version of the key, or rows were added or edited since. Pass the manifest"
            " that was made with these rows (merge_manifests makes one of several), or"
            " check_table=False if this is the right one"
        )


def _present(column: Any, values: Any, nulled: Index) -> Any:
    """Return the values that rows hold: not those of unused categories, nor nulled ones."""
    if not isinstance(column, CategoryColumn) and not len(nulled):
        return values
    present = np.ones(len(values), np.bool_)
    if isinstance(column, CategoryColumn):
        present[:] = False
        present[column.codes[column.codes >= 0]] = True
    present[nulled] = False
    return values.at(np.flatnonzero(present))

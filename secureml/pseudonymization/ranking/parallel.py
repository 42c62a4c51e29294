"""A column on all cores: cut in slices, of which each core transforms one at a time.

What a format needs on the way, it needs for these alone, however long the column is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from secureml.pseudonymization.formats import NO_ROWS, Format, TooSmall, Transformed
from secureml.pseudonymization.parsing.pieces import blanked
from secureml.pseudonymization.ranking.assembly import assembly
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import Permutation
from secureml.pseudonymization.ranking.repeats import find_repeats
from secureml.pseudonymization.ranking.threads import cut, on_cores
from secureml.pseudonymization.values.kinds import Values, as_numbers
from secureml.pseudonymization.values.text import Text

__all__ = ["MOST_CHARACTERS", "transform"]

MOST_CHARACTERS = 1 << 16
"""Of a value. What FF1 costs grows faster than the value, and so would a table of long ones."""

_LONGEST = 1 << 17
"""Rows of a slice at most: what a format needs on the way, it needs for these."""


def transform(form: Format, values: Values, permutation: Permutation) -> Transformed:
    """Do what ``form.transform`` does, on as many cores as the process may use.

    Args:
        form: the format.
        values: of a kind that it takes.
        permutation: of the column.

    Returns:
        As ``form.transform``; values of more than MOST_CHARACTERS are invalid, whatever the format.
        Pseudonyms of any length are recovered: earlier versions may have made them.
    """
    if isinstance(values, Text) and not permutation.decrypt:
        long = np.flatnonzero(values.lengths > MOST_CHARACTERS)
        if len(long):
            rest = transform(form, blanked(values, long), permutation)
            return replace(rest, invalid=np.union1d(rest.invalid, long))
    if not isinstance(values, Text) and permutation.row_tweaks is None:
        repeats = find_repeats(as_numbers(values))
        if repeats is not None:
            return repeats.spread(transform(form, repeats.values, permutation))
    spans = cut(len(values), _LONGEST)
    if len(spans) == 1 or (form.piecemeal and _is_ragged(values)):
        return form.transform(values, permutation)

    new = assembly(values)

    def part(span: slice) -> tuple[TooSmall, Index, int]:
        made = form.transform(_cut(values, span), permutation.at(span))
        new.put(span, made.values)
        return made.small, made.invalid, made.domain

    made = on_cores(part, spans, len(values))
    starts = [span.start for span in spans]
    smallest = min((small.domain for small, *_ in made if len(small.rows)), default=0)
    return Transformed(
        new.whole(),
        TooSmall(_shifted([small.rows for small, *_ in made], starts), smallest),
        _shifted([invalid for _, invalid, _ in made], starts),
        min((domain for *_, domain in made if domain), default=0),
    )


def _is_ragged(values: Values) -> bool:
    """Tell, with hardly an error and at no cost, whether values are texts of several lengths."""
    return isinstance(values, Text) and len(values) > 0 and bool(len(values.codes) % len(values))


def _cut(values: Values, span: slice) -> Values:
    return values.cut(span) if isinstance(values, Text) else as_numbers(values).at(span)


def _shifted(rows: Sequence[Index], starts: Sequence[int]) -> Index:
    if not any(map(len, rows)):
        return NO_ROWS
    return np.concatenate([part + start for part, start in zip(rows, starts, strict=True)])

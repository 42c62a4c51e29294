"""From the values of a column to pseudonyms and back: the one way, whatever the format.

    values -> slices -> read -> minimum -> permutation, cycle walking -> write -> values

A long column is cut in slices, of which each core works on one at a time: what a format needs on
the way, it needs for these alone. ``formats.base`` says what a format does, and the functions here
do the rest; whoever adds a format changes nothing here. Of a column of numbers that repeat, each
distinct one goes this way once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

import numpy as np

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import (
    NO_ROWS,
    NONE_SMALL,
    Characters,
    Format,
    Ranks,
    Reading,
    TooSmall,
    Transformed,
)
from secureml.pseudonymization.ranking.character_ranks import permute_characters
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import Permutation
from secureml.pseudonymization.ranking.threads import cut, on_cores
from secureml.pseudonymization.values.buffers import array_of, numbers_in
from secureml.pseudonymization.values.kinds import Numbers, Values, as_numbers
from secureml.pseudonymization.values.text import Text

__all__ = ["MIN_REPETITION", "MOST_CHARACTERS", "few_distinct", "transform"]

MOST_CHARACTERS = 1 << 16
"""Of a value. What FF1 costs grows faster than the value, and so would a table of long ones."""

MIN_REPETITION = 4
"""Rows to a distinct value, from which on it pays to work on each distinct one once."""

_FEWEST = 1 << 14  # rows for which counting values pays
_SAMPLE = 1 << 12

_LONGEST = 1 << 17
"""Rows of a slice at most."""

_LONGEST_WALK = 1 << 20


def transform(form: Format, values: Any, permutation: Permutation) -> Transformed:
    """Permute every value within its domain; null is no value, and the empty string stays.

    Args:
        form: the format.
        values: of a kind that it takes.
        permutation: under the key of the column's domain, in either direction.

    Returns:
        The new values, and which rows have none. Values of more than MOST_CHARACTERS are invalid,
        whatever the format; pseudonyms of any length are recovered: earlier versions may have
        made them.

    Raises:
        PseudonymizationError: the format does not fit the type of the column; or a value has too
            few pseudonyms for cycle walking to find one.
    """
    if isinstance(values, Text) and not permutation.decrypt:
        long = np.flatnonzero(values.lengths > MOST_CHARACTERS)
        if len(long):
            rest = transform(form, values.blanked(long), permutation)
            return replace(rest, invalid=np.union1d(rest.invalid, long))
    if not isinstance(values, Text) and permutation.row_tweaks is None:
        repeats = _find_repeats(values)
        if repeats is not None:
            return repeats.spread(transform(form, repeats.values, permutation))
    spans = cut(len(values), _LONGEST)
    if len(spans) == 1 or (form.piecemeal and _is_ragged(values)):
        return _transform_slice(form, values, permutation)

    def part(span: slice) -> Transformed:
        made = _transform_slice(form, values.at(span), permutation.at(span))
        small = replace(made.small, rows=made.small.rows + span.start)
        return replace(made, small=small, invalid=made.invalid + span.start)

    made = on_cores(part, spans, len(values))
    parts: list[Any] = [one.values for one in made]  # of the kind that the values are
    return Transformed(
        values.joined(parts),
        _join_small([one.small for one in made]),
        np.concatenate([one.invalid for one in made]),
        min((one.domain for one in made if one.domain), default=0),
    )


def few_distinct(rows: int, distinct: Callable[[Index], int]) -> bool:
    """Guess from how often values of a sample meet whether a column has few distinct ones.

    Args:
        rows: of the column; a short one is not worth the question.
        distinct: counts the distinct values of some rows.
    """
    if rows < _FEWEST:
        return False
    # Places by chance: what repeats with a period may not meet at places at regular distances.
    met = _SAMPLE - distinct(np.random.default_rng(0).integers(0, rows, _SAMPLE))
    # Of n rows with n / k distinct values, m of them meet about k m² / 2n times.
    return met > MIN_REPETITION * _SAMPLE**2 / (2 * rows)


@dataclass(frozen=True, slots=True, eq=False)
class _Repeats:
    """Which numbers of a column are the same.

    Args:
        values: the distinct ones.
        codes: which of them each row holds.
    """

    values: Numbers
    codes: Index

    def spread(self, made: Transformed) -> Transformed:
        """Return what became of the column, from what became of the distinct numbers."""
        distinct = as_numbers(made.values)
        negative = np.zeros(len(self.codes), np.bool_)
        if distinct.negative.any():
            negative = distinct.negative[self.codes]
        values = distinct.holding(distinct.magnitudes[self.codes], negative)
        small = TooSmall(self._rows(made.small.rows), made.small.domain)
        return Transformed(values, small, self._rows(made.invalid), made.domain)

    def _rows(self, places: Index) -> Index:
        if not len(places):
            return places
        named = np.zeros(len(self.values), np.bool_)
        named[places] = True
        return np.flatnonzero(named[self.codes])


def _find_repeats(values: Numbers) -> _Repeats | None:
    """Find what repeats, if few numbers are distinct as far as a sample tells.

    Args:
        values: of the column; of one sign, or nothing is looked for.

    Returns:
        The repeats, or None if it does not pay to look for them.
    """
    count = len(values)
    if not few_distinct(count, lambda rows: len(np.unique(values.magnitudes[rows]))):
        return None
    if (values.negative != values.negative[0]).any():
        return None
    encoded = array_of(values.magnitudes).dictionary_encode()
    magnitudes = numbers_in(encoded.dictionary, np.uint64)
    if len(magnitudes) > count // MIN_REPETITION:
        return None
    distinct = values.holding(magnitudes, np.full(len(magnitudes), values.negative[0]))
    return _Repeats(distinct, numbers_in(encoded.indices, np.int32).astype(np.intp))


def _transform_slice(form: Format, values: Any, permutation: Permutation) -> Transformed:
    made, small, domains = [], [], []
    for reading in form.read(values, decrypt=permutation.decrypt):
        if len(reading.rows):
            fitting, new, too_small, domain = _permuted(form, reading, permutation)
            made.append((fitting, _cycle_walk(form, fitting, new, permutation)))
            small.append(too_small)
            domains.append(domain)
    parts = [(rows, part) for rows, part in form.written(made) if len(rows)]
    whole = len(parts) == 1 and len(parts[0][0]) == len(values)
    result: Any = parts[0][1] if whole else values.scattered(len(values), parts)
    if isinstance(values, Text):
        missing = (values.lengths > 0) & (result.lengths == 0)
    else:
        missing = np.ones(len(values), np.bool_)
        for rows, _ in parts:
            missing[rows] = False
    joined = _join_small(small)
    missing[joined.rows] = False
    smallest = min(filter(None, domains), default=0)
    return Transformed(result, joined, np.flatnonzero(missing), smallest)


def _permuted(
    form: Format, reading: Reading, permutation: Permutation
) -> tuple[Reading, Any, TooSmall, int]:
    """Permute a reading once.

    Returns:
        The reading without the rows whose domain is too small; what it is permuted to; these
        rows; and the size of the smallest domain that was permuted, 0 if there was none.
    """
    if isinstance(reading, Ranks):
        fitting, small, domain = _fitting(form, reading, permutation)
        return fitting, _permute(fitting, permutation), small, domain
    new, small, domain = permute_characters(reading, permutation.at(reading.rows))
    if not len(small.rows):
        return reading, new, small, domain
    fits = np.delete(np.arange(len(new)), small.rows)
    small = replace(small, rows=reading.rows[small.rows])
    return reading.at(fits), new.at(fits), small, domain


def _fitting(form: Format, reading: Ranks, permutation: Permutation) -> tuple[Ranks, TooSmall, int]:
    """Leave the rows out whose domain is too small.

    Returns:
        The rest; these rows; and the size of the smallest domain of the rest, 0 if there is none.
    """
    counts: Sequence[int] = reading.sizes
    if not permutation.decrypt:
        counts = form.members(reading, permutation.minimum)
    fits = np.array([count >= permutation.minimum for count in counts], np.bool_)
    used = np.bincount(reading.group, minlength=len(counts)) > 0
    domain = min(compress(counts, used & fits), default=0)
    if not (used & ~fits).any():
        return reading, NONE_SMALL, domain
    inside = fits[reading.group]
    small = TooSmall(reading.rows[~inside], min(compress(counts, used & ~fits)))
    return reading.at(inside), small, domain


def _permute(reading: Reading, permutation: Permutation) -> Any:
    """Permute a reading whose domains are large enough once."""
    here = permutation.at(reading.rows)
    if isinstance(reading, Characters):
        return permute_characters(reading, here)[0]
    sizes, tweaks, group = reading.sizes, reading.tweaks, reading.group
    used = np.flatnonzero(np.bincount(group)).tolist()
    if len(used) == 1:
        sizes, tweaks, group = [sizes[used[0]]], [tweaks[used[0]]], np.broadcast_to(0, len(group))
    numerals = None if reading.numerals is None else [reading.numerals] * len(sizes)
    return here.permute(sizes, tweaks, group, reading.ranks, numerals)


def _cycle_walk(form: Format, reading: Reading, new: Any, permutation: Permutation) -> Any:
    """Permute those results that are no values of the format again, until there are none."""
    outside = form.outside(reading, new)
    walking = NO_ROWS if outside is None else np.flatnonzero(outside)
    for _ in range(_LONGEST_WALK):
        if not len(walking):
            return new
        some = reading.at(walking)
        if isinstance(some, Characters):
            again = _permute(replace(some, text=new.at(walking)), permutation)
            new = new.replaced(walking, again.strings())
        else:
            again = new[walking] = _permute(replace(some, ranks=new[walking]), permutation)
        walking = walking[form.outside(some, again)]
    raise PseudonymizationError(
        f"{len(walking)} values have too few pseudonyms of their format for any to be found"
    )


def _join_small(findings: Sequence[TooSmall]) -> TooSmall:
    """Put findings in different rows together."""
    found = [one for one in findings if len(one.rows)]
    if not found:
        return NONE_SMALL
    rows = np.sort(np.concatenate([one.rows for one in found]))
    return TooSmall(rows, min(one.domain for one in found))


def _is_ragged(values: Values) -> bool:
    """Tell, with hardly an error and at no cost, whether values are texts of several lengths."""
    return isinstance(values, Text) and len(values) > 0 and bool(len(values.codes) % len(values))

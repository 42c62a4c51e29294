"""Replacing characters by others of their classes: from the characters of rows to ranks and back.

The values of one template are ranked, the rank is encrypted by FF1 under the template as its
tweak, and the encrypted rank is written back as a value of the same template.

Rows are worked on in batches, on all cores. The templates of a batch have about as many encrypted
characters, and ranks of one width: its rows go through the same few array operations, whatever
their number. What is prepared for thousands of templates is prepared once, for all cores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from itertools import compress, groupby, pairwise
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.formats.base import NONE_SMALL, Characters, TooSmall
from secureml.pseudonymization.parsing.templates import Templates, find_canonical
from secureml.pseudonymization.ranking.digits import (
    CodeBuffer,
    Digits,
    DigitWeights,
    RaggedDigits,
    TemplateDigits,
    UniformDigits,
)
from secureml.pseudonymization.ranking.mixed_radix import (
    Index,
    MixedRadix,
    Words,
    from_halves,
    from_words,
    to_halves,
    to_words,
)
from secureml.pseudonymization.ranking.permutation import CHUNK, Permutation, RankPermutation
from secureml.pseudonymization.ranking.threads import cut, cut_weighted, on_cores
from secureml.pseudonymization.tables.character_classes import Alphabets
from secureml.pseudonymization.values.text import Text

__all__ = ["RankWidth", "permute_characters"]

_CHARACTERS = 1 << 20
"""Characters that are worked on together if each has numbers of its own."""

_STEP = 4
"""Encrypted characters by which the templates of two batches differ at least."""

_PREPARED = 64
"""Templates for which what was prepared is kept."""

_SMALL = 64
"""The size of classes of which a block holds several characters."""


class RankWidth(IntEnum):
    """How wide the ranks of a template are, in limbs of 32 bits at most; so they are held."""

    U64 = 2  # two words, with a base of at most 2**32
    U112 = 4  # two words, with a larger base
    U192 = 6  # three words
    BIGINT = 8  # Python integers, of more limbs too


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows whose values are ranked together.

    Args:
        width: of their ranks.
        radix: ranks in the templates of the batch.
        digits: the encrypted characters of the rows.
        member: the place of each row's template in the batch, or None if the batch has one.
        group: each row's template as the permutation numbers it, shape (rows,).
        base: of the permutation, of each row or of all.
    """

    width: RankWidth
    radix: MixedRadix
    digits: Digits
    member: Index | None
    group: Index
    base: Words | np.uint64

    def ranks(self) -> tuple[NDArray[Any], ...]:
        """Return the rank of each row: high and low, or one array."""
        if self.width is RankWidth.BIGINT:
            return (self.radix.rank_integers(self.digits, self.member),)
        limbs = self.radix.rank(self.digits, self.member)
        return (to_words(limbs),) if self.width is RankWidth.U192 else to_halves(limbs, self.base)

    def write(self, *ranks: NDArray[Any]) -> None:
        """Write the characters of other ranks; the inverse of ``ranks``."""
        if self.width is RankWidth.BIGINT:
            self.radix.unrank_integers(ranks[0], self.digits, self.member)
            return
        count = self.radix.limbs
        if self.width is RankWidth.U192:
            limbs = from_words(ranks[0], count)
        else:
            limbs = from_halves(ranks[0], ranks[1], self.base, count)
        self.radix.unrank(limbs, self.digits, self.member)


def permute_characters(reading: Characters, permutation: Permutation) -> tuple[Text, TooSmall, int]:
    """Permute every value among those of its template.

    Args:
        reading: the values.
        permutation: of these rows.

    Returns:
        A new text of the same lengths; which of the values, by their places in it, have a domain
        that is too small, and are left as they are; and the size of the smallest domain that was
        permuted, 0 if there was none.
    """
    text, table = reading.text, reading.table
    canonical, bounds, template = find_canonical(table, text)
    target = Text(text.codes.copy(), text.offsets)
    buffer = CodeBuffer(table, text.codes, target.codes, text.offsets)
    alike = None
    if template is None and reading.bound is None and permutation.row_tweaks is None:
        alike = reading.label, canonical.dtype.char, canonical.tobytes()
        uniform = permutation.prepared.get(alike)
        if uniform is not None and uniform.table is table:
            uniform.permute(buffer)
            return target, NONE_SMALL, uniform.domain
    templates = Templates.of(table, canonical, bounds)
    prefix = reading.label.encode("utf-8", "surrogatepass")
    tweaks: Sequence[bytes] = [prefix + symbols for symbols in templates.symbols]
    for rows in (reading.bound, permutation.row_tweaks):
        if rows is None:
            continue
        if len(rows.values) == 1:
            tweaks = [rows.bound(0, tweak) for tweak in tweaks]
            continue
        if template is None:  # of empty values it is behind that of all others
            template = (text.lengths == 0).astype(np.intp)
        if template.max(initial=0) >= len(templates):
            templates, tweaks = templates.with_empty(), [*tweaks, b""]
        template, tweaks, parents = rows.split(template, tweaks)
        templates = templates.at(parents)
    domains = templates.domains()
    active = np.array([domain >= permutation.minimum for domain in domains], np.bool_)
    too_small = _too_small(text, templates, template, domains, active)
    if not active.any():
        return target, too_small, 0
    sizes = list(compress(domains, active))
    ranked = permutation.prepare(
        sizes, list(compress(tweaks, active)), list(compress(templates.numerals(), active))
    )
    if template is None:
        uniform = _Uniform(table, templates, ranked, min(sizes))
        uniform.permute(buffer)
        if alike is not None:
            if len(permutation.prepared) >= _PREPARED:
                permutation.prepared.clear()
            permutation.prepared[alike] = uniform
    else:
        _permute_ragged(buffer, templates, template, np.flatnonzero(active), ranked)
    return target, too_small, min(sizes)


def _too_small(
    text: Text,
    templates: Templates,
    template: Index | None,
    domains: list[int],
    active: NDArray[np.bool_],
) -> TooSmall:
    """Find the values that are neither empty nor of a template that is encrypted."""
    concerned = ~active & (templates.widths > 0)
    if not concerned.any():
        return NONE_SMALL
    rows = np.flatnonzero(text.lengths if template is None else concerned[template])
    return TooSmall(rows, min(domains[one] for one in np.flatnonzero(concerned)))


class _Uniform:
    """Permutes columns whose values that are not empty all have one template.

    Args:
        table: the classes.
        templates: the one template.
        ranked: with this template as group 0.
        domain: its size.
    """

    __slots__ = ("_digits", "_radix", "_rank_width", "_ranked", "_width", "domain", "table")

    def __init__(
        self, table: Alphabets, templates: Templates, ranked: RankPermutation, domain: int
    ) -> None:
        self.table, self.domain, self._ranked = table, domain, ranked
        self._rank_width = RankWidth(_rank_widths(ranked)[0])
        self._digits = templates.digits(np.zeros(1, np.intp))
        self._radix, self._width = _radix(self._digits, self._rank_width), int(templates.widths[0])

    def permute(self, buffer: CodeBuffer) -> None:
        """Permute the values of a column."""
        ranked, radix, base = self._ranked, self._radix, self._ranked.base[0]

        def permute(rows: slice) -> None:
            digits = UniformDigits(buffer, self._width, rows, self._digits)
            group = np.zeros(rows.stop - rows.start, np.intp)
            _permute(ranked, [Batch(self._rank_width, radix, digits, None, group, base)])

        count = len(buffer.source) // self._width
        on_cores(permute, cut(count, CHUNK), count)


def _permute_ragged(
    buffer: CodeBuffer,
    templates: Templates,
    template: Index,
    chosen: Index,
    ranked: RankPermutation,
) -> None:
    """Permute a column of many templates.

    Args:
        buffer: the column.
        templates: all templates of the column.
        template: of each row.
        chosen: the templates to encrypt, ascending.
        ranked: of the chosen templates, in their order.
    """
    widths = _rank_widths(ranked)
    counts = -(-np.diff(templates.bounds)[chosen] // _STEP)
    # Templates between two chosen ones count with the first, which at worst costs some time.
    large = np.maximum.reduceat(templates.sizes, templates.bounds[chosen]) > _SMALL
    label = (2 * widths + large) * (counts.max() + 1) + counts
    by_batch = np.argsort(label, kind="stable")
    label = label[by_batch]
    bounds = np.append(np.flatnonzero(np.diff(label, prepend=-1)), len(label)).tolist()
    # The places of the templates in this order; those that are not encrypted come last. Rows are
    # sorted by them, fast if they have 16 bits, so that rows of one template lie together.
    place_of = np.full(len(templates), len(chosen), np.min_scalar_type(len(chosen)))
    place_of[chosen[by_batch]] = np.arange(len(chosen))

    @cache
    def prepared(number: int) -> tuple[RankWidth, MixedRadix, DigitWeights]:
        groups = by_batch[bounds[number] : bounds[number + 1]]
        width, digits = RankWidth(widths[groups[0]]), templates.digits(chosen[groups])
        return width, _radix(digits, width), DigitWeights(digits)

    def batches(rows: Index, place: Index) -> Iterator[Batch]:
        ends = np.searchsorted(place, bounds).tolist()
        for number, (first, last) in enumerate(pairwise(ends)):
            if first < last:
                width, radix, weights = prepared(number)
                here = place[first:last]
                member, group = here - bounds[number], by_batch[here]
                digits = RaggedDigits(buffer, buffer.offsets[rows[first:last]], weights, member)
                yield Batch(width, radix, digits, member, group, ranked.base[group])

    # Few ranks are long. To walk on with a few of them takes as long as with many: they wait.
    short = int((widths <= RankWidth.U112).sum())

    def permute_short(piece: slice) -> tuple[Index, Index]:
        place = place_of[template[piece]]
        order = np.argsort(place, kind="stable")
        place = place[order].astype(np.intp)
        first, last = np.searchsorted(place, [short, len(chosen)]).tolist()
        order += piece.start
        if first:
            _permute(ranked, list(batches(order[:first], place[:first])))
        return order[first:last], place[first:last]

    held = on_cores(permute_short, cut_weighted(buffer.offsets, _CHARACTERS), len(template))
    rows, place = (np.concatenate(pieces) for pieces in zip(*held, strict=True))
    order = np.argsort(place, kind="stable")

    def permute_long(piece: slice) -> None:
        here = order[piece]
        for _, alike in groupby(batches(rows[here], place[here]), attrgetter("width")):
            _permute(ranked, list(alike))

    lengths = buffer.offsets[rows + 1] - buffer.offsets[rows]
    ends = np.append(0, np.cumsum(lengths[order]))
    on_cores(permute_long, cut_weighted(ends, _CHARACTERS), len(order))


def _permute(ranked: RankPermutation, batches: Sequence[Batch]) -> None:
    """Replace the values of batches whose ranks are held alike, with one call to the cipher."""
    ranks = [_joined(arrays) for arrays in zip(*(one.ranks() for one in batches), strict=True)]
    group = _joined([one.group for one in batches])
    new = ranked.halves(group, *ranks) if len(ranks) == 2 else (ranked.permute(group, *ranks),)
    end = 0
    for one in batches:
        rows = slice(end, end := end + len(one.group))
        one.write(*(array[rows] for array in new))


def _joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _radix(digits: TemplateDigits, width: RankWidth) -> MixedRadix:
    most = None if width is RankWidth.BIGINT else int(width)
    return MixedRadix(digits.sizes, digits.blocks, most)


def _rank_widths(ranked: RankPermutation) -> NDArray[np.intp]:
    """Tell how wide the ranks of each group are."""
    widths = np.where(ranked.base <= 1 << 32, RankWidth.U64, RankWidth.U112)
    widths[ranked.base == 0] = RankWidth.BIGINT
    widths[ranked.bits] = RankWidth.U192
    return widths

"""Cutting a column into rows that are ranked, and then encrypted, together, on all cores.

A batch is all templates that have about as many encrypted characters and ranks of one arithmetic:
its rows go through the same few array operations, whatever their number. What is prepared for
thousands of templates, is prepared once for the cores that share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from itertools import groupby, pairwise
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.parsing.templates import Templates
from secureml.pseudonymization.ranking.digits import (
    Cells,
    CodeBuffer,
    Digits,
    GridCells,
    RaggedCells,
    RaggedDigits,
    cut_blocks,
)
from secureml.pseudonymization.ranking.mixed_radix import Index, MixedRadix
from secureml.pseudonymization.ranking.permutation import CHUNK, RankPermutation
from secureml.pseudonymization.ranking.threads import cores, cut, on_cores

__all__ = ["Arithmetic", "Part", "permute_grid", "permute_ragged"]

_CELLS = 1 << 20
"""Characters that are worked on together where each has numbers of its own."""

_STEP = 4
"""Encrypted characters by which the templates of two batches differ at least."""

_SMALL = 64
"""The size of classes of which a block holds several characters."""


class Arithmetic(IntEnum):
    """How the ranks of a template are held."""

    SHORT = 0  # two words with a base of at most 2**32
    LONG = 1  # two words with a larger base
    WORDS = 2  # three words
    INTEGERS = 3


_LIMBS = {Arithmetic.SHORT: 2, Arithmetic.LONG: 4, Arithmetic.WORDS: 6}
"""Those that a rank has at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows of one batch.

    Args:
        arithmetic: of their ranks.
        radix: ranks in the templates of the batch.
        cells: the encrypted characters of the rows.
        member: the place of each row's template in the batch, or None if the batch has one.
        group: each row's template as the plan numbers it, shape (rows,).
    """

    arithmetic: Arithmetic
    radix: MixedRadix
    cells: Cells
    member: Index | None
    group: Index

    def __len__(self) -> int:
        return len(self.group)


Permute = Callable[[list[Part]], None]
"""Replaces the values of parts, whose ranks are of one arithmetic or of SHORT and LONG."""


def permute_grid(
    canvas: CodeBuffer, templates: Templates, plan: RankPermutation, *, permute: Permute
) -> None:
    """Permute a column whose values that are not empty all have the same template.

    Args:
        canvas: the column.
        templates: the one template.
        plan: with this template as group 0.
        permute: takes parts to encrypt together; several threads may call it.
    """
    arithmetic = Arithmetic(_arithmetic(plan)[0])
    digits = templates.digits(np.zeros(1, np.intp))
    blocks, radix = _radix(digits, arithmetic)
    width = int(templates.widths[0])

    def piece(rows: slice) -> None:
        cells = GridCells(canvas, width, rows, digits, blocks)
        permute([Part(arithmetic, radix, cells, None, np.zeros(rows.stop - rows.start, np.intp))])

    count = len(canvas.source) // width
    on_cores(piece, cut(count, CHUNK), count)


def permute_ragged(
    canvas: CodeBuffer,
    templates: Templates,
    template: Index,
    plan: RankPermutation,
    chosen: Index,
    *,
    permute: Permute,
) -> None:
    """Permute a column of many templates.

    Args:
        canvas: the column.
        templates: all templates of the column.
        template: of each row.
        plan: of the chosen templates, in their order.
        chosen: the templates to encrypt, ascending.
        permute: takes parts to encrypt together; several threads may call it.
    """
    arithmetic = _arithmetic(plan)
    counts = -(-np.diff(templates.bounds)[chosen] // _STEP)
    # Templates between two chosen ones count with the first, which at worst costs some time.
    large = np.maximum.reduceat(templates.sizes, templates.bounds[chosen]) > _SMALL
    label = (2 * arithmetic + large) * (counts.max() + 1) + counts
    by_batch = np.argsort(label, kind="stable")
    label = label[by_batch]
    bounds = np.append(np.flatnonzero(np.diff(label, prepend=-1)), len(label)).tolist()
    # The places of the templates in this order; those that are not encrypted come last. Rows are
    # sorted by them, fast where they have 16 bits, so that rows of one template lie together.
    place_of = np.full(len(templates), len(chosen), np.min_scalar_type(len(chosen)))
    place_of[chosen[by_batch]] = np.arange(len(chosen))

    @cache
    def batch(one: int) -> tuple[Arithmetic, MixedRadix, RaggedDigits]:
        groups = by_batch[bounds[one] : bounds[one + 1]]
        how, digits = Arithmetic(arithmetic[groups[0]]), templates.digits(chosen[groups])
        blocks, radix = _radix(digits, how)
        return how, radix, RaggedDigits(digits, blocks)

    def parts(rows: Index, place: Index) -> Iterator[Part]:
        ends = np.searchsorted(place, bounds).tolist()
        for one, (first, last) in enumerate(pairwise(ends)):
            if first < last:
                how, radix, digits = batch(one)
                here = place[first:last]
                member = here - bounds[one]
                cells = RaggedCells(canvas, canvas.offsets[rows[first:last]], digits, member)
                yield Part(how, radix, cells, member, by_batch[here])

    # Few ranks are long. To walk on with a few of them takes as long as with many: they wait.
    short = int((arithmetic <= Arithmetic.LONG).sum())

    def short_ranks(piece: slice) -> tuple[Index, Index]:
        place = place_of[template[piece]]
        order = np.argsort(place, kind="stable")
        place = place[order].astype(np.intp)
        first, last = np.searchsorted(place, [short, len(chosen)]).tolist()
        order += piece.start
        if first:
            permute(list(parts(order[:first], place[:first])))
        return order[first:last], place[first:last]

    held = on_cores(short_ranks, _pieces(canvas.offsets), len(template))
    rows, place = (np.concatenate(pieces) for pieces in zip(*held, strict=True))
    order = np.argsort(place, kind="stable")

    def long_ranks(piece: slice) -> None:
        here = order[piece]
        for _, together in groupby(parts(rows[here], place[here]), attrgetter("arithmetic")):
            permute(list(together))

    lengths = canvas.offsets[rows + 1] - canvas.offsets[rows]
    on_cores(long_ranks, _pieces(np.append(0, np.cumsum(lengths[order]))), len(order))


def _pieces(offsets: NDArray[np.int64]) -> list[slice]:
    """Cut rows into pieces of about as many characters, one at least for each core.

    Args:
        offsets: where each row starts, and the end.
    """
    end = int(offsets[-1])
    marks = np.arange(0, end, max(min(_CELLS, end // cores()), 1))
    bounds = np.unique(np.append(np.searchsorted(offsets, marks), len(offsets) - 1))
    return [slice(*pair) for pair in pairwise(bounds.tolist())]


def _radix(digits: Digits, arithmetic: Arithmetic) -> tuple[list[range], MixedRadix]:
    blocks = cut_blocks(digits.sizes)
    return blocks, MixedRadix(digits.sizes, blocks, _LIMBS.get(arithmetic))


def _arithmetic(plan: RankPermutation) -> NDArray[np.intp]:
    """Tell how the ranks of each group are held."""
    arithmetic = np.where(plan.base <= 1 << 32, Arithmetic.SHORT, Arithmetic.LONG)
    arithmetic[plan.base == 0] = Arithmetic.INTEGERS
    arithmetic[plan.bits] = Arithmetic.WORDS
    return arithmetic

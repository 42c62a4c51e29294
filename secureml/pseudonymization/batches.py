"""Cutting a column into rows that are ranked, and then encrypted, together.

A batch is one large template, or all smaller ones that have equally many encrypted characters:
its rows go through the same few array operations, whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.domains import (
    Canvas,
    Cells,
    GridCells,
    Index,
    MixedRadix,
    RaggedCells,
)
from secureml.pseudonymization.permutation import CHUNK, Plan
from secureml.pseudonymization.templates import Templates

__all__ = ["Part", "cut_grid", "cut_ragged"]

_LARGE = 1 << 13  # rows of one template that are worth a batch of their own


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows of one batch.

    Args:
        radix: ranks in the templates of the batch.
        cells: the encrypted characters of the rows.
        member: the place of each row's template in the batch, or None if the batch has one.
        group: each row's template as the plan numbers it, shape (rows,).
    """

    radix: MixedRadix
    cells: Cells
    member: Index | None
    group: Index

    def __len__(self) -> int:
        return len(self.group)


def cut_grid(canvas: Canvas, templates: Templates, plan: Plan) -> Iterator[list[Part]]:
    """Cut a column whose values that are not empty all have the same template.

    Args:
        canvas: the column.
        templates: the one template.
        plan: with this template as group 0.

    Yields:
        Parts to encrypt together.
    """
    only = np.zeros(1, np.intp)
    radix = _radix(templates, plan, only, only, bool(_wide(templates, plan, only)[0]))
    width, positions = int(templates.widths[0]), templates.positions.tolist()
    count = len(canvas.source) // width
    for start in range(0, count, CHUNK):
        rows = slice(start, min(start + CHUNK, count))
        cells = GridCells(canvas, width, rows, positions)
        yield [Part(radix, cells, None, np.zeros(rows.stop - start, np.intp))]


def cut_ragged(
    canvas: Canvas, templates: Templates, template: Index, plan: Plan, chosen: Index
) -> Iterator[list[Part]]:
    """Cut a column of many templates.

    Args:
        canvas: the column.
        templates: all templates of the column.
        template: of each row.
        plan: of the chosen templates, in their order.
        chosen: the templates to encrypt, ascending.

    Returns:
        Parts to encrypt together.
    """
    wide = _wide(templates, plan, chosen)
    number = _batch_numbers(templates, template, chosen, wide)
    by_batch = np.argsort(number, kind="stable")
    batches = np.split(by_batch, np.flatnonzero(np.diff(number[by_batch])) + 1)
    member_of = np.empty(len(chosen), np.intp)
    for groups in batches:
        member_of[groups] = np.arange(len(groups))

    group_of = np.full(len(templates), -1)
    group_of[chosen] = np.arange(len(chosen))
    group = group_of[template]
    # -1, a row that is not to be encrypted, stays -1; and the type stays small, for the sort.
    batch = np.append(number, number.dtype.type(-1))[group]
    order = np.argsort(batch, kind="stable")
    starts = np.searchsorted(batch[order], np.arange(len(batches) + 1))

    def parts() -> Iterator[Part]:
        for groups, first, last in zip(batches, starts, starts[1:], strict=False):
            radix = _radix(templates, plan, chosen, groups, bool(wide[groups[0]]))
            positions = templates.matrix(templates.positions, chosen[groups])
            for start in range(first, last, CHUNK):
                rows = order[start : min(start + CHUNK, last)]
                member = member_of[group[rows]] if len(groups) > 1 else None
                cells = RaggedCells(canvas, canvas.offsets[rows], positions, member)
                yield Part(radix, cells, member, group[rows])

    return _together(parts())


def _together(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Collect consecutive parts up to the size of a chunk, wide ones apart from the others."""
    held: list[Part] = []
    rows = 0
    for part in parts:
        if held and (held[0].radix.wide != part.radix.wide or rows + len(part) > CHUNK):
            yield held
            held, rows = [], 0
        held.append(part)
        rows += len(part)
    if held:
        yield held


def _batch_numbers(
    templates: Templates, template: Index, chosen: Index, wide: NDArray[np.bool_]
) -> NDArray[np.signedinteger[Any]]:
    """Number the batches from 0, and return the batch of each chosen template."""
    counts = np.diff(templates.bounds)[chosen]
    rows = np.bincount(template, minlength=len(templates))[chosen]
    own = counts.max() + 1 + np.arange(len(chosen))
    label = np.where(rows >= _LARGE, own, counts)
    label[wide] += label.max() + 1  # wide ones behind the others
    _, number = np.unique(label, return_inverse=True)
    return number.astype(np.int16 if len(number) < 1 << 15 else np.int32)  # int16 sorts by radix


def _radix(
    templates: Templates, plan: Plan, chosen: Index, groups: Index, wide: bool
) -> MixedRadix:
    members = chosen[groups]
    sizes = templates.matrix(templates.sizes, members)
    firsts = templates.matrix(templates.firsts, members)
    return MixedRadix(sizes, firsts, None if wide else plan.base[groups])


def _wide(templates: Templates, plan: Plan, chosen: Index) -> NDArray[np.bool_]:
    """Tell which templates have ranks that two words can't hold with a digit to spare."""
    # Templates between two chosen ones count with the first, which at worst costs some time.
    largest = np.maximum.reduceat(templates.sizes, templates.bounds[chosen])
    wide: NDArray[np.bool_] = plan.base > np.uint64((1 << 64) - 1) // largest
    wide[plan.base == 0] = True
    return wide

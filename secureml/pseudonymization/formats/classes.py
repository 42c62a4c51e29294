"""The format ``class``: every character keeps its class, and a character of no class stays.

The values of one template are ranked, the rank is encrypted by FF1 under the template as its
tweak, and the encrypted rank is written back as a value of the same template.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.ciphers.ranked import RankedFF1, RankPlan
from secureml.pseudonymization.alphabets import alphabets
from secureml.pseudonymization.batches import Part, cut_grid, cut_ragged
from secureml.pseudonymization.domains import Canvas, Index
from secureml.pseudonymization.templates import Templates, find_templates
from secureml.pseudonymization.text import Text

__all__ = ["CLASS_FORMAT", "MIN_DOMAIN", "TooSmall", "transform_text"]

CLASS_FORMAT = "class/1"

MIN_DOMAIN = 1_000_000
"""The least number of possible pseudonyms of a value (SP 800-38G Rev. 1, section 5.1)."""


@dataclass(frozen=True, slots=True, eq=False)
class TooSmall:
    """Values whose domain is below the minimum.

    Args:
        rows: where they are, ascending.
        domain: the smallest of their domains, 0 if there are no such values.
    """

    rows: Index
    domain: int


def transform_text(
    text: Text, cipher: RankedFF1, *, decrypt: bool = False
) -> tuple[Text, TooSmall]:
    """Encrypt or decrypt every value in the format ``class``.

    Args:
        text: the values; empty ones stay empty.
        cipher: under the key of the column's domain.
        decrypt: do the inverse.

    Returns:
        A new text of the same lengths, and the values whose domain is too small: of these the new
        text holds the template alone, with the first member of the class at each place.
    """
    table = alphabets()
    target = table.skeletons(text.codes)  # until it is written to: the templates, nothing else
    templates, template = find_templates(table, target, text.offsets)
    domains = templates.domains()
    active = np.array([domain >= MIN_DOMAIN for domain in domains], np.bool_)
    too_small = _too_small(text, templates, template, domains, active)
    chosen = np.flatnonzero(active)
    if not len(chosen):
        table.renumber(target)
        return Text(target, text.offsets), too_small
    plan = cipher.plan(
        list(compress(domains, active)),
        [CLASS_FORMAT.encode() + symbols for symbols in compress(templates.symbols, active)],
        list(compress(templates.numerals(), active)),
    )
    canvas = Canvas(table, text.codes, target, text.offsets)
    batches = (
        cut_grid(canvas, templates, plan)
        if template is None
        else cut_ragged(canvas, templates, template, plan, chosen)
    )
    for parts in batches:
        permute = _permute_wide if parts[0].radix.wide else _permute
        permute(plan, parts, decrypt)
    table.renumber(target)
    return Text(target, text.offsets), too_small


def _permute(plan: RankPlan, parts: list[Part], decrypt: bool) -> None:
    """Replace the values of all parts, with one call to the cipher."""
    ranks = [part.radix.rank(part.cells, part.member) for part in parts]
    high, low = (_joined(words) for words in zip(*ranks, strict=True))
    apply = plan.decrypt if decrypt else plan.encrypt
    high, low = apply(_joined([part.group for part in parts]), high, low)
    for part, rows in _spans(parts):
        part.radix.unrank(high[rows], low[rows], part.cells, part.member)


def _permute_wide(plan: RankPlan, parts: list[Part], decrypt: bool) -> None:
    """Replace the values of all parts, whose ranks are Python integers, with one call."""
    ranks = _joined([part.radix.rank_wide(part.cells, part.member) for part in parts])
    apply = plan.decrypt_wide if decrypt else plan.encrypt_wide
    new = np.empty(len(ranks), object)
    new[:] = apply(_joined([part.group for part in parts]), ranks.tolist())
    for part, rows in _spans(parts):
        part.radix.unrank_wide(new[rows], part.cells, part.member)


def _spans(parts: list[Part]) -> Iterator[tuple[Part, slice]]:
    """Tell which of the joined rows are those of each part."""
    ends = np.cumsum([len(part) for part in parts]).tolist()
    return ((part, slice(end - len(part), end)) for part, end in zip(parts, ends, strict=True))


def _joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


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
        return TooSmall(np.empty(0, np.intp), 0)
    rows = np.flatnonzero(text.lengths if template is None else concerned[template])
    return TooSmall(rows, min(domains[one] for one in np.flatnonzero(concerned)))

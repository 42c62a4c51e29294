"""Replacing characters by others of their classes: from the characters of rows to ranks and back.

The values of one template are ranked, the rank is encrypted by FF1 under the template as its
tweak, and the encrypted rank is written back as a value of the same template.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.formats.base import NONE_SMALL, Characters, TooSmall
from secureml.pseudonymization.parsing.templates import Templates, find_templates
from secureml.pseudonymization.ranking.batches import Arithmetic, Part, permute_grid, permute_ragged
from secureml.pseudonymization.ranking.digits import CodeBuffer
from secureml.pseudonymization.ranking.limbs import (
    from_halves,
    from_words,
    to_halves,
    to_words,
)
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import Permutation, RankPermutation, RowTweaks
from secureml.pseudonymization.values.text import Text

__all__ = ["permute_characters"]


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
    templates, template = find_templates(table, text)
    domains = templates.domains()
    active = np.array([domain >= permutation.minimum for domain in domains], np.bool_)
    too_small = _too_small(text, templates, template, domains, active)
    target = Text(text.codes.copy(), text.offsets)
    chosen = np.flatnonzero(active)
    if not len(chosen):
        return target, too_small, 0
    smallest = min(compress(domains, active))
    prefix = reading.label.encode("utf-8", "surrogatepass")
    tweaks: Sequence[bytes] = [prefix + symbols for symbols in templates.symbols]
    for rows in (reading.bound, permutation.row_tweaks):
        if rows is None:
            continue
        if len(rows.values) == 1:
            tweaks = [rows.bound(0, tweak) for tweak in tweaks]
            continue
        template = _filled(text) if template is None else template
        templates, template, tweaks = _by_row(templates, template, tweaks, rows)
        domains = templates.domains()
        active = np.array([domain >= permutation.minimum for domain in domains], np.bool_)
        chosen = np.flatnonzero(active)
    plan = permutation.prepare(
        list(compress(domains, active)),
        list(compress(tweaks, active)),
        list(compress(templates.numerals(), active)),
    )
    buffer = CodeBuffer(table, text.codes, target.codes, text.offsets)
    permute = partial(_permute, plan)
    if template is None:
        permute_grid(buffer, templates, plan, permute=permute)
    else:
        permute_ragged(buffer, templates, template, plan, chosen, permute=permute)
    return target, too_small, smallest


def _filled(text: Text) -> Index:
    """Number the templates of a column with one: 0, and of empty values 1."""
    empty: Index = (text.lengths == 0).astype(np.intp)
    return empty


def _by_row(
    templates: Templates,
    template: Index,
    tweaks: Sequence[bytes],
    rows: RowTweaks,
) -> tuple[Templates, Index, Sequence[bytes]]:
    """Split the templates by the tweaks of the rows."""
    if template.max(initial=0) >= len(templates):
        templates, tweaks = templates.with_empty(), [*tweaks, b""]
    group, bound, parents = rows.split(template, tweaks)
    return templates.at(parents), group, bound


def _permute(plan: RankPermutation, parts: list[Part]) -> None:
    """Replace the values of all parts, with one call to the cipher."""
    _PERMUTE.get(parts[0].arithmetic, _permute_halves)(plan, parts)


def _permute_halves(plan: RankPermutation, parts: list[Part]) -> None:
    """Replace the values of all parts, whose ranks are two words."""
    bases = [plan.base[0] if part.member is None else plan.base[part.group] for part in parts]
    ranks = [
        to_halves(part.radix.rank(part.cells, part.member), base)
        for part, base in zip(parts, bases, strict=True)
    ]
    high, low = (_joined(words) for words in zip(*ranks, strict=True))
    high, low = plan.halves(_joined([part.group for part in parts]), high, low)
    for (part, rows), base in zip(_spans(parts), bases, strict=True):
        limbs = from_halves(high[rows], low[rows], base, part.radix.limbs)
        part.radix.unrank(limbs, part.cells, part.member)


def _permute_words(plan: RankPermutation, parts: list[Part]) -> None:
    """Replace the values of all parts, whose ranks are three words."""
    ranks = _joined([to_words(part.radix.rank(part.cells, part.member)) for part in parts])
    ranks = plan.permute(_joined([part.group for part in parts]), ranks)
    for part, rows in _spans(parts):
        limbs = from_words(ranks[rows], part.radix.limbs)
        part.radix.unrank(limbs, part.cells, part.member)


def _permute_integers(plan: RankPermutation, parts: list[Part]) -> None:
    """Replace the values of all parts, whose ranks are Python integers."""
    ranks = _joined([part.radix.rank_integers(part.cells, part.member) for part in parts])
    new = plan.permute(_joined([part.group for part in parts]), ranks)
    for part, rows in _spans(parts):
        part.radix.unrank_integers(new[rows], part.cells, part.member)


_PERMUTE = {Arithmetic.WORDS: _permute_words, Arithmetic.INTEGERS: _permute_integers}


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
        return NONE_SMALL
    rows = np.flatnonzero(text.lengths if template is None else concerned[template])
    return TooSmall(rows, min(domains[one] for one in np.flatnonzero(concerned)))

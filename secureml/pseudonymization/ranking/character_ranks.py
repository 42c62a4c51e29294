"""Replacing characters by others of their classes: from the characters of rows to ranks and back.

The values of one template are ranked, the rank is encrypted by FF1 under the template as its
tweak, and the encrypted rank is written back as a value of the same template.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.formats.base import NONE_SMALL, Characters, TooSmall
from secureml.pseudonymization.parsing.templates import Templates, find_templates
from secureml.pseudonymization.ranking.batches import permute_ragged, permute_uniform
from secureml.pseudonymization.ranking.digits import CodeBuffer
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import Permutation
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
    target = Text(text.codes.copy(), text.offsets)
    if not active.any():
        return target, too_small, 0
    sizes = list(compress(domains, active))
    ranked = permutation.prepare(
        sizes, list(compress(tweaks, active)), list(compress(templates.numerals(), active))
    )
    buffer = CodeBuffer(table, text.codes, target.codes, text.offsets)
    if template is None:
        permute_uniform(buffer, templates, ranked)
    else:
        permute_ragged(buffer, templates, template, np.flatnonzero(active), ranked)
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

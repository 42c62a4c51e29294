"""Permuting ranks of several domains that 64 bits hold, in one go."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

import numpy as np

from secureml.pseudonymization.domains import Index, Words
from secureml.pseudonymization.formats.base import NONE_SMALL, TooSmall
from secureml.pseudonymization.permutation import CHUNK, Permutation

__all__ = ["permute_groups"]


def permute_groups(
    permutation: Permutation,
    group: Index,
    ranks: Words,
    rows: Index,
    *,
    sizes: Sequence[int],
    tweaks: Sequence[bytes],
) -> tuple[Words, TooSmall, int]:
    """Permute ranks, each within the domain of its group.

    Args:
        permutation: under the key of the column's domain.
        group: the domain of each rank, shape (rows,).
        ranks: uint64, shape (rows,), each below the size of its domain.
        rows: which rows of the column these are, ascending.
        sizes: of the domains, up to 2**64 each.
        tweaks: of the domains: the format and all that it keeps.

    Returns:
        The new ranks, 0 in domains too small to be permuted; which rows these are; and the size
        of the smallest domain that was permuted, 0 if none was.
    """
    new = np.zeros(len(ranks), np.uint64)
    fits = np.array([size >= permutation.minimum for size in sizes], np.bool_)
    used = np.bincount(group, minlength=len(sizes)) > 0
    small = NONE_SMALL
    here = np.arange(len(ranks))
    if (used & ~fits).any():
        concerned = ~fits[group]
        small = TooSmall(rows[concerned], min(compress(sizes, used & ~fits)))
        here = np.flatnonzero(~concerned)
    if not len(here):
        return new, small, 0
    chosen = np.flatnonzero(used & fits)  # of groups without a row, none is in the plan
    number_of = np.zeros(len(sizes), np.intp)
    number_of[chosen] = np.arange(len(chosen))
    numbers = number_of[group[here]]
    fine, bound = permutation.groups(numbers, [tweaks[one] for one in chosen.tolist()], rows[here])
    coarse = np.arange(len(chosen))
    if permutation.row_tweaks is not None:
        coarse = np.zeros(len(bound), np.intp)
        coarse[fine] = numbers
    plan = permutation.plan([sizes[one] for one in chosen[coarse].tolist()], bound)
    for start in range(0, len(here), CHUNK):
        places, number = here[start : start + CHUNK], fine[start : start + CHUNK]
        # numpy divides faster by a scalar.
        base = plan.base[0] if len(plan.base) == 1 else plan.base[number]
        part = ranks[places]
        high = part // base
        high, low = plan.apply(number, high, part - high * base)
        new[places] = high * base + low
    return new, small, min(compress(sizes, used & fits))

"""Permuting ranks of several domains that 64 bits hold, in one go."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.formats.base import NONE_SMALL, TooSmall
from secureml.pseudonymization.ranking.mixed_radix import Index, Words
from secureml.pseudonymization.ranking.permutation import CHUNK, Permutation

__all__ = ["permute_groups", "permute_ranks"]


def permute_groups(
    permutation: Permutation,
    group: Index,
    ranks: Words,
    *,
    sizes: Sequence[int],
    tweaks: Sequence[bytes],
) -> tuple[Words, TooSmall, int]:
    """Permute ranks, each within the domain of its group.

    Args:
        permutation: of the rows that the ranks are of.
        group: the domain of each rank, shape (rows,).
        ranks: uint64, shape (rows,), each below the size of its domain.
        sizes: of the domains, up to 2**64 each.
        tweaks: of the domains: the format and all that it keeps.

    Returns:
        The new ranks, 0 in domains too small to be permuted; which of them these are; and the
        size of the smallest domain that was permuted, 0 if none was.
    """
    fits = np.array([size >= permutation.minimum for size in sizes], np.bool_)
    used = np.bincount(group, minlength=len(sizes)) > 0
    if (used & ~fits).any():
        inside = fits[group]
        new = np.zeros(len(ranks), np.uint64)
        new[inside], _, domain = permute_groups(
            permutation.at(np.flatnonzero(inside)),
            group[inside],
            ranks[inside],
            sizes=sizes,
            tweaks=tweaks,
        )
        return new, TooSmall(np.flatnonzero(~inside), min(compress(sizes, used & ~fits))), domain
    if not len(ranks):
        return ranks, NONE_SMALL, 0
    if not used.all():  # of groups without a row, none is in the plan
        group = (np.cumsum(used) - 1)[group]
        sizes, tweaks = list(compress(sizes, used)), list(compress(tweaks, used))
    if permutation.row_tweaks is not None:
        fine, tweaks = permutation.groups(group, tweaks, np.arange(len(ranks)))
        coarse = np.zeros(len(tweaks), np.intp)
        coarse[fine] = group
        group, sizes = fine, [sizes[one] for one in coarse.tolist()]
    plan = permutation.plan(sizes, tweaks)
    new = np.empty(len(ranks), np.uint64)
    for start in range(0, len(ranks), CHUNK):
        part = slice(start, start + CHUNK)
        number = group[part]
        # numpy divides faster by a scalar.
        base = plan.base[0] if len(plan.base) == 1 else plan.base[number]
        high = ranks[part] // base
        low = high * base
        np.subtract(ranks[part], low, out=low)
        high, low = plan.apply(number, high, low)
        high *= base
        np.add(high, low, out=new[part])
    return new, NONE_SMALL, min(sizes)


def permute_ranks(
    permutation: Permutation,
    group: Index,
    ranks: NDArray[Any],
    *,
    sizes: Sequence[int],
    tweaks: Sequence[bytes],
) -> NDArray[Any]:
    """Permute ranks, each within the domain of its group, of any size that can be permuted.

    Args:
        permutation: as for ``permute_groups``.
        group: as for ``permute_groups``.
        ranks: uint64, or Python integers if a domain has more than 2**63 members.
        sizes: of the domains.
        tweaks: as for ``permute_groups``.

    Returns:
        A new array of the same dtype.
    """
    if ranks.dtype == np.uint64:
        return permute_groups(permutation, group, ranks, sizes=sizes, tweaks=tweaks)[0]
    fine, tweaks = permutation.groups(group, tweaks, np.arange(len(ranks)))
    _, member = np.unique(fine, return_index=True)
    plan = permutation.plan([sizes[one] for one in group[member].tolist()], tweaks)
    base = plan.base.astype(object)[fine]
    new = np.empty(len(ranks), object)
    words = np.flatnonzero(base)
    if len(words):
        quotients = ranks[words] // base[words]
        remainders = ranks[words] - quotients * base[words]
        high, low = quotients.astype(np.uint64), remainders.astype(np.uint64)
        high, low = plan.apply(fine[words], high, low)
        new[words] = high.astype(object) * base[words] + low
    others = np.flatnonzero(base == 0)
    new[others] = plan.apply_wide(fine[others], ranks[others].tolist())
    return new

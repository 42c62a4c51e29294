"""The format ``integer``: a whole number keeps its sign and its number of digits.

Where the column's type ends before the digits do, so does the domain: ten-digit values of an
int32 column become values up to 2,147,483,647.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from secureml.ciphers.ranked import RankedFF1
from secureml.errors import PseudonymizationError
from secureml.pseudonymization.domains import Index
from secureml.pseudonymization.formats import MIN_DOMAIN, TooSmall

__all__ = ["INTEGER_FORMAT", "Limits", "WholeNumbers", "transform_integers"]

INTEGER_FORMAT = "integer/1"

_DECIMAL = re.compile(r"(-?)(0|[1-9][0-9]{0,19})", re.ASCII)
_CHUNK = 1 << 15  # rows whose intermediate arrays stay in a core's own cache
_POWERS = np.array([10**exponent for exponent in range(1, 20)], np.uint64)


@dataclass(frozen=True, slots=True)
class Limits:
    """The whole numbers that a column's type holds exactly.

    Args:
        lowest: at most 0.
        highest: at least 0.
    """

    lowest: int
    highest: int


@dataclass(frozen=True, slots=True, eq=False)
class WholeNumbers:
    """Whole numbers as sign and magnitude, which holds every type's range, and negative zero.

    Args:
        magnitudes: uint64, shape (rows,).
        negative: bool, shape (rows,).
    """

    magnitudes: NDArray[np.uint64]
    negative: NDArray[np.bool_]

    @classmethod
    def parse(cls, strings: Sequence[str]) -> WholeNumbers:
        """Read decimal digits as ``strings`` writes them.

        Raises:
            PseudonymizationError: a string is anything else.
        """
        matches = [_DECIMAL.fullmatch(string) for string in strings]
        values = [int(match[2]) for match in matches if match]
        unknown = len(strings) - sum(value < 1 << 64 for value in values)
        if unknown:
            raise PseudonymizationError(f"{unknown} values are not whole numbers")
        negative = np.array([bool(match and match[1]) for match in matches], np.bool_)
        return cls(np.array(values, np.uint64), negative)

    def __len__(self) -> int:
        return len(self.magnitudes)

    def at(self, rows: Index | NDArray[np.bool_]) -> WholeNumbers:
        """Return the numbers of some rows, given by their places or a mask."""
        return WholeNumbers(self.magnitudes[rows], self.negative[rows])

    def put(self, rows: Index | NDArray[np.bool_], numbers: WholeNumbers) -> None:
        """Replace the numbers of some rows, given by their places or a mask."""
        self.magnitudes[rows] = numbers.magnitudes
        self.negative[rows] = numbers.negative

    def outside(self, limits: Limits) -> NDArray[np.bool_]:
        """Tell which are beyond what a column's type holds."""
        limit = np.where(self.negative, np.uint64(-limits.lowest), np.uint64(limits.highest))
        return self.magnitudes > limit

    def strings(self) -> list[str]:
        """Return every number in decimal digits."""
        signs = np.where(self.negative, "-", "").tolist()
        pairs = zip(signs, self.magnitudes.tolist(), strict=True)
        return [f"{sign}{magnitude}" for sign, magnitude in pairs]


def transform_integers(
    numbers: WholeNumbers, limits: Limits, cipher: RankedFF1, *, decrypt: bool = False
) -> tuple[WholeNumbers, TooSmall]:
    """Encrypt or decrypt every number in the format ``integer``.

    Args:
        numbers: within the limits.
        limits: of the type of the column that was encrypted, in both directions.
        cipher: under the key of the column's domain.
        decrypt: do the inverse.

    Returns:
        New numbers, and those whose domain is too small: the new numbers hold 0 for these.
    """
    kind = _kinds(numbers)
    kinds = np.flatnonzero(np.bincount(kind, minlength=1))
    spans = [_span(one // 2, bool(one % 2), limits) for one in kinds.tolist()]
    sizes = [last - first + 1 for first, last in spans]
    active = np.array([size >= MIN_DOMAIN for size in sizes], np.bool_)
    plan = cipher.plan(
        list(compress(sizes, active)),
        [
            _tweak(span, negative=bool(one % 2))
            for one, span in compress(zip(kinds, spans, strict=True), active)
        ],
    )
    starts = np.array([first for first, _ in compress(spans, active)], np.uint64)
    group_of = np.full(2 * len(_POWERS) + 2, -1)
    group_of[kinds[active]] = np.arange(len(starts))

    magnitudes = np.zeros(len(numbers), np.uint64)
    left = []
    for begin in range(0, len(numbers), _CHUNK):
        group = group_of[kind[begin : begin + _CHUNK]]
        rows = begin + np.flatnonzero(group >= 0)
        left.append(begin + np.flatnonzero(group < 0))
        group = group[group >= 0]
        base, start = plan.base[group], starts[group]
        rank = numbers.magnitudes[rows] - start
        high = rank // base
        high, low = (plan.decrypt if decrypt else plan.encrypt)(group, high, rank - high * base)
        magnitudes[rows] = high * base + low + start
    small = [size for size in sizes if size < MIN_DOMAIN]
    return (
        WholeNumbers(magnitudes, numbers.negative),
        TooSmall(np.concatenate([np.empty(0, np.intp), *left]), min(small, default=0)),
    )


def _kinds(numbers: WholeNumbers) -> NDArray[np.uint8]:
    """Return twice the number of digits after the first, plus one for a negative number."""
    kind = np.zeros(len(numbers), np.uint8)
    for power in _POWERS[numbers.magnitudes.max(initial=0) >= _POWERS]:
        kind += numbers.magnitudes >= power
    return 2 * kind + numbers.negative


def _span(exponent: int, negative: bool, limits: Limits) -> tuple[int, int]:
    """Return the least and the largest magnitude with one more digit than the exponent."""
    first = 10**exponent if exponent else 0
    return first, min(10 ** (exponent + 1) - 1, -limits.lowest if negative else limits.highest)


def _tweak(span: tuple[int, int], *, negative: bool) -> bytes:
    return f"{INTEGER_FORMAT} {'-' if negative else '+'} {span[0]} {span[1]}".encode()

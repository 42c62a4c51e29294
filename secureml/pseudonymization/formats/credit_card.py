"""The format ``credit_card``: 12 to 19 digits that end in the check digit of Luhn's formula."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import (
    Format,
    Option,
    TooSmall,
    Transformed,
    join_small,
)
from secureml.pseudonymization.parsing.fixed_width import Octets
from secureml.pseudonymization.parsing.layouts import Layout, distinct_rows, find_layouts
from secureml.pseudonymization.parsing.pieces import blanked
from secureml.pseudonymization.ranking.mixed_radix import Words
from secureml.pseudonymization.ranking.permutation import MIN_DOMAIN, Permutation, RowTweaks
from secureml.pseudonymization.tables.character_classes import (
    CLASS_SYMBOL,
    CODE_POINTS,
    DIGIT,
    kinds,
)
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.text import Text

__all__ = ["CreditCardFormat"]

_SHORTEST, _LONGEST = 12, 19
_TEN, _QUAD, _QUADS = np.uint64(10), np.uint64(10**4), 5
_DOUBLED = np.array([0, 2, 4, 6, 8, 1, 3, 5, 7, 9], np.uint8)
_HALVED = np.argsort(_DOUBLED)
_PLACES = np.arange(10**4) // np.array([[1000], [100], [10], [1]]) % 10
_SUMS = (_DOUBLED[_PLACES[::2]].sum(axis=0) + _PLACES[1::2].sum(axis=0)).astype(np.uint8)
_DIGITS = (_PLACES + ord("0")).T.astype(np.uint8).copy().view(np.uint32)[:, 0]
"""By a number of four digits: its part of the sum, and its characters."""

Quads = NDArray[np.uint32]


class CreditCardFormat(Format):
    """The number of a payment card becomes another valid one of as many digits.

    What is neither a letter nor a digit is kept in its place. Of the digits that are not kept,
    the last one follows from the others: it makes the number valid.

    Args:
        keep_first: how many leading digits stay, such as 6 for the issuer's.
        keep_last: how many trailing digits stay.

    Raises:
        PseudonymizationError: an option is no number of digits, or too few digits are left.
    """

    name = "credit_card/1"
    takes = (Text,)

    def __init__(self, *, keep_first: int = 0, keep_last: int = 0) -> None:
        for option, count in (("keep_first", keep_first), ("keep_last", keep_last)):
            if type(count) is not int or count < 0:
                raise PseudonymizationError(f"{option} is a number of digits, not {count!r}")
        left = _LONGEST - keep_first - keep_last - 1
        if left < 6:
            raise PseudonymizationError(
                f"keep_first={keep_first} and keep_last={keep_last} leave at most {_LONGEST} -"
                f" {keep_first} - {keep_last} - 1 (the check digit) = {left} digits to encrypt,"
                f" fewer than {MIN_DOMAIN:,} pseudonyms, even of {_LONGEST} digits"
            )
        self._first, self._last = keep_first, keep_last

    @property
    def options(self) -> Mapping[str, Option]:
        """How many digits are kept."""
        return {"keep_first": self._first, "keep_last": self._last}

    def transform(self, values: Values, permutation: Permutation) -> Transformed:
        """Permute every number among the valid ones with the digits that are kept."""
        assert isinstance(values, Text)
        codes = values.codes.copy()
        valid = np.zeros(len(values), np.bool_)
        small, domains = [], []
        for layout in find_layouts(values, _fold()):
            places = layout.places("0")
            if not _SHORTEST <= len(places) <= _LONGEST or "A" in layout.folded:
                continue
            digits = layout.take(codes, places)
            quads = _read(digits)
            right = _sums(quads) % 10 == 0
            if not right.all():
                layout = layout.at(right)  # noqa: PLW2901  # the rest is invalid
                digits, quads = digits[right], quads[:, right]
            if not len(digits):
                continue
            valid[layout.rows] = True
            size = self._replace(layout, digits, quads, permutation.at(layout.rows))
            if size < permutation.minimum:
                small.append(TooSmall(layout.rows, size))
            else:
                domains.append(size)
            layout.put(codes, places, _write(quads, len(places)))
        invalid = np.flatnonzero(~valid & (values.lengths > 0))
        text = blanked(Text(codes, values.offsets), invalid)
        return Transformed(text, join_small(small), invalid, min(domains, default=0))

    def _replace(
        self, layout: Layout, digits: Octets, quads: Quads, permutation: Permutation
    ) -> int:
        """Replace the numbers of one layout, in place, and return the size of their domain."""
        count = digits.shape[1] - self._first - self._last - 1
        if count < 0:
            return 1
        numbers, unit = _join(quads), np.uint64(10**self._last)
        ranks, modulus = numbers // unit, np.uint64(10 ** (count + 1))
        ranks -= ranks // modulus * modulus
        numbers -= ranks * unit  # what is not kept is 0
        ranks //= _TEN
        size: int = 10**count
        if size < permutation.minimum:
            ranks[:] = 0
        else:
            ranks = self._permuted(layout, digits, ranks, count, permutation)
        numbers += ranks * (unit * _TEN)
        _split(numbers, quads)
        _complete(quads, self._last)
        return size

    def _permuted(
        self, layout: Layout, digits: Octets, ranks: Words, count: int, permutation: Permutation
    ) -> Words:
        """Permute ranks among the numbers of so many digits."""
        kept = [layout.folded.encode("utf-8", "surrogatepass")]
        group = np.zeros(len(digits), np.intp)
        if self._first or self._last:
            free = slice(self._first, self._first + count + 1)
            distinct, group = distinct_rows(np.delete(digits, free, axis=1))
            kept = [one + b" " + kept[0] for one in distinct]
        bind = RowTweaks(kept, group).bound
        template = self.name.encode() + count * CLASS_SYMBOL.to_bytes(4, "big")
        tweaks = [bind(number, template) for number in range(len(kept))]
        numerals = [(10, count)] * len(kept)
        return permutation.permute([10**count] * len(kept), tweaks, group, ranks, numerals)


# A number is worked on as five numbers of four digits, with zeros before it.


def _read(digits: Octets) -> Quads:
    """Return numbers of four digits, shape (5, rows), of characters that are digits."""
    rows, width = digits.shape
    grid = np.full((rows, 4 * _QUADS), ord("0"), np.uint8)
    grid[:, -width:] = digits
    words: Quads = np.ascontiguousarray(grid.view("<u4").T) & np.uint32(0x0F0F_0F0F)
    words = words * np.uint32(10) + (words >> np.uint32(8)) & np.uint32(0x00FF_00FF)
    return (words & np.uint32(0xFF)) * np.uint32(100) + (words >> np.uint32(16))


def _write(quads: Quads, width: int) -> Octets:
    """Return the last digits as characters, shape (rows, width); the inverse of ``_read``."""
    return np.ascontiguousarray(_DIGITS.take(quads).T).view(np.uint8)[:, -width:]


def _join(quads: Quads) -> Words:
    """Return the numbers, which have at most 19 digits."""
    numbers: Words = quads[0].astype(np.uint64)
    for quad in quads[1:]:
        numbers *= _QUAD
        numbers += quad
    return numbers


def _split(numbers: Words, quads: Quads) -> None:
    """Cut numbers into four digits each; the inverse of ``_join``."""
    for quad in quads[::-1]:
        quotient = numbers // _QUAD
        quad[:] = numbers - quotient * _QUAD
        numbers = quotient


def _sums(quads: Quads) -> Octets:
    """Return the sums of the digits, every second one from the right doubled."""
    sums: Octets = _SUMS.take(quads).sum(axis=0, dtype=np.uint8)
    return sums


def _complete(quads: Quads, place: int) -> None:
    """Set the digit in one place from the right, which is 0, so that the numbers are valid."""
    missing = (10 - _sums(quads) % 10) % 10
    digit = (_HALVED if place % 2 else np.arange(10)).astype(np.uint32)[missing]
    quads[-1 - place // 4] += digit * np.uint32(10 ** (place % 4))


@cache
def _fold() -> NDArray[np.uint32]:
    """Fold digits to 0, and letters and digits of other scripts to A."""
    return np.select(
        [kinds() == DIGIT, kinds() > DIGIT],
        [np.uint32(ord("0")), np.uint32(ord("A"))],
        np.arange(CODE_POINTS, dtype=np.uint32),
    )

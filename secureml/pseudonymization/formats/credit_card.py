"""The format ``credit_card``: 12 to 19 digits that end in the check digit of Luhn's formula."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.alphabets import CODE_POINTS, DIGIT, Alphabets, kinds
from secureml.pseudonymization.formats.base import (
    NO_ROWS,
    Format,
    Option,
    TooSmall,
    Transformed,
    join_small,
)
from secureml.pseudonymization.formats.classes import transform_text
from secureml.pseudonymization.formats.layouts import Layout, distinct_rows, find_layouts
from secureml.pseudonymization.formats.pieces import blanked
from secureml.pseudonymization.permutation import CHUNK, MIN_DOMAIN, Permutation, RowTweaks
from secureml.pseudonymization.text import Text
from secureml.pseudonymization.values import Values

__all__ = ["CreditCardFormat"]

_SHORTEST, _LONGEST = 12, 19
_DOUBLED = np.array([0, 2, 4, 6, 8, 1, 3, 5, 7, 9], np.uint8)
_HALVED = np.argsort(_DOUBLED).astype(np.uint8)


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
            right = _sums(digits) % 10 == 0
            if not right.all():
                layout, digits = layout.at(right), digits[right]  # noqa: PLW2901 - the rest is invalid
            if not len(digits):
                continue
            valid[layout.rows] = True
            made = self._permuted(layout, digits, permutation.at(layout.rows))
            small.append(TooSmall(layout.rows[made.small.rows], made.small.domain))
            domains.append(made.domain)
            layout.put(codes, places, digits)
        invalid = np.flatnonzero(~valid & (values.lengths > 0))
        text = blanked(Text(codes, values.offsets), invalid)
        return Transformed(text, join_small(small), invalid, min(filter(None, domains), default=0))

    def _permuted(
        self, layout: Layout, digits: NDArray[np.uint8], permutation: Permutation
    ) -> Transformed:
        """Replace the digits of numbers of one layout, in place."""
        width = digits.shape[1]
        last = width - 1 - self._last  # this digit follows from the others
        free = digits[:, self._first : max(last, self._first)]
        text = Text(free.ravel(), np.arange(len(digits) + 1) * free.shape[1])
        if not free.size:
            if last == self._first:
                _complete(digits, last)
            return Transformed(text, TooSmall(np.arange(len(digits)), 1), NO_ROWS, 0)
        kept, number = [layout.folded.encode("utf-8", "surrogatepass")], np.zeros(0, np.intp)
        if self._first or self._last:
            beside = np.delete(digits, slice(self._first, last + 1), axis=1)
            distinct, number = distinct_rows(beside)
            kept = [one + b" " + kept[0] for one in distinct]
        made = transform_text(text, permutation, _table(), self.name, RowTweaks(kept, number))
        assert isinstance(made.values, Text)
        digits[:, self._first : last] = made.values.codes.reshape(free.shape)
        _complete(digits, last)
        return made


def _complete(digits: NDArray[np.uint8], place: int) -> None:
    """Set the digit in one place so that the numbers are valid."""
    digits[:, place] = ord("0")
    missing = (10 - _sums(digits) % 10) % 10
    doubled = (digits.shape[1] - place) % 2 == 0
    digits[:, place] = (_HALVED[missing] if doubled else missing) + ord("0")


def _sums(numbers: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the sum of each row of digits, every second one from the right doubled."""
    sums = np.empty(len(numbers), np.uint8)
    width = numbers.shape[1]
    for start in range(0, len(numbers), CHUNK):
        digits = np.ascontiguousarray(numbers[start : start + CHUNK].T) - np.uint8(ord("0"))
        digits[width % 2 :: 2] = _DOUBLED[digits[width % 2 :: 2]]
        sums[start : start + CHUNK] = digits.sum(axis=0, dtype=np.uint8)
    return sums


@cache
def _table() -> Alphabets:
    return Alphabets([np.arange(ord("0"), ord("9") + 1, dtype=np.uint32)])


@cache
def _fold() -> NDArray[np.uint32]:
    """Fold digits to 0, and letters and digits of other scripts to A."""
    return np.select(
        [kinds() == DIGIT, kinds() > DIGIT],
        [np.uint32(ord("0")), np.uint32(ord("A"))],
        np.arange(CODE_POINTS, dtype=np.uint32),
    )

"""The format ``credit_card``: 12 to 19 digits that end in the check digit of Luhn's formula."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import Format, Ranks
from secureml.pseudonymization.parsing.fixed_width import Octets, read_decimal, write_decimal
from secureml.pseudonymization.parsing.layouts import distinct_rows, find_layouts
from secureml.pseudonymization.ranking.mixed_radix import Words
from secureml.pseudonymization.ranking.permutation import MIN_DOMAIN, RowTweaks
from secureml.pseudonymization.tables.character_classes import (
    CLASS_SYMBOL,
    CODE_POINTS,
    DIGIT,
    kinds,
)
from secureml.pseudonymization.values.text import Text

__all__ = ["CreditCardFormat"]

_SHORTEST, _LONGEST = 12, 19
_DOUBLED = np.array([0, 2, 4, 6, 8, 1, 3, 5, 7, 9], np.uint8)
_HALVED = np.argsort(_DOUBLED)
"""What a digit counts for in every second place from the right, and the inverse."""


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
        self.options = {"keep_first": keep_first, "keep_last": keep_last}
        self._first, self._last = keep_first, keep_last

    def read(self, values: Text, *, decrypt: bool) -> Iterator[Ranks]:
        """Rank numbers among the valid ones with the same digits kept."""
        for layout in find_layouts(values, _fold(), marks="0", refused="A"):
            width = len(layout.places)
            if not _SHORTEST <= width <= _LONGEST:
                continue
            columns = np.ascontiguousarray(layout.characters.T)
            valid = _luhn_sum(columns) % 10 == 0
            check = max(width - self._last - 1, self._first)  # where the digit is that follows
            group, kept = np.zeros(len(layout.rows), np.intp), [b""]
            if self._first or self._last:
                free = slice(self._first, check + 1)
                kept, group = distinct_rows(np.delete(layout.characters, free, axis=1))
                kept = [digits + b" " for digits in kept]
            count = check - self._first
            label = layout.folded.encode("utf-8", "surrogatepass")
            bound = RowTweaks([digits + label for digits in kept], group)
            template = self.name.encode() + count * CLASS_SYMBOL.to_bytes(4, "big")
            reading = Ranks(
                rows=layout.rows,
                ranks=read_decimal(columns[self._first : check]).astype(np.uint64, copy=False),
                group=group,
                sizes=[10**count] * len(kept),
                tweaks=[bound.bound(number, template) for number in range(len(kept))],
                numerals=(10, count),
                context=layout.characters,
                layout=layout,
            )
            yield reading if valid.all() else reading.at(valid)

    def write(self, reading: Ranks, new: Words) -> Text:
        """Write numbers, with the digit that makes them valid."""
        columns = reading.context.T.copy(order="C")
        check = len(columns) - self._last - 1
        write_decimal(columns[self._first : check], new)
        columns[check] = ord("0")
        missing = (10 - _luhn_sum(columns) % 10) % 10
        columns[check] += _HALVED[missing].astype(np.uint8) if self._last % 2 else missing
        text: Text = reading.layout.written(columns.T)
        return text


def _luhn_sum(columns: Octets) -> Octets:
    """Return the sum of the digits of each number, every second one from the right doubled."""
    digits = columns & np.uint8(15)
    sums: Octets = digits[::-2].sum(axis=0, dtype=np.uint8)
    sums += _DOUBLED.take(digits[-2::-2]).sum(axis=0, dtype=np.uint8)
    return sums


@cache
def _fold() -> NDArray[np.uint32]:
    """Fold digits to 0, and letters and digits of other scripts to A."""
    return np.select(
        [kinds() == DIGIT, kinds() > DIGIT],
        [np.uint32(ord("0")), np.uint32(ord("A"))],
        np.arange(CODE_POINTS, dtype=np.uint32),
    )

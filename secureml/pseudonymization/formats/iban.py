"""The format ``iban``: international bank account numbers (ISO 13616).

Check digits follow from the other characters. So do a country's own if they are commonly
verified: in Belgium, Montenegro, Norway and Spain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from operator import mul

import numpy as np
from numpy.typing import NDArray

from secureml.pseudonymization.formats.base import Characters, Flags, Format
from secureml.pseudonymization.parsing.fixed_width import Octets, write_decimal
from secureml.pseudonymization.parsing.layouts import distinct_rows, find_layouts, folding
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.tables.character_classes import Alphabets
from secureml.pseudonymization.tables.iban_structures import STRUCTURES
from secureml.pseudonymization.values.text import Text

__all__ = ["IbanFormat"]

_KINDS = {"n": "0", "a": "A", "c": "[0A]"}
_SEPARATORS = " -."


class IbanFormat(Format):
    """An account number becomes another valid one of its country.

    Digits become digits and letters upper-case letters; the country, the separators (spaces,
    hyphens and points, wherever they stand) and a Belgian number's bank code stay; check digits
    follow. Lower case is invalid.
    """

    name = "iban/1"
    takes = (Text,)

    def read(self, values: Text, *, decrypt: bool) -> Iterator[Characters]:
        """Read the characters that do not follow from others; a country and a layout at a time."""
        for layout in find_layouts(values, folding(_SEPARATORS, letters=True), marks="0A"):
            if len(layout.places) < 5:
                continue
            countries, number = distinct_rows(layout.characters[:, :2])
            for one, country in enumerate(countries):
                structure = _Structure.of(country.decode(), layout.folded)
                if structure is None:
                    continue
                members = np.flatnonzero(number == one)
                members = members[structure.valid(layout.characters[members])]
                if len(members):
                    characters = layout.characters[members]
                    yield Characters(
                        rows=layout.rows[members],
                        text=Text.of_grid(characters[:, structure.free]),
                        table=_table(),
                        label=self.name,
                        bound=structure.bound(characters),
                        context=characters,
                        layout=(layout, structure),
                    )

    def outside(self, reading: Characters, new: Text) -> Flags | None:
        """Tell which are characters of no number of their country."""
        _, structure = reading.layout
        exists: Flags | None = structure.exists(new)
        return None if exists is None else ~exists

    def write(self, reading: Characters, new: Text) -> Text:
        """Write numbers with the separators that they had."""
        layout, structure = reading.layout
        text: Text = layout.written(structure.completed(reading.context, new))
        return text


class _Structure:
    """The numbers of one country in one layout; matrices hold one a row, without separators.

    Args:
        country: its two letters.
        layout: how they are written.
        folded: the class of each character.
    """

    def __init__(self, country: str, layout: str, folded: str) -> None:
        self._label = f"{country} {layout} ".encode()
        self._rule = _RULES.get(country, _Rule())
        follow = {4 + place for place in self._rule.follow}
        bank = 4 + self._rule.bank
        self.free = np.array([n for n in range(bank, len(folded)) if n not in follow])
        # As a number: the country and the check digits go last, and a letter counts two digits.
        order = [*range(4, len(folded)), *range(4)]
        weights, weight = [0] * len(folded), 1
        for place in reversed(order):
            weights[place] = weight
            weight = weight * (10 if folded[place] == "0" else 100) % 97
        zeros = [ord("0") if character == "0" else ord("A") - 10 for character in folded]
        self._weights = weights
        self._bias = np.uint32(sum(map(mul, zeros, weights)))

    @classmethod
    def of(cls, country: str, layout: str) -> _Structure | None:
        """Return the structure, or None if a country's numbers are not of this layout."""
        folded = "".join(character for character in layout if character in "0A")
        structure = STRUCTURES.get(country)
        if structure is None or not _pattern(structure).fullmatch(folded):
            return None
        return cls(country, layout, folded)

    def valid(self, characters: Octets) -> Flags:
        """Tell which numbers have the check digits that follow from the others."""
        completed = characters.copy()
        self._complete(completed)
        right: Flags = (completed == characters).all(axis=1)
        if self._rule.exists is not None:
            right &= self._rule.exists(characters[:, self.free])
        return right

    def bound(self, characters: Octets) -> RowTweaks:
        """Return what is kept of every number."""
        if not self._rule.bank:
            return RowTweaks([self._label], np.zeros(len(characters), np.intp))
        banks, number = distinct_rows(characters[:, 4 : 4 + self._rule.bank])
        return RowTweaks([self._label + bank for bank in banks], number)

    def exists(self, free: Text) -> Flags | None:
        """Tell which free characters are those of a number; None if all are."""
        if self._rule.exists is None:
            return None
        octets: Octets = free.codes.reshape(-1, len(self.free)).astype(np.uint8, copy=False)
        return self._rule.exists(octets)

    def completed(self, characters: Octets, free: Text) -> Octets:
        """Return numbers with other free characters, and the check digits that follow."""
        new = characters.copy()
        new[:, self.free] = free.codes.reshape(-1, len(self.free))
        self._complete(new)
        return new

    def _complete(self, numbers: Octets) -> None:
        """Set all check digits, in place."""
        if self._rule.complete is not None:
            self._rule.complete(numbers[:, 4:])
        numbers[:, 2:4] = ord("0")
        total = np.zeros(len(numbers), np.uint32)
        for place, weight in enumerate(self._weights):
            total += numbers[:, place] * np.uint32(weight)
        write_decimal(numbers.T[2:4], 98 - (total - self._bias) % np.uint32(97))


@dataclass(frozen=True, slots=True)
class _Rule:
    """What is particular about the numbers of a country.

    Args:
        follow: where the country's own check digits stand, behind those of the IBAN.
        complete: sets them, in place.
        bank: how many leading characters stay.
        exists: tells which free characters are those of a number; None if all are.
    """

    follow: tuple[int, ...] = ()
    complete: Callable[[Octets], None] | None = None
    bank: int = 0
    exists: Callable[[Octets], Flags] | None = None


def _norwegian_sum(digits: Octets) -> NDArray[np.int64]:
    return _weighted(digits, (6, 7, 8, 9, 4, 5, 6, 7, 8, 9)) % 11


def _norwegian_exists(free: Octets) -> Flags:
    """Leave out numbers whose check digit would be ten, and the bank 0000."""
    bank: Flags = (free[:, :4] != ord("0")).any(axis=1)
    return bank & (_norwegian_sum(free) < 10)


def _norwegian(numbers: Octets) -> None:
    numbers[:, 10] = _norwegian_sum(numbers[:, :10]) % 10 + ord("0")


def _spanish(numbers: Octets) -> None:
    powers = [2**power for power in range(10)]
    for place, digits, weights in ((8, numbers[:, :8], powers[2:]), (9, numbers[:, 10:], powers)):
        check = _weighted(digits, weights) % 11
        numbers[:, place] = np.where(check < 2, check, 11 - check) + ord("0")


def _belgian(numbers: Octets) -> None:
    check = _weighted(numbers[:, :10], [10**power for power in reversed(range(10))]) % 97
    write_decimal(numbers.T[10:12], np.where(check == 0, 97, check))


def _montenegrin(numbers: Octets) -> None:
    check = _weighted(numbers[:, :16], [10**power % 97 for power in reversed(range(2, 18))])
    write_decimal(numbers.T[16:18], 98 - check % 97)


_RULES = {
    "BE": _Rule((10, 11), _belgian, bank=3),
    "ES": _Rule((8, 9), _spanish),
    "ME": _Rule((16, 17), _montenegrin),
    "NO": _Rule((10,), _norwegian, exists=_norwegian_exists),
}


def _weighted(digits: Octets, weights: Sequence[int]) -> NDArray[np.int64]:
    total: NDArray[np.int64] = (digits.astype(np.int64) - ord("0")) @ np.array(weights, np.int64)
    return total


@cache
def _pattern(structure: str) -> re.Pattern[str]:
    """Return what folded numbers of a structure look like."""
    parts = re.findall("([0-9]+)([nac])", structure)
    return re.compile("AA00" + "".join(f"{_KINDS[kind]}{{{count}}}" for count, kind in parts))


@cache
def _table() -> Alphabets:
    spans = ((ord("0"), ord("9") + 1), (ord("A"), ord("Z") + 1))
    return Alphabets([np.arange(*span, dtype=np.uint32) for span in spans])

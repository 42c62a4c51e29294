"""The format ``phone``: telephone numbers in international (E.164) and national writing."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
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
from secureml.pseudonymization.parsing.layouts import find_layouts
from secureml.pseudonymization.parsing.pieces import blanked
from secureml.pseudonymization.ranking.permutation import Permutation
from secureml.pseudonymization.tables.character_classes import CODE_POINTS, Codes
from secureml.pseudonymization.tables.phone_table import CallingCode, Numbering, numbering
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.text import Text

__all__ = ["PhoneFormat"]

_PUNCTUATION = " -./()\u00a0\u2010\u2011\u2012\u2013\u2014\u2015\u202f"
_MARKS = re.escape(_PUNCTUATION)
_INTERNATIONAL = re.compile(rf"\+[0{_MARKS}]*")
_NATIONAL = re.compile(rf"[0(][0{_MARKS}]*")
_LONGEST = 20

Digits = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Reading:
    """How the digits of a value are read.

    Args:
        code: the calling code.
        before: how many digits stand before the national number, and are kept.
        prefix: the national prefix, where it is one of them; else empty.
        root: of the national numbers.
        label: what tells this reading from others in the tweak.
    """

    code: CallingCode
    before: int
    prefix: str
    root: int
    label: str


class PhoneFormat(Format):
    """A telephone number becomes another valid one of its country and length.

    The calling code, a national prefix such as the 0 in "+49 (0)30 901820" or "030 901820", and
    the punctuation stay. Which numbers are valid is what the metadata of the library phonenumbers
    said when this version of the format was made; a table of it is frozen in the package.
    Extensions, letters and numbers without "+" where no region is given are invalid.

    Args:
        region: the region of numbers in national writing, such as "US".

    Raises:
        PseudonymizationError: there is no such region.
    """

    name = "phone/1"
    takes = (Text,)

    def __init__(self, *, region: str | None = None) -> None:
        known = numbering().regions
        if region is not None and (not isinstance(region, str) or region not in known):
            near = difflib.get_close_matches(str(region).upper(), known, 1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise PseudonymizationError(f"there is no region {region!r} of phone numbers{hint}")
        self._region = region

    @property
    def options(self) -> Mapping[str, Option]:
        """The region."""
        return {"region": self._region}

    def transform(self, values: Values, permutation: Permutation) -> Transformed:
        """Permute every number among the valid ones of its calling code and length."""
        assert isinstance(values, Text)
        table = numbering()
        codes = values.codes.copy()
        valid = np.zeros(len(values), np.bool_)
        small, domains = [], []
        for layout in find_layouts(values, _fold()):
            places = layout.places("0")
            if not 0 < len(places) <= _LONGEST:
                continue
            digits = layout.take(codes, places) - np.uint8(ord("0"))
            unread = np.ones(len(digits), np.bool_)
            for reading in self._readings(layout.folded, digits, table):
                members = np.flatnonzero(unread)
                members = members[_fits(reading, digits[members], table)]
                if not len(members):
                    continue
                unread[members] = False
                part = layout.at(members)
                numbers = digits[members]
                size = table.size(reading.root)
                if size < permutation.minimum:
                    small.append(TooSmall(part.rows, size))
                    numbers[:, reading.before :] = 0
                else:
                    domains.append(size)
                    label = f"{self.name} {reading.label} {layout.folded}".encode()
                    _permute(reading, label, numbers, permutation.at(part.rows), table)
                part.put(codes, places, numbers + np.uint8(ord("0")))
                valid[part.rows] = True
        invalid = np.flatnonzero(~valid & (values.lengths > 0))
        text = blanked(Text(codes, values.offsets), invalid)
        return Transformed(text, join_small(small), invalid, min(domains, default=0))

    def _readings(self, folded: str, digits: Digits, table: Numbering) -> list[_Reading]:
        """Return how values of one layout may be read; no value can be in two ways."""
        if _INTERNATIONAL.fullmatch(folded):
            heads = np.zeros(len(digits), np.intp)
            for column in digits[:, :3].T:
                heads = 10 * heads + column
            used = np.flatnonzero(np.bincount(heads)).tolist()
            width = min(digits.shape[1], 3)
            codes = {table.code_of(f"{head:0{width}d}"): None for head in used}
            found = [table.codes[code] for code in codes if code]
            return [reading for code in found for reading in _international(code, digits.shape[1])]
        if self._region is None or not _NATIONAL.fullmatch(folded):
            return []
        return _national(self._region, table, digits.shape[1])


def _international(code: CallingCode, count: int) -> list[_Reading]:
    """Return how so many digits behind a "+" may be read."""
    before = len(code.digits)
    prefixes = [("", code.roots.keys()), (code.prefix, code.prefixed)]
    return _readings(code, "+", count, before, prefixes)


def _national(region: str, table: Numbering, count: int) -> list[_Reading]:
    """Return how so many digits in national writing may be read."""
    written = table.regions[region]
    prefixes = [("", written.bare), (written.prefix, written.prefixed)]
    return _readings(table.codes[written.code], region, count, 0, prefixes)


def _readings(
    code: CallingCode,
    label: str,
    count: int,
    before: int,
    prefixes: Sequence[tuple[str, Collection[int]]],
) -> list[_Reading]:
    readings: list[_Reading] = []
    for prefix, lengths in prefixes:
        length = count - before - len(prefix)
        if length in lengths:
            tag = f"{label} {code.digits} {prefix or '-'}"
            root = code.roots[length]
            readings.append(_Reading(code, before + len(prefix), prefix, root, tag))
    return readings


def _fits(reading: _Reading, digits: Digits, table: Numbering) -> NDArray[np.bool_]:
    """Tell which values can be read so."""
    fits = table.accepts(reading.root, digits[:, reading.before :])
    start = reading.before - len(reading.prefix)
    if start:
        fits &= (digits[:, :start] == _numerals(reading.code.digits)).all(axis=1)
    if reading.prefix:
        fits &= (digits[:, start : reading.before] == _numerals(reading.prefix)).all(axis=1)
    return fits


def _permute(
    reading: _Reading, label: bytes, numbers: Digits, permutation: Permutation, table: Numbering
) -> None:
    """Replace the national numbers of values of one reading, in place."""
    length = numbers.shape[1] - reading.before
    size = table.size(reading.root)
    ranks = table.rank(reading.root, numbers[:, reading.before :])
    ranks = permutation.permute([size], [label], 0, ranks)
    numbers[:, reading.before :] = table.unrank(reading.root, ranks, length)


def _numerals(digits: str) -> Digits:
    return np.array(list(map(int, digits)), np.uint8)


@cache
def _fold() -> Codes:
    """Fold digits to 0, and what can't be in a telephone number to !."""
    folded = np.full(CODE_POINTS, ord("!"), np.uint32)
    folded[ord("0") : ord("9") + 1] = ord("0")
    for character in "+" + _PUNCTUATION:
        folded[ord(character)] = ord(character)
    return folded

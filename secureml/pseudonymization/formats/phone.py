"""The format ``phone``: telephone numbers in international (E.164) and national writing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import Format, Ranks
from secureml.pseudonymization.parsing.layouts import find_layouts, folding
from secureml.pseudonymization.ranking.mixed_radix import Words
from secureml.pseudonymization.tables.phone_table import CallingCode, Numbering, numbering
from secureml.pseudonymization.values.text import Text
from secureml.settings.environments import did_you_mean

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
    Extensions, letters and numbers without "+" if no region is given are invalid.

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
            hint = did_you_mean(str(region).upper(), known, 0.5)
            raise PseudonymizationError(f"there is no region {region!r} of phone numbers{hint}")
        self.options = {"region": region}
        self._region = region

    def read(self, values: Text, *, decrypt: bool) -> Iterator[Ranks]:
        """Rank numbers among the valid ones of their calling code and length."""
        table = numbering()
        for layout in find_layouts(values, folding("+" + _PUNCTUATION), marks="0"):
            if len(layout.places) > _LONGEST:
                continue
            digits = layout.characters - np.uint8(ord("0"))
            unread = np.ones(len(digits), np.bool_)
            for way in self._readings(layout.folded, digits, table):
                members = np.flatnonzero(unread)
                members = members[_fits(way, digits[members], table)]
                unread[members] = False
                numbers = digits[members]
                yield Ranks(
                    rows=layout.rows[members],
                    ranks=table.rank(way.root, numbers[:, way.before :]),
                    group=np.zeros(len(members), np.intp),
                    sizes=[table.size(way.root)],
                    tweaks=[f"{self.name} {way.label} {layout.folded}".encode()],
                    context=numbers,
                    layout=(layout, way),
                )

    def write(self, reading: Ranks, new: Words) -> Text:
        """Write numbers behind what stood before them, with the same punctuation."""
        layout, way = reading.layout
        digits = reading.context.copy()
        length = digits.shape[1] - way.before
        digits[:, way.before :] = numbering().unrank(way.root, new, length)
        text: Text = layout.written(digits + np.uint8(ord("0")))
        return text

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


def _numerals(digits: str) -> Digits:
    return np.array(list(map(int, digits)), np.uint8)

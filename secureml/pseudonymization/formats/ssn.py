"""The format ``ssn``: social security numbers of the United States.

Never area 000, 666 or 900 to 999, group 00 or serial 0000: the Social Security Administration
does not assign these. That leaves 898 * 99 * 9,999 numbers, which are ranked one by one; the few
among them that were withdrawn after they had appeared in advertisements are like any other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from secureml.pseudonymization.formats.base import Format, Ranks
from secureml.pseudonymization.parsing.fixed_width import (
    are_digits,
    fixed_width_rows,
    read_decimal,
    write_decimal,
)
from secureml.pseudonymization.ranking.mixed_radix import Words
from secureml.pseudonymization.values.text import Text

__all__ = ["SsnFormat"]

_GROUPS, _SERIALS = 99, 9999
_SIZE = 898 * _GROUPS * _SERIALS
_SEPARATORS = ("", "-", " ")
_PLACES = {9: (slice(0, 3), slice(3, 5), slice(5, 9)), 11: (slice(0, 3), slice(4, 6), slice(7, 11))}
"""By the length of a text, where its area, group and serial are."""
_SEPARATOR_OF = np.zeros(256, np.intp)
_SEPARATOR_OF[[ord("-"), ord(" ")]] = 1, 2
"""By a character, the number of the separator that it is; 0 for none."""


class SsnFormat(Format):
    """A social security number, written 123-45-6789, 123 45 6789 or 123456789, becomes another.

    The writing is kept. Anything else is invalid.
    """

    name = "ssn/1"
    takes = (Text,)

    def read(self, values: Text, *, decrypt: bool) -> Iterator[Ranks]:
        """Rank numbers among those that could be assigned; each separator is a domain."""
        tweaks = [f"{self.name} {separator}".encode() for separator in _SEPARATORS]
        for found in fixed_width_rows(values, _PLACES):
            columns, places = np.ascontiguousarray(found.octets.T), _PLACES[found.width]
            area, group, serial = (read_decimal(columns[place]) for place in places)
            valid = (area > 0) & (area != 666) & (area < 900) & (group > 0) & (serial > 0)
            for place in places:
                valid &= are_digits(columns[place])
            separator = np.zeros(len(found.rows), np.intp)
            if found.width == 11:
                separator = _SEPARATOR_OF.take(columns[3])
                valid &= (separator > 0) & (columns[3] == columns[6])
            ranks = (area - np.uint16(1) - (area > 666)).astype(np.uint32) * np.uint32(_GROUPS)
            ranks = (ranks + group - np.uint32(1)) * np.uint32(_SERIALS) + serial - np.uint32(1)
            reading = Ranks(
                rows=found.rows,
                ranks=ranks.astype(np.uint64),
                group=separator,
                sizes=[_SIZE] * len(tweaks),
                tweaks=tweaks,
                layout=found.width,
            )
            yield reading if valid.all() else reading.at(valid)

    def write(self, reading: Ranks, new: Words) -> Text:
        """Write numbers with the separators that they had."""
        octets = np.empty((len(new), reading.layout), np.uint8)
        rank = new.astype(np.uint32)
        block = rank // np.uint32(_SERIALS)
        area = block // np.uint32(_GROUPS)
        group = block - area * np.uint32(_GROUPS) + np.uint32(1)
        serial = rank - block * np.uint32(_SERIALS) + np.uint32(1)
        area += np.uint32(1) + (area >= 665)
        for place, number in zip(_PLACES[reading.layout], (area, group, serial), strict=True):
            write_decimal(octets.T[place], number)
        if reading.layout == 11:
            separators = np.array([0, ord("-"), ord(" ")], np.uint8)
            octets[:, 3] = octets[:, 6] = separators.take(reading.group)
        return Text.of_grid(octets)

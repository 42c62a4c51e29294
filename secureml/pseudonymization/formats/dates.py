"""The formats ``date`` and ``datetime``: a moment becomes another of a declared range.

How it is written is kept, with the offset from UTC. The offset is bound into the tweak, the rest
of the writing is not: a date has the same pseudonym in all columns of a domain, whatever their
order of day and month, and whether they are text.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import ClassVar

import numpy as np

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import Flags, Format, Ranks
from secureml.pseudonymization.parsing.fixed_width import Octets, fixed_width_rows
from secureml.pseudonymization.parsing.iso8601 import (
    DAY,
    Resolution,
    Seconds,
    TimestampLayout,
    iso_layouts,
    written_layout,
)
from secureml.pseudonymization.parsing.layouts import distinct_rows
from secureml.pseudonymization.ranking.mixed_radix import Words
from secureml.pseudonymization.ranking.permutation import CHUNK
from secureml.pseudonymization.values.text import Text
from secureml.pseudonymization.values.timestamps import UNITS, Days, Moments

__all__ = ["DateFormat", "DateTimeFormat"]

_RESOLUTIONS = {
    "day": Resolution(DAY),
    "minute": Resolution(60),
    "second": Resolution(1),
    "millisecond": Resolution(1, 3),
    "microsecond": Resolution(1, 6),
    "nanosecond": Resolution(1, 9),
}

_COUNTED = 1 << 22
_LOOKED_AT = 1 << 24

_PIVOT = datetime(1969, 1, 1, tzinfo=UTC), datetime(2068, 12, 31, 23, 59, 59, tzinfo=UTC)
"""What strptime reads two digits of a year as."""


class _MomentFormat(Format):
    """A moment becomes another of a range.

    Args:
        start: the first moment.
        end: the last one.
        written: the layouts of text; None for ISO 8601.

    Attributes:
        timed: whether a moment has a time of day.
        refusal: what is wrong with a layout if it has one and should not, or the other way round.
    """

    timed: ClassVar[bool]
    refusal: ClassVar[str]

    def __init__(self, start: datetime, end: datetime, written: str | list[str] | None) -> None:
        if start >= end:
            raise PseudonymizationError("start must be before end")
        self._start, self._end = int(start.timestamp()), int(end.timestamp())
        self._written = [written] if isinstance(written, str) else written
        if self._written is None:
            self._layouts = {
                width: [one for one in layouts if self._takes(one)]
                for width, layouts in iso_layouts().items()
            }
            return
        some = isinstance(self._written, list) and self._written
        if not some or any(type(one) is not str for one in self._written):
            raise PseudonymizationError("written must be a pattern, or a list of patterns")
        self._layouts = {}
        for layout in map(written_layout, self._written):
            if not self._takes(layout):
                raise PseudonymizationError(f"written: {self.refusal}")
            if "y" in layout.fields and not (_PIVOT[0] <= start and end <= _PIVOT[1]):
                raise PseudonymizationError(
                    "%y has two digits of the year: start must not be before 1969-01-01, and end"
                    " not after 2068-12-31"
                )
            self._layouts.setdefault(layout.width, []).append(layout)

    @abstractmethod
    def _tweak(self, resolution: Resolution, offset: bytes) -> bytes:
        """Return the tweak of moments."""

    @abstractmethod
    def _column_resolution(self, moments: Moments) -> Resolution:
        """Return the resolution that a column of moments is to have."""

    def read(self, values: Moments | Text, *, decrypt: bool) -> Iterator[Ranks]:
        """Rank moments among those of the range; each offset from UTC is a domain."""
        if not isinstance(values, Text):
            yield self._read_column(values)
            return
        for found in fixed_width_rows(values, self._layouts):
            left = np.arange(len(found.rows))
            layouts = self._layouts[found.width]
            for number, layout in enumerate(layouts):
                octets = found.octets[left]
                fits, seconds, fraction = self._read(layout, octets)
                some, left = left[fits], left[~fits]
                if not len(some):
                    continue
                offset, offsets = np.zeros(len(some), np.intp), [b""]
                if layout.offset is not None:
                    offsets, offset = distinct_rows(octets[fits, layout.offset :])
                    offsets = [b"Z" if one == b"+00:00" else one for one in offsets]
                yield Ranks(
                    rows=found.rows[some],
                    ranks=self._ranks(seconds[fits], fraction[fits], layout.resolution),
                    group=offset,
                    sizes=[self._size(layout.resolution)] * len(offsets),
                    tweaks=[self._tweak(layout.resolution, one) for one in offsets],
                    context=octets[fits],
                    layout=(layout.resolution, layouts[: number + 1]),
                )

    def _read_column(self, moments: Moments) -> Ranks:
        resolution, ticks = self._column_resolution(moments), moments.per_second
        if moments.unit == "D":
            seconds, fraction = moments.ticks * DAY, np.zeros(len(moments), np.int64)
        elif (
            self._start * ticks < moments.limits.lowest
            or (self._end + 1) * ticks > moments.limits.highest
        ):
            raise PseudonymizationError("its dtype does not hold the whole range of its format")
        else:
            seconds, fraction = np.divmod(moments.ticks, ticks)
        finer = ticks // 10**resolution.digits
        rows = np.flatnonzero(self._inside(seconds, resolution) & (fraction % finer == 0))
        return Ranks(
            rows=rows,
            ranks=self._ranks(seconds[rows], (fraction[rows] // finer).view(np.uint64), resolution),
            group=np.zeros(len(rows), np.intp),
            sizes=[self._size(resolution)],
            tweaks=[self._tweak(resolution, b"Z" if moments.zoned else b"")],
            layout=(resolution, moments),
        )

    def members(self, reading: Ranks, minimum: int) -> Sequence[int]:
        """Count the moments whose text of the last layout is of none before."""
        _, written = reading.layout
        if isinstance(written, Moments) or len(written) < 2 or reading.sizes[0] < minimum:
            return reading.sizes
        key = json.dumps(dict(self.options), sort_keys=True)
        own = _count(type(self), key, written[-1].width, len(written), minimum)
        return [own] * len(reading.sizes)

    def outside(self, reading: Ranks, new: Words) -> Flags | None:
        """Tell which texts are of a layout before theirs, which would read them first."""
        _, written = reading.layout
        if isinstance(written, Moments) or len(written) < 2 or self._written is None:
            return None
        return self._astray(self._write(reading, new), written[:-1])

    def write(self, reading: Ranks, new: Words) -> Moments | Text:
        """Write moments, with the offsets that they had."""
        resolution, written = reading.layout
        if not isinstance(written, Moments):
            return Text.of_grid(self._write(reading, new))
        seconds, fraction = self._moments(new, resolution)
        if written.unit == "D":
            ticks = seconds // DAY
        else:
            finer = written.per_second // 10**resolution.digits
            ticks = seconds * written.per_second + fraction.view(np.int64) * finer
        return type(written).of(ticks, written.limits, written.unit, zoned=written.zoned)

    def _write(self, reading: Ranks, new: Words) -> Octets:
        resolution, layouts = reading.layout
        octets: Octets = layouts[-1].write(reading.context, *self._moments(new, resolution))
        return octets

    def _takes(self, layout: TimestampLayout) -> bool:
        return (layout.resolution.step < DAY) == self.timed

    def _read(self, layout: TimestampLayout, octets: Octets) -> tuple[Flags, Seconds, Words]:
        """Tell which texts are of a layout and inside the range, and read them."""
        fits, seconds, fraction = layout.read(octets)
        return fits & self._inside(seconds, layout.resolution), seconds, fraction

    def _astray(self, octets: Octets, layouts: Sequence[TimestampLayout]) -> Flags:
        """Tell which texts are of one of some layouts."""
        astray = np.zeros(len(octets), np.bool_)
        for layout in layouts:
            astray |= self._read(layout, octets)[0]
        return astray

    def own_members(self, layouts: Sequence[TimestampLayout], minimum: int) -> int:
        """Count the moments whose text of the last layout is of none before.

        Args:
            layouts: all of one length.
            minimum: what is to be known is whether there are as many.

        Returns:
            The number. If the range has more than four million moments, only as many of them are
            looked at as it takes to find the minimum, and 16 million at most.
        """
        layout, found = layouts[-1], 0
        size = self._size(layout.resolution)
        line = np.zeros(layout.width, np.uint8)
        for place, characters in layout.literals.items():
            line[place] = ord(characters[0])
        every = max(size // CHUNK, 1)
        for start in range(min(every, _LOOKED_AT // CHUNK)):
            numbers = np.arange(-(-(size - start) // every), dtype=np.uint64)
            ranks = numbers * np.uint64(every) + np.uint64(start)
            octets = np.tile(line, (len(ranks), 1))
            octets = layout.write(octets, *self._moments(ranks, layout.resolution))
            found += len(ranks) - int(self._astray(octets, layouts[:-1]).sum())
            if found >= minimum and size > _COUNTED:
                break
        return max(found, 1)

    def _ranks(self, seconds: Seconds, fraction: Words, resolution: Resolution) -> Words:
        """Return the ranks of moments that are inside the range."""
        first, _ = self._steps(resolution)
        steps = (seconds // resolution.step - first).view(np.uint64)
        return steps * np.uint64(10**resolution.digits) + fraction

    def _moments(self, ranks: Words, resolution: Resolution) -> tuple[Seconds, Words]:
        """Return the seconds since 1970, and the digits after their point, of ranks."""
        first, _ = self._steps(resolution)
        steps, fraction = np.divmod(ranks, np.uint64(10**resolution.digits))
        return (steps.view(np.int64) + first) * resolution.step, fraction

    def _inside(self, seconds: Seconds, resolution: Resolution) -> Flags:
        first, last = self._steps(resolution)
        steps = seconds // resolution.step
        whole = seconds == steps * resolution.step
        return np.asarray((steps >= first) & (steps <= last) & whole)

    def _steps(self, resolution: Resolution) -> tuple[int, int]:
        """Return the first and the last step of the range."""
        return -(-self._start // resolution.step), self._end // resolution.step

    def _size(self, resolution: Resolution) -> int:
        first, last = self._steps(resolution)
        size: int = (last - first + 1) * 10**resolution.digits
        if size > 1 << 64:
            raise PseudonymizationError(
                f"the range has more than 2**64 moments of {resolution.digits} digits after the"
                " second: choose start and end closer to each other"
            )
        return size


class DateFormat(_MomentFormat):
    """A date becomes another of a range.

    Text is written as ISO 8601 has it, 2026-03-01, or as declared. Columns of dates and times
    hold midnights. The default range has 73,049 days, and no range of fewer than 2,739 years has
    1,000,000: so a policy for small domains is needed, such as small_domain="permute".

    Args:
        start: the first date, as ISO 8601 writes it.
        end: the last one.
        written: how text is written: a pattern of strptime's %Y or %y, %m and %d, or a list of
            patterns, of which the first that fits counts.

    Raises:
        PseudonymizationError: they are none, or in the wrong order.
    """

    name = "date/1"
    takes = (Text, Moments, Days)
    timed = False
    refusal = "a date has no time; choose the format 'datetime'"

    def __init__(
        self,
        *,
        start: str = "1900-01-01",
        end: str = "2099-12-31",
        written: str | list[str] | None = None,
    ) -> None:
        first, last = _date("start", start), _date("end", end)
        self._range = first.isoformat(), last.isoformat()
        super().__init__(_midnight(first), _midnight(last), written)
        self.options = {"start": self._range[0], "end": self._range[1], "written": self._written}

    def _tweak(self, resolution: Resolution, offset: bytes) -> bytes:
        return " ".join([self.name, *self._range]).encode()

    def _column_resolution(self, moments: Moments) -> Resolution:
        if moments.zoned:
            raise PseudonymizationError(
                "a date has no time zone: convert the column, or choose the format 'datetime'"
            )
        return _RESOLUTIONS["day"]


class DateTimeFormat(_MomentFormat):
    """A date and time becomes another of a range.

    Text is written as ISO 8601 has it, or as declared: 2026-03-01T12:30:45, with a space in place
    of the T, without seconds or with up to nine digits after them, and with an offset from UTC
    (+01:00 or Z) or without. All of the time is permuted; the offset is kept.

    Args:
        start: the first moment, as ISO 8601 writes it; of a date, its first second.
        end: the last one; of a date, its last second.
        resolution: of columns of moments: "minute", "second", "millisecond", "microsecond" or
            "nanosecond". A moment between two steps is not of the format.
        written: how text is written: a pattern of strptime's %Y or %y, %m, %d, %H, %M, %S and %f,
            or a list of patterns, of which the first that fits counts.

    Raises:
        PseudonymizationError: they are none, or in the wrong order.
    """

    name = "datetime/1"
    takes = (Text, Moments)
    timed = True
    refusal = "there is no time; choose the format 'date'"

    def __init__(
        self,
        *,
        start: str = "1900-01-01",
        end: str = "2099-12-31",
        resolution: str = "second",
        written: str | list[str] | None = None,
    ) -> None:
        first, last = _moment("start", start, time.min), _moment("end", end, time(23, 59, 59))
        self._range = tuple(one.replace(tzinfo=None).isoformat() for one in (first, last))
        if not isinstance(resolution, str) or resolution not in _RESOLUTIONS or resolution == "day":
            known = ", ".join(repr(one) for one in _RESOLUTIONS if one != "day")
            raise PseudonymizationError(f"resolution={resolution!r} must be one of {known}")
        self._resolution = resolution
        super().__init__(first, last, written)
        self.options = {
            "start": self._range[0],
            "end": self._range[1],
            "resolution": resolution,
            "written": self._written,
        }

    def _tweak(self, resolution: Resolution, offset: bytes) -> bytes:
        step = f"{resolution.step}s/10^{resolution.digits}"
        return " ".join([self.name, *self._range, step, ""]).encode() + offset

    def _column_resolution(self, moments: Moments) -> Resolution:
        resolution = _RESOLUTIONS[self._resolution]
        if resolution.digits > UNITS[moments.unit]:
            raise PseudonymizationError(f"its dtype does not hold every {self._resolution}")
        return resolution


def _date(option: str, text: object) -> date:
    found = None
    try:
        found = date.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        found = None
    if found is None:
        raise PseudonymizationError(f"{option}={text!r} must be a date such as '2026-03-01'")
    return found


def _moment(option: str, text: object, clock: time) -> datetime:
    """Read an option; the time of day is for a date alone."""
    found = None
    try:
        if isinstance(text, str):
            found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is not None or found.microsecond:
        raise PseudonymizationError(
            f"{option}={text!r} must be a date or a moment such as '2026-03-01T12:30:45'"
        )
    if isinstance(text, str) and len(text) <= len("2026-03-01"):
        found = datetime.combine(found.date(), clock)
    return found.replace(tzinfo=UTC)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


@lru_cache(1 << 6)
def _count(kind: type[_MomentFormat], options: str, width: int, layouts: int, minimum: int) -> int:
    """Return ``own_members`` of a format that is made of its options, given as JSON."""
    form = kind(**json.loads(options))
    return form.own_members(form._layouts[width][:layouts], minimum)

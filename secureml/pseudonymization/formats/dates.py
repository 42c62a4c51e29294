"""The formats ``date`` and ``datetime``: a moment becomes another of a declared range.

How it is written is kept, with the offset from UTC. The offset is bound into the tweak, the rest
of the writing is not: a date has the same pseudonym in all columns of a domain, whatever their
order of day and month, and whether they are text.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.temporal import MomentFormat
from secureml.pseudonymization.parsing.iso8601 import DAY, Resolution
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


class DateFormat(MomentFormat):
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
        start, end = self._range
        self.options = {"start": start, "end": end, "written": self._written}
        if any(layout.resolution.step != DAY for layout in self._layouts):
            raise PseudonymizationError("written: a date has no time; choose the format 'datetime'")

    def _takes_resolution(self, resolution: Resolution) -> bool:
        return resolution.step == DAY

    def _tweak(self, resolution: Resolution, offset: bytes) -> bytes:
        return " ".join([self.name, *self._range]).encode()

    def _column_resolution(self, moments: Moments) -> Resolution:
        if moments.zoned:
            raise PseudonymizationError(
                "a date has no time zone: convert the column, or choose the format 'datetime'"
            )
        return _RESOLUTIONS["day"]


class DateTimeFormat(MomentFormat):
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
        start, end = self._range
        self.options = {
            "start": start,
            "end": end,
            "resolution": resolution,
            "written": self._written,
        }
        if any(layout.resolution.step == DAY for layout in self._layouts):
            raise PseudonymizationError("written: there is no time; choose the format 'date'")

    def _takes_resolution(self, resolution: Resolution) -> bool:
        return resolution.step < DAY

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

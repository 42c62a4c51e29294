"""Dates and times in text whose digits have fixed places, read and written for whole columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.parsing.fixed_width import (
    Octets,
    are_digits,
    fixed_width_rows,
    read_decimal,
    write_decimal,
)
from secureml.pseudonymization.ranking.mixed_radix import Words
from secureml.pseudonymization.values.text import Text
from secureml.pseudonymization.values.timestamps import UNITS, Moments

__all__ = [
    "DAY",
    "Resolution",
    "Seconds",
    "TimestampLayout",
    "iso_layouts",
    "parse_moments",
    "written_layout",
]

DAY = 86_400
Seconds = NDArray[np.int64]

_WIDTHS = {"Y": 4, "y": 2, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2, "f": 6}
_OFFSET = "+00:00"


@dataclass(frozen=True, slots=True)
class Resolution:
    """How finely moments are told apart.

    Args:
        step: seconds: 86,400, 60 or 1.
        digits: of a second, after the point; 0 unless the step is 1.
    """

    step: int
    digits: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class TimestampLayout:
    """Where the digits of a moment are in texts of one length.

    Args:
        width: the length of the text.
        fields: for each letter of strptime's, where its digits begin.
        literals: what stands at the other places; any one of several characters.
        resolution: of the moments.
        offset: where the offset from UTC begins; None if there is none.
    """

    width: int
    fields: Mapping[str, int]
    literals: Mapping[int, str]
    resolution: Resolution
    offset: int | None = None

    def read(self, grid: Octets) -> tuple[NDArray[np.bool_], Seconds, Words]:
        """Read moments.

        Args:
            grid: the text, shape (rows, width).

        Returns:
            Which rows are of this layout; their seconds since 1970, as their clock shows them;
            and the digits after the point of the seconds as a number.
        """
        columns = np.ascontiguousarray(grid.T)
        fits = np.ones(len(grid), np.bool_)
        for place, allowed in self.literals.items():
            found_here = np.zeros(len(grid), np.bool_)
            for character in allowed:
                found_here |= columns[place] == ord(character)
            fits &= found_here
        found: dict[str, Seconds] = {}
        for letter, place in self.fields.items():
            width = self.resolution.digits if letter == "f" else _WIDTHS[letter]
            found[letter] = _number(columns[place : place + width], fits)
        if "y" in found:
            found["Y"] = np.where(found["y"] < 69, 2000, 1900) + found["y"]
        year, month, day = found["Y"], found["m"], found["d"]
        fits &= (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
        months = np.where(fits, (year - 1970) * 12 + month - 1, 0)
        fits &= day <= _start(months + 1) - _start(months)
        seconds = (_start(months) + day - 1) * DAY
        for letter, limit, size in (("H", 24, 3600), ("M", 60, 60), ("S", 60, 1)):
            if letter in found:
                fits &= found[letter] < limit
                seconds += found[letter] * size
        if self.offset is not None and self.width - self.offset == len(_OFFSET):
            fits &= _number(columns[self.offset + 1 : self.offset + 3], fits) < 24
            fits &= _number(columns[self.offset + 4 : self.offset + 6], fits) < 60
        fraction = found.get("f", np.zeros(len(grid), np.int64))
        return fits, seconds, fraction.view(np.uint64)

    def write(self, grid: Octets, seconds: Seconds, fraction: Words) -> Octets:
        """Return a copy of text of this layout with other moments.

        Args:
            grid: the text, shape (rows, width).
            seconds: as ``read`` gives them.
            fraction: likewise.
        """
        columns = grid.T.copy(order="C")
        days = seconds // DAY
        clock = seconds - days * DAY
        months = days.view("M8[D]").astype("M8[M]").view(np.int64)
        year = months // 12 + 1970
        values = {
            "Y": year,
            "y": year % 100,
            "m": months % 12 + 1,
            "d": days - _start(months) + 1,
            "H": clock // 3600,
            "M": clock // 60 % 60,
            "S": clock % 60,
            "f": fraction,
        }
        for letter, place in self.fields.items():
            width = self.resolution.digits if letter == "f" else _WIDTHS[letter]
            write_decimal(columns[place : place + width], values[letter])
        return np.ascontiguousarray(columns.T)


def written_layout(pattern: str) -> TimestampLayout:
    """Return the layout that strptime's directives describe.

    Args:
        pattern: of %Y or %y, %m, %d, and perhaps %H, %M, %S and %f, each once, and other ASCII
            characters between them.

    Raises:
        PseudonymizationError: it holds anything else.
    """
    fields: dict[str, int] = {}
    literals: dict[int, str] = {}
    width = 0
    for part in re.findall(r"%.?|[^%]", pattern, re.DOTALL):
        letter = part[1:]
        if letter in _WIDTHS:
            if letter in fields:
                _refuse(pattern, f"%{letter} occurs twice")
            fields[letter] = width
            width += _WIDTHS[letter]
            continue
        if part != "%%" and (len(part) > 1 or part == "%" or not part.isascii() or part == "\0"):
            _refuse(pattern, f"{part!r} is not supported")
        literals[width] = part[-1]
        width += 1
    for needed, beside in (("m", ""), ("d", ""), ("H", "M"), ("M", "S"), ("S", "f")):
        if needed not in fields and (not beside or beside in fields):
            _refuse(pattern, f"%{needed} is missing")
    if ("Y" in fields) == ("y" in fields):
        _refuse(pattern, "one of %Y and %y is needed")
    if "H" in fields and "M" not in fields:
        _refuse(pattern, "%M is missing")
    return TimestampLayout(width, fields, literals, _resolution(fields, _WIDTHS["f"]))


@cache
def iso_layouts() -> Mapping[int, Sequence[TimestampLayout]]:
    """Return the layouts of ISO 8601 texts by their length; no text is of two of them.

    These are dates, and dates and times to the minute, the second, or up to nine digits after
    it, with a T or a space between date and time, and with an offset, a Z or neither behind.
    """
    found: dict[int, list[TimestampLayout]] = {}
    for times in range(-2, 10):
        pattern = "%Y-%m-%d"
        if times >= -1:
            pattern += "T%H:%M"
        if times >= 0:
            pattern += ":%S"
        if times > 0:
            pattern += ".%f"
        layout = written_layout(pattern)
        length = layout.width - (6 - times if times > 0 else 0)
        resolution = _resolution(layout.fields, max(times, 0))
        literals = {**layout.literals, 10: "T "} if times >= -1 else layout.literals
        for offset in ("", "Z", _OFFSET) if times >= -1 else ("",):
            behind = {"Z": {0: "Z"}, _OFFSET: {0: "+-", 3: ":"}}.get(offset, {})
            every = {**literals, **{length + place: one for place, one in behind.items()}}
            width, start = length + len(offset), length if offset else None
            found.setdefault(width, []).append(
                TimestampLayout(width, layout.fields, every, resolution, start)
            )
    return found


def parse_moments(like: Moments, strings: Sequence[str]) -> Moments:
    """Read ISO 8601 texts as moments of a column.

    Args:
        like: any of the column.
        strings: with offsets if and only if the column has a time zone.

    Raises:
        PseudonymizationError: a string is none, or finer than the column.
    """
    text = Text.of(strings)
    ticks, known = np.zeros(len(text), np.int64), np.zeros(len(text), np.bool_)
    digits = UNITS.get(like.unit, 0)
    size = DAY if like.unit == "D" else 1
    limit = (1 << 63) // 10**digits - 1
    for found in fixed_width_rows(text, iso_layouts()):
        rows = found.rows
        for layout in iso_layouts()[found.width]:
            fits, seconds, fraction = layout.read(found.octets)
            seconds -= _offsets(found.octets, layout)
            missing = digits - layout.resolution.digits
            fits &= (layout.offset is not None) == like.zoned
            if missing < 0:
                whole = np.uint64(10**-missing)
                fits &= fraction % whole == 0
                fraction //= whole
            else:
                fraction *= np.uint64(10**missing)
            fits &= (seconds % size == 0) & (np.abs(seconds) <= limit)
            seconds = np.where(fits, seconds // size, 0)
            ticks[rows[fits]] = (seconds * 10**digits + fraction.view(np.int64))[fits]
            known[rows[fits]] = True
    unknown = int((~known).sum())
    if unknown:
        raise PseudonymizationError(f"{unknown} values are not moments of its dtype")
    return type(like).of(ticks, like.limits, like.unit, zoned=like.zoned)


def _offsets(grid: Octets, layout: TimestampLayout) -> Seconds:
    if layout.offset is None or layout.width - layout.offset != len(_OFFSET):
        return np.zeros(len(grid), np.int64)
    fits = np.ones(len(grid), np.bool_)
    columns = np.ascontiguousarray(grid.T)
    hours = _number(columns[layout.offset + 1 : layout.offset + 3], fits)
    minutes = _number(columns[layout.offset + 4 : layout.offset + 6], fits)
    sign = np.where(grid[:, layout.offset] == ord("-"), -1, 1)
    seconds: Seconds = sign * (hours * 3600 + minutes * 60)
    return seconds


def _number(columns: Octets, fits: NDArray[np.bool_]) -> Seconds:
    """Read digits as a number, and take away from ``fits`` the rows that have others there."""
    fits &= are_digits(columns)
    return read_decimal(columns).astype(np.int64)


def _start(months: Seconds) -> Seconds:
    """Return the day since 1970 on which each month since 1970 begins."""
    return months.view("M8[M]").astype("M8[D]").view(np.int64)


def _resolution(fields: Mapping[str, int], digits: int) -> Resolution:
    if "S" in fields:
        return Resolution(1, digits if "f" in fields else 0)
    return Resolution(60 if "M" in fields else DAY)


def _refuse(pattern: str, problem: str) -> None:
    raise PseudonymizationError(
        f"written={pattern!r}: {problem}; there are %Y or %y, %m, %d, %H, %M, %S and %f, each once"
    )

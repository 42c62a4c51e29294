"""What the formats ``date`` and ``datetime`` share: moments of a range, in text and in columns."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import TooSmall, Transformed, WholeFormat
from secureml.pseudonymization.parsing.fixed_width import (
    Octets,
    TextBlock,
    chunks,
    composed,
    narrowed,
    read_grid,
)
from secureml.pseudonymization.parsing.iso8601 import (
    DAY,
    Layout,
    Resolution,
    Seconds,
    iso_layouts,
    written_layout,
)
from secureml.pseudonymization.ranking.mixed_radix import Index, Words
from secureml.pseudonymization.ranking.permutation import CHUNK, Permutation
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.text import Text
from secureml.pseudonymization.values.timestamps import UNITS, Moments

__all__ = ["MomentFormat"]

_LONGEST_WALK = 1 << 20
_COUNTED = 1 << 22
_LOOKED_AT = 1 << 24

_PIVOT = datetime(1969, 1, 1, tzinfo=UTC), datetime(2068, 12, 31, 23, 59, 59, tzinfo=UTC)
"""What strptime reads two digits of a year as."""


class MomentFormat(WholeFormat):
    """A moment becomes another of a range.

    Args:
        start: the first moment.
        end: the last one.
        written: the layouts of text; None for ISO 8601.
    """

    def __init__(self, start: datetime, end: datetime, written: str | Sequence[str] | None) -> None:
        if start >= end:
            raise PseudonymizationError("start must be before end")
        self._start, self._end = int(start.timestamp()), int(end.timestamp())
        if isinstance(written, str):
            written = [written]
        fits = written is None or (
            isinstance(written, list) and written and all(type(one) is str for one in written)
        )
        if not fits:
            raise PseudonymizationError("written must be a pattern, or a list of patterns")
        self._written = None if written is None else list(written)
        self._layouts = [written_layout(one) for one in self._written or ()]
        for layout in self._layouts:
            if "y" in layout.fields and not (_PIVOT[0] <= start and end <= _PIVOT[1]):
                raise PseudonymizationError(
                    "%y has two digits of the year: start must not be before 1969-01-01, and end"
                    " not after 2068-12-31"
                )

    @abstractmethod
    def _takes_resolution(self, resolution: Resolution) -> bool:
        """Tell whether text of some resolution is of the format."""

    @abstractmethod
    def _tweak(self, resolution: Resolution, offset: bytes) -> bytes:
        """Return the tweak of moments."""

    @abstractmethod
    def _column_resolution(self, moments: Moments) -> Resolution:
        """Return the resolution that a column of moments is to have."""

    def transform(self, values: Values, permutation: Permutation) -> Transformed:
        """Permute every moment among those of the range."""
        if isinstance(values, Text):
            return self._transform_text(values, permutation)
        assert isinstance(values, Moments)
        return self._transform_moments(values, permutation)

    def _transform_moments(self, moments: Moments, permutation: Permutation) -> Transformed:
        resolution = self._column_resolution(moments)
        unit = UNITS.get(moments.unit, 0)
        per_second, finer = 10**unit, unit - resolution.digits
        size = self._size(resolution)
        if moments.unit != "D" and (
            self._start * per_second < moments.limits.lowest
            or (self._end + 1) * per_second > moments.limits.highest
        ):
            raise PseudonymizationError("its dtype does not hold the whole range of its format")
        ticks = moments.ticks
        seconds = ticks * DAY if moments.unit == "D" else ticks // per_second
        fraction = np.zeros(len(ticks), np.int64)
        if moments.unit != "D":
            fraction = ticks - seconds * per_second
        inside = self._inside(seconds, resolution) & (fraction % 10**finer == 0)
        if size < permutation.minimum:
            zeros = moments.holding(np.zeros(len(ticks), np.uint64), np.zeros(len(ticks), np.bool_))
            rows = np.flatnonzero(inside)
            small = TooSmall(rows, size) if len(rows) else TooSmall()
            return Transformed(zeros, small, np.flatnonzero(~inside), 0)
        new = np.zeros(len(ticks), np.int64)
        offset = b"Z" if moments.zoned else b""
        for rows in chunks(np.flatnonzero(inside)):
            shortened = (fraction[rows] // 10**finer).view(np.uint64)
            given = seconds[rows], shortened
            made = self._permuted(given, resolution, offset, permutation, rows)
            new[rows] = made[0] // DAY if moments.unit == "D" else made[0] * per_second
            new[rows] += made[1].view(np.int64) * 10**finer
        made_moments = type(moments).of(new, moments.limits, moments.unit, zoned=moments.zoned)
        invalid = np.flatnonzero(~inside)
        return Transformed(made_moments, TooSmall(), invalid, size if inside.any() else 0)

    def _transform_text(self, text: Text, permutation: Permutation) -> Transformed:
        lengths = text.lengths
        valid = lengths == 0
        sheets, small, sizes = [], [], {True: [0], False: [0]}
        for width in np.flatnonzero(np.bincount(np.minimum(lengths, 256))[:256]).tolist():
            layouts = [one for one in self._of_width(width) if self._takes(one)]
            for chunk in chunks(np.flatnonzero(lengths == width)) if layouts else ():
                grid = narrowed(read_grid(text, chunk, width))
                left = np.arange(len(chunk))
                for number, layout in enumerate(layouts):
                    here = grid if len(left) == len(grid) else grid[left]
                    fits, seconds, fraction = self._read(layout, here)
                    some, left = left[fits], left[~fits]
                    if not len(some):
                        continue
                    rows = chunk[some]
                    valid[rows] = True
                    size = self._size(layout.resolution)
                    if number and size >= permutation.minimum and not permutation.decrypt:
                        size = self._own(layouts[: number + 1], permutation.minimum)
                    permuted = size >= permutation.minimum
                    sizes[permuted].append(size)
                    if not permuted:
                        small.append(rows)
                        continue
                    given = seconds[fits], fraction[fits]
                    new = self._once(here[fits], given, layout, permutation, rows)
                    if self._written is not None:
                        self._walk(new, layouts[: number + 1], permutation, rows)
                    sheets.append(TextBlock(rows, new))
        least = {one: min(filter(None, found), default=0) for one, found in sizes.items()}
        small_rows = np.sort(np.concatenate(small)) if small else TooSmall().rows
        return Transformed(
            composed(len(text), sheets),
            TooSmall(small_rows, least[False]),
            np.flatnonzero(~valid),
            least[True],
        )

    def _own(self, layouts: Sequence[Layout], minimum: int) -> int:
        """Count the moments whose text of the last layout is of none before."""
        key = json.dumps(dict(self.options), sort_keys=True)
        return _count(type(self), key, layouts[-1].width, len(layouts), minimum)

    def _of_width(self, width: int) -> Sequence[Layout]:
        if self._written is None:
            return iso_layouts(width)
        return [layout for layout in self._layouts if layout.width == width]

    def _takes(self, layout: Layout) -> bool:
        return self._takes_resolution(layout.resolution)

    def _read(self, layout: Layout, grid: Octets) -> tuple[NDArray[np.bool_], Seconds, Words]:
        """Tell which texts are of a layout and inside the range, and read them."""
        fits, seconds, fraction = layout.read(grid)
        return fits & self._inside(seconds, layout.resolution), seconds, fraction

    def _walk(
        self, grid: Octets, layouts: Sequence[Layout], permutation: Permutation, rows: Index
    ) -> None:
        """Go on until no text of the last layout is of one before, which would read it first."""
        walking = np.flatnonzero(self._astray(grid, layouts))
        for _ in range(_LONGEST_WALK):
            if not len(walking):
                return
            here = grid[walking]
            _, seconds, fraction = layouts[-1].read(here)
            given = seconds, fraction
            grid[walking] = self._once(here, given, layouts[-1], permutation, rows[walking])
            walking = walking[self._astray(grid[walking], layouts)]
        raise PseudonymizationError(
            f"{len(walking)} values have too few pseudonyms of their format for any to be found"
        )

    def _astray(self, grid: Octets, layouts: Sequence[Layout]) -> NDArray[np.bool_]:
        """Tell which texts are of a layout before the last one."""
        astray = np.zeros(len(grid), np.bool_)
        for layout in layouts[:-1]:
            astray |= self._read(layout, grid)[0]
        return astray

    def own_among(self, layouts: Sequence[Layout], ranks: Words) -> int:
        """Count those of some moments whose text of the last layout is of none before.

        Args:
            layouts: all of one length.
            ranks: of the moments in the range.
        """
        layout = layouts[-1]
        first, _ = self._steps(layout.resolution)
        steps = ranks // np.uint64(10**layout.resolution.digits)
        fraction = ranks - steps * np.uint64(10**layout.resolution.digits)
        line = np.zeros(layout.width, np.uint8)
        for place, characters in layout.literals.items():
            line[place] = ord(characters[0])
        seconds = (steps.view(np.int64) + first) * layout.resolution.step
        grid = layout.write(np.tile(line, (len(ranks), 1)), seconds, fraction)
        return len(ranks) - int(self._astray(grid, layouts).sum())

    def _once(
        self,
        grid: Octets,
        moments: tuple[Seconds, Words],
        layout: Layout,
        permutation: Permutation,
        rows: Index,
    ) -> Octets:
        """Replace the moments that were read of texts of a layout."""
        seconds, fraction = moments
        group, offsets = np.zeros(len(grid), np.intp), [b""]
        if layout.offset is not None:
            behind = np.ascontiguousarray(grid[:, layout.offset :])
            found, group = np.unique(behind.view(f"S{behind.shape[1]}")[:, 0], return_inverse=True)
            offsets = [b"Z" if one == b"+00:00" else one for one in found.tolist()]
        for number, offset in enumerate(offsets):
            some = slice(None) if len(offsets) == 1 else np.flatnonzero(group == number)
            given = seconds[some], fraction[some]
            seconds[some], fraction[some] = self._permuted(
                given, layout.resolution, offset, permutation, rows[some]
            )
        return layout.write(grid, seconds, fraction)

    def _permuted(
        self,
        moments: tuple[Seconds, Words],
        resolution: Resolution,
        offset: bytes,
        permutation: Permutation,
        rows: Index,
    ) -> tuple[Seconds, Words]:
        """Permute moments that are inside the range, and whole at the resolution."""
        seconds, fraction = moments
        first, _ = self._steps(resolution)
        scale = np.uint64(10**resolution.digits)
        steps = (seconds // resolution.step - first).view(np.uint64)
        tweak = self._tweak(resolution, offset)
        ranks = steps * scale + fraction
        ranks = permutation.at(rows).permute([self._size(resolution)], [tweak], 0, ranks)
        steps = ranks // scale
        return (steps.view(np.int64) + first) * resolution.step, ranks - steps * scale

    def _inside(self, seconds: Seconds, resolution: Resolution) -> NDArray[np.bool_]:
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


@lru_cache(1 << 6)
def _count(kind: type[MomentFormat], options: str, width: int, layouts: int, minimum: int) -> int:
    """Count the moments whose text of the last of some layouts is of none before.

    Args:
        kind: of the format.
        options: of it, as JSON.
        width: of the layouts.
        layouts: how many of that width.
        minimum: what is to be known is whether there are as many.

    Returns:
        The number. If there are more than four million moments, that of as many as it takes to
        find the minimum, of 16 million at most: then they are too thin on the ground.
    """
    form = kind(**json.loads(options))
    some = [one for one in form._of_width(width) if form._takes(one)][:layouts]
    size = form._size(some[-1].resolution)
    every, found = max(size // CHUNK, 1), 0
    for start in range(min(every, _LOOKED_AT // CHUNK)):
        numbers = np.arange(-(-(size - start) // every), dtype=np.uint64)
        found += form.own_among(some, numbers * np.uint64(every) + np.uint64(start))
        if found >= minimum and size > _COUNTED:
            break
    return max(found, 1)

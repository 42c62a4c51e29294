"""Columns of numbers and of moments: what an Arrow type holds, reading, writing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.frames.type_names import type_of, type_of_dtype
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.parsing.iso8601 import parse_moments
from secureml.pseudonymization.values.buffers import (
    Nulls,
    array_of,
    nulls_of,
    numbers_in,
    numpy_type_of,
)
from secureml.pseudonymization.values.decimals import Decimals, parse_decimals
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers
from secureml.pseudonymization.values.timestamps import Days, Moments

__all__ = [
    "converted",
    "numbers_before",
    "numbers_of",
    "parse_numbers",
    "read_numbers",
    "type_before",
    "write_numbers",
]

_INT32 = Limits(-(1 << 31), (1 << 31) - 1)
_INT64 = Limits(1 - (1 << 63), (1 << 63) - 1)  # the lowest stands for a null in pandas
_NO_WORDS, _NO_FLAGS = np.empty(0, np.uint64), np.empty(0, np.bool_)
_FLOATS = {pa.float32(): (1 << 24, 6), pa.float64(): (1 << 53, 15)}
"""Where a type starts to skip whole numbers, and how many decimal digits it always holds."""


def numbers_of(arrow_type: pa.DataType | None, scale: int | None = None) -> WholeNumbers | None:
    """Return a column of a type without rows, or None for a type of anything else.

    Args:
        arrow_type: the type.
        scale: how many digits after the point floats are to be read with; None for whole numbers.
    """
    types = pa.types
    if arrow_type is None:
        return None
    like: WholeNumbers | None = None
    if arrow_type in _FLOATS:
        first_skipped, digits = _FLOATS[arrow_type]
        whole = _whole(1 - first_skipped, first_skipped - 1)
        like = whole if scale is None else _decimals(digits, scale)
    elif types.is_integer(arrow_type):
        limits = np.iinfo(numpy_type_of(arrow_type))
        like = _whole(int(limits.min), int(limits.max))
    elif types.is_timestamp(arrow_type):
        zoned = arrow_type.tz is not None
        like = Moments(_NO_WORDS, _NO_FLAGS, _INT64, arrow_type.unit, zoned)
    elif types.is_date(arrow_type):
        like = Days(_NO_WORDS, _NO_FLAGS, _INT32, "D", zoned=False)
    elif types.is_decimal(arrow_type):
        like = _decimals(arrow_type.precision, arrow_type.scale)
    return like


def type_before(entry: Entry) -> pa.DataType | None:
    """Return the Arrow type of a column before it was pseudonymized, or None if it had none."""
    named = None if entry.arrow is None else type_of(entry.arrow)
    return type_of_dtype(entry.dtype) if named is None else named


def numbers_before(entry: Entry) -> WholeNumbers | None:
    """Return a column as it was before, without rows, or None if it held no numbers."""
    return numbers_of(type_before(entry), entry.recipe.scale)


def parse_numbers(like: WholeNumbers, strings: Sequence[str]) -> WholeNumbers:
    """Read numbers of a column as ``strings`` writes them, or a file of text.

    Args:
        like: any of the column.
        strings: its numbers.

    Raises:
        PseudonymizationError: some are of no such column.
    """
    if isinstance(like, Moments):
        return parse_moments(like, strings)
    if isinstance(like, Decimals):
        return parse_decimals(like, strings)
    return WholeNumbers.parse(strings, like.limits)


def converted(numbers: WholeNumbers, like: WholeNumbers) -> WholeNumbers:
    """Return numbers of one column as numbers of another.

    Raises:
        PseudonymizationError: that can't hold them.
    """
    if type(numbers) is type(like) and _unit_of(numbers) == _unit_of(like):
        return like.holding(numbers.magnitudes, numbers.negative)
    return parse_numbers(like, numbers.strings())


def read_numbers(array: pa.Array, like: WholeNumbers) -> tuple[WholeNumbers, Nulls]:
    """Read a column.

    Args:
        array: of a type that ``numbers_of`` knows; NaN counts as null.
        like: what it returned.

    Returns:
        The numbers that are not null, and which rows are null, shape (rows,).

    Raises:
        PseudonymizationError: some numbers can't be held exactly.
    """
    nulls = nulls_of(array)
    if array.type in _FLOATS:
        floats = numbers_in(array, numpy_type_of(array.type))
        nulls |= np.isnan(floats)
        present = floats[~nulls] if nulls.any() else floats
        if isinstance(like, Decimals):
            return _decimals_in(present, like), nulls
        return _whole_in(present, like), nulls
    if isinstance(like, Decimals):
        return _read_decimals(array, like), nulls
    if isinstance(like, Days):
        array = array.cast(pa.date32())
    dtype = np.dtype(np.int64 if isinstance(like, Moments) else numpy_type_of(array.type))
    integers = numbers_in(array, np.int32 if isinstance(like, Days) else dtype)
    present = integers[~nulls] if nulls.any() else integers
    magnitudes, negative = _magnitudes(present)
    return like.holding(magnitudes, negative), nulls


def write_numbers(numbers: WholeNumbers, nulls: Nulls, arrow_type: pa.DataType) -> pa.Array:
    """Make a column of a type.

    Args:
        numbers: those that are not null, as ``read_numbers`` gives them.
        nulls: which rows are null, shape (rows,).
        arrow_type: one that ``numbers_of`` knows.

    Raises:
        PseudonymizationError: the type can't hold a number.
    """
    if arrow_type in _FLOATS:
        floats = numbers.magnitudes.astype(np.float64)
        floats = np.where(numbers.negative, -floats, floats)
        if isinstance(numbers, Decimals):
            floats = _floats(floats, numbers.scale)
        return _scattered(floats.astype(numpy_type_of(arrow_type)), nulls, arrow_type)
    words = numbers.magnitudes
    if numbers.negative.any():
        words = np.where(numbers.negative, -words, words)
    if isinstance(numbers, Decimals):
        return _write_decimals(words.view(np.int64), nulls, arrow_type)
    if isinstance(numbers, Days):
        days = _scattered(words.view(np.int64).astype(np.int32), nulls, pa.date32())
        return days.cast(arrow_type)
    dtype = np.int64 if isinstance(numbers, Moments) else numpy_type_of(arrow_type)
    return _scattered(words.astype(dtype, copy=False), nulls, arrow_type)


def _whole(lowest: int, highest: int) -> WholeNumbers:
    return WholeNumbers(_NO_WORDS, _NO_FLAGS, Limits(lowest, highest))


def _decimals(digits: int, scale: int) -> Decimals:
    highest = min(10**digits, 1 << 63) - 1
    return Decimals(_NO_WORDS, _NO_FLAGS, Limits(-highest, highest), scale)


def _unit_of(numbers: WholeNumbers) -> object:
    if isinstance(numbers, Moments):
        return numbers.unit, numbers.zoned
    return numbers.scale if isinstance(numbers, Decimals) else None


def _magnitudes(integers: NDArray[Any]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return integers as magnitudes, and which are negative; if none is, 64 bits are not copied."""
    negative = integers < 0
    some = bool(negative.any())
    wide = np.int64 if integers.dtype.kind == "i" else np.uint64
    words = integers.astype(wide, copy=some).view(np.uint64)
    if some:
        np.negative(words, out=words, where=negative)
    return words, negative


def _whole_in(floats: NDArray[Any], like: WholeNumbers) -> WholeNumbers:
    magnitudes, limit = np.abs(floats), like.limits.highest + 1
    inexact = int((~(magnitudes < limit) | (magnitudes != np.floor(magnitudes))).sum())
    if inexact:
        raise PseudonymizationError(
            f"of its {floats.dtype} values, {inexact} are not whole numbers below {limit}. Round"
            " them, choose the format 'decimal' with a scale, or convert the column to text"
        )
    return like.holding(magnitudes.astype(np.uint64), np.signbit(floats))


def _decimals_in(floats: NDArray[Any], like: Decimals) -> Decimals:
    # What is too large or infinite is found below, by what comes out.
    with np.errstate(over="ignore", invalid="ignore"):
        units = np.rint(floats.astype(np.float64) * 10.0**like.scale)
        same = _floats(units, like.scale).astype(floats.dtype) == floats
        exact = (np.abs(units) <= like.limits.highest) & same
    inexact = int((~exact).sum())
    if inexact:
        digits = len(str(like.limits.highest))
        raise PseudonymizationError(
            f"of its {floats.dtype} values, {inexact} are no decimal numbers with {like.scale}"
            f" digits after the point and {digits} in all. Round them, or convert the column to"
            " text"
        )
    return like.holding(np.abs(units).astype(np.uint64), np.signbit(floats))


def _floats(units: NDArray[np.float64], scale: int) -> NDArray[np.float64]:
    """Return the floats next to decimal numbers; a power of ten up to 22 is exact."""
    return units / 10.0**scale


def _read_decimals(array: pa.Array, like: Decimals) -> Decimals:
    present = array.cast(pa.decimal256(76, like.scale)).drop_null()
    words = np.frombuffer(present.buffers()[1] or b"", np.int64).reshape(-1, 4)
    words = words[present.offset : present.offset + len(present)]
    sign = words[:, 0] >> 63
    wide = int((words[:, 1:] != sign[:, None]).any(axis=1).sum())
    if wide:
        raise PseudonymizationError(f"{wide} of its values have more digits than 64 bits hold")
    return like.holding(*_magnitudes(np.ascontiguousarray(words[:, 0])))


def _write_decimals(units: NDArray[np.int64], nulls: Nulls, arrow_type: pa.DataType) -> pa.Array:
    words = np.zeros((len(nulls), 4), np.int64)
    words[~nulls, 0] = units
    words[:, 1:] = words[:, :1] >> 63
    widest = array_of(words, pa.decimal256(76, arrow_type.scale), nulls)
    problem = ""
    try:
        return widest.cast(arrow_type)
    except pa.ArrowInvalid:
        problem = f"the result does not fit the Arrow type {arrow_type}"
    raise PseudonymizationError(problem)


def _scattered(values: NDArray[Any], nulls: Nulls, arrow_type: pa.DataType) -> pa.Array:
    """Make an array of numbers that are not null; what lies under a null is 0."""
    if not nulls.any():
        return array_of(values, arrow_type)
    rows = np.zeros(len(nulls), values.dtype)
    rows[~nulls] = values
    return array_of(rows, arrow_type, nulls)

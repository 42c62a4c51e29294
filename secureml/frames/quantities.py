"""Columns of numbers and of moments, each dtype's in one way: what it holds, reading, writing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from secureml.errors import PseudonymizationError
from secureml.frames.arrow import Nulls, combined
from secureml.frames.numbers import integer_limits, numpy_dtype, read_integers, write_integers
from secureml.pseudonymization.parsing.iso8601 import parse_moments
from secureml.pseudonymization.values.decimals import Decimals, parse_decimals
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers
from secureml.pseudonymization.values.timestamps import Days, Moments

__all__ = [
    "PythonDecimals",
    "converted",
    "numbers_of",
    "parse_numbers",
    "read_decimals",
    "read_numbers",
    "write_numbers",
]

_INT32 = Limits(-(1 << 31), (1 << 31) - 1)
_INT64 = Limits(1 - (1 << 63), (1 << 63) - 1)  # the lowest stands for a null
_NO_WORDS, _NO_FLAGS = np.empty(0, np.uint64), np.empty(0, np.bool_)
_FLOATS = {4: 6, 8: 15}
"""Octets of a float, and how many decimal digits it always holds."""


@dataclass(frozen=True, slots=True)
class PythonDecimals:
    """What stands for the dtype of Python's decimal numbers, which is object to pandas.

    Args:
        scale: how many digits are after the point of each.
    """

    scale: int

    def __str__(self) -> str:
        return f"decimal[{self.scale}]"


def numbers_of(dtype: Any, scale: int | None = None) -> WholeNumbers | None:
    """Return a column of a dtype without rows, or None for a dtype of anything else.

    Args:
        dtype: of pandas, or PythonDecimals.
        scale: how many digits after the point floats are to be read with; None for whole numbers.
    """
    if isinstance(dtype, PythonDecimals):
        return _decimals(38, dtype.scale)
    floats, limits = _float_type(dtype), integer_limits(dtype)
    if floats is not None and scale is not None:
        return _decimals(_FLOATS[floats.itemsize], scale)
    if limits is not None:
        return WholeNumbers(_NO_WORDS, _NO_FLAGS, limits)
    if isinstance(dtype, pd.ArrowDtype):
        return _of_arrow(dtype.pyarrow_dtype)
    zoned = isinstance(dtype, pd.DatetimeTZDtype)
    if zoned or (isinstance(dtype, np.dtype) and dtype.kind == "M"):
        return _moments(np.datetime_data(dtype.base)[0], zoned=zoned)
    return None


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
    if type(numbers) is type(like) and _kind(numbers) == _kind(like):
        return like.holding(numbers.magnitudes, numbers.negative)
    return parse_numbers(like, numbers.strings())


def read_numbers(series: pd.Series, like: WholeNumbers) -> tuple[WholeNumbers, Nulls]:
    """Read a column.

    Args:
        series: of a dtype that ``numbers_of`` knows.
        like: what it returned.

    Returns:
        The numbers that are not null, and which rows are null, shape (rows,).

    Raises:
        PseudonymizationError: some numbers can't be held exactly.
    """
    if isinstance(like, Moments):
        return _read_moments(series, like)
    if not isinstance(like, Decimals):
        return read_integers(series)
    if _float_type(series.dtype) is not None:
        return _read_floats(series, like)
    return _read_arrow_decimals(series, like)


def read_decimals(objects: Any, nulls: Nulls) -> Decimals:
    """Read Python's decimal numbers.

    Args:
        objects: dtype object, shape (rows,).
        nulls: which rows are null.

    Raises:
        PseudonymizationError: they are not finite, differ in their digits after the point, or
            have too many digits.
    """
    present: list[Decimal] = objects[~nulls].tolist()
    exponents = {number.as_tuple().exponent for number in present} or {0}
    scales = sorted(-exponent for exponent in exponents if isinstance(exponent, int))
    if len(scales) != 1 or len(exponents) != 1 or scales[0] < 0:
        raise PseudonymizationError(
            "its decimal numbers do not all have the same number of digits after the point:"
            " quantize them first"
        )
    like = _decimals(38, scales[0])
    return parse_decimals(like, [f"{number:f}" for number in present])


def write_numbers(numbers: WholeNumbers, nulls: Nulls, dtype: Any) -> Any:
    """Make an array of a dtype.

    Args:
        numbers: those that are not null, as ``read_numbers`` gives them.
        nulls: which rows are null, shape (rows,).
        dtype: one that ``numbers_of`` knows.
    """
    if isinstance(numbers, Moments):
        return _write_moments(numbers, nulls, dtype)
    if not isinstance(numbers, Decimals):
        return write_integers(numbers, nulls, dtype)
    if _float_type(dtype) is not None:
        return _write_floats(numbers, nulls, dtype)
    objects = np.full(len(nulls), None, dtype=object)
    objects[~nulls] = numbers.decimals()
    if isinstance(dtype, pd.ArrowDtype):
        return dtype.__from_arrow__(pa.array(objects, dtype.pyarrow_dtype, mask=nulls))
    return objects


def _of_arrow(arrow_type: pa.DataType) -> WholeNumbers | None:
    types = pa.types
    if types.is_timestamp(arrow_type):
        return _moments(arrow_type.unit, zoned=arrow_type.tz is not None)
    if types.is_date(arrow_type):
        return Days(_NO_WORDS, _NO_FLAGS, _INT32, "D", zoned=False)
    if types.is_decimal128(arrow_type) or types.is_decimal256(arrow_type):
        return _decimals(arrow_type.precision, arrow_type.scale)
    return None


def _moments(unit: str, *, zoned: bool) -> Moments:
    return Moments(_NO_WORDS, _NO_FLAGS, _INT64, unit, zoned)


def _decimals(digits: int, scale: int) -> Decimals:
    highest = min(10**digits, 1 << 63) - 1
    return Decimals(_NO_WORDS, _NO_FLAGS, Limits(-highest, highest), scale)


def _kind(numbers: WholeNumbers) -> object:
    if isinstance(numbers, Moments):
        return numbers.unit, numbers.zoned
    return numbers.scale if isinstance(numbers, Decimals) else None


def _read_moments(series: pd.Series, like: Moments) -> tuple[Moments, Nulls]:
    nulls = series.isna().to_numpy()
    if isinstance(series.dtype, pd.ArrowDtype):
        array = combined(pa.array(series.array))
        array = (
            array.cast(pa.date32()).view(pa.int32()) if like.unit == "D" else array.view("int64")
        )
        ticks = array.filter(array.is_valid()).to_numpy(zero_copy_only=False).astype(np.int64)
    else:
        ticks = series.to_numpy(dtype=f"M8[{like.unit}]").view(np.int64)[~nulls]
    return type(like).of(ticks, like.limits, like.unit, zoned=like.zoned), nulls


def _write_moments(moments: Moments, nulls: Nulls, dtype: Any) -> Any:
    if isinstance(dtype, pd.ArrowDtype):
        ticks = np.zeros(len(nulls), np.int64)
        ticks[~nulls] = moments.ticks
        if isinstance(moments, Days):
            array = pa.array(ticks.astype(np.int32), mask=nulls).view(pa.date32())
            return dtype.__from_arrow__(array.cast(dtype.pyarrow_dtype))
        return dtype.__from_arrow__(pa.array(ticks, mask=nulls).view(dtype.pyarrow_dtype))
    instants = np.full(len(nulls), "NaT", f"M8[{moments.unit}]")
    instants[~nulls] = moments.ticks.view(instants.dtype)
    if not isinstance(dtype, pd.DatetimeTZDtype):
        return instants
    return pd.Series(instants).dt.tz_localize("UTC").dt.tz_convert(dtype.tz).array


def _read_floats(series: pd.Series, like: Decimals) -> tuple[Decimals, Nulls]:
    nulls = series.isna().to_numpy()
    plain = _float_type(series.dtype)
    assert plain is not None
    floats = series.to_numpy(dtype=plain, na_value=np.nan)[~nulls]
    # What is too large, infinite or no number is found below, by what comes out.
    with np.errstate(over="ignore", invalid="ignore"):
        units = np.rint(floats.astype(np.float64) * 10.0**like.scale)
        exact = (np.abs(units) <= like.limits.highest) & (_floats(units, like, plain) == floats)
    inexact = int((~exact).sum())
    if inexact:
        raise PseudonymizationError(
            f"of its {plain} values, {inexact} are no decimal numbers with {like.scale} digits"
            f" after the point and {_FLOATS[plain.itemsize]} in all. Round them, or convert the"
            " column to text"
        )
    return like.holding(np.abs(units).astype(np.uint64), np.signbit(floats)), nulls


def _write_floats(decimals: Decimals, nulls: Nulls, dtype: Any) -> Any:
    plain = _float_type(dtype)
    assert plain is not None
    values = np.full(len(nulls), np.nan, plain)
    units = decimals.magnitudes.astype(np.float64)
    values[~nulls] = _floats(np.where(decimals.negative, -units, units), decimals, plain)
    if isinstance(dtype, pd.ArrowDtype):
        return dtype.__from_arrow__(pa.array(values, dtype.pyarrow_dtype, mask=nulls))
    if isinstance(dtype, np.dtype):
        return values
    values[nulls] = 0
    return pd.arrays.FloatingArray(values, nulls.copy())


def _floats(units: Any, like: Decimals, plain: np.dtype[Any]) -> Any:
    """Return the floats next to decimal numbers; a power of ten up to 22 is exact."""
    return (units / 10.0**like.scale).astype(plain)


def _read_arrow_decimals(series: pd.Series, like: Decimals) -> tuple[Decimals, Nulls]:
    array = combined(pa.array(series.array)).cast(pa.decimal256(76, like.scale))
    nulls = array.is_null().to_numpy(zero_copy_only=False)
    present = array.drop_null()
    words = np.frombuffer(present.buffers()[1] or b"", np.int64).reshape(-1, 4)
    words = words[present.offset : present.offset + len(present)]
    sign = words[:, 0] >> 63
    wide = int((words[:, 1:] != sign[:, None]).any(axis=1).sum())
    if wide:
        raise PseudonymizationError(f"{wide} of its values have more digits than 64 bits hold")
    units = np.ascontiguousarray(words[:, 0])
    negative = units < 0
    return like.holding(np.where(negative, -units, units).view(np.uint64), negative), nulls


def _float_type(dtype: Any) -> np.dtype[Any] | None:
    plain = numpy_dtype(dtype, "f")
    return plain if plain is not None and plain.itemsize in _FLOATS else None

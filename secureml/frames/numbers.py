"""Whole numbers to and from the number dtypes of pandas, without loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from secureml.errors import PseudonymizationError
from secureml.frames.arrow import Nulls
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers

__all__ = ["integer_limits", "read_integers", "write_integers"]

_NULLABLE = (
    pd.Int8Dtype,
    pd.Int16Dtype,
    pd.Int32Dtype,
    pd.Int64Dtype,
    pd.UInt8Dtype,
    pd.UInt16Dtype,
    pd.UInt32Dtype,
    pd.UInt64Dtype,
)
_EXACT = {4: 1 << 24, 8: 1 << 53}
"""Octets of a float dtype, and where it starts to skip whole numbers."""


def integer_limits(dtype: Any) -> Limits | None:
    """Return the whole numbers that a dtype holds exactly, or None if it is not for numbers."""
    plain = _numpy_dtype(dtype)
    if plain is None:
        return None
    if plain.kind == "f":
        highest = _EXACT[plain.itemsize] - 1
        return Limits(-highest, highest)
    return Limits(int(np.iinfo(plain).min), int(np.iinfo(plain).max))


def read_integers(series: pd.Series) -> tuple[WholeNumbers, Nulls]:
    """Read a column of a dtype that ``integer_limits`` knows.

    Returns:
        The numbers that are not null, and which rows are null, shape (rows,).

    Raises:
        PseudonymizationError: some floats are not whole, or too large to be exact.
    """
    nulls = series.isna().to_numpy()
    plain, limits = _numpy_dtype(series.dtype), integer_limits(series.dtype)
    assert plain is not None
    assert limits is not None
    if plain.kind == "f":
        floats = series.to_numpy()[~nulls]
        magnitudes = np.abs(floats)
        limit = _EXACT[plain.itemsize]
        inexact = int((~(magnitudes < limit) | (magnitudes != np.floor(magnitudes))).sum())
        if inexact:
            raise PseudonymizationError(
                f"of its {plain} values, {inexact} are not whole numbers below {limit}. Round"
                " them, choose the format 'decimal' with a scale, or convert the column to text"
            )
        return WholeNumbers(magnitudes.astype(np.uint64), np.signbit(floats), limits), nulls
    filled = series.to_numpy(dtype=plain, na_value=0) if nulls.any() else series.to_numpy(plain)
    present = filled[~nulls] if nulls.any() else filled
    negative = present < 0
    some = bool(negative.any())  # else the column itself is what is read
    words = present.astype(np.int64 if plain.kind == "i" else np.uint64, copy=some).view(np.uint64)
    if some:
        np.negative(words, out=words, where=negative)
    return WholeNumbers(words, negative, limits), nulls


def write_integers(numbers: WholeNumbers, nulls: Nulls, dtype: Any) -> Any:
    """Make an array of a dtype; where a numpy integer dtype would have to hold a null, nullable.

    Args:
        numbers: those that are not null, within the dtype's limits.
        nulls: which rows are null, shape (rows,).
        dtype: one that ``integer_limits`` knows.
    """
    plain = _numpy_dtype(dtype)
    assert plain is not None
    if plain.kind == "f":
        floats = np.full(len(nulls), np.nan, plain)
        present = numbers.magnitudes.astype(plain)
        floats[~nulls] = np.where(numbers.negative, -present, present)
        return floats
    words = numbers.magnitudes.copy()
    np.negative(words, out=words, where=numbers.negative)
    present = (words.view(np.int64) if plain.kind == "i" else words).astype(plain, copy=False)
    integers = present
    if nulls.any():
        integers = np.zeros(len(nulls), plain)
        integers[~nulls] = present
    if isinstance(dtype, pd.ArrowDtype):
        return dtype.__from_arrow__(pa.array(integers, dtype.pyarrow_dtype, mask=nulls))
    if isinstance(dtype, np.dtype) and not nulls.any():
        return integers
    return pd.arrays.IntegerArray(integers, nulls.copy())


def _numpy_dtype(dtype: Any) -> np.dtype[Any] | None:
    """Return the numpy dtype of the numbers, or None if the dtype is not for whole numbers."""
    plain: np.dtype[Any] | None = dtype if isinstance(dtype, np.dtype) else None
    if isinstance(dtype, _NULLABLE):
        plain = dtype.numpy_dtype
    elif isinstance(dtype, pd.ArrowDtype) and pa.types.is_integer(dtype.pyarrow_dtype):
        plain = np.dtype(dtype.pyarrow_dtype.to_pandas_dtype())
    if plain is None or plain.kind in "iu":
        return plain
    return plain if plain.kind == "f" and plain.itemsize in _EXACT else None

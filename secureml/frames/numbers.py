"""Whole numbers to and from the number dtypes of pandas, without loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from secureml.errors import PseudonymizationError
from secureml.frames.arrow import Nulls
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers

__all__ = ["integer_limits", "numpy_dtype", "read_integers", "write_integers"]

_EXACT = {4: 1 << 24, 8: 1 << 53}
"""Octets of a float dtype, and where it starts to skip whole numbers."""


def integer_limits(dtype: Any) -> Limits | None:
    """Return the whole numbers that a dtype holds exactly, or None if it is not for numbers."""
    plain = _whole(dtype)
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
    plain, limits = _whole(series.dtype), integer_limits(series.dtype)
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
    """Make an array of a dtype, or of a nullable one if a numpy integer dtype had to hold nulls.

    Args:
        numbers: those that are not null, within the dtype's limits.
        nulls: which rows are null, shape (rows,).
        dtype: one that ``integer_limits`` knows.
    """
    plain = _whole(dtype)
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


def numpy_dtype(dtype: Any, kinds: str) -> np.dtype[Any] | None:
    """Return the numpy dtype of a column's numbers, or None if they are of other kinds.

    Args:
        dtype: of pandas, its nullable and Arrow's dtypes too.
        kinds: as numpy calls them, such as "iu".
    """
    plain = getattr(dtype, "numpy_dtype", dtype)  # which Arrow's dtypes have for all types
    if isinstance(dtype, pd.ArrowDtype):
        arrow = dtype.pyarrow_dtype
        numbers = pa.types.is_integer(arrow) or pa.types.is_floating(arrow)
        plain = np.dtype(arrow.to_pandas_dtype()) if numbers else None
    return plain if isinstance(plain, np.dtype) and plain.kind in kinds else None


def _whole(dtype: Any) -> np.dtype[Any] | None:
    """Return the numpy dtype of integers, or of numpy's floats, whose whole numbers are read."""
    plain = numpy_dtype(dtype, "iu" if pd.api.types.is_extension_array_dtype(dtype) else "iuf")
    return plain if plain is None or plain.kind != "f" or plain.itemsize in _EXACT else None

"""Pandas' dtypes: their names in manifests, and Arrow arrays of the same values."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

__all__ = ["arrow_type_of", "dtype_of", "in_arrow", "in_dtype", "is_same_dtype"]

_DECIMALS = re.compile(r"(decimal(?:32|64|128|256))\(([0-9]{1,2}), ([0-9]{1,2})\)\[pyarrow\]", re.A)
_UNNAMED_ZONE = re.compile(r"datetime64\[(s|ms|us|ns), .*\(.*\]", re.ASCII)
"""The name of a dtype whose time zone is an object that has no name."""


def dtype_of(name: str) -> Any:
    """Return the dtype that has a name in manifests, or None if there is none."""
    decimals = _DECIMALS.fullmatch(name)  # pandas does not read them
    unnamed = _UNNAMED_ZONE.fullmatch(name)
    dtype = None
    try:
        if unnamed:
            dtype = pd.DatetimeTZDtype(unnamed[1], "UTC")  # the same moments
        elif decimals:
            make = getattr(pa, decimals[1])
            dtype = pd.ArrowDtype(make(int(decimals[2]), int(decimals[3])))
        else:
            dtype = pd.api.types.pandas_dtype(name)
    except (AttributeError, TypeError, ValueError, NotImplementedError):  # of unknown names
        dtype = None
    return dtype


def is_same_dtype(name: str, dtype: Any) -> bool:
    """Tell whether the name of a dtype in a manifest stands for the dtype on every machine."""
    read = dtype_of(name)
    same = read == dtype or (_zone_name(dtype) and _zone_name(dtype) == _zone_name(read))
    return bool(same) and "tzlocal()" not in name


def arrow_type_of(dtype: Any) -> pa.DataType | None:
    """Return the Arrow type of the numbers or moments of a dtype, or None if it is for others."""
    if isinstance(dtype, pd.ArrowDtype):
        return dtype.pyarrow_dtype
    if isinstance(dtype, pd.DatetimeTZDtype):
        return pa.timestamp(dtype.unit, "UTC")
    plain = getattr(dtype, "numpy_dtype", dtype)
    if not isinstance(plain, np.dtype):
        return None
    if plain.kind == "M":
        unit = np.datetime_data(plain)[0]
        return pa.timestamp(unit) if unit in ("s", "ms", "us", "ns") else None
    return pa.from_numpy_dtype(plain.newbyteorder("=")) if plain.kind in "iuf" else None


def in_arrow(series: pd.Series) -> pa.Array | pa.ChunkedArray:
    """Return a column of numbers, moments or Arrow's types as an Arrow array."""
    dtype = series.dtype
    if isinstance(dtype, pd.DatetimeTZDtype):
        instants = series.to_numpy(dtype=f"M8[{dtype.unit}]")
        return pa.array(instants, from_pandas=True).cast(arrow_type_of(dtype))
    if isinstance(dtype, np.dtype):
        values = series.to_numpy()
        return pa.array(values.astype(dtype.newbyteorder("="), copy=False), from_pandas=True)
    return pa.array(series.array)


def in_dtype(array: pa.Array, dtype: Any) -> Any:
    """Return an Arrow array as one of a dtype, or a nullable one if it can't hold the nulls.

    Args:
        array: of the type that ``arrow_type_of`` tells.
        dtype: of pandas.
    """
    if isinstance(dtype, pd.DatetimeTZDtype):
        instants = pd.Series(array.cast(pa.timestamp(dtype.unit)).to_numpy(zero_copy_only=False))
        return instants.dt.tz_localize("UTC").dt.tz_convert(dtype.tz).array
    if not isinstance(dtype, np.dtype):
        return dtype.__from_arrow__(array)
    if dtype.kind in "iu" and array.null_count:
        nullable = pd.api.types.pandas_dtype(dtype.name.replace("i", "I").replace("u", "U"))
        return nullable.__from_arrow__(array)
    values = array.to_numpy(zero_copy_only=False).astype(dtype, copy=False)
    return values if values.flags.writeable else values.copy()


def _zone_name(dtype: Any) -> str | None:
    """Return the name of a dtype's time zone in the IANA's database, as pytz has it too."""
    zone = getattr(dtype, "tz", None)
    return getattr(zone, "key", None) or getattr(zone, "zone", None)

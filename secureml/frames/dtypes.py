"""The names of dtypes in manifests, and the dtypes that have them."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pyarrow as pa

from secureml.errors import PseudonymizationError
from secureml.frames.columns import NumberColumn
from secureml.frames.quantities import PythonDecimals, numbers_of
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.values.numbers import WholeNumbers

__all__ = ["check_dtype", "dtype_of", "numbers_before"]

_PYTHON_DECIMALS = re.compile(r"decimal\[([0-9]{1,2})\]", re.ASCII)
_DECIMALS = re.compile(r"decimal(128|256)\(([0-9]{1,2}), ([0-9]{1,2})\)\[pyarrow\]", re.ASCII)
_UNNAMED_ZONE = re.compile(r"datetime64\[(s|ms|us|ns), .*\(.*\]", re.ASCII)
"""The name of a dtype whose time zone is an object that has no name."""


def numbers_before(entry: Entry) -> WholeNumbers | None:
    """Return a column as it was before, without rows, or None if it held no numbers."""
    return numbers_of(dtype_of(entry.dtype), entry.recipe.scale)


def dtype_of(name: str) -> Any:
    """Return the dtype that has a name in manifests, or None if there is none."""
    python = _PYTHON_DECIMALS.fullmatch(name)
    if python:
        return PythonDecimals(int(python[1]))
    decimals = _DECIMALS.fullmatch(name)  # pandas does not read them
    unnamed = _UNNAMED_ZONE.fullmatch(name)
    dtype = None
    try:
        if unnamed:
            dtype = pd.DatetimeTZDtype(unnamed[1], "UTC")  # the same moments
        elif decimals:
            make = pa.decimal128 if decimals[1] == "128" else pa.decimal256
            dtype = pd.ArrowDtype(make(int(decimals[2]), int(decimals[3])))
        else:
            dtype = pd.api.types.pandas_dtype(name)
    except (TypeError, ValueError, NotImplementedError):  # what pandas raises of unknown names
        dtype = None
    return dtype


def check_dtype(name: str, column: NumberColumn) -> None:
    """Check that recovery makes of the name of a dtype what the column has.

    Args:
        name: as the manifest is to have it.
        column: as it was read.

    Raises:
        PseudonymizationError: it would make another dtype, or none.
    """
    dtype, read = column.dtype, dtype_of(name)
    same = read == dtype or (_zone_name(dtype) and _zone_name(dtype) == _zone_name(read))
    if same and "tzlocal()" not in name:  # which is another zone on another machine
        return
    raise PseudonymizationError(
        f"its dtype is {name}, which can't be restored by its name: convert the column, for"
        " instance with .dt.tz_convert('UTC') or astype('string')"
    )


def _zone_name(dtype: Any) -> str | None:
    """Return the name of a dtype's time zone in the IANA's database, as pytz has it too."""
    zone = getattr(dtype, "tz", None)
    return getattr(zone, "key", None) or getattr(zone, "zone", None)

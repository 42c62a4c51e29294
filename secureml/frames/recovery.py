"""From a column to its pseudonyms and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from secureml.errors import ManifestError, PseudonymizationError
from secureml.frames.columns import CategoryColumn, Column, IntegerColumn, read_column
from secureml.frames.numbers import integer_limits, write_integers
from secureml.pseudonymization.domains import Index
from secureml.pseudonymization.formats import CLASS_FORMAT
from secureml.pseudonymization.integers import Limits
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.strategies import Fpe, Outcome

__all__ = ["protect", "recover"]

_NO_PLACES: Index = np.empty(0, np.intp)


def protect(column: Column, cipher: Fpe) -> Outcome:
    """Replace the values of a column by pseudonyms."""
    if not isinstance(column, IntegerColumn):
        return cipher.protect_text(column.values)
    return cipher.protect_integers(column.values, _limits(column.dtype))


def recover(series: pd.Series, entry: Entry, cipher: Fpe) -> Any:
    """Recover the values of a column, as an array.

    Args:
        series: the pseudonyms, perhaps in another dtype than ``protect`` made.
        entry: what the manifest tells of the column.
        cipher: of its domain.

    Raises:
        ManifestError: the entry does not make sense.
        PseudonymizationError: the column holds what can't be pseudonyms.
    """
    column = read_column(series)
    if entry.format == CLASS_FORMAT:
        if isinstance(column, IntegerColumn):
            raise PseudonymizationError(
                f"it was pseudonymized as text and now has dtype {series.dtype}: read it as text"
            )
        return column.rebuilt(cipher.recover_text(column.values), _NO_PLACES)
    dtype = _dtype_of(entry.dtype)
    limits = _limits(dtype)
    if isinstance(column, CategoryColumn):
        column = read_column(series.astype(object))
    if isinstance(column, IntegerColumn):
        numbers = cipher.recover_integers(column.values, limits)
    else:
        strings = column.values.strings_at(np.flatnonzero(~column.nulls))
        numbers = cipher.recover_decimal(strings, limits)
    return write_integers(numbers, column.nulls, dtype)


def _dtype_of(name: str) -> Any:
    """Return the dtype that ``str(dtype)`` wrote as this name, or None if there is none."""
    dtype = None
    try:
        dtype = pd.api.types.pandas_dtype(name)
    except (TypeError, ValueError):
        dtype = None
    return dtype


def _limits(dtype: Any) -> Limits:
    limits = integer_limits(dtype)
    if limits is None:
        raise ManifestError(f"dtype {dtype} in the manifest holds no whole numbers")
    return limits

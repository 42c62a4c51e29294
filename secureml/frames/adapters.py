"""Which adapter a table is for, told without importing the libraries of others."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from secureml.forksafe import unforked
from secureml.frames.base import Table

__all__ = ["table_of"]

_ADAPTERS = {"pandas": "pandas", "polars": "polars", "pyarrow": "arrow"}
"""The module here for each library's tables, which has a function ``table_of``."""


def table_of(data: object) -> Table:
    """Return a table of any kind as what the rest works on.

    Args:
        data: a pandas or Polars DataFrame, or a pyarrow Table or RecordBatch; it is not changed.

    Raises:
        TypeError: it is something else.
        PseudonymizationError: its columns have no distinct names.
    """
    for base in type(data).__mro__:
        adapter = _ADAPTERS.get(base.__module__.partition(".")[0])
        if adapter is None:
            continue
        table = _loaded(adapter)(data)
        if table is not None:
            return table
    raise TypeError(f"the data must be a table, such as a pandas DataFrame, not {_kind_of(data)}")


def _loaded(adapter: str) -> Callable[[Any], Table | None]:
    """Import an adapter, while no child is forked, and return its function."""
    with unforked():
        of: Callable[[Any], Table | None] = importlib.import_module(
            f"{__package__}.{adapter}"
        ).table_of
    return of


def _kind_of(data: object) -> str:
    """Return the type of what was given for a table, and what to do about it."""
    kind = type(data)
    if kind.__module__ == "builtins":
        return kind.__name__
    package = kind.__module__.partition(".")[0]
    remedy = "; convert it with to_pandas()" if hasattr(data, "to_pandas") else ""
    return f"a {package}.{kind.__name__}{remedy}"


# Those of libraries that are in use, before a fork can come.
for _library, _adapter in _ADAPTERS.items():
    if _library in sys.modules:
        _loaded(_adapter)

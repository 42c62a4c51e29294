"""Which adapter a table is for, told without importing the libraries of others."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from secureml.forksafe import unforked
from secureml.frames.base import Table
from secureml.frames.streams import Stream

__all__ = ["source_of", "table_of"]

_ADAPTERS = {
    "_duckdb": "duckdb",
    "builtins": "records",
    "dask": "dask",
    "duckdb": "duckdb",
    "pandas": "pandas",
    "polars": "polars",
    "pyarrow": "arrow_streams",
    "pyspark": "spark",
    "ray": "ray",
}
"""The module here for each library's tables, which has a function ``source_of``."""


def source_of(data: object) -> Table | Stream:
    """Return a table of any kind as what the rest works on.

    Args:
        data: a table, or what gives its rows in batches; it is not changed.

    Raises:
        TypeError: it is something else.
        PseudonymizationError: its columns have no distinct names.
    """
    adapters = [_ADAPTERS.get(base.__module__.partition(".")[0]) for base in type(data).__mro__]
    if hasattr(data, "__arrow_c_stream__"):
        adapters.append("arrow_streams")
    for adapter in filter(None, adapters):
        source = _loaded(adapter)(data)
        if source is not None:
            return source
    raise TypeError(f"the data must be a table, such as a pandas DataFrame, not {_kind_of(data)}")


def table_of(data: object) -> Table:
    """Return a table of any kind whose rows are all there.

    Raises:
        TypeError: it is something else, or comes in batches.
        PseudonymizationError: its columns have no distinct names.
    """
    source = source_of(data)
    if isinstance(source, Stream):
        raise TypeError(f"the data must have its rows at hand: collect {_kind_of(data)} first")
    return source


def _loaded(adapter: str) -> Callable[[Any], Table | Stream | None]:
    """Import an adapter, while no child is forked, and return its function."""
    with unforked():
        of: Callable[[Any], Table | Stream | None] = importlib.import_module(
            f"{__package__}.{adapter}"
        ).source_of
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

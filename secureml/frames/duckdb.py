"""DuckDB relations: read into Arrow, and relations of the same connection again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import duckdb
import pyarrow as pa

from secureml.frames.arrow import ArrowTable

__all__ = ["source_of"]


def source_of(data: object) -> ArrowTable | None:
    """Return a relation as a table, or None for anything else.

    All rows are read: a connection answers no query while it gives the rows of another one.
    """
    if not isinstance(data, duckdb.DuckDBPyRelation):
        return None
    return ArrowTable(data.to_arrow_table(), partial(_as_relation, data))


def _as_relation(
    relation: duckdb.DuckDBPyRelation, table: pa.Table, manifest: Mapping[str, Any] | None
) -> Any:
    """Return an Arrow table as a relation of the connection of another one."""
    secureml_result = table  # which the query finds by its name
    made = relation.query("secureml_source", "SELECT * FROM secureml_result")
    del secureml_result
    return made

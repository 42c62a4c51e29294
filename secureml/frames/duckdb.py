"""DuckDB relations: read into Arrow, and relations of the same connection again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa

from secureml.errors import PseudonymizationError
from secureml.frames.arrow import ArrowTable

__all__ = ["source_of"]

_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
_LOSSY = re.compile(r"\b(?:BIT|TIME WITH TIME ZONE|TIMETZ)\b")
"""Types of which Arrow gets less than DuckDB has."""


def source_of(data: object) -> ArrowTable | None:
    """Return a relation as a table, or None for anything else.

    All rows are read: a connection answers no query while it gives the rows of another one.
    """
    if not isinstance(data, duckdb.DuckDBPyRelation):
        return None
    before = data.to_arrow_table()

    def as_relation(table: pa.Table, manifest: Mapping[str, Any] | None) -> Any:
        return _as_relation(data, before, table)

    return ArrowTable(before, as_relation)


def _as_relation(relation: duckdb.DuckDBPyRelation, before: pa.Table, table: pa.Table) -> Any:
    """Return an Arrow table as a relation of the connection of another one.

    Columns that stayed as they were get back the types that Arrow lacks.

    Raises:
        PseudonymizationError: a column can't get back its type without a loss.
    """
    secureml_result = table  # which the query finds by its name
    made: Any = relation.query("secureml_source", "SELECT * FROM secureml_result")
    del secureml_result
    kinds = dict(zip(relation.columns, map(str, relation.types), strict=True))
    columns, changed = [], False
    for name, kind in zip(made.columns, map(str, made.types), strict=True):
        quoted = '"' + name.replace('"', '""') + '"'
        wanted = kinds.get(name, kind)
        if wanted != kind and table.column(name).equals(before.column(name)):
            if _LOSSY.search(_QUOTED.sub("", wanted)):
                raise PseudonymizationError(
                    f"column {name!r}: its type is {wanted}, of which DuckDB gives Arrow less than"
                    " it has: cast the column, for instance to VARCHAR, or leave it out"
                )
            quoted, changed = f"CAST({quoted} AS {wanted}) AS {quoted}", True
        columns.append(quoted)
    return made.project(", ".join(columns)) if changed else made

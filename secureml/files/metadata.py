"""Key-value metadata of Arrow schemas, which Parquet and Feather files hold: the manifest is there.

Any program may keep values of columns in it: categories, extremes, examples. So a file that is
pseudonymized gets what describes its columns and no more, unless the caller names other keys.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa

from secureml.errors import PseudonymizationError
from secureml.frames.base import ATTRIBUTE

__all__ = ["SCHEMA", "attached_in", "fields_after", "levels_in", "metadata_after"]

_KEY = ATTRIBUTE.encode()
_ATTRIBUTES = b"PANDAS_ATTRS"
"""Where pandas keeps ``DataFrame.attrs`` in Parquet."""

_PANDAS = b"pandas"
"""Where pyarrow keeps the dtypes of the columns, the index and, as "attributes", the attrs too."""

_GEO = b"geo"
"""Where GeoParquet keeps the type and the bounds of each column."""

SCHEMA = b"ARROW:schema"
"""Where Arrow keeps its schema in Parquet."""

_FIELD_ID = b"PARQUET:field_id"

_FIXED = (b"org.apache.spark.", b"writer.model.name")
"""What keys begin with that tell versions and time zones."""

_ROWS = b"org.apache.spark.sql.parquet.row.metadata"
"""Spark's schema, with metadata of columns in which it keeps categories."""

_ASIDE = "secureml_columns"
"""Where, among the dtypes, those of columns are that have another type for now."""

_TYPE = "arrow_type"
"""Where it says which type they are of."""

_STRUCTURE = {
    "index_columns",
    "column_indexes",
    "columns",
    "partition_columns",
    "creator",
    "pandas_version",
    _ASIDE,
}
_DTYPE = {"num_categories", "ordered", "timezone", "unit", "encoding", "precision", "scale"}

Metadata = Mapping[bytes, bytes]


def attached_in(schema: pa.Schema) -> str | None:
    """Return the manifest of a schema, as JSON, there or in the attributes that pandas keeps."""
    metadata = schema.metadata or {}
    if _KEY in metadata:
        return str(metadata[_KEY], "utf-8", "replace")
    manifest = _attributes(metadata).get(ATTRIBUTE)
    return None if manifest is None else _json(manifest)


def levels_in(schema: pa.Schema) -> list[object]:
    """Return the names of an index of pandas' whose columns in the file have others."""
    columns = _columns_in(_object_in((schema.metadata or {}).get(_PANDAS, b"")), "columns")
    return [column.get("name") for column in columns if column.get("name") != column["field_name"]]


def fields_after(before: pa.Schema, after: pa.Schema) -> pa.Schema:
    """Return the fields of a result, with the numbers that those of the same name had.

    Args:
        before: the schema of what was read.
        after: that of the result, in which fields that are replaced have no metadata.
    """
    numbers = {field.name: (field.metadata or {}).get(_FIELD_ID) for field in before}
    return pa.schema(
        field
        if field.metadata or numbers.get(field.name) is None
        else field.with_metadata({_FIELD_ID: numbers[field.name]})
        for field in after
    )


def metadata_after(
    before: pa.Schema,
    after: pa.Schema,
    manifest: str | None,
    replaced: Collection[str],
    keep: Collection[str] | None,
    *,
    attributes_too: bool = False,
) -> dict[bytes, bytes]:
    """Return the metadata of a result.

    Args:
        before: the schema of what was read.
        after: that of the result; its own metadata tell dtypes of new columns.
        manifest: of the result, as JSON.
        replaced: columns that have new values.
        keep: which keys stay besides those that describe columns; None for all.
        attributes_too: whether pandas' attributes are in a place of their own, as in Parquet.

    Raises:
        PseudonymizationError: what pandas keeps is nested too deeply.
    """
    old = before.metadata or {}
    names = old.keys() if keep is None else {name.encode() for name in keep}
    attributes = _attributes(old) if _ATTRIBUTES in names or _PANDAS in names else {}
    attributes.pop(ATTRIBUTE, None)
    if manifest is not None:
        attributes[ATTRIBUTE] = json.loads(manifest)
    metadata = {
        name: value
        for name, value in old.items()
        if (name in names or name.startswith(_FIXED)) and name not in (_ROWS, SCHEMA, _ATTRIBUTES)
    }
    if _ROWS in names and _types_in(before) == _types_in(after):
        metadata[_ROWS] = old[_ROWS]
    if _GEO in old and _GEO not in names:
        metadata[_GEO] = _geo(old[_GEO], after, replaced)
    if _PANDAS in old:
        dtypes = _dtypes(old[_PANDAS], before, after)
        if _PANDAS not in names:
            dtypes = _structure(dtypes, replaced)
        if attributes or "attributes" in dtypes:
            dtypes["attributes"] = attributes
        metadata[_PANDAS] = _json(dtypes).encode()
    if attributes and attributes_too:
        metadata[_ATTRIBUTES] = _json(attributes).encode()
    if manifest is not None:
        metadata[_KEY] = manifest.encode()
    else:
        metadata.pop(_KEY, None)
    return metadata


def _structure(dtypes: dict[str, Any], replaced: Collection[str]) -> dict[str, Any]:
    """Return what pandas keeps of columns and index, without what may be values."""
    kept = {name: value for name, value in dtypes.items() if name in _STRUCTURE}
    for column in _columns_in(kept, "columns"):
        about = column.get("metadata")
        if column["field_name"] in replaced and isinstance(about, dict):
            column["metadata"] = {name: about[name] for name in _DTYPE & about.keys()}
    return kept


def _geo(text: bytes, after: pa.Schema, replaced: Collection[str]) -> bytes:
    """Return what GeoParquet keeps of the columns that are as they were."""
    content = _object_in(text)
    columns = content.get("columns")
    there = set(after.names).difference(replaced)
    kept: dict[str, Any] = {
        name: content[name] for name in ("version", "primary_column") if name in content
    }
    if isinstance(columns, dict):
        kept["columns"] = {name: columns[name] for name in columns if name in there}
    return _json(kept).encode()


def _dtypes(text: bytes, before: pa.Schema, after: pa.Schema) -> dict[str, Any]:
    """Return what pandas keeps of the columns, without those that have another type now.

    What it kept of these is put aside, and is back if a column has that type again: of whole
    numbers with nulls, pandas would otherwise make floating-point numbers. The metadata of the new
    schema tell the dtypes of new columns that pandas has one of its own for.
    """
    dtypes = _object_in(text)
    stay, aside = [], [entry for entry in _columns_in(dtypes, _ASIDE) if _TYPE in entry]
    dtypes.pop(_ASIDE, None)
    types, new_types = _types_in(before), _types_in(after)
    for column in _columns_in(dtypes, "columns"):
        name = column["field_name"]
        kind = types.get(name)
        if kind is None or kind == new_types.get(name):
            stay.append(column)
        elif name in new_types:
            aside.append({**column, _TYPE: kind})
    back = [entry for entry in aside if entry[_TYPE] == new_types.get(entry["field_name"])]
    told = {entry["field_name"] for entry in (*stay, *back)}
    new = _columns_in(_object_in((after.metadata or {}).get(_PANDAS, b"{}")), "columns")
    columns = [
        *stay,
        *({key: value for key, value in entry.items() if key != _TYPE} for entry in back),
        *(entry for entry in new if entry["field_name"] not in told),
    ]
    place = {name: number for number, name in enumerate(after.names)}
    dtypes["columns"] = sorted(
        columns, key=lambda entry: place.get(entry["field_name"], len(place))
    )
    if rest := [entry for entry in aside if entry["field_name"] not in told]:
        dtypes[_ASIDE] = rest
    return dtypes


def _columns_in(dtypes: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return entries of columns with a name; a file may hold anything in their place."""
    entries = dtypes.get(kind)
    entries = entries if isinstance(entries, list) else []
    return [
        entry
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.setdefault("field_name", None), str | None)
    ]


def _types_in(schema: pa.Schema) -> dict[str | None, str]:
    return {field.name: str(field.type) for field in schema}


def _attributes(metadata: Metadata) -> dict[str, Any]:
    if _ATTRIBUTES in metadata:
        return _object_in(metadata[_ATTRIBUTES])
    attributes = _object_in(metadata.get(_PANDAS, b"")).get("attributes")
    return dict(attributes) if isinstance(attributes, dict) else {}


def _object_in(text: bytes) -> dict[str, Any]:
    content = None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    return content if isinstance(content, dict) else {}


def _json(content: object) -> str:
    text = None
    try:
        text = json.dumps(content)
    except RecursionError:
        text = None
    if text is None:
        raise PseudonymizationError("what pandas keeps in the file's metadata is nested too deeply")
    return text

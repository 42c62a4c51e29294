"""How columns are read and written: those that are replaced as Arrow, all others as wire bytes.

The wire format of PostgreSQL is exact for every type, of which Arrow lacks many, and has no
infinite dates, NaN in decimals, or lists of several dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from secureml.engines.postgres.catalog import Relation, SourceColumn, identifier
from secureml.engines.postgres.database import Session
from secureml.errors import PseudonymizationError
from secureml.frames.paths import column_of
from secureml.frames.strings import combined, is_text
from secureml.pseudonymization.column_spec import ColumnSpec

__all__ = ["Reading", "TargetColumn", "readings_of", "target_columns", "top_of"]

_NATIVE = frozenset(
    {"bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar", "bpchar", "bytea"}
    | {"date", "time", "timestamp", "timestamptz"}
)
"""Types that the driver reads and writes as Arrow types; so are arrays of them."""

_LIMITED = ("varchar", "bpchar")
_SQL = (
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_int8, "smallint"),
    (pa.types.is_int16, "smallint"),
    (pa.types.is_int32, "integer"),
    (pa.types.is_int64, "bigint"),
    (pa.types.is_float32, "real"),
    (pa.types.is_float64, "double precision"),
    (pa.types.is_date32, "date"),
    (pa.types.is_time, "time"),
    (pa.types.is_binary, "bytea"),
    (is_text, "text"),
    (pa.types.is_null, "text"),
)
_UUID = 16


@dataclass(frozen=True, slots=True)
class Reading:
    """A column of the source, and how it is read if it is replaced.

    Args:
        source: the column.
        type: its Arrow type then.
        native: whether that type is written as the column's own; else it is read as text.
    """

    source: SourceColumn
    type: pa.DataType
    native: bool

    @property
    def sql(self) -> str:
        """The expression that gives its values as Arrow has them."""
        return _as_arrow(self.source)

    @property
    def shown_sql(self) -> str:
        """The same, with null for moments that Python's dates can't have, such as infinity."""
        if not pa.types.is_date(self.type) and not pa.types.is_timestamp(self.type):
            return self.sql
        return f"CASE WHEN {self.sql} BETWEEN '0001-01-02' AND '9999-12-30' THEN {self.sql} END"

    @property
    def wire_sql(self) -> str:
        """The expression that gives its wire format, or text if that would not do."""
        return f"{self.source.send}({identifier(self.source.name)})"

    @property
    def text_sql(self) -> str:
        """The expression that gives its values as text."""
        return f"{identifier(self.source.name)}::pg_catalog.text"

    def values(self, array: pa.Array, *, nan_as_null: bool = False) -> pa.Array:
        """Return values as the driver read them with the type that they are worked on with.

        Args:
            array: as the driver read it.
            nan_as_null: whether a NaN is shown as null.

        Raises:
            PseudonymizationError: a decimal is NaN, which Arrow's have not.
        """
        if not pa.types.is_decimal(self.type):
            return array
        problem, text = "", array.storage
        if nan_as_null:
            text = pc.if_else(pc.equal(text, "nan"), None, text)
        try:
            return text.cast(self.type)
        except pa.ArrowInvalid:
            problem = f"column {self.source.name!r} holds NaN, which has no pseudonym"
        raise PseudonymizationError(problem)


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """A column of the table that is written.

    Args:
        name: its name.
        type: as SQL writes it.
        not_null: whether it is ``NOT NULL``.
        collation: as SQL writes it, or None.
        reading: of the source's column; None for one that is added.
        replaced: whether its values are new ones, and not the wire format of the source's.
        staged: how it is made while rows are written: "domain" for a numeric, of which the driver
            takes no wire bytes unless they are of a type that it does not know; "text" for what has
            numbers of the source's database in its wire format; None for as it is.
        uuid: whether its values are text that is written as UUIDs.
    """

    name: str
    type: str
    not_null: bool = False
    collation: str | None = None
    reading: Reading | None = None
    replaced: bool = False
    staged: str | None = None
    uuid: bool = False

    def written(self, array: pa.Array) -> pa.Array:
        """Return values as the driver writes them."""
        if not self.uuid:
            return array
        array = combined(array).cast(pa.string())
        digits = pc.replace_substring(pc.drop_null(array), "-", "")
        octets = bytes.fromhex("".join(digits.to_pylist()))
        flat = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(_UUID), len(digits), [None, pa.py_buffer(octets)]
        )
        if not array.null_count:
            return flat.cast(pa.binary())
        present = pc.cast(array.is_valid(), pa.int64())
        places = pc.subtract(pc.cumulative_sum(present), 1)
        return flat.cast(pa.binary()).take(pc.if_else(array.is_valid(), places, None))


def readings_of(session: Session, relation: Relation) -> dict[str, Reading]:
    """Return how the columns of a table are read, by name.

    Raises:
        DatabaseError: the table can't be read.
    """
    columns = ", ".join(
        f"{_as_arrow(column)} AS {identifier(column.name)}" for column in relation.columns
    )
    schema = session.schema(
        f"SELECT {columns} FROM {relation.name.sql} LIMIT 0", f"read {relation.name}"
    )
    return {
        column.name: Reading(
            column,
            pa.decimal128(*column.decimals) if column.decimals else schema.field(place).type,
            bool(column.decimals) or _is_native(column),
        )
        for place, column in enumerate(relation.columns)
    }


def target_columns(
    readings: Mapping[str, Reading],
    read: pa.Schema,
    made: pa.Schema,
    replaced: Mapping[str, Sequence[ColumnSpec]],
    *,
    recovered: bool,
    same_database: bool,
) -> list[TargetColumn]:
    """Return the columns of the table that is written.

    Args:
        readings: of the source.
        read: the columns that are worked on.
        made: what becomes of them; those behind are added, and those that are missing dropped.
        replaced: the columns that get other values, and how they, or what is inside, are replaced.
        recovered: whether the values are recovered, and not pseudonyms.
        same_database: whether source and target are one database.

    Raises:
        PseudonymizationError: no type of PostgreSQL is for the values.
    """
    columns = []
    for name, reading in readings.items():
        if name in read.names and name not in made.names:
            continue
        if name in replaced:
            new = made.field(name).type
            columns.append(_replaced(reading, new, replaced[name], recovered=recovered))
        else:
            columns.append(_kept(reading, same_database=same_database))
    added = [name for name in made.names if name not in readings]
    return columns + [TargetColumn(name, _sql_of(made.field(name).type)) for name in added]


def top_of(name: str, columns: Mapping[str, object]) -> str:
    """Return the column that a name is of, which may be a path into it."""
    return name if name in columns else column_of(name)


def _kept(reading: Reading, *, same_database: bool) -> TargetColumn:
    source = reading.source
    staged = None
    if source.send is None or (source.has_oids and not same_database):
        staged = "text"
    elif source.base == "numeric":
        staged = "domain"
    return TargetColumn(
        source.name,
        source.type,
        not_null=source.not_null,
        collation=source.collation,
        reading=reading,
        staged=staged,
    )


def _replaced(
    reading: Reading, made: pa.DataType, specs: Sequence[ColumnSpec], *, recovered: bool
) -> TargetColumn:
    source = reading.source
    longer = any(spec.makes_text for spec in specs) and not recovered
    sql, uuid = _sql_of(made), False
    if made == reading.type or (is_text(made) and is_text(reading.type)):
        form = specs[0].format if len(specs) == 1 else None
        uuid = source.base == "uuid" and (form or "").startswith("uuid/") and not longer
        if uuid:
            sql = source.base_type
        elif reading.native:
            sql = "text" if longer and source.base in _LIMITED else source.base_type
    return TargetColumn(
        source.name,
        sql,
        not_null=source.not_null and not any(map(_may_null, specs)),
        collation=source.collation if sql == source.type else None,
        reading=reading,
        replaced=True,
        uuid=uuid,
    )


def _may_null(spec: ColumnSpec) -> bool:
    return spec.strategy in ("null", "custom") or "null" in (spec.small_domain, spec.on_invalid)


def _is_native(column: SourceColumn) -> bool:
    return column.base_schema == "pg_catalog" and column.base.removeprefix("_") in _NATIVE


def _as_arrow(column: SourceColumn) -> str:
    name = identifier(column.name)
    if column.decimals or (column.type == column.base_type and _is_native(column)):
        return name
    return f"{name}::{column.base_type if _is_native(column) else 'pg_catalog.text'}"


def _sql_of(arrow: pa.DataType) -> str:
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow):
        return f"{_sql_of(arrow.value_type)}[]"
    if pa.types.is_decimal(arrow):
        return f"numeric({arrow.precision},{arrow.scale})"
    if pa.types.is_timestamp(arrow):
        return "timestamp with time zone" if arrow.tz else "timestamp without time zone"
    for fits, sql in _SQL:
        if fits(arrow):
            return sql
    raise PseudonymizationError(f"PostgreSQL has no type for {arrow}")

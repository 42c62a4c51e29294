"""What the catalog of a database tells of tables, and names as SQL quotes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from secureml.engines.postgres.database import Session
from secureml.errors import ArgumentError, DatabaseError

__all__ = [
    "Constraint",
    "Relation",
    "SourceColumn",
    "TableName",
    "database_of",
    "fix_names",
    "found_relation",
    "identifier",
    "kind_of",
    "literal",
    "relation_of",
    "schema_of",
]

_PART = r'(?:"((?:[^"\0]|"")+)"|([^".:\0]+))'
_NAME = re.compile(rf"(?:{_PART}\.)?{_PART}")
_LONGEST = 63
_TABLES = {"r": "table", "p": "table", "v": "view", "m": "view", "f": "table"}

_COLUMNS = """
SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
    b.typname::text, n.nspname::text,
    pg_catalog.format_type(b.oid, CASE WHEN t.typtype = 'd' THEN -1 ELSE a.atttypmod END),
    a.attnotnull,
    CASE WHEN b.typname = 'numeric' AND t.typtype <> 'd' THEN a.atttypmod ELSE -1 END,
    CASE WHEN a.attcollation <> t.typcollation THEN c.collname::text END, cn.nspname::text,
    s.proname::text, sn.nspname::text,
    b.oid >= 16384 AND (b.typtype = 'c' OR b.typelem <> 0) OR b.typname ~ '^_?reg'
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
JOIN LATERAL (
    WITH RECURSIVE base AS (
        SELECT t.oid, t.typtype, t.typbasetype
        UNION ALL
        SELECT d.oid, d.typtype, d.typbasetype
        FROM base JOIN pg_catalog.pg_type d ON d.oid = base.typbasetype
    )
    SELECT d.* FROM base JOIN pg_catalog.pg_type d USING (oid) WHERE base.typtype <> 'd'
) b ON true
JOIN pg_catalog.pg_namespace n ON n.oid = b.typnamespace
LEFT JOIN pg_catalog.pg_proc s ON s.oid = b.typsend
LEFT JOIN pg_catalog.pg_namespace sn ON sn.oid = s.pronamespace
LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation
LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = c.collnamespace
WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""

_CONSTRAINTS = """
SELECT c.conname::text, c.contype::text, pg_catalog.pg_get_constraintdef(c.oid),
    ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(c.conkey) WITH ORDINALITY k(n, i)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY i),
    c.confrelid::bigint, c.confrelid::pg_catalog.regclass::text,
    ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(c.confkey) WITH ORDINALITY k(n, i)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.n ORDER BY i)
FROM pg_catalog.pg_constraint c
WHERE c.conrelid = {oid} AND c.contype IN ('p', 'u', 'f') AND c.conparentid = 0
ORDER BY c.conname
"""


@dataclass(frozen=True, slots=True)
class TableName:
    """The name of a table, as it is in the catalog.

    Args:
        schema: None for the first of the search path that has it, or in which tables are made.
        name: of the table.
    """

    schema: str | None
    name: str

    @classmethod
    def parse(cls, text: str) -> TableName:
        """Read a name: letters keep their case; what has a dot or a colon is in quotation marks.

        Raises:
            ArgumentError: it is no name.
        """
        found = _NAME.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise ArgumentError.of("tables", "is no name of a table", f"={text!r}")
        schema, name = (
            plain if quoted is None else quoted.replace('""', '"')
            for quoted, plain in (found.groups()[:2], found.groups()[2:])
        )
        if any(len(part.encode()) > _LONGEST for part in (schema or "", name)):
            raise ArgumentError.of("tables", f"is longer than {_LONGEST} bytes", f"={text!r}")
        return cls(schema, name)

    def __str__(self) -> str:
        return self.name if self.schema is None else f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        """The name as SQL has it."""
        parts = (self.name,) if self.schema is None else (self.schema, self.name)
        return ".".join(map(identifier, parts))


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """A column of a table.

    Args:
        name: its name.
        type: as SQL writes it, with its modifiers, such as ``numeric(12,2)``.
        base: the name of its type, or of that which its domain is of.
        base_schema: the schema of that.
        base_type: that type as SQL writes it.
        not_null: whether it is ``NOT NULL``.
        typmod: the modifiers of a numeric; -1 for none.
        collation: as SQL writes it; None for that of the type.
        send: the function that writes the wire format, as SQL writes it; None for none.
        has_oids: whether the wire format has numbers that are of one database alone.
    """

    name: str
    type: str
    base: str
    base_schema: str
    base_type: str
    not_null: bool
    typmod: int
    collation: str | None
    send: str | None
    has_oids: bool

    @property
    def decimals(self) -> tuple[int, int] | None:
        """The precision and scale of a numeric, if decimals of Arrow can have them."""
        if self.typmod < 0:
            return None
        precision, scale = self.typmod - 4 >> 16 & 0xFFFF, self.typmod - 4 & 0x7FF
        return (precision, scale) if scale <= precision <= 38 else None


@dataclass(frozen=True, slots=True)
class Constraint:
    """A primary key, a unique or a foreign key.

    Args:
        name: its name.
        kind: "p", "u" or "f".
        definition: as SQL writes it.
        columns: of the table.
        other: the number of the table that is referred to; 0 for none.
        other_sql: its name in the definition.
        other_columns: of that table.
    """

    name: str
    kind: str
    definition: str
    columns: tuple[str, ...]
    other: int
    other_sql: str
    other_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, a view, or whatever else has rows.

    Args:
        oid: its number in the database.
        name: its name, with its schema.
        columns: in order.
        constraints: its keys.
        comment: the text that ``COMMENT ON`` gave it, or None.
        rows: about how many there are; 0 if nobody knows.
    """

    oid: int
    name: TableName
    columns: Sequence[SourceColumn]
    constraints: Sequence[Constraint]
    comment: str | None
    rows: int


def identifier(name: str) -> str:
    """Return a name in quotation marks."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return text as a constant of SQL, whatever ``standard_conforming_strings`` is."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def found_relation(session: Session, name: TableName) -> int | None:
    """Return the number of a table or view; None if there is none."""
    [(oid,)] = session.rows(f"SELECT pg_catalog.to_regclass({literal(name.sql)})::oid::bigint")
    return None if oid is None else int(oid)


def kind_of(session: Session, oid: int) -> str | None:
    """Return "table" or "view", or None for an index or another thing without rows."""
    [(kind,)] = session.rows(f"SELECT relkind::text FROM pg_catalog.pg_class WHERE oid = {oid}")
    return _TABLES.get(kind)


def schema_of(session: Session, name: TableName) -> TableName:
    """Return the name of a table to be made, with its schema.

    Raises:
        DatabaseError: there is no schema in which tables are made.
    """
    if name.schema is not None:
        return name
    [(schema,)] = session.rows("SELECT pg_catalog.current_schema()::text")
    if schema is None:
        raise DatabaseError(f"the search path has no schema: name that of {name}")
    return TableName(schema, name.name)


def database_of(session: Session) -> tuple[Any, ...]:
    """Return what tells a database from all others, copies of it excepted."""
    [found] = session.rows(
        "SELECT system_identifier::text, (SELECT oid::bigint FROM pg_catalog.pg_database"
        " WHERE datname = pg_catalog.current_database()) FROM pg_catalog.pg_control_system()"
    )
    return found


def fix_names(session: Session) -> None:
    """Let no search path decide what a name means, and text be UTF-8."""
    session.run("SET search_path TO ''")
    session.run("SET client_encoding TO 'UTF8'")


def relation_of(session: Session, oid: int) -> Relation:
    """Return what the catalog tells of a table; names are fixed."""
    [(schema, name, comment, rows)] = session.rows(
        "SELECT n.nspname::text, c.relname::text,"
        " pg_catalog.obj_description(c.oid, 'pg_class'), c.reltuples::bigint"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        f" WHERE c.oid = {oid}"
    )
    columns = [_column(row) for row in session.rows(_COLUMNS.format(oid=oid))]
    constraints = [_constraint(row) for row in session.rows(_CONSTRAINTS.format(oid=oid))]
    return Relation(oid, TableName(schema, name), columns, constraints, comment, max(rows, 0))


def _column(row: Sequence[Any]) -> SourceColumn:
    *told, collation, collation_schema, send, send_schema, has_oids = row
    qualified = _qualified(collation_schema, collation), _qualified(send_schema, send)
    return SourceColumn(*[*told, *qualified, has_oids])


def _qualified(schema: str, name: str | None) -> str | None:
    return None if name is None else f"{identifier(schema)}.{identifier(name)}"


def _constraint(row: Sequence[Any]) -> Constraint:
    name, kind, definition, columns, other, other_sql, other_columns = row
    return Constraint(
        name, kind, definition, tuple(columns), other, other_sql, tuple(other_columns or ())
    )

"""Copies of tables: read in one snapshot, written in one transaction with their manifests.

The manifest is the comment of its table. So it goes where the table goes (renamed, moved to
another schema, dumped and restored) and away with it, which no row of another table does.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa

from secureml.engines.postgres.catalog import (
    Relation,
    TableName,
    database_of,
    fix_names,
    found_relation,
    identifier,
    kind_of,
    literal,
    relation_of,
    schema_of,
)
from secureml.engines.postgres.columns import (
    Reading,
    TargetColumn,
    readings_of,
    target_columns,
    top_of,
)
from secureml.engines.postgres.constraints import Copied, constraints_of
from secureml.engines.postgres.database import Database, Session
from secureml.engines.postgres.work import Work
from secureml.errors import DatabaseError
from secureml.files.checks import in_rows
from secureml.files.pipeline import Pipeline
from secureml.files.progress import Done, Progress
from secureml.frames.arrow import ArrowTable
from secureml.frames.streams import check_types
from secureml.frames.strings import combined
from secureml.pseudonymization.column_spec import ColumnSpec

__all__ = ["SourceTable", "WrittenTable", "copied", "first_rows", "opened"]

_ABOUT = "Pseudonymized by secureml; recovery needs this manifest: "

REPEATABLE = ("ISOLATION LEVEL REPEATABLE READ", "READ ONLY")
"""The modes of a transaction in which several tables are read as of one moment."""


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table that is read.

    Args:
        given: its name, as the caller wrote it.
        relation: what the catalog tells of it.
        readings: how its columns are read.
    """

    given: str
    relation: Relation
    readings: Mapping[str, Reading]

    @property
    def empty(self) -> ArrowTable:
        """A table of its columns without rows."""
        return ArrowTable(self._schema(self.readings).empty_table())

    @property
    def manifest(self) -> str | None:
        """The manifest in its comment, as JSON; None for none."""
        _, found, document = (self.relation.comment or "").partition(_ABOUT)
        return document if found else None

    def schema_of(self, needed: set[str]) -> pa.Schema:
        """Return those of its columns that are needed, or hold what is."""
        tops = {top_of(name, self.readings) for name in needed}
        return self._schema(name for name in self.readings if name in tops)

    def _schema(self, names: Any) -> pa.Schema:
        return pa.schema([pa.field(name, self.readings[name].type) for name in names])


@dataclass(frozen=True, slots=True)
class WrittenTable:
    """A table that was written.

    Args:
        table: its name, with its schema.
        rows: how many it has.
        manifest: of the table; None if it was recovered.
        left_out: a sentence for each key of the source that it does not have.
    """

    table: str
    rows: int
    manifest: Mapping[str, Any] | None
    left_out: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Copy:
    """The copy of one table of a job.

    Args:
        source: the table.
        work: what is done with its rows.
        target: the name of the copy.
        place: the name that it has until all rows are written.
        columns: of the copy.
        read: the schema of what the work takes.
        made: the schema of what the work returns.
        domain: how the names of its temporary domains begin.
    """

    source: SourceTable
    work: Work
    target: TableName
    place: TableName
    columns: Sequence[TargetColumn]
    read: pa.Schema
    made: pa.Schema
    domain: str


def opened(session: Session, names: Sequence[str]) -> list[SourceTable]:
    """Return tables of a database, and fix the meaning of names in it.

    Raises:
        ArgumentError: there is no such name.
        DatabaseError: there is no such table, or it can't be read.
    """
    parsed = [TableName.parse(name) for name in names]
    oids = [found_relation(session, name) for name in parsed]
    fix_names(session)
    tables = []
    for given, name, oid in zip(names, parsed, oids, strict=True):
        if oid is None or kind_of(session, oid) is None:
            raise DatabaseError(
                f"{session.shown} has no table {str(name)!r}, or the role may not see it"
            )
        relation = relation_of(session, oid)
        tables.append(SourceTable(given, relation, readings_of(session, relation)))
    return tables


def first_rows(session: Session, table: SourceTable, most: int) -> pa.Table:
    """Return the first rows of a table, as the columns are worked on."""
    names = list(table.readings)
    columns = ", ".join(table.readings[name].shown_sql for name in names)
    query = f"SELECT {columns} FROM {table.relation.name.sql} LIMIT {most}"
    arrays: list[pa.Table] = [table.empty.table]
    for batch in session.batches(query, f"read {table.relation.name}"):
        arrays.append(_worked_on(batch.columns, table, arrays[0].schema, nan_as_null=True))
    return pa.concat_tables(arrays)


def copied(
    source: Database,
    target: Database,
    tables: Mapping[str, str],
    prepare: Callable[[Sequence[SourceTable]], Sequence[Work]],
    *,
    replace_existing: bool,
    on_progress: Progress | None = None,
) -> list[WrittenTable]:
    """Write copies of tables, all or none of them.

    Args:
        source: where they are read.
        target: where the copies go.
        tables: the name of each copy, by that of its table.
        prepare: tells what is done with each.
        replace_existing: whether tables of these names are replaced.
        on_progress: is called after each batch.

    Raises:
        DatabaseError: a table can't be read or written; nothing was changed.
        PseudonymizationError: a column can't be replaced, or holds what can't be.
        SecretError: the key can't be had.
    """
    with target.session() as writing, source.session(*REPEATABLE) as reading:
        same = database_of(reading) == database_of(writing)
        targets = [schema_of(writing, TableName.parse(name)) for name in tables.values()]
        sources = opened(reading, list(tables))
        fix_names(writing)
        _check_targets(writing, sources, targets, same=same, replace_existing=replace_existing)
        copies = [
            _planned(table, work, name, same=same)
            for table, work, name in zip(sources, prepare(sources), targets, strict=True)
        ]
        for copy in copies:
            _make(writing, copy)
        rows = [
            _transferred(reading, writing, copy, (number, len(copies)), on_progress)
            for number, copy in enumerate(copies, 1)
        ]
        reading.close()  # which may hold a view of what is replaced
        left_out = _finished(writing, copies, replace_existing=replace_existing)
        documents = [copy.work.document() for copy in copies]
        for copy, document in zip(copies, documents, strict=True):
            if document is not None:
                text = literal(_ABOUT + json.dumps(document))
                writing.run(f"COMMENT ON TABLE {copy.target.sql} IS {text}")
        writing.commit()
    return [
        WrittenTable(str(copy.target), count, document, left_out[copy.source.relation.oid])
        for copy, count, document in zip(copies, rows, documents, strict=True)
    ]


def _check_targets(
    session: Session,
    sources: Sequence[SourceTable],
    targets: Sequence[TableName],
    *,
    same: bool,
    replace_existing: bool,
) -> None:
    for name, count in Counter(targets).items():
        if count > 1:
            raise DatabaseError(f"{count} tables would be written to {name}")
        if same and any(name == table.relation.name for table in sources):
            raise DatabaseError(f"{name} is a source itself: name another target")
        oid = found_relation(session, name)
        if oid is None:
            continue
        if not replace_existing:
            raise DatabaseError(
                f"{session.shown} has a table {str(name)!r} already; --force"
                " (if_exists='replace') replaces it"
            )
        if kind_of(session, oid) != "table":
            raise DatabaseError(f"{str(name)!r} of {session.shown} is no table: it is not replaced")


def _planned(table: SourceTable, work: Work, target: TableName, *, same: bool) -> _Copy:
    read = table.schema_of(work.needed)
    made = work.done(ArrowTable(read.empty_table())).table.schema
    replaced: dict[str, list[ColumnSpec]] = {name: [] for name in work.versions}
    for name, spec in work.specs.items():
        replaced.setdefault(top_of(name, table.readings), []).append(spec)
    columns = target_columns(
        table.readings, read, made, replaced, recovered=work.recovers, same_database=same
    )
    temporary = f"secureml_{uuid.uuid4().hex}"
    place = replace(target, name=temporary)
    return _Copy(table, work, target, place, columns, read, made, temporary)


def _make(session: Session, copy: _Copy) -> None:
    """Make the table that rows are written to, under a name of its own until they are."""
    doing = f"make {copy.target}"
    definitions = []
    for number, column in enumerate(copy.columns):
        sql = column.type
        if column.staged == "domain":
            sql = _domain(copy, number)
            session.run(f"CREATE DOMAIN {sql} AS {column.type}", doing)
        elif column.staged == "text":
            sql = "text"
        collation = f" COLLATE {column.collation}" if column.collation and not column.staged else ""
        null = " NOT NULL" if column.not_null else ""
        definitions.append(f"{identifier(column.name)} {sql}{collation}{null}")
    session.run(f"CREATE TABLE {copy.place.sql} ({', '.join(definitions)})", doing)


def _domain(copy: _Copy, number: int) -> str:
    return TableName(copy.place.schema, f"{copy.domain}_{number}").sql


def _transferred(
    reading: Session,
    writing: Session,
    copy: _Copy,
    number: tuple[int, int],
    on_progress: Progress | None,
) -> int:
    """Copy the rows of a table, and return how many there are."""
    source, rows, size = copy.source, 0, 0
    needed = [source.readings[name].sql for name in copy.read.names]
    kept = [_kept_sql(column) for column in copy.columns if column.reading and not column.replaced]
    query = f"SELECT {', '.join(needed + kept)} FROM {source.relation.name.sql}"
    with Pipeline() as pipeline:
        for batch in pipeline.ahead(reading.batches(query, f"read {source.relation.name}")):
            with in_rows(rows, len(batch)):
                table = _done(copy, batch)
            pipeline.behind(
                partial(
                    writing.write,
                    table,
                    str(copy.place.schema),
                    copy.place.name,
                    f"write {copy.target}",
                )
            )
            rows, size = rows + len(batch), size + batch.nbytes
            if on_progress is not None:
                on_progress(_progress(source.relation, rows, size, number))
        pipeline.finish()
    return rows


def _kept_sql(column: TargetColumn) -> str:
    assert column.reading is not None
    return column.reading.text_sql if column.staged == "text" else column.reading.wire_sql


def _done(copy: _Copy, batch: pa.RecordBatch) -> pa.Table:
    """Work on a batch, and return what is written of it."""
    worked = len(copy.read)
    columns = batch.columns
    table = _worked_on(columns[:worked], copy.source, copy.read)
    made = copy.work.done(ArrowTable(table)).table
    check_types(copy.made.names, copy.made.types, made.schema.types)
    kept = iter(columns[worked:])
    arrays = {
        column.name: (
            column.written(combined(made.column(column.name)))
            if column.replaced or column.reading is None
            else next(kept)
        )
        for column in copy.columns
    }
    return pa.table(list(arrays.values()), list(arrays))


def _worked_on(
    columns: Sequence[pa.Array],
    table: SourceTable,
    schema: pa.Schema,
    *,
    nan_as_null: bool = False,
) -> pa.Table:
    arrays = [
        table.readings[name].values(column, nan_as_null=nan_as_null)
        for name, column in zip(schema.names, columns, strict=True)
    ]
    return pa.table(arrays, schema=schema)


def _progress(relation: Relation, rows: int, size: int, number: tuple[int, int]) -> Done:
    fraction = min(rows / relation.rows, 1.0) if relation.rows else 0.0
    return Done(fraction, rows=rows, bytes=size, file=number[0], files=number[1])


def _change_of_type(column: TargetColumn) -> str:
    name = identifier(column.name)
    using = f" USING {name}::{column.type}" if column.staged == "text" else ""
    collation = f" COLLATE {column.collation}" if column.collation else ""
    return f"ALTER {name} TYPE {column.type}{collation}{using}"


def _finished(
    session: Session, copies: Sequence[_Copy], *, replace_existing: bool
) -> dict[int, list[str]]:
    """Give the tables their types, names and keys, and tell which keys are left out."""
    for copy in copies:
        changes = [_change_of_type(column) for column in copy.columns if column.staged]
        if changes:
            session.run(f"ALTER TABLE {copy.place.sql} {', '.join(changes)}", f"make {copy.target}")
        for number, column in enumerate(copy.columns):
            if column.staged == "domain":
                session.run(f"DROP DOMAIN {_domain(copy, number)}")
    if replace_existing:
        old = ", ".join(copy.target.sql for copy in copies)
        session.run(f"DROP TABLE IF EXISTS {old}", f"replace {old}")
    for copy in copies:
        new = identifier(copy.target.name)
        session.run(f"ALTER TABLE {copy.place.sql} RENAME TO {new}", f"make {copy.target}")
    statements, left_out = constraints_of(
        [Copied(copy.source.relation, copy.target, copy.work.all_specs) for copy in copies]
    )
    for statement in statements:
        session.run(statement, "add a key")
    return left_out

"""Which keys of a table are those of its copy too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from secureml.engines.postgres.catalog import Constraint, Relation, TableName
from secureml.pseudonymization.column_spec import ColumnSpec

__all__ = ["Copied", "constraints_of", "followed"]

_INJECTIVE = ("fpe", "token", "hash")


@dataclass(frozen=True, slots=True)
class Copied:
    """A table and its copy.

    Args:
        relation: the table.
        target: the name of the copy.
        specs: how columns are replaced.
    """

    relation: Relation
    target: TableName
    specs: Mapping[str, ColumnSpec]


def followed(child: Relation, relations: Mapping[int, Relation]) -> list[tuple[str, Relation, str]]:
    """Return the columns of a table that refer to those of other tables of a job, or its own.

    Args:
        child: the table.
        relations: those of the job, by number.

    Returns:
        Each column with the table and the column that it refers to.
    """
    return [
        (column, relations[key.other], other)
        for key in child.constraints
        if key.kind == "f" and key.other in relations
        for column, other in zip(key.columns, key.other_columns, strict=True)
    ]


def constraints_of(tables: Sequence[Copied]) -> tuple[list[str], dict[int, list[str]]]:
    """Return the statements that add keys to copies, and what is to be told of those left out.

    Args:
        tables: all of a job.

    Returns:
        The statements in order, and by number of a table a sentence for each key left out.
    """
    statements: list[str] = []
    left_out: dict[int, list[str]] = {table.relation.oid: [] for table in tables}
    of_oid = {table.relation.oid: table for table in tables}
    unique: dict[int, set[frozenset[str]]] = {oid: set() for oid in of_oid}
    for table in tables:
        for key in table.relation.constraints:
            if key.kind == "f":
                continue
            problem = _not_unique(key, table.specs)
            if problem:
                left_out[table.relation.oid].append(_told(key, problem))
                continue
            unique[table.relation.oid].add(frozenset(key.columns))
            statements.append(f"ALTER TABLE {table.target.sql} ADD {key.definition}")
    for table in tables:
        for key in table.relation.constraints:
            if key.kind != "f":
                continue
            other = of_oid.get(key.other)
            problem = _apart(key, table, other, unique.get(key.other, set()))
            if problem or other is None:
                left_out[table.relation.oid].append(_told(key, problem))
                continue
            before = f" REFERENCES {key.other_sql}("
            definition = key.definition.replace(before, f" REFERENCES {other.target.sql}(", 1)
            statements.append(f"ALTER TABLE {table.target.sql} ADD {definition}")
    return statements, left_out


def _told(key: Constraint, problem: str) -> str:
    kind = {"p": "primary key", "u": "unique", "f": "foreign key"}[key.kind]
    return f"{kind} {key.name}: {problem}"


def _not_unique(key: Constraint, specs: Mapping[str, ColumnSpec]) -> str:
    """Return why different values may get one pseudonym, or nothing."""
    for name in key.columns:
        spec = specs.get(name)
        if spec is None:
            continue
        nulls = "null" in (spec.small_domain, spec.on_invalid)
        if spec.strategy not in _INJECTIVE or spec.tweak or spec.normalize or nulls:
            return f"different values of {name!r} may become the same"
    return ""


def _apart(
    key: Constraint, table: Copied, other: Copied | None, unique: set[frozenset[str]]
) -> str:
    """Return why the columns of a foreign key may not refer to the copy, or nothing."""
    if other is None:
        return f"{key.other_sql} is no table of this job"
    for name, referred in zip(key.columns, key.other_columns, strict=True):
        if table.specs.get(name) != other.specs.get(referred):
            return f"{name!r} and {referred!r} of {other.relation.name} are not replaced alike"
    if frozenset(key.other_columns) not in unique:
        return f"the copy of {other.relation.name} has no such key"
    return ""

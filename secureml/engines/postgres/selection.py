"""Which of the arguments of a job are for which of its tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from secureml.engines.postgres.columns import top_of
from secureml.engines.postgres.transfer import SourceTable
from secureml.errors import ArgumentError
from secureml.settings.environments import did_you_mean

__all__ = ["arguments_by_table", "columns_by_table"]

_BY_COLUMN = ("strategy", "domains", "formats", "options", "tweaks")


def columns_by_table(
    names: Iterable[str] | None, tables: Sequence[SourceTable]
) -> list[list[str] | None]:
    """Return the columns that are named, for each table.

    Raises:
        ArgumentError: a name is of no table.
    """
    if names is None:
        return [None for _ in tables]
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ArgumentError.of("sensitive_columns", "must be a list of the names of columns")
    return [list(own) for own in _divided("sensitive_columns", dict.fromkeys(names), tables)]


def arguments_by_table(
    arguments: Mapping[str, Any], tables: Sequence[SourceTable]
) -> list[dict[str, Any]]:
    """Return the other arguments, for each table.

    Raises:
        ArgumentError: a name is of no table.
    """
    divided = [dict(arguments) for _ in tables]
    for argument in _BY_COLUMN:
        given = arguments.get(argument)
        if isinstance(given, Mapping):
            for own, part in zip(divided, _divided(argument, given, tables), strict=True):
                own[argument] = part
    return divided


def _divided(
    argument: str, given: Mapping[str, Any], tables: Sequence[SourceTable]
) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{} for _ in tables]
    for name, value in given.items():
        owners = [(part, _own(name, table)) for part, table in zip(parts, tables, strict=True)]
        found = [(part, own) for part, own in owners if own is not None]
        if not found:
            known = [column for table in tables for column in table.readings]
            hint = did_you_mean(str(name), known)
            raise ArgumentError.of(argument, f"names {name!r}, which no table has{hint}")
        for part, own in found:
            part[own] = value
    return parts


def _own(name: object, table: SourceTable) -> str | None:
    """Return a name as the table itself has it, or None if it is of another."""
    if not isinstance(name, str):
        return None
    relation = table.relation.name
    for prefix in ("", f"{relation.schema}.{relation.name}.", f"{relation.name}."):
        own = name.removeprefix(prefix)
        if name.startswith(prefix) and _has(table.readings, own):
            return own
    return None


def _has(columns: Mapping[str, object], name: str) -> bool:
    return top_of(name, columns) in columns

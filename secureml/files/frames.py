"""Columns of a chunk through ``anonymize`` and back."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from secureml.anonymization import reidentify
from secureml.anonymization.apply import apply
from secureml.anonymization.arguments import Arguments
from secureml.anonymization.plan import Plan, plan_table
from secureml.anonymization.previewing import Preview, preview
from secureml.anonymization.rekeying import rekey_columns
from secureml.anonymization.versions import rows_by_version, version_column
from secureml.errors import PseudonymizationError
from secureml.files.base import TableFile
from secureml.frames.arrow import ArrowTable
from secureml.frames.numbers import numbers_before
from secureml.frames.paths import column_of
from secureml.frames.strings import combined, is_text
from secureml.key_management import KeyManager
from secureml.pseudonymization.keys import Keyring
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.manifest import Manifest
from secureml.pseudonymization.values.buffers import EMPTY_STRING

__all__ = [
    "anonymized",
    "columns_in",
    "count_versions",
    "plan_of",
    "preview_of",
    "read_by_entries",
    "read_by_plan",
    "recovered",
    "rekeyed",
    "versions_of",
]


_NULLABLE = re.compile(r"U?Int(8|16|32|64)|Float(32|64)")
"""Pandas' own dtypes for numbers and nulls."""


def columns_in(table: TableFile) -> ArrowTable:
    """Return the columns of a table in a file, without rows."""
    return ArrowTable(pa.Table.from_batches([], table.schema.remove_metadata()))


def plan_of(
    table: TableFile,
    strategy: Any,
    sensitive_columns: Iterable[str] | None,
    arguments: Arguments,
    attached: Mapping[str, Any] | None,
) -> tuple[Plan, Keyring, Manifest | None]:
    """Decide what is done with each column of a table in a file, as ``plan_table`` does."""
    return plan_table(
        columns_in(table), _on_series(strategy), sensitive_columns, arguments, attached
    )


def read_by_plan(plan: Plan) -> frozenset[str]:
    """Return the names of the columns of a file that a plan reads or replaces."""
    tweaks = (spec.tweak for spec in plan.columns.values())
    return _at_top({*plan.columns, *filter(None, tweaks)})


def read_by_entries(entries: Mapping[str, Entry]) -> frozenset[str]:
    """Return the names of the columns of a file that recovery reads or replaces."""
    tweaks = (entry.recipe.tweak for entry in entries.values())
    return _at_top({*entries, *filter(None, tweaks), *versions_of(entries)})


def versions_of(entries: Mapping[str, Entry]) -> frozenset[str]:
    """Return the names of the columns that tell the versions of others."""
    return frozenset(version_column(name) for name, entry in entries.items() if entry.versions)


def anonymized(
    columns: pa.Table, plan: Plan, keyring: Keyring, schema: pa.Schema | None
) -> tuple[pa.Table, dict[str, Entry]]:
    """Pseudonymize the columns of a plan.

    Args:
        columns: those that the plan reads.
        plan: how each is replaced.
        keyring: of the plan's key.
        schema: what the result is to have; None lets the first rows tell.

    Returns:
        The columns that are replaced or added, and their entries for the manifest.

    Raises:
        PseudonymizationError: the columns hold what can't be replaced, or do not fit the schema.
    """
    made, entries = apply(plan, ArrowTable(columns), keyring)
    return _columns_of(made.table, plan.columns, columns, schema), entries


def recovered(
    columns: pa.Table,
    document: Mapping[str, Any],
    manager: KeyManager,
    schema: pa.Schema | None,
    *,
    check_table: bool,
) -> pa.Table:
    """Recover the columns of a manifest, as ``reidentify`` does.

    Args:
        columns: those that recovery reads.
        document: the manifest.
        manager: where keys come from.
        schema: what the result is to have; None lets the first rows tell.
        check_table: as for ``reidentify``.
    """
    entries = Manifest.parse(document).columns
    made = reidentify(
        _pseudonyms_of(columns, entries), document, check_table=check_table, key_manager=manager
    )
    reversible = {name: entry for name, entry in entries.items() if entry.recipe.reversible}
    new = _columns_of(made, reversible, columns, schema)
    return new.replace_schema_metadata(_nullable_dtypes(reversible))


def rekeyed(
    columns: pa.Table,
    manifest: Manifest,
    keyrings: tuple[Keyring, Keyring],
    manager: KeyManager,
    schema: pa.Schema | None,
    *,
    check_table: bool,
) -> tuple[pa.Table, dict[str, Entry]]:
    """Move the columns of a manifest to another key, as ``rekey_columns`` does.

    Args:
        columns: those that recovery reads.
        manifest: verified.
        keyrings: of the key of the manifest, and of the new one.
        manager: where other versions of the old key come from.
        schema: what the result is to have; None lets the first rows tell.
        check_table: as for ``rekey``.

    Returns:
        The columns that are replaced, and their entries for the manifest.
    """
    entries = manifest.columns
    before = ArrowTable(_pseudonyms_of(columns, entries))
    old, new = {manifest.key.version: keyrings[0]}, keyrings[1]
    made, moved = rekey_columns(before, manifest, old, new, manager, check_table=check_table)
    reversible = [name for name, entry in entries.items() if entry.recipe.reversible]
    return _columns_of(made.table, {*reversible, *versions_of(entries)}, columns, schema), moved


def preview_of(
    table: TableFile,
    most: int,
    shown: int,
    sensitive_columns: Iterable[str] | None,
    arguments: dict[str, Any],
) -> Preview:
    """Show what ``anonymize`` would make of the first rows of a table in a file.

    Args:
        table: the table.
        most: how many rows to look at.
        shown: how many rows to show before and after.
        sensitive_columns: as for ``anonymize``.
        arguments: the others of ``anonymize``.
    """
    others = {name: value for name, value in arguments.items() if name != "strategy"}
    plan, _, _ = plan_table(
        columns_in(table),
        arguments.get("strategy"),
        sensitive_columns,
        cast(Arguments, others),
    )
    parts: list[pa.Table] = []
    for chunk in table.chunks(read_by_plan(plan)):
        parts.append(chunk.table.slice(0, most))
        most -= len(parts[-1])
        if most <= 0:
            break
    arguments = {**arguments, "strategy": _on_series(arguments.get("strategy"))}
    whole = pa.concat_tables(parts).replace_schema_metadata(None)
    return preview(whole, shown, sensitive_columns=sensitive_columns, **arguments)


def count_versions(
    table: TableFile, names: Collection[str], newest: int | None
) -> Counter[int | None]:
    """Count the rows of each version of a key; of several columns, the highest number.

    Args:
        table: the table.
        names: columns that have one of versions beside them.
        newest: the version that nulls are taken for, which have none.
    """
    there = columns_in(table)
    totals = {name: Counter[int | None]() for name in names if name in there}
    for chunk in table.chunks(_at_top({*totals, *map(version_column, totals)})):
        rows_of = ArrowTable(chunk.table)
        for name, total in totals.items():
            for version, rows in rows_by_version(rows_of, name, newest).items():
                total[version] += len(rows)
    counted: Counter[int | None] = Counter()
    for total in totals.values():
        counted |= total
    return counted


def _at_top(names: Collection[str]) -> frozenset[str]:
    """Return names, each with that of the column that it is inside of if it is a path."""
    return frozenset({*names, *map(column_of, names)})


def _on_series(strategy: Any) -> Any:
    """Return strategies whose functions get a pandas Series, as those of files do."""
    if isinstance(strategy, Mapping):
        return {name: _on_series(one) for name, one in strategy.items()}
    if not callable(strategy):
        return strategy

    def on_array(array: pa.ChunkedArray) -> Any:
        import pandas as pd

        result = strategy(pd.Series(pd.arrays.ArrowExtensionArray(array)))
        return pa.array(result) if isinstance(result, pd.Series) else result

    return on_array


def _pseudonyms_of(columns: pa.Table, entries: Mapping[str, Entry]) -> pa.Table:
    """Return columns to recover.

    Args:
        columns: as they were read. In a file of text, a number that is missing is empty.
        entries: what the manifest tells of them.
    """
    arrays = dict(zip(columns.column_names, columns.columns, strict=True))
    for name, entry in entries.items():
        if name in arrays and numbers_before(entry) is not None and is_text(arrays[name].type):
            empty = pc.equal(arrays[name].cast(pa.large_string()), EMPTY_STRING)
            nulls = pa.nulls(len(columns), arrays[name].type)
            arrays[name] = pc.if_else(empty, nulls, arrays[name])
    return pa.table(arrays)


def _columns_of(
    made: pa.Table, replaced: Collection[str], before: pa.Table, schema: pa.Schema | None
) -> pa.Table:
    """Return the columns of a table that are replaced or added.

    Args:
        made: the rows, with columns replaced, added or gone.
        replaced: the columns that it has new values of.
        before: the rows as they were read.
        schema: what the result is to have; None lets the first rows tell.

    Raises:
        PseudonymizationError: the values do not fit the schema.
    """
    types = {field.name: field.type for field in before.schema}
    holders = ArrowTable(before).holders
    replaced = {holders.get(name, (name,))[0] for name in replaced}
    arrays = {
        name: _array_of(name, column, types.get(name), schema)
        for name, column in zip(made.column_names, made.columns, strict=True)
        if name in replaced or name not in types
    }
    return pa.table(arrays)


def _nullable_dtypes(entries: Mapping[str, Entry]) -> Mapping[str, str] | None:
    """Return what pandas keeps in a schema of columns whose dtype Arrow's type does not tell."""
    columns = [
        {"name": name, "field_name": name, "numpy_type": entry.dtype, "metadata": None}
        | {"pandas_type": entry.dtype.lower()}
        for name, entry in entries.items()
        if _NULLABLE.fullmatch(entry.dtype)
    ]
    kept = {"columns": columns, "index_columns": [], "column_indexes": []}
    return {"pandas": json.dumps(kept)} if columns else None


def _array_of(
    name: str,
    column: pa.ChunkedArray,
    before: pa.DataType | None,
    schema: pa.Schema | None,
) -> pa.Array:
    array = combined(column)
    if schema is not None:
        wanted = schema.field(name).type
    else:
        categories = before is not None and pa.types.is_dictionary(before)
        wanted = before if categories and _holds_text(array.type) else array.type
    if array.type == wanted:
        return array
    problem = ""
    try:
        return _cast(array, wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # no such value, no such conversion
        problem = f"column {name!r}: some rows have the type {array.type}, others {wanted}"
    raise PseudonymizationError(problem)


def _cast(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    if not pa.types.is_dictionary(wanted):
        return array.cast(wanted)
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    return pa.DictionaryArray.from_arrays(
        array.indices.cast(wanted.index_type),
        array.dictionary.cast(wanted.value_type),
        ordered=wanted.ordered,
    )


def _holds_text(arrow_type: pa.DataType) -> bool:
    if pa.types.is_dictionary(arrow_type):
        return is_text(arrow_type.value_type)
    return is_text(arrow_type)

"""Columns of a chunk through ``anonymize`` and back: the one place that knows of pandas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from secureml.anonymization import reidentify
from secureml.anonymization.apply import apply
from secureml.anonymization.arguments import Arguments
from secureml.anonymization.plan import Pseudonymizer, plan_table
from secureml.anonymization.previewing import Preview, preview
from secureml.anonymization.rekeying import rekey_columns
from secureml.anonymization.versions import rows_by_version, version_column
from secureml.errors import PseudonymizationError
from secureml.files.base import TableFile
from secureml.frames.arrow import PLAIN, combined, is_text
from secureml.frames.dtypes import numbers_before
from secureml.key_management import KeyManager
from secureml.pseudonymization.keys import Keyring
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.manifest import Manifest

__all__ = [
    "anonymized",
    "count_versions",
    "plan_of",
    "preview_of",
    "read_by_entries",
    "read_by_plan",
    "recovered",
    "rekeyed",
    "sample_of",
    "versions_of",
]


def plan_of(
    table: TableFile,
    strategy: Any,
    sensitive_columns: Iterable[str] | None,
    arguments: Arguments,
    attached: Mapping[str, Any] | None,
) -> tuple[Pseudonymizer, Keyring, Manifest | None]:
    """Decide what is done with each column of a table in a file, as ``plan_table`` does."""
    frame = _frame_of(table.schema.empty_table())
    return plan_table(frame, strategy, sensitive_columns, arguments, attached)


def read_by_plan(plan: Pseudonymizer) -> frozenset[str]:
    """Return the names of the columns that a plan reads or replaces."""
    return frozenset({*plan.columns, *(spec.tweak for spec in plan.columns.values() if spec.tweak)})


def read_by_entries(entries: Mapping[str, Entry]) -> frozenset[str]:
    """Return the names of the columns that recovery reads or replaces."""
    tweaks = (entry.recipe.tweak for entry in entries.values())
    return frozenset({*entries, *filter(None, tweaks), *versions_of(entries)})


def versions_of(entries: Mapping[str, Entry]) -> frozenset[str]:
    """Return the names of the columns that tell the versions of others."""
    return frozenset(version_column(name) for name, entry in entries.items() if entry.versions)


def anonymized(
    columns: pa.Table, plan: Pseudonymizer, keyring: Keyring, schema: pa.Schema | None
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
    frame, entries = apply(plan, _frame_of(columns), keyring)
    return _columns_of(frame, plan.columns, columns, schema), entries


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
    frame = reidentify(
        _pseudonyms_of(columns, entries), document, check_table=check_table, key_manager=manager
    )
    reversible = [name for name, entry in entries.items() if entry.recipe.reversible]
    return _columns_of(frame, reversible, columns, schema)


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
    frame = _pseudonyms_of(columns, entries)
    frame, moved = rekey_columns(frame, manifest, keyrings, manager, check_table=check_table)
    reversible = [name for name, entry in entries.items() if entry.recipe.reversible]
    return _columns_of(frame, {*reversible, *versions_of(entries)}, columns, schema), moved


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
        sample_of(table.schema.empty_table()),
        arguments.get("strategy"),
        sensitive_columns,
        cast(Arguments, others),
    )
    frames: list[pd.DataFrame] = []
    for chunk in table.chunks(read_by_plan(plan)):
        frames.append(sample_of(chunk.table.slice(0, most)))
        most -= len(frames[-1])
        if most <= 0:
            break
    frame = pd.concat(frames, ignore_index=True)
    return preview(frame, shown, sensitive_columns=sensitive_columns, **arguments)


def count_versions(
    table: TableFile, names: Collection[str], newest: int | None
) -> Counter[int | None]:
    """Count the rows of each version of a key; of several columns, the highest number.

    Args:
        table: the table.
        names: columns that have one of versions beside them.
        newest: the version that nulls are taken for, which have none.
    """
    there = frozenset(table.schema.names)
    totals = {name: Counter[int | None]() for name in names if name in there}
    for chunk in table.chunks({*totals, *map(version_column, totals)}):
        frame = _frame_of(chunk.table)
        for name, total in totals.items():
            for version, rows in rows_by_version(frame, name, newest).items():
                total[version] += len(rows)
    counted: Counter[int | None] = Counter()
    for total in totals.values():
        counted |= total
    return counted


def sample_of(columns: pa.Table) -> pd.DataFrame:
    """Return columns as a frame to look at, without the types that pandas can't work with."""
    plain = [
        column.cast(PLAIN[column.type]) if column.type in PLAIN else column
        for column in columns.columns
    ]
    return _frame_of(pa.table(plain, columns.column_names))


def _frame_of(columns: pa.Table) -> pd.DataFrame:
    """Return columns as a frame; text and whole numbers have dtypes that lose nothing.

    Raises:
        PseudonymizationError: the columns hold what can't be in one.
    """
    try:
        return columns.replace_schema_metadata(None).to_pandas(types_mapper=_dtype_for)
    except (pa.ArrowException, ValueError):
        pass
    raise PseudonymizationError(
        "some column holds what pandas can't, such as strings that are not UTF-8"
    )


def _pseudonyms_of(columns: pa.Table, entries: Mapping[str, Entry]) -> pd.DataFrame:
    """Return columns as a frame to recover.

    Args:
        columns: as they were read. In a file of text, a number that is missing is empty.
        entries: what the manifest tells of them.
    """
    arrays = dict(zip(columns.column_names, columns.columns, strict=True))
    for name, entry in entries.items():
        if name in arrays and numbers_before(entry) is not None and is_text(arrays[name].type):
            arrays[name] = pc.if_else(pc.equal(arrays[name], ""), None, arrays[name])
    return _frame_of(pa.table(arrays))


def _columns_of(
    frame: pd.DataFrame, replaced: Collection[str], before: pa.Table, schema: pa.Schema | None
) -> pa.Table:
    """Return the columns of a frame that are replaced or added.

    Args:
        frame: the rows, with columns replaced, added or gone.
        replaced: the columns that it has new values of.
        before: the rows as they were read.
        schema: what the result is to have; None lets the first rows tell.

    Raises:
        PseudonymizationError: the values do not fit the schema.
    """
    arrays, types = {}, {field.name: field.type for field in before.schema}
    for name in frame.columns:
        if name in replaced or name not in types:
            wanted = None if schema is None else schema.field(name).type
            arrays[name] = _array_of(frame[name], types.get(name), wanted)
    return pa.table(arrays, metadata=_dtypes_of(frame, replaced))


def _dtypes_of(frame: pd.DataFrame, replaced: Collection[str]) -> Mapping[bytes, bytes] | None:
    """Return what pandas would keep of those new columns whose dtype Arrow's type does not tell."""
    own = [
        name
        for name, dtype in frame.dtypes.items()
        if name in replaced
        and isinstance(dtype, pd.api.extensions.ExtensionDtype)
        and not isinstance(dtype, pd.ArrowDtype | pd.StringDtype)
    ]
    metadata: dict[bytes, bytes] | None = None
    if own:
        metadata = pa.Schema.from_pandas(frame[own], preserve_index=False).metadata
    return metadata


def _dtype_for(arrow_type: pa.DataType) -> Any:
    plain = pa.types.is_dictionary(arrow_type) or pa.types.is_floating(arrow_type)
    return None if plain else pd.ArrowDtype(arrow_type)


def _array_of(
    series: pd.Series, before: pa.DataType | None, wanted: pa.DataType | None
) -> pa.Array:
    array = combined(pa.array(series, from_pandas=True))
    if wanted is None:
        categories = before is not None and pa.types.is_dictionary(before)
        wanted = before if categories and _holds_text(array.type) else array.type
    if array.type == wanted:
        return array
    problem = ""
    try:
        return _cast(array, wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # no such value, no such conversion
        problem = f"column {series.name!r}: some rows have the type {array.type}, others {wanted}"
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

"""``anonymize``: a plan applied once, from the columns of a table to their pseudonyms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

import numpy as np

from secureml.anonymization.arguments import Arguments, Function, check_method, check_switch
from secureml.anonymization.jobs import JobFunction, new_job
from secureml.anonymization.plan import Plan, in_column, plan_table
from secureml.anonymization.problems import invalid_values, too_small_domains
from secureml.anonymization.tweaks import row_tweaks, tweak_type
from secureml.anonymization.versions import with_versions
from secureml.errors import PseudonymizationError
from secureml.frames.adapters import source_of
from secureml.frames.base import Column, Table
from secureml.frames.column_values import ColumnValues, NumberColumn
from secureml.frames.streams import Stream, carried, given_back
from secureml.pseudonymization.column_spec import ColumnSpec
from secureml.pseudonymization.keys import Keyring
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.manifest import Counts, Manifest
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.sketch import Sketch
from secureml.pseudonymization.strategies import Outcome, strategy_type
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text

if TYPE_CHECKING:
    from secureml.anonymization.previewing import Preview

Frame = TypeVar("Frame")
AnyTable = TypeVar("AnyTable", bound=Table)

__all__ = ["ReplacedColumn", "anonymize", "apply", "pseudonymized", "replace_column"]


@overload
def anonymize(
    data: Frame,
    method: str = "pseudonymization",
    strategy: str | Function | Mapping[str, str | Function] | None = None,
    sensitive_columns: Iterable[str] | None = None,
    *,
    preview: None = None,
    return_manifest: Literal[False] = False,
    **arguments: Unpack[Arguments],
) -> Frame: ...
@overload
def anonymize(
    data: Frame,
    method: str = "pseudonymization",
    strategy: str | Function | Mapping[str, str | Function] | None = None,
    sensitive_columns: Iterable[str] | None = None,
    *,
    preview: None = None,
    return_manifest: Literal[True],
    **arguments: Unpack[Arguments],
) -> tuple[Frame, dict[str, Any]]: ...
@overload
def anonymize(
    data: Any,
    method: str = "pseudonymization",
    strategy: str | Function | Mapping[str, str | Function] | None = None,
    sensitive_columns: Iterable[str] | None = None,
    *,
    preview: int,
    return_manifest: Literal[False] = False,
    **arguments: Unpack[Arguments],
) -> Preview: ...
def anonymize(
    data: Any,
    method: str = "pseudonymization",
    strategy: str | Function | Mapping[str, str | Function] | None = None,
    sensitive_columns: Iterable[str] | None = None,
    *,
    preview: int | None = None,
    return_manifest: bool = False,
    **arguments: Unpack[Arguments],
) -> Any:
    """Replace the values of some columns by pseudonyms that the key can turn back.

    A value becomes another one of its format: every character keeps its class (digit, upper case,
    letters of a script, ...) and every other character stays; a whole number keeps its sign and
    its number of digits. Equal values of one domain get equal pseudonyms, in every table. Nulls
    and empty strings stay. What recovery needs is in ``attrs["secureml"]`` of the result, in the
    metadata of an Arrow schema, or returned beside it.

    Args:
        data: the table; it is not changed. A pandas, Polars, Spark or Dask DataFrame, a
            LazyFrame, a Dataset of Ray, a pyarrow Table, RecordBatch, RecordBatchReader or Dataset,
            a DuckDB relation, what gives an Arrow C stream, a dict of lists, or a list of dicts.
        method: "pseudonymization".
        strategy: how values are replaced, for all columns or by column. Reversible are "fpe", the
            default: format-preserving encryption, FF1 with AES-256, and "token": AES-SIV. Not
            reversible are "hash": HMAC-SHA256, "mask", "redact", "null", and a function of the
            caller's own, which gets the column as the
            table has it (a Series, an Arrow array) and returns the new one.
        sensitive_columns: the names of the columns to pseudonymize, or of an Arrow table the paths
            of those inside of others, such as "items[].email"; by default those that the rules of
            the settings name. An argument takes precedence over a rule.
        return_manifest: return the manifest beside the table, for tables that carry none.
        preview: return what ``preview`` shows of so many rows, in place of the table.
        master_key_name: the key; by default the setting of that name.
        master_key_version: its version; by default the newest. A job of many tables names one,
            so that a rotation meanwhile does not divide it.
        domains: by column, the name of its domain; by default the column's own name. Columns of
            one domain can be joined.
        domain_prefix: what sets the domains of all columns apart, such as the name of a recipient:
            only columns of the same prefix can be joined. By default that of the profile or the
            settings; "" for none.
        formats: by column, what its values are; by default "class" for text, "integer" for whole
            numbers, "decimal", "date" and "datetime" for columns of such dtypes.
        options: by column, the options of its strategy or format.
        tweaks: by column, the name of another column that stays as it is: rows that differ in it
            get unlinkable pseudonyms of equal values. Those of values in a list lie in the same
            list, or outside of all.
        small_domain: what becomes of values with fewer than 1,000,000 possible pseudonyms:
            "error" (the default) refuses the table, "token" replaces them by reversible tokens (a
            column of integers becomes one of strings), "null" by nulls, for good, and "permute"
            permutes the whole domain by a table, which is no standard.
        on_invalid: what becomes of values that are not of the column's format: "error" (the
            default), "token" or "null".
        normalize: "NFC" to normalize text first, so that what looks the same can be joined; what
            is recovered is then the normalized text.
        on_ordered: what becomes of an ordered categorical: "error" (the default) refuses the
            table, "keep" keeps the order, which tells much of the values.
        key_versions: add a column ``<column>__key_version`` for each, so that rows of several
            versions can be put together in one table. Values in a list can't have one.
        manifest: of columns that were pseudonymized before; by default that of the data, if it
            has one.
        profile: the name of a set of rules in the settings, which stands over the rules for all.
        key_manager: where keys come from; by default the process's own.

    Returns:
        A new table of the same kind, with the same index, columns and dtypes, and a reader for what
        gives batches of Arrow; with its manifest, if that is asked for; or a ``Preview``.

    Raises:
        TypeError: the data is no table, or there is no such argument.
        DomainTooSmallError: values are too short, and ``small_domain`` is "error".
        ManifestError: the table already has a manifest that can't be extended.
        PseudonymizationError: an argument or a column can't be used; nothing was done.
        SecretError: the key can't be had.
    """
    check_method(method)
    if preview is not None:
        # A preview applies the plan too, so that its module imports this one.
        from secureml.anonymization import previewing

        return previewing.preview(
            data, preview, strategy=strategy, sensitive_columns=sensitive_columns, **arguments
        )
    check_switch("return_manifest", return_manifest)
    source = source_of(data)
    table = source.empty if isinstance(source, Stream) else source
    plan, keyring, earlier = plan_table(table, strategy, sensitive_columns, arguments)
    given, document = pseudonymized(plan, source, keyring, earlier)
    return (given, document) if return_manifest else given


def pseudonymized(
    plan: Plan, source: Table | Stream, keyring: Keyring, earlier: Manifest | None
) -> tuple[Any, dict[str, Any]]:
    """Apply a plan, and return the table as the caller has it, and its manifest.

    Args:
        plan: the plan.
        source: its table, or what gives its rows in batches.
        keyring: of the plan's key.
        earlier: the manifest of columns that were pseudonymized before, or None.

    Raises:
        PseudonymizationError: a column holds what can't be replaced; nothing was done.
    """
    table = source.empty if isinstance(source, Stream) else source
    result, entries = apply(plan, table, keyring, counted=table is source)
    older = () if earlier is None else earlier.older
    entries = entries if earlier is None else {**earlier.columns, **entries}
    manifest = Manifest.of(keyring, entries, older)
    given = given_back(
        source, result, carried(source, manifest, keyring), Replacement(plan, keyring)
    )
    return given, manifest.document()


@dataclass(frozen=True, slots=True)
class Replacement:
    """Applies a plan to a batch of a stream; it pickles without the key, which is fetched again.

    Args:
        plan: the plan.
        keyring: of its key.
        job: the name of the job that its batches are of.
    """

    plan: Plan
    keyring: Keyring
    job: str = field(default_factory=new_job)

    def __call__(self, table: Table) -> Table:
        """Return a batch with its columns replaced."""
        return apply(self.plan, table, self.keyring, counted=False)[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return JobFunction, (self.job, _fetched, (self.plan,))


def _fetched(plan: Plan) -> Replacement:
    return Replacement(plan, plan.keyring())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReplacedColumn:
    """A column, and what became of its values.

    Args:
        column: as it was.
        outcome: what became of its values.
        tweaks: of these, or None.
        array: what a function of the caller's made in place of a strategy.
    """

    column: ColumnValues
    outcome: Outcome
    tweaks: RowTweaks | None = None
    array: Any = None

    def rebuilt(self) -> Any:
        """Return an array of the new values."""
        if self.array is not None:
            return self.array
        return self.column.rebuilt(self.outcome.values, self.outcome.nulled)


def apply(
    plan: Plan, table: AnyTable, keyring: Keyring, *, counted: bool = True
) -> tuple[AnyTable, dict[str, Entry]]:
    """Replace the columns of a plan, and return their entries for the manifest too.

    The tweaks of a column are those that it has when the columns before it are done, which is what
    recovery finds.

    Args:
        plan: how each column is replaced.
        table: the table.
        keyring: of the plan's key.
        counted: whether the entries tell of the rows; those of a part of a table need not.

    Raises:
        PseudonymizationError: a column holds what can't be replaced; nothing was done.
    """
    if plan.versioned:
        table = with_versions(table, plan.versioned, keyring.reference)
    read = {spec.tweak for spec in plan.columns.values()}
    arrays: dict[str, Any] = {}
    entries: dict[str, Entry] = {}
    small: dict[str, ReplacedColumn] = {}
    invalid: dict[str, ReplacedColumn] = {}
    for name in plan.columns:
        replaced = in_column(name, replace_column, plan, name, table, keyring)
        # A categorical may hold values that no row has.
        if replaced.column.occurrences(replaced.outcome.invalid):
            invalid[name] = replaced
        if replaced.column.occurrences(replaced.outcome.small.rows):
            small[name] = replaced
        if small or invalid:
            continue
        arrays[name] = in_column(name, replaced.rebuilt)
        entries[name] = _entry(plan, name, table, replaced)
        if counted:
            told = _of_rows(plan.columns[name], replaced, keyring)
            entries[name] = replace(entries[name], **told)
        if name in read:
            table = table.replace({name: arrays[name]})
    if invalid:
        raise invalid_values(plan, table, invalid)
    if small:
        raise too_small_domains(table, small)
    nullable = [name for name, spec in plan.columns.items() if spec.may_null]
    return table.replace(arrays).nullable(nullable), entries


def replace_column(plan: Plan, name: str, table: Table, keyring: Keyring) -> ReplacedColumn:
    """Replace the values of one column, whose errors do not name it."""
    spec, source = plan.columns[name], table.column(name)
    column = _read(source, spec)
    function = plan.functions.get(name)
    if function is not None:
        outcome = Outcome(values=column.values)
        return ReplacedColumn(column=column, outcome=outcome, array=source.called(function))
    if spec.reversible and isinstance(column, NumberColumn):
        source.check_restorable(column)
    tweaks = None if spec.tweak is None else row_tweaks(table, name, spec, column)
    strategy = spec.keyed(keyring, tweaks, smallest=plan.smallest)
    outcome = strategy.protect(spec.prepared(column.values))
    return ReplacedColumn(column=column, outcome=outcome, tweaks=tweaks)


def _read(column: Column, spec: ColumnSpec) -> ColumnValues:
    """Read a column; a strategy that does not look at values takes one that can't be read too."""
    read = partial(column.read, distinct=spec.tweak is None, scale=spec.scale)
    if strategy_type(spec.strategy).reads:
        return read()
    try:
        return read()
    except PseudonymizationError:
        return column.unread()


def _entry(plan: Plan, name: str, table: Table, replaced: ReplacedColumn) -> Entry:
    spec, column = plan.columns[name], replaced.column
    return Entry(
        spec,
        dtype=column.dtype,
        versions=name in plan.versioned,
        arrow=column.arrow,
        tweak_arrow=None if replaced.tweaks is None else tweak_type(table.column(spec.tweak)),
    )


def _of_rows(spec: ColumnSpec, replaced: ReplacedColumn, keyring: Keyring) -> dict[str, Any]:
    """Return what an entry tells of the rows."""
    column, outcome = replaced.column, replaced.outcome
    counts = Counts(
        rows=len(column.nulls),
        nulls=int(np.count_nonzero(column.nulls)),
        empty=column.empty,
        tokens=column.occurrences(outcome.tokens),
        nulled=column.occurrences(outcome.nulled),
    )
    sketches = _sketches(replaced, keyring) if spec.reversible else {}
    return {"counts": counts, "sketches": sketches}


def _sketches(replaced: ReplacedColumn, keyring: Keyring) -> dict[int | None, Sketch]:
    """Take the sketches of a column's pseudonyms."""
    values, tweaks = replaced.outcome.values, replaced.tweaks
    assert isinstance(values, Text | WholeNumbers)
    rows = replaced.column.places_in_rows(replaced.outcome.nulled)
    if rows is not None:
        values, tweaks = values.at(rows), tweaks and tweaks.at(rows)
    pairs = None
    if tweaks is not None:
        pairs = keyring.sketcher(pairs=True).sketch(values, tweaks)
    sketch = Sketch(keyring.sketcher().sketch(values), pairs)
    return {keyring.reference.version: sketch}

"""Functions of single values for SQL engines: what a rule makes of an array, and back.

A rule is named as the settings have it, and the key is pinned when the functions are made. Arrays
keep their type. There is no table, and so nothing is signed beside each result: ``manifest`` tells
once what recovery needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, TypedDict

import pyarrow as pa

from secureml.anonymization.apply import ReplacedColumn
from secureml.anonymization.arguments import check_key, check_manifest
from secureml.anonymization.jobs import JobFunction, new_job
from secureml.anonymization.plan import Plan, in_column, rules_in_force, spec_of
from secureml.anonymization.problems import invalid_values, too_small_domains
from secureml.errors import ArgumentError, ManifestError, PseudonymizationError
from secureml.frames.arrow import ArrowColumn, ArrowTable
from secureml.frames.base import rows_of
from secureml.frames.column_values import NumberColumn, ReadColumn
from secureml.frames.numbers import parse_numbers
from secureml.frames.strings import combined
from secureml.key_management import KeyManager, get_default_key_manager
from secureml.pseudonymization.column_spec import ColumnSpec
from secureml.pseudonymization.formats import NO_ROWS, format_type
from secureml.pseudonymization.formats.classes import ClassFormat
from secureml.pseudonymization.keys import KeyReference, Keyring, keyring_of, keyring_that_made
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.manifest import Manifest
from secureml.pseudonymization.strategies import Kind, Strategy
from secureml.pseudonymization.values.text import Text
from secureml.settings.environments import nearest
from secureml.settings.rules import KEEP, ColumnRule, Profile

__all__ = ["Functions", "KeyArguments", "Values", "constant", "make_functions"]

_SHOWN = 20

_TYPES = pa.string(), pa.int64(), pa.date32(), pa.timestamp("us"), pa.decimal128(18, 2)
"""Types of values that a rule may be for, the one that a manifest names first."""


class Values(NamedTuple):
    """What a function gets.

    Args:
        array: the values.
        rule: the name of their rule, or an array that holds nothing else.
        recover: whether they are pseudonyms that are to be recovered.
    """

    array: pa.Array | pa.ChunkedArray
    rule: str | pa.Array | pa.ChunkedArray
    recover: bool


class KeyArguments(TypedDict, total=False):
    """The arguments of ``make_functions``, which users give by name."""

    master_key_name: str | None
    master_key_version: int | None
    profile: str | None
    manifest: Mapping[str, Any] | str | None
    key_manager: KeyManager | None


def make_functions(
    *,
    master_key_name: str | None = None,
    master_key_version: int | None = None,
    profile: str | None = None,
    manifest: Mapping[str, Any] | str | None = None,
    key_manager: KeyManager | None = None,
) -> Functions:
    """Read the rules of the settings, and pin the key.

    Args:
        master_key_name: the key; by default the setting of that name.
        master_key_version: its version; by default the newest.
        profile: the name of a set of rules in the settings, which stands over the rules for all.
        manifest: of earlier functions, or of a table; its key is used, and what it tells of columns
            stands over the rules.
        key_manager: where keys come from; by default the process's own.

    Raises:
        ArgumentError: an argument can't be used.
        ManifestError: the manifest was changed, or the key that was found is another one.
        SecretError: the key can't be had.
    """
    check_key(
        key_manager,
        master_key_name=master_key_name,
        master_key_version=master_key_version,
        profile=profile,
    )
    check_manifest(manifest)
    manager = get_default_key_manager() if key_manager is None else key_manager
    rules = rules_in_force(manager.settings, profile)
    if manifest is None:
        keyring = keyring_of(manager, master_key_name, master_key_version)
        # Of a key without older versions there is no other that could have made a pseudonym.
        is_told = master_key_version is not None or keyring.reference.version in (None, 1)
        return Functions(rules, {}, keyring, is_told)
    if master_key_name is not None or master_key_version is not None:
        problem = "tells the key: leave master_key_name and master_key_version out"
        raise ArgumentError.of("manifest", problem)
    parsed = Manifest.parse(manifest)
    keyring = keyring_that_made(manager, parsed.key)
    parsed.check(keyring)
    columns = parsed.columns.items()
    entries = {name: replace(entry, counts=None, sketches=None) for name, entry in columns}
    return Functions(rules, entries, keyring, is_key_told=True)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Functions:
    """Replaces and recovers values by rules of the settings, under one version of a key.

    It pickles without the key, which the other process fetches with its own login.

    Args:
        rules: those of the settings when the functions were made.
        entries: what a manifest tells of columns, over the rules.
        keyring: of the key.
        is_key_told: whether somebody said which key pseudonyms are of.
        job: the name of the job that arrays are of.
    """

    rules: Profile
    entries: Mapping[str, Entry]
    keyring: Keyring
    is_key_told: bool
    job: str = field(default_factory=new_job)
    _prepared: dict[tuple[str, pa.DataType], _Function] = field(default_factory=dict)

    @property
    def key(self) -> KeyReference:
        """The name, version and check of the key."""
        return self.keyring.reference

    @property
    def manifest(self) -> dict[str, Any]:
        """The key, and each rule whose values can be recovered, as recovery needs them later.

        It tells nothing of rows. Whoever keeps it beside the pseudonyms passes it to
        ``register``, which then refuses another key, and does not follow changes of the rules.
        """
        entries = dict(self.entries)
        for name, _ in self.rules.pairs:
            if name not in entries and (entry := self._entry(name)) is not None:
                entries[name] = entry
        return Manifest.of(self.keyring, entries).document()

    def protect(self, array: pa.Array | pa.ChunkedArray, rule: str) -> pa.Array:
        """Return pseudonyms of values; nulls stay, and so does the type.

        Args:
            array: the values.
            rule: the name of their rule.

        Raises:
            PseudonymizationError: the rule does not exist or fit, or values can't be replaced.
        """
        return self(Values(array, rule, recover=False))

    def recover(self, array: pa.Array | pa.ChunkedArray, rule: str) -> pa.Array:
        """Return the values of pseudonyms; the inverse of ``protect``.

        Args:
            array: the pseudonyms.
            rule: the name of their rule.

        Raises:
            ManifestError: nothing tells which version of the key they are of.
            PseudonymizationError: the rule does not exist or fit or can't be reversed, or values
                can't be pseudonyms.
        """
        return self(Values(array, rule, recover=True))

    def check(self, rule: str, *, recover: bool) -> None:
        """Check that there is a rule and, if values are to be recovered, that it can be.

        Raises:
            ManifestError: nothing tells which version of the key pseudonyms are of.
            PseudonymizationError: there is no such rule, or it is none for single values.
        """
        if rule not in self.entries:
            self._rule(rule)
        if recover and not self.is_key_told:
            raise ManifestError(
                f"{self.key} is the newest, there are older ones, and no pseudonym tells which of"
                " them made it: register the functions with the manifest that was kept, or with"
                " the version as master_key_version"
            )

    def __call__(self, values: Values) -> pa.Array:
        """Replace or recover an array."""
        array = combined(values.array)
        if not len(array):
            return array
        rule = values.rule if isinstance(values.rule, str) else constant(values.rule)
        function = self._prepared.get((rule, array.type))
        if function is None:
            self.check(rule, recover=values.recover)
            function = in_column(rule, self._made, rule, array.type)
            self._prepared[rule, array.type] = function
        if not values.recover:
            return function.protect(array)
        self.check(rule, recover=True)
        return function.recover(array)

    def __repr__(self) -> str:
        return f"<functions of {len(self.rules)} rules, under {self.key}>"

    def __reduce__(self) -> tuple[Any, ...]:
        parts = self.key, self.rules, self.entries, self.is_key_told
        return JobFunction, (self.job, _fetched, parts)

    def _made(self, name: str, arrow_type: pa.DataType) -> _Function:
        table = ArrowTable(pa.table({name: pa.nulls(0, arrow_type)}))
        spec = self._spec(name, table)
        function = _Function(name, spec, spec.keyed(self.keyring), self.key)
        made = function.protect(pa.nulls(0, arrow_type)).type
        if made != arrow_type:
            raise PseudonymizationError(
                f"its pseudonyms of {arrow_type} are of type {made}: cast the values to text first"
            )
        return function

    def _spec(self, name: str, table: ArrowTable) -> ColumnSpec:
        entry = self.entries.get(name)
        spec = (
            spec_of(name, table, self._rule(name), self.rules.domain_prefix or None)
            if entry is None
            else _of_kind(entry.recipe, name, table)
        )
        if spec.tweak is not None or (entry is not None and entry.versions):
            beside = "tweaks" if spec.tweak is not None else "versions"
            raise PseudonymizationError(
                f"its {beside} lie in another column, and a function sees one value: use anonymize"
                " and reidentify"
            )
        return spec

    def _rule(self, name: str) -> ColumnRule:
        """Return a rule; its name must be spelt as the settings have it, as keys depend on it."""
        pairs = dict(self.rules.pairs)
        known = [*pairs, *(one for one in self.entries if one not in pairs)]
        if name not in pairs:
            # What was given is not shown: it may be a value, if arguments were exchanged.
            folded = {one.casefold(): one for one in known}
            near = nearest(name.casefold(), folded)
            hint = f"; did you mean {folded[near]!r}?" if near else "."
            shown = ", ".join(map(repr, known[:_SHOWN])) + (", ..." * (len(known) > _SHOWN))
            problem = f"is none of the settings{hint} There are: {shown or 'none'}"
            raise ArgumentError.of("rule", problem)
        rule = pairs[name]
        if rule.strategy == KEEP:
            raise ArgumentError.of("rule", f"{name!r} lets values stay as they are")
        if rule.domain is None and not {"*", "?"}.isdisjoint(name):
            raise ArgumentError.of(
                "rule",
                f"{name!r} is a pattern, whose columns have keys of their own: give the rule a"
                " domain, or write one with the name of a column",
            )
        return rule

    def _entry(self, name: str) -> Entry | None:
        """Return the entry of a rule for the manifest, None if a function can't reverse it."""
        for arrow_type in _TYPES:
            table = ArrowTable(pa.table({name: pa.nulls(0, arrow_type)}))
            try:
                spec = self._spec(name, table)
            except PseudonymizationError:
                continue
            column = table.column(name)
            return Entry(spec, column.dtype, arrow=column.arrow) if spec.reversible else None
        return None


def _fetched(
    key: KeyReference, rules: Profile, entries: Mapping[str, Entry], is_key_told: bool
) -> Functions:
    keyring = keyring_that_made(get_default_key_manager(), key)
    return Functions(rules, entries, keyring, is_key_told)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Function:
    """What a rule makes of arrays of one type.

    Args:
        rule: its name.
        spec: how values are replaced.
        strategy: the same, with its keys; it keeps what it computes for the next array.
        key: what the keys are of.
    """

    rule: str
    spec: ColumnSpec
    strategy: Strategy
    key: KeyReference

    def protect(self, array: pa.Array) -> pa.Array:
        column = self._read(array)
        if isinstance(column, NumberColumn) and self.spec.reversible:
            ArrowColumn(array).check_restorable(column)
        outcome = self.strategy.protect(self.spec.prepared(column.values))
        values: Any = outcome.values
        replaced = {self.rule: ReplacedColumn(column=column, outcome=outcome)}
        if column.occurrences(outcome.invalid):
            plan = Plan(columns={self.rule: self.spec}, key=self.key)
            raise _in_chunk(array, invalid_values(plan, self._table(array), replaced))
        if column.occurrences(outcome.small.rows):
            raise _in_chunk(array, too_small_domains(self._table(array), replaced))
        return column.rebuilt(values, outcome.nulled)

    def recover(self, array: pa.Array) -> pa.Array:
        column = self._read(array)
        kind: Kind = Text.of
        if isinstance(column, NumberColumn):
            kind = partial(parse_numbers, column.values)
        recovered: Any = in_column(self.rule, self.strategy.recover, column.values, kind)
        return column.rebuilt(recovered, NO_ROWS)

    def _read(self, array: pa.Array) -> ReadColumn:
        column: ReadColumn = in_column(
            self.rule, partial(ArrowColumn(array).read, distinct=True, scale=self.spec.scale)
        )
        return column

    def _table(self, array: pa.Array) -> ArrowTable:
        return ArrowTable(pa.table({self.rule: array}))


def _of_kind(spec: ColumnSpec, name: str, table: ArrowTable) -> ColumnSpec:
    """Return what a manifest tells of a column, for values of another kind than the column had."""
    kind = table.column(name).kind(spec.scale)
    if spec.format is None or kind in format_type(spec.format).takes:
        return spec
    if format_type(spec.format) is not ClassFormat:
        raise PseudonymizationError(
            f"its format {spec.format!r} is not for values of type {table.column(name).dtype}"
        )
    rule = ColumnRule(
        domain=spec.key_domain, small_domain=spec.small_domain, on_invalid=spec.on_invalid
    )
    return replace(ColumnSpec.of(rule, name, kind), domain_prefix=spec.domain_prefix)


def constant(names: pa.Array | pa.ChunkedArray) -> str:
    """Return the one text that an array holds.

    Raises:
        ArgumentError: it holds several, or a null.
    """
    distinct = combined(names).unique()
    if len(distinct) != 1 or distinct.null_count:
        raise ArgumentError.of("rule", "must be one constant: write its name in quotes")
    name: str = distinct[0].as_py()
    return name


def _in_chunk(array: pa.Array, error: PseudonymizationError) -> PseudonymizationError:
    error.reword(f"in a chunk of {rows_of(len(array))}: {error.message}")
    return error

"""The plan of a table: all that is decided before a value is looked at."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

from secureml.anonymization.arguments import (
    Arguments,
    Function,
    by_column,
    check_arguments,
    check_columns,
    check_formats,
    check_levels,
    chosen_strategies,
    listed,
    options_by_column,
)
from secureml.anonymization.versions import check_version_columns, version_column
from secureml.errors import ArgumentError, ManifestError, PseudonymizationError
from secureml.frames.base import Table
from secureml.key_management import KeyManager, get_default_key_manager
from secureml.pseudonymization.column_spec import ColumnSpec, scale_of
from secureml.pseudonymization.keys import KeyReference, Keyring, keyring_of, keyring_that_made
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.manifest import Manifest, parse_manifest
from secureml.pseudonymization.ranking.permutation import MIN_TABLE
from secureml.pseudonymization.strategies import strategy_type
from secureml.pseudonymization.values.kinds import Unread
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.settings import Settings
from secureml.settings.environments import did_you_mean
from secureml.settings.rules import KEEP, ColumnRule, Profile, Rules

__all__ = [
    "Plan",
    "check_extension",
    "earlier_manifest",
    "in_column",
    "plan_table",
    "rules_in_force",
    "spec_of",
]

_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plan of a table: how each column is replaced, and under which key.

    It holds no key material, so that it can be compared, and pickled if its functions can.

    Args:
        columns: how the values of each column are replaced.
        key: the key and its version.
        functions: by column, the caller's own that replaces it.
        versioned: the columns that get a column of key versions beside them.
        smallest: how many members a domain has at least that is permuted by a table.
    """

    columns: Mapping[str, ColumnSpec]
    key: KeyReference
    functions: Mapping[str, Function] = field(default_factory=dict)
    versioned: tuple[str, ...] = ()
    smallest: int = MIN_TABLE

    def keyring(self, manager: KeyManager | None = None) -> Keyring:
        """Fetch the key with the credentials of this process.

        Args:
            manager: where it comes from; by default the process's own.

        Raises:
            SecretError: the key can't be had.
            WrongKeyError: no version of the key is the one of the plan.
        """
        return keyring_that_made(
            get_default_key_manager() if manager is None else manager, self.key
        )


def in_column(name: str, function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function, and name the column in its error."""
    kind, problem = PseudonymizationError, ""
    try:
        return function(*arguments)
    except PseudonymizationError as error:
        kind, problem = type(error), error.message
    raise kind(f"column {name!r}: {problem}")


def plan_table(
    table: Table,
    strategy: str | Function | Mapping[str, str | Function] | None,
    sensitive_columns: Iterable[str] | None,
    arguments: Arguments,
    attached: object = None,
) -> tuple[Plan, Keyring, Manifest | None]:
    """Decide what is done with each column of a table, from its names and dtypes alone.

    Args:
        table: the table; of its columns the types are looked at.
        strategy: as for ``anonymize``.
        sensitive_columns: as for ``anonymize``.
        arguments: the others of ``anonymize``.
        attached: the manifest of the table; by default the one that it carries.

    Returns:
        The plan, its key, and the manifest of columns that were pseudonymized before.

    Raises:
        ManifestError: the table already has a manifest that can't be extended.
        PseudonymizationError: an argument or a column can't be used.
        SecretError: the key can't be had.
    """
    check_arguments(arguments)
    manager = arguments.get("key_manager")
    manager = get_default_key_manager() if manager is None else manager
    profile = rules_in_force(manager.settings, arguments.get("profile"))
    prefix = arguments.get("domain_prefix")
    prefix = profile.domain_prefix if prefix is None else prefix
    strict = manager.settings.strict_columns
    rules = _ruled_columns(table, sensitive_columns, profile, strict=strict)
    wanted, functions = _said(strategy, arguments, list(rules))
    given = arguments.get("manifest")
    attached = table.manifest if attached is None else attached
    document = attached if given is None else given
    rules = {name: wanted[name].over(rule) for name, rule in rules.items()}
    _check_holders(table, rules)
    specs = {
        name: in_column(name, spec_of, name, table, rule, prefix or None)
        for name, rule in rules.items()
    }
    earlier = earlier_manifest(document, table, specs)
    reversible = (name for name, spec in specs.items() if spec.reversible)
    versioned = tuple(reversible) if arguments.get("key_versions") else ()
    if versioned:
        check_version_columns(table, versioned)
    version = arguments.get("master_key_version")
    keyring = keyring_of(manager, arguments.get("master_key_name"), version)
    check_extension(earlier, keyring)
    plan = Plan(columns=specs, key=keyring.reference, functions=functions, versioned=versioned)
    return plan, keyring, earlier


def earlier_manifest(
    document: object, table: Table, specs: Mapping[str, ColumnSpec]
) -> Manifest | None:
    """Return the manifest of columns that were pseudonymized before others of the same table.

    Args:
        document: the manifest, or None if there is none.
        table: the table.
        specs: of the columns that are to be pseudonymized.

    Raises:
        ManifestError: it can't be read.
        PseudonymizationError: columns of one would spoil those of the other.
    """
    earlier = None if document is None else parse_manifest(document)
    if earlier is not None:
        _check_new(earlier, specs)
    _check_tweaks(table, specs, {} if earlier is None else earlier.columns)
    return earlier


def rules_in_force(settings: Settings, profile: str | None) -> Profile:
    """Return what the settings say, with what a profile says over it."""
    for_all = Profile(settings.columns.pairs, settings.domain_prefix)
    if profile is None:
        return for_all
    if profile not in settings.profiles:
        known = ", ".join(map(repr, settings.profiles)) or "none"
        hint = did_you_mean(profile, settings.profiles) or f"; there are: {known}"
        problem = f"the settings have no profile {profile!r}{hint}"
        raise ArgumentError(problem, argument="profile")
    return settings.profiles[profile].above(for_all)


def _ruled_columns(
    table: Table, sensitive_columns: Iterable[str] | None, rules: Rules, *, strict: bool
) -> Mapping[str, ColumnRule]:
    """Return the columns to pseudonymize, and what the rules say of each."""
    names, holders, named = table.names, table.holders, None
    if sensitive_columns is not None:
        named = check_columns([*names, *_held(table)], listed(sensitive_columns))
    every = [name for name in (*names, *table.levels) if isinstance(name, str)] if rules else []
    ruled = {name: _rule_of(rules, name, holders.get(name, ())) for name in every}
    if strict:
        _check_settled(table, {name for name, (_, rule) in ruled.items() if rule}, named or ())
    if named is not None:
        check_levels(table.levels, named)
        own = {name: rules.of(name) for name in named}
        return {name: rule if _hides(rule) else ColumnRule() for name, rule in own.items()}
    hidden = {name: rule for name, rule in ruled.values() if _hides(rule)}
    check_levels(table.levels, hidden)
    if holders:  # what is replaced as a whole is not replaced inside too
        within = {name for name in hidden if not hidden.keys().isdisjoint(holders.get(name, ()))}
        hidden = {name: rule for name, rule in hidden.items() if name not in within}
    if not hidden:
        reason = "no rule names a column of the table" if rules else "there are no rules"
        raise ArgumentError(
            f"nothing would be pseudonymized: {reason}. Name the columns in sensitive_columns, or"
            " write rules under [default.columns] in the settings file"
        )
    return hidden


def _check_settled(table: Table, ruled: Set[str], named: Iterable[str]) -> None:
    """Check that each column is named, or a rule names it or what it is inside of."""
    settled = ruled | set(named)
    unnamed = [
        name
        for name in table.names
        if str(name) not in settled and settled.isdisjoint(table.holders.get(str(name), ()))
    ]
    if unnamed:
        raise PseudonymizationError(
            f"strict_columns is on, and no rule names {', '.join(map(repr, unnamed))}. Give each a"
            " rule; strategy = 'keep' lets a column stay as it is"
        )


def _rule_of(rules: Rules, name: str, holders: Sequence[str]) -> tuple[str, ColumnRule | None]:
    """Return the rule of a column, or else of the innermost that holds it, and which has it."""
    for each in (name, *reversed(holders)):
        rule = rules.of(each)
        if rule:
            return each, rule
    return name, None


def _hides(rule: ColumnRule | None) -> TypeGuard[ColumnRule]:
    return rule is not None and rule.strategy != KEEP


def _held(table: Table) -> dict[str, list[str]]:
    """Return the columns inside of each column that holds some."""
    held: dict[str, list[str]] = {}
    for name, holders in table.holders.items():
        for holder in holders:
            held.setdefault(holder, []).append(name)
    return held


def _check_holders(table: Table, rules: Mapping[str, ColumnRule]) -> None:
    """Check that what holds columns is replaced as a whole, if it is, and they are not."""
    held = _held(table)
    for name in held.keys() & rules.keys():
        inside, rule = held[name], rules[name]
        twice = [each for each in inside if each in rules]
        if twice:
            raise PseudonymizationError(
                f"{name!r} holds {twice[0]!r}, and both would be replaced: name one of them"
            )
        if name not in table or strategy_type(rule.strategy or "fpe").reads:
            shown = ", ".join(map(repr, inside[:_SHOWN])) + (", ..." * (len(inside) > _SHOWN))
            raise PseudonymizationError(
                f"{name!r} is no column of values, but holds some: name {shown}"
            )


def _said(
    strategy: str | Function | Mapping[str, str | Function] | None,
    arguments: Arguments,
    names: list[str],
) -> tuple[dict[str, ColumnRule], dict[str, Function]]:
    """Return what the arguments say of each column, and the functions in place of strategies."""
    domains = by_column("domains", arguments.get("domains"), names)
    tweaks = by_column("tweaks", arguments.get("tweaks"), names)
    strategies, functions = chosen_strategies(strategy, names)
    options = options_by_column(arguments.get("options"), names)
    formats = by_column("formats", arguments.get("formats"), names)
    check_formats(formats, options)
    for_all = ColumnRule(
        small_domain=arguments.get("small_domain"),
        on_invalid=arguments.get("on_invalid"),
        normalize=arguments.get("normalize"),
        on_ordered=arguments.get("on_ordered"),
    )
    rules = {
        name: replace(
            for_all,
            strategy="custom" if name in functions else strategies.get(name),
            format=formats.get(name),
            domain=domains.get(name),
            tweak=tweaks.get(name),
            options=options.get(name, {}),
        )
        for name in names
    }
    return rules, functions


def spec_of(name: str, table: Table, rule: ColumnRule, domain_prefix: str | None) -> ColumnSpec:
    """Decide how a column is replaced, from its rule and its type alone.

    Args:
        name: of the column.
        table: with the column; no value is looked at.
        rule: of the column.
        domain_prefix: prefix of its key domain, or None.

    Raises:
        PseudonymizationError: the rule is wrong, or does not fit the column.
    """
    column = table.column(name)
    kind: type = Unread
    if strategy_type(rule.strategy or "fpe").reads:
        if rule.on_ordered != "keep" and column.ordered:
            raise PseudonymizationError(
                "it is an ordered categorical, and the order of its pseudonyms would tell its"
                " values: drop the order with .cat.as_unordered(), or pass on_ordered='keep'"
            )
        kind = column.kind(scale_of(rule.format, rule.options))
        if kind is WholeNumbers and (rule.format or "").partition("/")[0] == "decimal":
            raise PseudonymizationError(
                "whole numbers have the format 'integer', and floats the format 'decimal' with a"
                " scale: choose one of them"
            )
    return replace(ColumnSpec.of(rule, name, kind), domain_prefix=domain_prefix)


def _check_tweaks(
    table: Table, specs: Mapping[str, ColumnSpec], entries: Mapping[str, Entry]
) -> None:
    """Check that what recovery of a column reads in others stays as it is, after rekey too."""
    for name, spec in specs.items():
        tweak = spec.tweak
        if tweak is None:
            continue
        check_columns(table.names, [tweak])
        replaced = not specs.keys().isdisjoint((tweak, *table.holders.get(tweak, ())))
        if replaced or (tweak in entries and entries[tweak].recipe.reversible):
            raise PseudonymizationError(
                f"column {name!r}: its tweaks can't lie in {tweak!r}, which is pseudonymized too"
            )
    for name, entry in entries.items():
        read = (entry.recipe.tweak, version_column(name) if entry.versions else None)
        for needed in read:
            if needed in specs and entry.recipe.reversible:
                raise PseudonymizationError(
                    f"column {needed!r}: recovery of {name!r} reads {needed!r} as it is now"
                )


def _check_new(earlier: Manifest, names: Collection[str]) -> None:
    again = [name for name in names if name in earlier.columns]
    if again:
        raise PseudonymizationError(
            f"already pseudonymized: {', '.join(map(repr, again))}. To change the key use rekey,"
            " to start over use reidentify first; rows in clear that were added are pseudonymized"
            " alone, before tables and manifests are put together (merge_manifests)"
        )


def check_extension(earlier: Manifest | None, keyring: Keyring) -> None:
    """Check that columns under a key can be added to a manifest.

    Raises:
        ManifestError: it is of another key, was changed, or is too old.
    """
    if earlier is None:
        return
    if earlier.key != keyring.reference:
        raise ManifestError(
            f"other columns of the table were pseudonymized with {earlier.key}, and these would be"
            f" with {keyring.reference}: a table has one key. Use rekey or reidentify first"
        )
    earlier.check(keyring)
    if earlier.schema < 3 and any(entry.versions for entry in earlier.columns.values()):
        raise ManifestError(
            f"the manifest of the table is of schema {earlier.schema}, which does not list the"
            " versions of the key that its rows have: rekey the table first"
        )

"""Rules for columns: how the columns of a name are pseudonymized.

The names and types of everything in a rule are checked when the settings are read. The values of
options are checked by the strategy or format, when a table is made.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from secureml.errors import ConfigurationError
from secureml.registry import FORMATS, STRATEGIES, VENDOR_NAME
from secureml.settings.environments import did_you_mean
from secureml.settings.origins import Problem
from secureml.settings.setting import collecting, under

__all__ = [
    "CHOICES",
    "KEEP",
    "KEYS",
    "LARGEST_COUNT",
    "NAMED",
    "OPTIONS",
    "ColumnRule",
    "Option",
    "Profile",
    "Profiles",
    "Rules",
    "option_problem",
]

Option = str | int | bool | list[str] | None
"""Types of options: those that TOML and JSON both have."""

KEEP = "keep"
"""The strategy of a column that stays as it is."""

NAMED = tuple(name for name in STRATEGIES.built_in if name != "custom")
"""Strategies that are chosen by name; a custom one is chosen by giving a function."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "strategy": (*NAMED, KEEP),
    "format": tuple(dict.fromkeys(name.partition("/")[0] for name in FORMATS.built_in)),
    "small_domain": ("error", "token", "null", "permute"),
    "on_invalid": ("error", "token", "null"),
    "normalize": ("NFC",),
    "on_ordered": ("error", "keep"),
}
"""Allowed values of some keys; a format may be followed by a colon and an argument."""

LARGEST_COUNT = 1_000_000
OPTIONS: Mapping[str, tuple[type, ...]] = {
    name: kinds
    for registry in (FORMATS, STRATEGIES)
    for entry in registry.built_in.values()
    for name, kinds in entry.options.items()
}
"""The options of all built-in formats and strategies, and the types that each may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRule:
    """Rule for a column; a key that is None is left to a weaker rule, and then to the default.

    Args:
        strategy: how values are replaced, such as "fpe" or "token"; "keep" for not at all.
        format: for "fpe", the format, such as "ssn" or "alphabet:0123ABCD".
        domain: the name of the key domain; columns of one key domain can be joined.
        small_domain: what becomes of values with too few possible pseudonyms.
        on_invalid: what becomes of values that are not of the format.
        normalize: the Unicode normalization that is applied first; "NFC".
        tweak: the name of another column, whose values make equal values unlinkable.
        on_ordered: what becomes of an ordered categorical; "keep" keeps its order.
        options: of the strategy or the format, by name.
    """

    strategy: str | None = None
    format: str | None = None
    domain: str | None = None
    small_domain: str | None = None
    on_invalid: str | None = None
    normalize: str | None = None
    tweak: str | None = None
    on_ordered: str | None = None
    options: Mapping[str, Option] = field(default_factory=dict)

    @classmethod
    def read(cls, table: object, name: str) -> ColumnRule:
        """Read a rule of a settings file.

        Args:
            table: of keys and options.
            name: what messages call the table.

        Raises:
            ConfigurationError: it is not a table, or has problems; all are listed.
        """
        if not isinstance(table, Mapping):
            raise ConfigurationError(f"{name}: must be a table, such as {{ strategy = 'fpe' }}")
        named = (str(table.get(key)) for key in ("strategy", "format"))
        of_vendor = any(map(VENDOR_NAME.fullmatch, named))
        problems = [
            Problem(f"{name}: {problem}", keys=[str(key)])
            for key, value in table.items()
            if (problem := _problem(str(key), value, of_vendor=of_vendor))
        ]
        if "strategy" not in table and not problems:
            problems = [Problem(f"{name}: names no strategy")]
        if problems:
            raise ConfigurationError.of(problems)
        options = {key: value for key, value in table.items() if key not in KEYS}
        return cls(**{key: table[key] for key in KEYS if key in table}, options=options)

    def document(self) -> dict[str, Option]:
        """Return the rule as a settings file has it."""
        return {**self._given(), **self.options}

    def _given(self) -> dict[str, Any]:
        return {key: value for key in KEYS if (value := getattr(self, key)) is not None}

    def over(self, weaker: ColumnRule) -> ColumnRule:
        """Return this rule with its missing keys taken from a weaker one.

        If the strategies differ, neither the format nor the options of the weaker rule are taken;
        if the formats differ, its options are not.
        """
        changed = self.strategy not in (None, weaker.strategy)
        options = self.options
        if not changed and self.format in (None, weaker.format):
            options = {**weaker.options, **self.options}
        kept = replace(weaker, format=None) if changed else weaker
        return replace(kept, **self._given(), options=options)


KEYS = tuple(one.name for one in fields(ColumnRule) if one.name != "options")
"""The keys of a rule besides its options; each is text."""

_Entry = TypeVar("_Entry")


@dataclass(frozen=True, slots=True)
class _Named(Mapping[str, _Entry]):
    """Mapping of names to entries; case does not matter.

    Args:
        pairs: name and entry; no two names differ only in case.
    """

    pairs: tuple[tuple[str, _Entry], ...] = ()

    def __getitem__(self, name: str) -> _Entry:
        folded = name.casefold()
        for known, entry in self.pairs:
            if known.casefold() == folded:
                return entry
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)


@dataclass(frozen=True, slots=True)
class Rules(_Named[ColumnRule]):
    """Rules by the name of a column, or by a pattern of names with ``*`` and ``?``."""

    @classmethod
    def read(cls, table: object, name: str) -> Rules:
        """Read the rules of a settings file.

        Args:
            table: the table of each rule, by column.
            name: what messages call the table.

        Raises:
            ConfigurationError: it has problems; all are listed.
        """
        if isinstance(table, Rules):
            return table
        return cls(_entries(table, name, "column", ColumnRule.read))

    def document(self) -> dict[str, object]:
        """Return the rules as a settings file has them."""
        return {name: rule.document() for name, rule in self.items()}

    def over(self, weaker: Rules) -> Rules:
        """Return these rules, and the weaker ones of other names."""
        merged = {name.casefold(): (name, rule) for name, rule in (*weaker.pairs, *self.pairs)}
        return Rules(tuple(merged.values()))

    def of(self, column: str) -> ColumnRule | None:
        """Return the rule of a column's name, or of the longest pattern that matches it."""
        if column in self:
            return self[column]
        folded = column.casefold()
        fitting = [name for name in self if fnmatch.fnmatchcase(folded, _pattern(name))]
        return self[max(fitting, key=_specific)] if fitting else None

    def __str__(self) -> str:
        return f"{len(self)} rules" if self else ""


@dataclass(frozen=True, slots=True)
class Profile(Rules):
    """Rules for one recipient, which are stronger than those for all.

    Args:
        domain_prefix: prefix of this recipient's key domains; None leaves it to the setting.
    """

    domain_prefix: str | None = None

    @classmethod
    def read(cls, table: object, name: str) -> Profile:
        """Read a profile of a settings file.

        Args:
            table: with rules, a prefix, or both.
            name: what messages call the table.

        Raises:
            ConfigurationError: it has problems; all are listed.
        """
        known = {"columns", "domain_prefix"}
        if not isinstance(table, Mapping) or not table or not known.issuperset(table):
            raise ConfigurationError(
                f"{name} must hold rules, as in [default.{name}.columns.email], or a domain_prefix"
            )
        prefix = table.get("domain_prefix")
        if "domain_prefix" in table and (not isinstance(prefix, str) or not prefix):
            text = f"{name}.domain_prefix must be text and not empty"
            raise ConfigurationError(Problem(text, keys=["domain_prefix"]))
        with under("columns"):
            rules = Rules.read(table.get("columns", {}), f"{name}.columns")
        return cls(rules.pairs, prefix)

    def document(self) -> dict[str, object]:
        """Return the profile as a settings file has it."""
        prefix = {} if self.domain_prefix is None else {"domain_prefix": self.domain_prefix}
        rules = {"columns": Rules(self.pairs).document()} if self.pairs or not prefix else {}
        return {**prefix, **rules}

    def above(self, weaker: Profile) -> Profile:
        """Return this profile with missing rules and prefix taken from a weaker one."""
        prefix = weaker.domain_prefix if self.domain_prefix is None else self.domain_prefix
        return Profile(self.over(weaker).pairs, prefix)


@dataclass(frozen=True, slots=True)
class Profiles(_Named[Profile]):
    """Profiles by name."""

    @classmethod
    def read(cls, table: object, name: str) -> Profiles:
        """Read the profiles of a settings file.

        Raises:
            ConfigurationError: it has problems; all are listed.
        """
        if isinstance(table, Profiles):
            return table
        return cls(_entries(table, name, "profile", Profile.read))

    def document(self) -> dict[str, object]:
        """Return the profiles as a settings file has them."""
        return {name: profile.document() for name, profile in self.items()}

    def over(self, weaker: Profiles) -> Profiles:
        """Return these profiles over weaker ones, rule by rule."""
        merged = {name.casefold(): (name, profile) for name, profile in weaker.pairs}
        for name, profile in self.pairs:
            above = profile.above(weaker[name]) if name in weaker else profile
            merged[name.casefold()] = name, above
        return Profiles(tuple(merged.values()))

    def __str__(self) -> str:
        return ", ".join(self)


def option_problem(name: str, value: object, *, of_vendor: bool = False) -> str | None:
    """Return what is wrong with an option of a strategy or a format, or None.

    Args:
        name: of the option.
        value: as a settings file has it.
        of_vendor: whether another package may declare the option, and check it when it is used.
    """
    if name not in OPTIONS and not of_vendor:
        return f"unknown option {name!r}{did_you_mean(name.lower(), OPTIONS)}"
    kinds = tuple(_WORDS) if of_vendor else OPTIONS[name]
    fits = type(value) in kinds
    if isinstance(value, list):
        fits = fits and bool(value) and all(isinstance(one, str) for one in value)
    if kinds == (int,) and isinstance(value, int) and fits and not 0 <= value <= LARGEST_COUNT:
        return f"{name} must be from 0 to {LARGEST_COUNT}"
    return None if fits else f"{name} must be {' or '.join(_WORDS[kind] for kind in kinds)}"


def _problem(key: str, value: Any, *, of_vendor: bool) -> str | None:
    """Return what is wrong with one entry of a rule, or None."""
    if key not in KEYS:
        if key not in OPTIONS and not of_vendor:
            return f"unknown key {key!r}{did_you_mean(key.lower(), [*KEYS, *OPTIONS])}"
        return option_problem(key, value, of_vendor=of_vendor)
    if not isinstance(value, str) or not value:
        return f"{key} must be text and not empty"
    named = key in ("strategy", "format")
    choice = value.partition(":")[0] if key == "format" else value
    if key not in CHOICES or choice in CHOICES[key] or (named and VENDOR_NAME.fullmatch(value)):
        return None
    others = ", or vendor:name/1 of another package" if named else ""
    hint = did_you_mean(choice.lower(), CHOICES[key])
    return f"{key} must be one of: {', '.join(CHOICES[key])}{others}{hint}"


_WORDS: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    list: "a list of texts",
}


def _entries(
    table: object, place: str, what: str, read: Callable[[object, str], _Entry]
) -> tuple[tuple[str, _Entry], ...]:
    """Read the entries of a table, or raise one error with the problems of all."""
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{place} must be a table with a table for each {what}")
    first: dict[str, str] = {}
    problems: list[str] = []
    pairs: list[tuple[str, _Entry]] = []
    for name, content in ((str(name), content) for name, content in table.items()):
        known = first.setdefault(name.casefold(), name)
        if known != name:
            text = f"{place}.{name}: {known!r} and {name!r} differ only in case; keep one"
            problems.append(Problem(text, keys=[name]))
        with collecting(problems), under(name):
            pairs.append((name, read(content, f"{place}.{name}")))
    if problems:
        raise ConfigurationError.of(problems)
    return tuple(pairs)


def _pattern(name: str) -> str:
    """Return the pattern of fnmatch for a rule's name, in which brackets are literal."""
    return name.casefold().replace("[", "[[]")


def _specific(pattern: str) -> tuple[int, str]:
    return sum(character not in "*?" for character in pattern), pattern

"""The recipe of a column: all that is decided before its values are replaced."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from secureml.errors import ArgumentError, PseudonymizationError
from secureml.pseudonymization.formats import (
    FORMATS,
    Option,
    make_format,
    newest_format,
    resolve_format,
)
from secureml.pseudonymization.formats.decimals import LARGEST_SCALE
from secureml.pseudonymization.keys import DomainKeys
from secureml.pseudonymization.ranking.permutation import MIN_TABLE, RowTweaks
from secureml.pseudonymization.strategies import (
    ON_INVALID,
    SMALL_DOMAIN,
    WITHOUT_FORMAT,
    Fpe,
    Strategy,
    make_strategy,
)
from secureml.pseudonymization.values.decimals import Decimals
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text
from secureml.pseudonymization.values.timestamps import Days, Moments
from secureml.settings.rules import ColumnRule

__all__ = [
    "BLIND",
    "NAMED",
    "NORMALIZE",
    "ON_ORDERED",
    "STRATEGIES",
    "ColumnSpec",
    "check_choice",
    "scale_of",
]

STRATEGIES = ("fpe", *WITHOUT_FORMAT)
NAMED = tuple(name for name in STRATEGIES if name != "custom")
"""Strategies that are chosen by name; a custom one is chosen by giving a function."""
NORMALIZE = ("NFC",)
ON_ORDERED = ("error", "keep")
BLIND = tuple(name for name, kind in WITHOUT_FORMAT.items() if not kind.reads)
"""Strategies that do not look at the values."""

_DEFAULT_FORMATS = {
    Text: "class",
    WholeNumbers: "integer",
    Decimals: "decimal",
    Moments: "datetime",
    Days: "date",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSpec:
    """How the values of one column are replaced; a part of its entry in the manifest.

    Args:
        strategy: such as "fpe".
        algorithm: of the strategy, such as "FF1-AES256".
        format: of "fpe", with its version, such as "class/1"; else None.
        options: of the strategy or the format, defaults too.
        domain: the name that the keys are derived with.
        small_domain: what becomes of values with too few possible pseudonyms.
        on_invalid: what becomes of values that are not of the format.
        normalize: the Unicode normalization that was applied first, or None.
        tweak: the column whose values are the rows' tweaks, or None.
        domain_prefix: what the keys of a recipient's domains have in common, or None.
        tables: the version of the Unicode tables that the format depends on, or None.
    """

    strategy: str
    algorithm: str
    format: str | None
    options: Mapping[str, Option] = field(default_factory=dict)
    domain: str
    small_domain: str = "error"
    on_invalid: str = "error"
    normalize: str | None = None
    tweak: str | None = None
    domain_prefix: str | None = None
    tables: str | None = None

    @classmethod
    def of(cls, rule: ColumnRule, column: str, kind: type) -> ColumnSpec:
        """Fill a rule up with defaults, and check it.

        Args:
            rule: what is said of the column.
            column: its name, which is the default of its domain.
            kind: of its values.

        Raises:
            PseudonymizationError: the rule does not fit, or not the column.
        """
        strategy = rule.strategy or "fpe"
        check_choice("strategy", strategy, STRATEGIES)
        for name, value, allowed in (
            ("small_domain", rule.small_domain, SMALL_DOMAIN),
            ("on_invalid", rule.on_invalid, ON_INVALID),
            ("normalize", rule.normalize, NORMALIZE),
            ("on_ordered", rule.on_ordered, ON_ORDERED),
        ):
            if value is not None:
                check_choice(name, value, allowed)
        if strategy != "fpe":
            if rule.format is not None:
                raise PseudonymizationError(f"the strategy {strategy!r} takes no format")
            made = make_strategy(strategy, rule.options, _NO_KEYS)
            return cls(
                strategy=strategy,
                algorithm=made.algorithm_for(kind, tweaked=rule.tweak is not None),
                format=None,
                options=made.options,
                domain=rule.domain or column,
                normalize=rule.normalize,
                tweak=rule.tweak,
            )
        form = resolve_format(rule.format or _default_format(kind), rule.options)
        if kind not in form.takes:
            raise PseudonymizationError(
                f"the format {form.name!r} is not for values of its dtype: convert the column, for"
                " instance with astype('string'), or choose another format"
            )
        return cls(
            strategy=strategy,
            algorithm=Fpe.algorithm,
            format=form.name,
            options=form.options,
            domain=rule.domain or column,
            normalize=rule.normalize,
            tweak=rule.tweak,
            small_domain=rule.small_domain or "error",
            on_invalid=rule.on_invalid or "error",
            tables=form.tables,
        )

    @property
    def scale(self) -> int | None:
        """How many digits after the point the numbers have, if the format says so."""
        return scale_of(self.format, self.options)

    @property
    def reversible(self) -> bool:
        """Whether the values can be had back."""
        return self.strategy == "fpe" or WITHOUT_FORMAT[self.strategy].reversible

    @property
    def makes_text(self) -> bool:
        """Whether pseudonyms are text, whatever the values are."""
        return self.strategy != "fpe" or "token" in (self.small_domain, self.on_invalid)

    def prepared(self, values: Values) -> Values:
        """Return the values as the strategy is to get them: normalized, where that is wanted."""
        if self.normalize == "NFC" and isinstance(values, Text):
            return values.normalized("NFC")
        return values

    def check(self) -> None:
        """Check that this version knows the recipe.

        Raises:
            PseudonymizationError: it does not.
        """
        made = self.make(_NO_KEYS)
        if self.algorithm not in (made.algorithm, made.second):
            raise PseudonymizationError(f"this version has no algorithm {self.algorithm!r}")
        tables = None if self.format is None else FORMATS[self.format].tables
        if tables and self.tables not in (None, tables):
            raise PseudonymizationError(f"this version has no tables of Unicode {self.tables!r}")

    def renewed(self, kind: type) -> ColumnSpec:
        """Return the recipe that replaces values of a kind anew: by the newest version of all.

        Raises:
            PseudonymizationError: the newest version of the format does not take the options.
        """
        if self.format is None:
            strategy = self.make(_NO_KEYS)
            algorithm = strategy.algorithm_for(kind, tweaked=self.tweak is not None)
            return replace(self, algorithm=algorithm)
        form = newest_format(self.format, self.options)
        return replace(self, format=form.name, options=form.options, tables=form.tables)

    def make(
        self,
        keys: DomainKeys,
        row_tweaks: RowTweaks | None = None,
        *,
        smallest: int = MIN_TABLE,
    ) -> Strategy:
        """Make what replaces the values.

        Args:
            keys: of the column's domain.
            row_tweaks: a tweak for each row, or None.
            smallest: how many members a domain has at least that is permuted by a table.

        Raises:
            PseudonymizationError: the recipe is not one that this version knows.
        """
        if self.strategy != "fpe":
            return make_strategy(self.strategy, self.options, keys, row_tweaks)
        form = make_format(self.format or "", self.options)
        return Fpe(keys, form, self.small_domain, self.on_invalid, row_tweaks, smallest=smallest)


def scale_of(form: str | None, options: Mapping[str, Option]) -> int | None:
    """Return how many digits after the point the numbers of a format have, if it says so."""
    scale = options.get("scale") if (form or "").partition("/")[0] == "decimal" else None
    return scale if type(scale) is int and 0 <= scale <= LARGEST_SCALE else None


def _default_format(kind: type) -> str:
    if kind not in _DEFAULT_FORMATS:
        raise PseudonymizationError("there is no format for values of its dtype")
    return _DEFAULT_FORMATS[kind]


def _no_keys(purpose: str, size: int) -> bytes:
    raise AssertionError("a recipe is checked without keys")


_NO_KEYS = DomainKeys(_no_keys, "")


def check_choice(argument: str, value: object, allowed: tuple[str, ...]) -> None:
    """Check an argument that has a few allowed values.

    Raises:
        ArgumentError: the value is another one.
    """
    choices = ", ".join(map(repr, allowed))
    if not isinstance(value, str):
        problem = f"must be one of {choices}, not {type(value).__name__}"
        raise ArgumentError.of(argument, problem)
    if value in allowed:
        return
    near = difflib.get_close_matches(str(value), allowed, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    problem = f"is not known{hint}; allowed: {choices}"
    raise ArgumentError.of(argument, problem, f"={value!r}")

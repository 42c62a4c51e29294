"""Column specification: everything that is decided before the values of a column are replaced."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from secureml.errors import ArgumentError, PseudonymizationError
from secureml.pseudonymization.formats import (
    Format,
    Option,
    format_type,
    make_format,
    newest_format,
    resolve_format,
)
from secureml.pseudonymization.formats.classes import ClassFormat
from secureml.pseudonymization.formats.dates import DateFormat, DateTimeFormat
from secureml.pseudonymization.formats.decimals import LARGEST_SCALE, DecimalFormat
from secureml.pseudonymization.formats.integers import IntegerFormat
from secureml.pseudonymization.keys import DomainKeys, Keyring
from secureml.pseudonymization.ranking.permutation import MIN_TABLE, RowTweaks
from secureml.pseudonymization.strategies import Strategy, make_strategy, strategy_type
from secureml.pseudonymization.strategies.fpe import Fpe
from secureml.pseudonymization.values.decimals import Decimals
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text
from secureml.pseudonymization.values.timestamps import Days, Moments
from secureml.registry import STRATEGIES, VENDOR_NAME
from secureml.settings.environments import did_you_mean
from secureml.settings.rules import CHOICES, ColumnRule

__all__ = ["ColumnSpec", "check_choice", "check_choices", "check_strategy", "scale_of"]

_DEFAULT_FORMATS: Mapping[type, type[Format]] = {  # imported before threads and forks can meet it
    Text: ClassFormat,
    WholeNumbers: IntegerFormat,
    Decimals: DecimalFormat,
    Moments: DateTimeFormat,
    Days: DateFormat,
}


_NEVER_NULL = frozenset(("fpe", "token", "hash", "mask", "redact"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSpec:
    """How the values of one column are replaced; part of its entry in the manifest.

    Args:
        strategy: such as "fpe".
        algorithm: of the strategy, such as "FF1-AES256".
        format: of "fpe", with its version, such as "class/1"; else None.
        options: of the strategy or the format, defaults too.
        key_domain: the name that keys are derived with; manifests call it "domain".
        small_domain: what becomes of values with too few possible pseudonyms.
        on_invalid: what becomes of values that are not of the format.
        normalize: the Unicode normalization that was applied first, or None.
        tweak: the column whose values are the rows' tweaks, or None.
        domain_prefix: prefix of the key domains of a recipient, or None.
        tables: the version of the Unicode tables that the format depends on, or None.
    """

    strategy: str
    algorithm: str
    format: str | None
    options: Mapping[str, Option] = field(default_factory=dict, hash=False)
    key_domain: str
    small_domain: str = "error"
    on_invalid: str = "error"
    normalize: str | None = None
    tweak: str | None = None
    domain_prefix: str | None = None
    tables: str | None = None

    @classmethod
    def of(cls, rule: ColumnRule, column: str, kind: type) -> ColumnSpec:
        """Check a rule and complete it with defaults.

        Args:
            rule: of the column.
            column: its name, which is the default of its key domain.
            kind: of its values.

        Raises:
            PseudonymizationError: the rule is wrong, or does not fit the column.
        """
        strategy = rule.strategy or "fpe"
        check_strategy(strategy, STRATEGIES.built_in)
        check_choices(
            small_domain=rule.small_domain,
            on_invalid=rule.on_invalid,
            normalize=rule.normalize,
            on_ordered=rule.on_ordered,
        )
        form = None
        if strategy == "fpe":
            form = resolve_format(rule.format or _default_format(kind), rule.options)
            if kind not in form.takes:
                raise PseudonymizationError(
                    f"the format {form.name!r} is not for values of its dtype: convert the column,"
                    " for instance with astype('string'), or choose another format"
                )
            made: Strategy = Fpe(_NO_KEYS, form)
        elif rule.format is not None:
            raise PseudonymizationError(f"the strategy {strategy!r} takes no format")
        else:
            made = make_strategy(strategy, rule.options, _NO_KEYS)
        return cls(
            strategy=strategy,
            algorithm=made.algorithm_for(kind, tweaked=rule.tweak is not None),
            format=form.name if form else None,
            options=made.options,
            key_domain=rule.domain or column,
            small_domain=(form and rule.small_domain) or "error",
            on_invalid=(form and rule.on_invalid) or "error",
            normalize=rule.normalize,
            tweak=rule.tweak,
            tables=form.tables if form else None,
        )

    @property
    def scale(self) -> int | None:
        """Number of digits after the point, if the format has one."""
        return scale_of(self.format, self.options)

    @property
    def reversible(self) -> bool:
        """Whether the values can be recovered."""
        return strategy_type(self.strategy).reversible

    @property
    def may_null(self) -> bool:
        """Whether values can become null."""
        chosen = self.strategy, self.small_domain, self.on_invalid
        return "null" in chosen or self.strategy not in _NEVER_NULL

    @property
    def makes_text(self) -> bool:
        """Whether pseudonyms are text even if the values are not."""
        return self.strategy != "fpe" or "token" in (self.small_domain, self.on_invalid)

    def prepared(self, values: Values) -> Values:
        """Return the values that the strategy gets: normalized, if the rule says so."""
        if self.normalize == "NFC" and isinstance(values, Text):
            return values.normalized("NFC")
        return values

    def check(self) -> None:
        """Check that this version can replace and recover values so.

        Raises:
            PseudonymizationError: it can't.
        """
        made = self.make(_NO_KEYS)
        if self.algorithm not in (made.algorithm, made.second, *made.earlier):
            raise PseudonymizationError(f"this version has no algorithm {self.algorithm!r}")
        tables = None if self.format is None else format_type(self.format).tables
        if tables and self.tables not in (None, tables):
            raise PseudonymizationError(f"this version has no tables of Unicode {self.tables!r}")

    def renewed(self, kind: type) -> ColumnSpec:
        """Return the specification by which new pseudonyms are made: with the newest versions.

        Args:
            kind: of the values.

        Raises:
            PseudonymizationError: the newest version of the format does not take the options.
        """
        if self.format is None:
            strategy = self.make(_NO_KEYS)
            algorithm = strategy.algorithm_for(kind, tweaked=self.tweak is not None)
            return replace(self, algorithm=algorithm)
        form = newest_format(self.format, self.options)
        return replace(self, format=form.name, options=form.options, tables=form.tables)

    def keyed(
        self,
        keyring: Keyring,
        row_tweaks: RowTweaks | None = None,
        *,
        smallest: int = MIN_TABLE,
    ) -> Strategy:
        """Return what ``make`` makes under a key; the keyring keeps it if rows have no tweaks."""
        keys = keyring.domain(self.key_domain, self.domain_prefix)
        make = partial(self.make, keys, row_tweaks, smallest=smallest)
        return make() if row_tweaks is not None else keyring.kept((self, smallest), make)

    def make(
        self,
        keys: DomainKeys,
        row_tweaks: RowTweaks | None = None,
        *,
        smallest: int = MIN_TABLE,
    ) -> Strategy:
        """Make the strategy.

        Args:
            keys: of the column's key domain.
            row_tweaks: a tweak for each row, or None.
            smallest: the smallest size of a domain that is permuted by a table.

        Raises:
            PseudonymizationError: this version does not know the strategy, format or an option.
        """
        if self.strategy != "fpe":
            return make_strategy(self.strategy, self.options, keys, row_tweaks)
        form = make_format(self.format or "", self.options)
        return Fpe(keys, form, self.small_domain, self.on_invalid, row_tweaks, smallest=smallest)


def scale_of(form: str | None, options: Mapping[str, Option]) -> int | None:
    """Return the number of digits after the point, if a format has one."""
    scale = options.get("scale") if (form or "").partition("/")[0] == "decimal" else None
    return scale if type(scale) is int and 0 <= scale <= LARGEST_SCALE else None


def _default_format(kind: type) -> str:
    if kind not in _DEFAULT_FORMATS:
        raise PseudonymizationError("there is no format for values of its dtype")
    return _DEFAULT_FORMATS[kind].name.partition("/")[0]


def _no_keys(purpose: str, size: int) -> bytes:
    raise AssertionError("a column specification is checked without keys")


_NO_KEYS = DomainKeys(_no_keys, "")


def check_choice(argument: str, value: object, allowed: Collection[str]) -> None:
    """Check an argument that has a few allowed values.

    Raises:
        ArgumentError: the value is another one.
    """
    choices = ", ".join(map(repr, allowed))
    if not isinstance(value, str):
        problem = f"must be one of {choices}, not {type(value).__name__}"
        raise ArgumentError.of(argument, problem)
    if value not in allowed:
        problem = f"is not known{did_you_mean(value, allowed)}; allowed: {choices}"
        raise ArgumentError.of(argument, problem, f"={value!r}")


def check_choices(**given: object) -> None:
    """Check the arguments that are keys of a rule as well; None is allowed.

    Raises:
        ArgumentError: one is not known.
    """
    for argument, value in given.items():
        if value is not None:
            check_choice(argument, value, CHOICES[argument])


def check_strategy(name: object, allowed: Collection[str]) -> None:
    """Check that a strategy is one of those allowed, or of another package.

    Raises:
        ArgumentError: it is neither.
        PseudonymizationError: it is not installed, or its package is broken.
    """
    if isinstance(name, str) and VENDOR_NAME.fullmatch(name):
        strategy_type(name)
    else:
        check_choice("strategy", name, allowed)

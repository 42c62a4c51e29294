"""Find the columns of a table that want a rule, by their names and by what their values are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.errors import MissingExtraError, PseudonymizationError
from secureml.frames.arrow import PLAIN, combined
from secureml.frames.columns import read_column
from secureml.frames.pandas import check_frame, detached
from secureml.pseudonymization.formats import resolve_format
from secureml.pseudonymization.ranking.permutation import Permutation
from secureml.pseudonymization.ranking.pipeline import transform
from secureml.pseudonymization.values.text import Text
from secureml.settings.rules import ColumnRule

__all__ = ["Proposal", "scan"]

_SAMPLE = 10_000
_ANY_KEY = bytes(32)  # validity does not depend on it
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A rule that a column seems to want.

    Args:
        column: its name.
        kind: what it seems to hold, in a word.
        rule: the rule.
        evidence: what speaks for it.
        share: of the values that were looked at, how many fit.
    """

    column: str
    kind: str
    rule: ColumnRule
    evidence: str
    share: float


Share = Callable[[pd.Series], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """What columns of personal data look like.

    Args:
        name: of the kind.
        words: in a column's name, any one of which points to it.
        against: words that point elsewhere, whatever else there is.
        fits: the share of the values that are of the kind.
        said: what a value is, for the evidence.
        rule: what to propose.
        alone: the share from which the values are enough, whatever the name; above 1 for never.
        with_name: the share that is enough where the name speaks for it too.
    """

    name: str
    words: frozenset[str]
    against: frozenset[str] = frozenset()
    fits: Share
    said: str
    rule: ColumnRule
    alone: float = 2.0
    with_name: float = 0.5


def scan(data: pd.DataFrame, *, sample: int = _SAMPLE) -> tuple[Proposal, ...]:
    """Propose rules for the columns of a table that seem to hold personal data.

    Args:
        data: the table; it is not changed.
        sample: how many of the values of a column to look at, evenly spread.

    Returns:
        A proposal for each such column, in the order of the columns. What is not proposed may be
        personal data none the less.

    Raises:
        TypeError: the data is not a pandas DataFrame.
        PseudonymizationError: columns have no distinct names, or strings that are not UTF-8.
    """
    frame, _ = detached(check_frame(data))
    found = (_decodable(name, frame[name], sample) for name in frame.columns)
    return tuple(proposal for proposal in found if proposal is not None)


def _decodable(name: object, series: pd.Series, sample: int) -> Proposal | None:
    try:
        return _proposal(name, series, sample)
    except (UnicodeDecodeError, pa.ArrowException):  # the latter from pyarrow 18
        pass
    raise PseudonymizationError(f"column {name!r} holds strings that are not UTF-8")


def _proposal(name: object, series: pd.Series, sample: int) -> Proposal | None:
    if not isinstance(name, str):
        return None
    series = _pickable(series)
    filled = series[series.notna()]
    values = filled.iloc[:: max(1, len(filled) // sample)]
    if len(values) and isinstance(values.iloc[0], str):
        values = values[values.astype(str) != ""]
    if not len(values):
        return None
    words = frozenset(word.lower() for word in _WORD.findall(name))
    for kind in _KINDS:
        named = bool(words & kind.words) or _joined(words & _WORDS_OF_NAMES, kind.words)
        if words & kind.against or not (named or kind.alone <= 1):
            continue
        share = kind.fits(values)
        if share >= (kind.with_name if named else kind.alone):
            pointing = f"the name {name!r} and " if named else ""
            return Proposal(
                column=name,
                kind=kind.name,
                rule=kind.rule,
                evidence=f"{pointing}{share:.1%} of {len(values):,} values: {kind.said}",
                share=share,
            )
    return None


def _pickable(series: pd.Series) -> pd.Series:
    """Return a column with a dtype that pandas can pick rows of."""
    if not isinstance(series.dtype, pd.ArrowDtype):
        return series
    kind = series.dtype.pyarrow_dtype
    if kind in PLAIN:
        array = combined(pa.array(series)).cast(PLAIN[kind])
    elif pa.types.is_run_end_encoded(kind):
        array = pc.run_end_decode(combined(pa.array(series)))
    else:
        return series
    return pd.Series(pd.arrays.ArrowExtensionArray(array))


_WORDS_OF_NAMES: frozenset[str] = frozenset({"first", "last", "full", "family", "given", "middle"})


def _joined(words: frozenset[str], wanted: frozenset[str]) -> bool:
    """Tell whether a name such as "first" alone points to what is called so."""
    return "name" in wanted and bool(words)


def _of_format(written: str, **options: str | int) -> Share:
    """Return what tells the share of values that a format takes for its own."""

    def share(values: pd.Series) -> float:
        try:
            form = resolve_format(written, options)
            column = read_column(values)
        except (PseudonymizationError, MissingExtraError):
            return 0.0
        if not isinstance(column.values, Text) or Text not in form.takes:
            return 0.0
        made = transform(form, column.values, Permutation(IntegerFF1(_ANY_KEY)))
        return 1 - len(made.invalid) / len(values)

    return share


def _matching(pattern: str, flags: re.RegexFlag = re.NOFLAG) -> Share:
    """Return what tells the share of values that match a pattern."""
    compiled = re.compile(pattern, flags)

    def share(values: pd.Series) -> float:
        return float(np.mean([compiled.fullmatch(str(value)) is not None for value in values]))

    return share


def _both(first: Share, second: Share) -> Share:
    return lambda values: min(first(values), second(values))


def _distinct(values: pd.Series) -> float:
    return len(set(map(str, values))) / len(values)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _kinds() -> Iterator[_Kind]:
    yield _Kind(
        name="e-mail address",
        words=_words("email mail e-mail"),
        fits=_matching(r"[^@\s]+@[^@\s]+\.[^@\s.]+"),
        said="an e-mail address",
        rule=ColumnRule(
            strategy="fpe",
            format="email",
            domain="email",
            small_domain="token",
            on_invalid="token",
        ),
        alone=0.8,
    )
    yield _Kind(
        name="IBAN",
        words=_words("iban account bank"),
        fits=_of_format("iban"),
        said="an IBAN with valid check digits",
        rule=ColumnRule(strategy="fpe", format="iban", on_invalid="token"),
        alone=0.8,
    )
    yield _Kind(
        name="card number",
        words=_words("card credit cc pan debit"),
        fits=_of_format("credit_card"),
        said="digits with a valid Luhn check",
        rule=ColumnRule(strategy="fpe", format="credit_card", on_invalid="token"),
        alone=0.8,
    )
    yield _Kind(
        name="US social security number",
        words=_words("ssn social security tin"),
        fits=_of_format("ssn"),
        said="a social security number that can be assigned",
        rule=ColumnRule(strategy="fpe", format="ssn", on_invalid="token"),
    )
    yield _Kind(
        name="US social security number",
        words=_words("ssn"),
        fits=_both(_of_format("ssn"), _matching(r"\d{3}-\d{2}-\d{4}", re.ASCII)),
        said="a social security number written with hyphens",
        rule=ColumnRule(strategy="fpe", format="ssn", on_invalid="token"),
        alone=0.8,
    )
    yield _Kind(
        name="UUID",
        words=_words("uuid guid"),
        fits=_of_format("uuid"),
        said="a UUID",
        rule=ColumnRule(strategy="fpe", format="uuid", on_invalid="token"),
        alone=0.9,
    )
    for version in ("ipv4", "ipv6"):
        yield _Kind(
            name="IP address",
            words=_words("ip ipv4 ipv6 host client remote"),
            fits=_of_format(version),
            said=f"an {version[:2].upper()}{version[2:]} address",
            rule=ColumnRule(strategy="fpe", format=version, on_invalid="token"),
            alone=0.9,
        )
    yield _Kind(
        name="telephone number",
        words=_words("phone telephone mobile cell fax tel handy telefon"),
        against=_words("model brand"),
        fits=_matching(r"(?=(?:\D*\d){7,15}\D*)[+(\d][\d\s().\-/]+(?:\s?(?:x|ext\.?)\s?\d+)?"),
        said="7 to 15 digits written as a telephone number",
        rule=ColumnRule(strategy="fpe", small_domain="token"),
        with_name=0.6,
    )
    yield _Kind(
        name="telephone number",
        words=_words("contact"),
        fits=_matching(r"\+\d[\d\s().\-/]{6,20}"),
        said="a telephone number with its country code",
        rule=ColumnRule(strategy="fpe", small_domain="token"),
        alone=0.8,
    )
    yield _Kind(
        name="date of birth",
        words=_words("birth birthday birthdate born dob geburtsdatum naissance"),
        against=_words("place country city order"),
        fits=_matching(r"\d{4}-\d{2}-\d{2}(?:[T ].*)?|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}", re.ASCII),
        said="a date",
        rule=ColumnRule(strategy="fpe", format="date", small_domain="permute", on_invalid="token"),
    )
    yield _Kind(
        name="name of a person",
        words=_words(
            "name surname firstname lastname forename fullname nom prenom vorname nachname nombre"
            " apellido cognome patient customer employee"
        ),
        against=_words(
            "product file host domain event country city company brand table column user department"
            " id number no code status type date count group category"
        ),
        fits=_matching(r"[^\W\d_][^\d_@/\\:;=<>{}\[\]]*"),
        said="words without digits",
        rule=ColumnRule(strategy="fpe", small_domain="token"),
        with_name=0.9,
    )
    yield _Kind(
        name="postal address",
        words=_words("address street addr strasse rue calle"),
        against=_words("email mail ip mac"),
        fits=_matching(r"(?=.*[^\W\d_])(?=.*\d).{6,}|.*\s.*", re.DOTALL),
        said="words, most with a number",
        rule=ColumnRule(strategy="token"),
    )
    yield _Kind(
        name="postcode",
        words=_words("postcode zip zipcode postal plz postleitzahl"),
        fits=_matching(r"[A-Z0-9][A-Z0-9 \-]{2,9}", re.IGNORECASE),
        said="up to ten letters and digits",
        rule=ColumnRule(strategy="fpe", small_domain="token"),
        with_name=0.8,
    )
    yield _Kind(
        name="identifier of a person",
        words=_words("login username user passport licence license nhs member mrn patient"),
        against=_words("agent type count"),
        fits=_both(_distinct, _matching(r"[\w.@\-]{2,64}")),
        said="short, and most of them distinct",
        rule=ColumnRule(strategy="token"),
    )
    yield _Kind(
        name="identifier",
        words=_words("customer client account employee person subject"),
        against=_words("type count segment name since status group"),
        fits=_both(_distinct, _matching(r"[A-Za-z]{0,6}[\-_]?\d{4,}")),
        said="a number, and most of them distinct",
        rule=ColumnRule(strategy="fpe", small_domain="token"),
    )
    yield _Kind(
        name="free text",
        words=_words("note notes comment comments remarks remark message"),
        fits=_matching(r".*\s.*\s.*", re.DOTALL),
        said="several words, which may say anything",
        rule=ColumnRule(strategy="redact"),
    )


_KINDS = tuple(_kinds())

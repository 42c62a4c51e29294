"""Find the columns of a table that want a rule, by their names and by what their values are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.errors import MissingExtraError, PseudonymizationError
from secureml.frames.adapters import table_of
from secureml.frames.base import Column
from secureml.pseudonymization.formats import resolve_format
from secureml.pseudonymization.ranking.permutation import Permutation
from secureml.pseudonymization.ranking.pipeline import transform
from secureml.pseudonymization.values.text import Text
from secureml.settings.rules import ColumnRule

__all__ = ["Proposal", "scan"]

_SAMPLE = 10_000
_ANY_KEY = bytes(32)  # validity does not depend on it
_PART_OF_NAME = frozenset({"first", "last", "full", "family", "given", "middle"})
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


class _Sample:
    """Some values of a column, none of which is null or empty.

    Args:
        column: these values.

    Attributes:
        strings: the values as text.
    """

    def __init__(self, column: Column) -> None:
        self.column = column
        self.strings = column.strings

    @classmethod
    def of(cls, column: Column, size: int) -> _Sample:
        """Take about so many values of a column, evenly spread."""
        present = np.flatnonzero(~column.nulls)
        some = cls(column.take(present[:: max(1, len(present) // size)]).uncoded())
        filled = [place for place, text in enumerate(some.strings) if text]
        return cls(some.column.take(np.array(filled, np.intp)))

    def __len__(self) -> int:
        return len(self.strings)


Share = Callable[[_Sample], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """What columns of personal data look like."""

    name: str
    words: frozenset[str]  # in a column's name, any one of which points to the kind
    against: frozenset[str] = frozenset()  # words that point elsewhere, whatever else there is
    fits: Share  # of the values, those that are of the kind
    evidence: str  # what a value is
    rule: ColumnRule
    alone: float = 2.0  # the share that is enough whatever the name; above 1 for never
    with_name: float = 0.5  # the share that is enough if the name points to the kind


def scan(data: Any, *, sample: int = _SAMPLE) -> tuple[Proposal, ...]:
    """Propose rules for the columns of a table that seem to hold personal data.

    Args:
        data: a table as of ``anonymize``; it is not changed.
        sample: how many of the values of a column to look at, evenly spread.

    Returns:
        A proposal for each such column, in the order of the columns. What is not proposed may be
        personal data none the less.

    Raises:
        TypeError: the data is no table.
        PseudonymizationError: columns have no distinct names, strings that are not UTF-8, or inside
            of others moments that Python does not have.
    """
    table, proposals = table_of(data), []
    for name in table.names:
        try:
            proposals.append(_proposal(name, table.column(name), sample))
            continue
        except (UnicodeDecodeError, pa.ArrowException):  # the latter from pyarrow 18
            held = "strings that are not UTF-8"
        except OverflowError:  # by values inside of others
            held = "moments that Python does not have"
        raise PseudonymizationError(f"column {name!r} holds {held}")
    return tuple(proposal for proposal in proposals if proposal is not None)


def _proposal(name: object, column: Column, sample: int) -> Proposal | None:
    if not isinstance(name, str):
        return None
    values = _Sample.of(column, sample)
    if not len(values):
        return None
    words = frozenset(word.lower() for word in _WORD.findall(name))
    for kind in _KINDS:
        named = bool(words & kind.words) or ("name" in kind.words and bool(words & _PART_OF_NAME))
        if words & kind.against or not (named or kind.alone <= 1):
            continue
        share = kind.fits(values)
        if share >= (kind.with_name if named else kind.alone):
            pointing = f"the name {name!r} and " if named else ""
            return Proposal(
                column=name,
                kind=kind.name,
                rule=kind.rule,
                evidence=f"{pointing}{share:.1%} of {len(values):,} values: {kind.evidence}",
                share=share,
            )
    return None


def _of_format(written: str, **options: str | int) -> Share:
    """Return what tells the share of values that a format takes for its own."""

    def share(values: _Sample) -> float:
        try:
            form = resolve_format(written, options)
            column = values.column.read()
        except (PseudonymizationError, MissingExtraError):
            return 0.0
        if not isinstance(column.values, Text) or Text not in form.takes:
            return 0.0
        transformed = transform(form, column.values, Permutation(IntegerFF1(_ANY_KEY)))
        return 1 - len(transformed.invalid) / len(values)

    return share


def _matching(pattern: str, flags: re.RegexFlag = re.NOFLAG) -> Share:
    """Return what tells the share of values that match a pattern."""
    compiled = re.compile(pattern, flags)

    def share(values: _Sample) -> float:
        return float(np.mean([compiled.fullmatch(text) is not None for text in values.strings]))

    return share


def _both(first: Share, second: Share) -> Share:
    return lambda values: min(first(values), second(values))


def _distinct(values: _Sample) -> float:
    return len(set(values.strings)) / len(values)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _of_values(name: str, words: str, form: str, evidence: str, alone: float = 2.0) -> _Kind:
    """Return the kind of columns whose values a format takes for its own."""
    rule = ColumnRule(strategy="fpe", format=form, on_invalid="token")
    fits = _of_format(form)
    return _Kind(
        name=name, words=_words(words), fits=fits, evidence=evidence, rule=rule, alone=alone
    )


def _kinds() -> Iterator[_Kind]:
    yield _Kind(
        name="e-mail address",
        words=_words("email mail e-mail"),
        fits=_matching(r"[^@\s]+@[^@\s]+\.[^@\s.]+"),
        evidence="an e-mail address",
        rule=ColumnRule(
            strategy="fpe",
            format="email",
            domain="email",
            small_domain="token",
            on_invalid="token",
        ),
        alone=0.8,
    )
    yield _of_values("IBAN", "iban account bank", "iban", "an IBAN with valid check digits", 0.8)
    card = "card credit cc pan debit"
    yield _of_values("card number", card, "credit_card", "digits with a valid Luhn check", 0.8)
    ssn = _of_values(
        "US social security number",
        "ssn social security tin",
        "ssn",
        "a social security number that can be assigned",
    )
    yield ssn
    yield replace(
        ssn,
        words=_words("ssn"),
        fits=_both(ssn.fits, _matching(r"\d{3}-\d{2}-\d{4}", re.ASCII)),
        evidence="a social security number written with hyphens",
        alone=0.8,
    )
    yield _of_values("UUID", "uuid guid", "uuid", "a UUID", 0.9)
    address = "ip ipv4 ipv6 host client remote"
    yield _of_values("IP address", address, "ipv4", "an IPv4 address", 0.9)
    yield _of_values("IP address", address, "ipv6", "an IPv6 address", 0.9)
    yield _Kind(
        name="telephone number",
        words=_words("phone telephone mobile cell fax tel handy telefon"),
        against=_words("model brand"),
        fits=_matching(r"(?=(?:\D*\d){7,15}\D*)[+(\d][\d\s().\-/]+(?:\s?(?:x|ext\.?)\s?\d+)?"),
        evidence="7 to 15 digits written as a telephone number",
        rule=ColumnRule(strategy="fpe", small_domain="token"),
        with_name=0.6,
    )
    yield _Kind(
        name="telephone number",
        words=_words("contact"),
        fits=_matching(r"\+\d[\d\s().\-/]{6,20}"),
        evidence="a telephone number with its country code",
        rule=ColumnRule(strategy="fpe", small_domain="token"),
        alone=0.8,
    )
    yield _Kind(
        name="date of birth",
        words=_words("birth birthday birthdate born dob geburtsdatum naissance"),
        against=_words("place country city order"),
        fits=_matching(r"\d{4}-\d{2}-\d{2}(?:[T ].*)?|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}", re.ASCII),
        evidence="a date",
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
        evidence="words without digits",
        rule=ColumnRule(strategy="fpe", small_domain="token"),
        with_name=0.9,
    )
    yield _Kind(
        name="postal address",
        words=_words("address street addr strasse rue calle"),
        against=_words("email mail ip mac"),
        fits=_matching(r"(?=.*[^\W\d_])(?=.*\d).{6,}|.*\s.*", re.DOTALL),
        evidence="words, most with a number",
        rule=ColumnRule(strategy="token"),
    )
    yield _Kind(
        name="postcode",
        words=_words("postcode zip zipcode postal plz postleitzahl"),
        fits=_matching(r"[A-Z0-9][A-Z0-9 \-]{2,9}", re.IGNORECASE),
        evidence="up to ten letters and digits",
        rule=ColumnRule(strategy="fpe", small_domain="token"),
        with_name=0.8,
    )
    yield _Kind(
        name="identifier of a person",
        words=_words("login username user passport licence license nhs member mrn patient"),
        against=_words("agent type count"),
        fits=_both(_distinct, _matching(r"[\w.@\-]{2,64}")),
        evidence="short, and most of them distinct",
        rule=ColumnRule(strategy="token"),
    )
    yield _Kind(
        name="identifier",
        words=_words("customer client account employee person subject"),
        against=_words("type count segment name since status group"),
        fits=_both(_distinct, _matching(r"[A-Za-z]{0,6}[\-_]?\d{4,}")),
        evidence="a number, and most of them distinct",
        rule=ColumnRule(strategy="fpe", small_domain="token"),
    )
    yield _Kind(
        name="free text",
        words=_words("note notes comment comments remarks remark message"),
        fits=_matching(r".*\s.*\s.*", re.DOTALL),
        evidence="several words, which may say anything",
        rule=ColumnRule(strategy="redact"),
    )


_KINDS = tuple(_kinds())

"""The formats of ``fpe``: by name, and made again from what a manifest says."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from functools import cache

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.addresses import IPv4Format, IPv6Format
from secureml.pseudonymization.formats.base import (
    NO_ROWS,
    NONE_SMALL,
    Format,
    Option,
    TooSmall,
    Transformed,
)
from secureml.pseudonymization.formats.characters import (
    AlphabetFormat,
    DigitsFormat,
    LettersFormat,
)
from secureml.pseudonymization.formats.classes import ClassFormat
from secureml.pseudonymization.formats.credit_card import CreditCardFormat
from secureml.pseudonymization.formats.dates import DateFormat, DateTimeFormat
from secureml.pseudonymization.formats.decimals import DecimalFormat
from secureml.pseudonymization.formats.email import EmailFormat
from secureml.pseudonymization.formats.iban import IbanFormat
from secureml.pseudonymization.formats.integers import IntegerFormat
from secureml.pseudonymization.formats.phone import PhoneFormat
from secureml.pseudonymization.formats.regex import RegexFormat
from secureml.pseudonymization.formats.regex_1 import FirstRegexFormat
from secureml.pseudonymization.formats.ssn import SsnFormat
from secureml.pseudonymization.formats.uuids import UuidFormat

__all__ = [
    "FORMATS",
    "NONE_SMALL",
    "NO_ROWS",
    "Format",
    "Option",
    "TooSmall",
    "Transformed",
    "make_format",
    "newest_format",
    "options_of",
    "resolve_format",
]

FORMATS: Mapping[str, type[Format]] = {
    kind.name: kind
    for kind in (
        ClassFormat,
        DigitsFormat,
        LettersFormat,
        AlphabetFormat,
        SsnFormat,
        CreditCardFormat,
        EmailFormat,
        IbanFormat,
        PhoneFormat,
        FirstRegexFormat,
        RegexFormat,
        IntegerFormat,
        UuidFormat,
        IPv4Format,
        IPv6Format,
        DateFormat,
        DateTimeFormat,
        DecimalFormat,
    )
}
"""By name with version. A version that was once here stays."""

_ARGUMENTS = {"alphabet": "characters", "regex": "pattern"}
"""The option that follows the colon of a format's short name."""

_LATEST = {name.partition("/")[0]: name for name in sorted(FORMATS)}


def resolve_format(written: str, options: Mapping[str, Option]) -> Format:
    """Make the format that a person wrote, such as "ssn" or "alphabet:0123ABCD".

    Raises:
        PseudonymizationError: there is no such format, or an option does not fit.
    """
    short, colon, argument = written.partition(":")
    if short not in _LATEST:
        near = difflib.get_close_matches(short, _LATEST, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(_LATEST)}"
        raise PseudonymizationError(f"there is no format {written!r}{hint}")
    if bool(colon) != (short in _ARGUMENTS):
        example = f"{short}:..." if short in _ARGUMENTS else short
        raise PseudonymizationError(f"the format {written!r} is to be written {example!r}")
    if colon:
        options = {**options, _ARGUMENTS[short]: argument}
    return make_format(_LATEST[short], options)


def make_format(name: str, options: Mapping[str, Option]) -> Format:
    """Make a format from its name with version and its options.

    Raises:
        PseudonymizationError: there is no such format, or an option does not fit.
    """
    if name not in FORMATS:
        raise PseudonymizationError(f"this version has no format {name!r}")
    known = options_of(FORMATS[name])
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise PseudonymizationError(f"the format {name!r} has no option {option!r}{hint}")
    return FORMATS[name](**options)


def newest_format(name: str, options: Mapping[str, Option]) -> Format:
    """Make the newest version of a format, which values that are replaced anew are of.

    Args:
        name: of any version.
        options: of that version.

    Raises:
        PseudonymizationError: as of ``make_format``.
    """
    return make_format(_LATEST.get(name.partition("/")[0], name), options)


@cache
def options_of(kind: type) -> tuple[str, ...]:
    """Return the names of the options that a format or a strategy has."""
    return tuple(
        parameter.name
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    )

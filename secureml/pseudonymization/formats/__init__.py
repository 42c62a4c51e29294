"""Formats of ``fpe``, made from a name and options."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import (
    NO_ROWS,
    NONE_SMALL,
    Characters,
    Format,
    Option,
    Ranks,
    Reading,
    TooSmall,
    Transformed,
)
from secureml.registry import FORMATS, is_vendor_name
from secureml.settings.environments import did_you_mean

__all__ = [
    "NONE_SMALL",
    "NO_ROWS",
    "Characters",
    "Format",
    "Option",
    "Ranks",
    "Reading",
    "TooSmall",
    "Transformed",
    "check_options",
    "format_type",
    "make_format",
    "newest_format",
    "options_of",
    "resolve_format",
]

_LATEST = {name.partition("/")[0]: name for name in FORMATS.built_in}


def resolve_format(written: str, options: Mapping[str, Option]) -> Format:
    """Make the newest version of a format as rules name it: "ssn" or "alphabet:0123ABCD".

    Raises:
        PseudonymizationError: there is no such format, or an option does not fit.
    """
    if is_vendor_name(written):
        return make_format(written, options)
    short, colon, value = written.partition(":")
    if short not in _LATEST:
        hint = did_you_mean(short, _LATEST) or f"; there are {', '.join(_LATEST)}"
        raise PseudonymizationError(f"there is no format {written!r}{hint}")
    argument = FORMATS.built_in[_LATEST[short]].argument
    if bool(colon) != (argument is not None):
        example = f"{short}:..." if argument else short
        raise PseudonymizationError(f"the format {written!r} is to be written {example!r}")
    if argument:
        options = {**options, argument: value}
    return make_format(_LATEST[short], options)


def make_format(name: str, options: Mapping[str, Option]) -> Format:
    """Make a format from its name with version and its options.

    Raises:
        PseudonymizationError: there is no such format, or an option does not fit.
    """
    kind = format_type(name)
    check_options(f"the format {name!r}", kind, options)
    return kind(**options)


def newest_format(name: str, options: Mapping[str, Option]) -> Format:
    """Make the newest version of a format, for new pseudonyms.

    Args:
        name: of any version; one of another package is kept.
        options: of that version.

    Raises:
        PseudonymizationError: as of ``make_format``.
    """
    return make_format(_LATEST.get(name.partition("/")[0], name), options)


@cache
def format_type(name: str) -> type[Format]:
    """Return the class of a format.

    Raises:
        PseudonymizationError: there is none of this name, or its package is broken.
    """
    kind = FORMATS.load(name, Format)  # type: ignore[type-abstract]  # a subclass of it is loaded
    own = getattr(kind, "name", None)
    if own != name:
        raise PseudonymizationError(f"the format {name!r} can't be used: its name is {own!r}")
    return kind


def options_of(kind: type) -> tuple[str, ...]:
    """Return the names of the options of a format or a strategy: its keyword-only arguments."""
    return tuple(
        parameter.name
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    )


def check_options(what: str, kind: type, options: Mapping[str, Option]) -> None:
    """Check that a format or a strategy has the options that it is given.

    Raises:
        PseudonymizationError: it lacks one.
    """
    known = options_of(kind) if options else ()
    for option in options:
        if option not in known:
            hint = did_you_mean(option, known)
            raise PseudonymizationError(f"{what} has no option {option!r}{hint}")

"""Formats of ``fpe``, made from a name and options."""

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
    check_options,
    format_type,
    make_format,
    newest_format,
    options_of,
    resolve_format,
)

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

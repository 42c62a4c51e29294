"""How errors of the library name what the command line calls by other names."""

from __future__ import annotations

import re

import click

from secureml.errors import ArgumentError

__all__ = ["in_flags", "usage_error"]

_FLAGS = {
    "delimiter": "--delimiter",
    "domain_prefix": "--domain-prefix",
    "domains": "--domain",
    "formats": "--format",
    "key_versions": "--key-versions",
    "manifest": "--manifest",
    "master_key_name": "--key-name",
    "normalize": "--normalize",
    "on_invalid": "--on-invalid",
    "on_ordered": "--on-ordered",
    "options": "--option",
    "output": "--output",
    "path": "FILE",
    "preview": "--preview",
    "profile": "--profile",
    "sensitive_columns": "--columns",
    "small_domain": "--small-domain",
    "strategy": "--strategy",
    "to_key": "--to-key",
    "tweaks": "--tweak",
}

_SPELLINGS = (
    (
        r"\b(small_domain|on_invalid|on_ordered)='(\w+)'",
        lambda found: f"{_FLAGS[found[1]]} {found[2]}",
    ),
    (r"\bcheck_table=False\b", "--no-table-check"),
    (r"\bdrop_missing=True\b", "--drop-missing"),
    (r" \(force=True\)", ""),
    (r"\b(key_versions|sensitive_columns)\b", lambda found: _FLAGS[found[1]]),
)


def in_flags(message: str) -> str:
    """Return an error's message with the options of the command line for Python's arguments."""
    for pattern, spelling in _SPELLINGS:
        message = re.sub(pattern, spelling, message)
    return message


def usage_error(error: ArgumentError) -> click.UsageError:
    """Return what the command line says of an argument that can't be used."""
    flag = _FLAGS.get(error.argument)
    if flag is None:
        return click.UsageError(in_flags(str(error)))
    return click.BadParameter(in_flags(error.problem), param_hint=flag)

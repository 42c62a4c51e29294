"""Errors of the library, told with the options of the command line for Python's arguments."""

from __future__ import annotations

import re

import click

from secureml.errors import ArgumentError

__all__ = ["in_flags", "usage_error"]

_NAMES = {
    "master_key_name": ("key_name",),
    "path": ("file", "files"),
    "inputs": ("files",),
    "sensitive_columns": ("columns",),
}
"""The parameters of commands that are named otherwise than the arguments they are for."""

_SPELLINGS = (
    (
        r"\b(small_domain|on_invalid|on_ordered)='(\w+)'",
        lambda found: f"--{found[1].replace('_', '-')} {found[2]}",
    ),
    (r"\bcheck_table=False\b", "--no-table-check"),
    (r"\bdrop_missing=True\b", "--drop-missing"),
    (r" \((force|resume)=True\)", ""),
    (r" \(if_exists='replace'\)", ""),
    (r"\bkey_versions\b", "--key-versions"),
    (r"\bsensitive_columns\b", "--columns"),
)


def in_flags(message: str) -> str:
    """Return an error's message with the options of the command line for Python's arguments."""
    for pattern, spelling in _SPELLINGS:
        message = re.sub(pattern, spelling, message)
    return message


def usage_error(error: ArgumentError, command: click.Command) -> click.UsageError:
    """Return what a command says of an argument that can't be used."""
    names = _NAMES.get(error.argument, (error.argument,))
    for parameter in command.params:
        if parameter.name in names:
            hint = max(parameter.opts, key=len) if isinstance(parameter, click.Option) else "FILE"
            return click.BadParameter(in_flags(error.problem), param_hint=hint)
    return click.UsageError(in_flags(str(error)))

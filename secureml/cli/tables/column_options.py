"""Options of a command that say something of single columns."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import click

from secureml.settings.rules import OPTIONS, ColumnRule, Option, option_problem

__all__ = ["by_column", "column_options", "columns_option", "options_of", "strategies"]


_NAME = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^,]*?))\s*,')
"""A name of a list, in quotation marks as in CSV or without, and the comma behind it."""


def by_column(name: str, what: str) -> Callable[..., Any]:
    """Make an option that takes a name by column; the command gets its plural, as a mapping."""
    return click.option(
        f"--{name}",
        f"{name}s",
        multiple=True,
        metavar="COLUMN=NAME",
        callback=lambda _ctx, param, given: _pairs(param.opts[0], given),
        help=f"{what}; can be repeated.",
    )


def strategies(given: Sequence[str], names: Sequence[str] | None) -> str | dict[str, str] | None:
    """Return the strategy of all columns or of each, from names with and without a column."""
    for_all = [one for one in given if "=" not in one]
    of_columns = _pairs("--strategy", [one for one in given if "=" in one])
    if len(for_all) > 1 or (for_all and of_columns and names is None):
        raise click.BadParameter(
            "several are given: write COLUMN=NAME for each", param_hint="--strategy"
        )
    if not of_columns:
        return for_all[0] if for_all else None
    return {name: one for name in names or () for one in for_all} | of_columns


def _pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    found = {}
    for one in given:
        column, equals, value = one.partition("=")
        if not equals or not column or not value:
            raise click.BadParameter(f"{one!r} is not COLUMN=NAME", param_hint=option)
        found[column] = value
    return found


def options_of(given: Sequence[str], *, of_vendor: bool) -> dict[str, dict[str, Option]]:
    """Return the options by column; a column ends at the last point before the equals sign.

    Args:
        given: COLUMN.NAME=VALUE each.
        of_vendor: whether a column has a format or a strategy of another package.
    """
    found: dict[str, dict[str, Option]] = {}
    for one in given:
        place, equals, text = one.partition("=")
        column, _, name = place.rpartition(".")
        value = _value(name, text)
        problem = option_problem(name, value, of_vendor=of_vendor)
        if not equals or not column or not name:
            problem = f"{one!r} is not COLUMN.NAME=VALUE"
        elif name in (one.name for one in fields(ColumnRule)):
            problem = f"{name} has an option of its own: --{name.replace('_', '-')}"
        if problem:
            raise click.BadParameter(problem, param_hint="--option")
        found.setdefault(column, {})[name] = value
    return found


def _value(name: str, text: str) -> Any:
    """Read a value of TOML; text that is to be text needs no quotation marks."""
    kinds = OPTIONS.get(name, ())
    try:
        document = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = document.pop("value")
    is_bare = not isinstance(value, str | list | dict)
    if document or (is_bare and type(value) not in kinds and str in kinds):
        return text
    return value


def _names(_ctx: object, _param: object, given: Sequence[str]) -> list[str] | None:
    """Read lists of names; a name with a comma is in quotation marks, as in CSV."""
    found = [
        plain if quoted is None else quoted.replace('""', '"')
        for text in given
        for quoted, plain in (match.groups() for match in _NAME.finditer(text + ","))
    ]
    return found if given else None


columns_option = click.option(
    "--columns",
    multiple=True,
    metavar="A,B,...",
    callback=_names,
    help="The columns to replace; by default those that the rules of the settings name. A name "
    "with a comma in it is in quotation marks, as in CSV; can be repeated.",
)
column_options = click.option(
    "--option",
    "options",
    multiple=True,
    metavar="COLUMN.NAME=VALUE",
    help="An option of the format or strategy of a column; can be repeated.",
)

"""Arguments of the functions on tables: checked before anything is done, with what to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, TypedDict

from secureml.errors import ArgumentError, PseudonymizationError
from secureml.key_management import KeyManager
from secureml.pseudonymization.column_spec import check_choice, check_choices, check_strategy
from secureml.pseudonymization.formats import resolve_format
from secureml.settings.environments import did_you_mean
from secureml.settings.rules import NAMED, Option

__all__ = [
    "Arguments",
    "Function",
    "by_column",
    "check_arguments",
    "check_columns",
    "check_formats",
    "check_key",
    "check_levels",
    "check_manifest",
    "check_method",
    "check_rows",
    "check_switch",
    "chosen_strategies",
    "listed",
    "options_by_column",
]

Function = Callable[[Any], Any]
"""A strategy of the caller's own: from a column to its replacement."""

_METHODS = ("pseudonymization",)
_CHOICES = ("small_domain", "on_invalid", "normalize", "on_ordered")


class Arguments(TypedDict, total=False):
    """The arguments of ``anonymize`` and ``preview`` that are given by name alone."""

    master_key_name: str | None
    master_key_version: int | None
    domains: Mapping[str, str] | None
    domain_prefix: str | None
    formats: Mapping[str, str] | None
    options: Mapping[str, Mapping[str, Option]] | None
    tweaks: Mapping[str, str] | None
    small_domain: str | None
    on_invalid: str | None
    normalize: str | None
    on_ordered: str | None
    key_versions: bool
    manifest: Mapping[str, Any] | str | None
    profile: str | None
    key_manager: KeyManager | None


def check_arguments(arguments: Arguments) -> None:
    """Check all arguments whose sense does not depend on the table.

    Raises:
        ArgumentError: one is of another type, or not known.
        TypeError: there is no argument of such a name.
    """
    for name in arguments:
        if name not in Arguments.__annotations__:
            raise TypeError(f"anonymize() got an unexpected keyword argument {name!r}")
    check_choices(**{name: arguments.get(name) for name in _CHOICES})
    check_switch("key_versions", arguments.get("key_versions", False))
    check_manifest(arguments.get("manifest"))
    names = ("master_key_name", "master_key_version", "profile", "domain_prefix")
    check_key(arguments.get("key_manager"), **{name: arguments.get(name) for name in names})


def check_method(method: object) -> None:
    """Check the method, whose place a list of columns is easily put in.

    Raises:
        ArgumentError: there is no such method.
    """
    if isinstance(method, Iterable) and not isinstance(method, str):
        write = f"anonymize(data, sensitive_columns={list(method)[:5]!r})"
        raise ArgumentError.of("method", f"must be a name; for a list of columns write {write}")
    check_choice("method", method, _METHODS)


def check_rows(rows: object) -> None:
    """Check how many rows a preview is to show.

    Raises:
        ArgumentError: it is not a number of rows.
    """
    if type(rows) is not int or not 0 <= rows <= 1 << 31:
        problem = "is the number of rows to show: write preview=5"
        raise ArgumentError.of("preview", problem, f"={rows!r}")


def check_switch(argument: str, value: object) -> None:
    """Check that an argument is True or False.

    Raises:
        ArgumentError: it is something else.
    """
    if type(value) is not bool:
        raise ArgumentError.of(argument, f"must be True or False, not {type(value).__name__}")


def check_manifest(manifest: object) -> None:
    """Check that a manifest is not a table or a path.

    Raises:
        ArgumentError: it is one, or of another type.
    """
    if hasattr(manifest, "__arrow_c_stream__"):
        problem = "must be a manifest, not a table: write .attrs['secureml'] behind the table"
    elif isinstance(manifest, PathLike):
        problem = "must be a manifest, not its path: secureml.files.manifest_of(path) reads one"
    elif manifest is None or isinstance(manifest, Mapping | str):
        return
    else:
        problem = f"must be a mapping or JSON text, not {type(manifest).__name__}"
    raise ArgumentError.of("manifest", problem)


def check_key(manager: object, **named: object) -> None:
    """Check the key manager, and the arguments that name a key, a version or a profile.

    Raises:
        ArgumentError: one is of another type.
    """
    if manager is not None and not callable(getattr(manager, "get_key", None)):
        problem = f"must be a KeyManager, not {type(manager).__name__}"
        raise ArgumentError.of("key_manager", problem)
    for argument, value in named.items():
        kind, what = (int, "a number") if argument.endswith("version") else (str, "a name")
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise ArgumentError.of(argument, f"must be {what}, not {type(value).__name__}")


def listed(names: object) -> list[object]:
    """Return the sensitive columns that the caller names, as a list that is not empty.

    Raises:
        ArgumentError: there are none, or one string is given in place of a list.
    """
    if isinstance(names, str):
        raise ArgumentError.of("sensitive_columns", f"must be a list: write [{names!r}]")
    if not isinstance(names, Iterable):
        raise ArgumentError.of("sensitive_columns", "must list the columns to pseudonymize")
    names = list(names)
    if not names:
        raise ArgumentError.of("sensitive_columns", "is empty: nothing would be pseudonymized")
    return names


def check_columns(there: Iterable[object], names: Iterable[object]) -> list[str]:
    """Return the names, each once, if they are all columns of a table.

    Args:
        there: the names of its columns.
        names: those that the caller names.

    Raises:
        PseudonymizationError: a name is not a string or not a column.
    """
    columns = dict.fromkeys(there)
    for name in names:
        if not isinstance(name, str):
            raise PseudonymizationError(
                f"the column name {name!r} is not a string: rename the column first, because the"
                " manifest and the key's derivation hold names as text"
            )
        if name not in columns:
            near = did_you_mean(name, (each for each in columns if isinstance(each, str)))
            hint = near or f"; there are {_listed([*columns])}"
            raise PseudonymizationError(f"there is no column {name!r}{hint}")
    return list(dict.fromkeys(map(str, names)))


def check_levels(levels: Iterable[object], names: Iterable[str]) -> None:
    """Check that no level of an index bears the name of a column that is replaced.

    Args:
        levels: their names, and that of the axis of the columns, which may be None.
        names: of the columns.

    Raises:
        PseudonymizationError: one does; the same values are in it, most likely.
    """
    known = dict.fromkeys(names)
    same = [name for name in levels if isinstance(name, str) and name in known]
    if same:
        raise PseudonymizationError(
            f"an index of the table is named {same[0]!r} as a sensitive column is, and would stay"
            " as it is: drop it with reset_index(drop=True), or rename it if it holds other values"
        )


def by_column(
    argument: str, given: Mapping[str, str] | None, names: Sequence[str]
) -> dict[str, str]:
    """Return what an argument says by column.

    Raises:
        ArgumentError: it is no mapping, a column is not among the names, or a value is no text.
    """
    if given is not None and not isinstance(given, Mapping):
        example = {name: given if isinstance(given, str) else "..." for name in names[:2]}
        raise ArgumentError.of(argument, f"must be a mapping by column: write {example!r}")
    given = {} if given is None else dict(given)
    _check_sensitive(argument, given, names)
    for name, value in given.items():
        if not isinstance(value, str) or not value:
            raise ArgumentError.of(argument, "must be a string and not empty", f"[{name!r}]")
    return given


def chosen_strategies(
    given: str | Function | Mapping[str, str | Function] | None, names: Sequence[str]
) -> tuple[dict[str, str], dict[str, Function]]:
    """Return the strategy of each column that has one by name, and of each that has a function.

    Raises:
        ArgumentError: one is neither, or names another column.
    """
    if not (given is None or isinstance(given, str | Mapping) or callable(given)):
        raise ArgumentError.of("strategy", "must be a name, a function, or a mapping by column")
    chosen = dict(given) if isinstance(given, Mapping) else dict.fromkeys(names, given)
    functions = {name: how for name, how in chosen.items() if callable(how)}
    named = {name: how for name, how in chosen.items() if how is not None and not callable(how)}
    _check_sensitive("strategy", functions, names)
    strategies = by_column("strategy", named, names)
    for strategy in strategies.values():
        check_strategy(strategy, NAMED)
    return strategies, functions


def options_by_column(
    given: Mapping[str, Mapping[str, Option]] | None, names: Sequence[str]
) -> dict[str, Mapping[str, Option]]:
    """Return the options of each column that is given some.

    Raises:
        ArgumentError: they are no mappings, or names another column.
    """
    if given is not None and not isinstance(given, Mapping):
        raise ArgumentError.of("options", "must be a mapping by column of names to values")
    given = {} if given is None else dict(given)
    _check_sensitive("options", given, names)
    for name, options in given.items():
        if not isinstance(options, Mapping) or not all(isinstance(key, str) for key in options):
            problem = "must be a mapping of names to values"
            raise ArgumentError.of("options", problem, f"[{name!r}]")
    return given


def check_formats(formats: Mapping[str, str], options: Mapping[str, Mapping[str, Option]]) -> None:
    """Check that there are such formats, and that they take the options of their columns.

    Raises:
        ArgumentError: there is no such format, or an option does not fit.
    """
    problem = ""
    for name, written in formats.items():
        try:
            resolve_format(written, options.get(name, {}))
        except PseudonymizationError as error:
            problem = f"column {name!r}: {error.message}"
            break
    if problem:
        raise ArgumentError(problem, argument="formats")


def _check_sensitive(argument: str, given: Iterable[str], names: Iterable[str]) -> None:
    known = dict.fromkeys(names)
    for name in given:
        if name not in known:
            hint = did_you_mean(str(name), known)
            raise ArgumentError.of(argument, f"names {name!r}, which is no sensitive column{hint}")


def _listed(names: list[object], longest: int = 8) -> str:
    shown = ", ".join(map(repr, names[:longest]))
    return f"{shown} and {len(names) - longest} more" if len(names) > longest else shown

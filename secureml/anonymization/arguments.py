"""Arguments of the functions on tables: checked before anything is done, with what to write."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike

import pandas as pd

from secureml.errors import ArgumentError
from secureml.pseudonymization.column_spec import check_choice

__all__ = [
    "check_key",
    "check_manifest",
    "check_method",
    "check_preview",
    "check_switch",
]

_METHODS = ("pseudonymization",)


def check_method(method: object) -> None:
    """Check the method, whose place a list of columns is easily put in.

    Raises:
        ArgumentError: it is none.
    """
    if isinstance(method, list | tuple | set | pd.Index):
        write = f"anonymize(data, sensitive_columns={list(method)[:5]!r})"
        raise ArgumentError.of("method", f"must be a name; for a list of columns write {write}")
    check_choice("method", method, _METHODS)


def check_preview(preview: object) -> None:
    """Check that the preview is a number of rows, and not the wish to have one.

    Raises:
        ArgumentError: it is none.
    """
    if preview is not None and (type(preview) is not int or not 0 <= preview <= 1 << 31):
        problem = "is the number of rows to show: write preview=5"
        raise ArgumentError.of("preview", problem, f"={preview!r}")


def check_switch(argument: str, value: object) -> None:
    """Check that an argument is on or off.

    Raises:
        ArgumentError: it is something else.
    """
    if type(value) is not bool:
        raise ArgumentError.of(argument, f"must be True or False, not {type(value).__name__}")


def check_manifest(manifest: object) -> None:
    """Check that a manifest is none of the things that hold one.

    Raises:
        ArgumentError: it is one.
    """
    if isinstance(manifest, pd.DataFrame):
        problem = "must be a manifest, not a table: write .attrs['secureml'] behind the table"
    elif isinstance(manifest, PathLike):
        problem = "must be a manifest, not its path: secureml.files.manifest_of(path) reads one"
    elif manifest is None or isinstance(manifest, Mapping | str):
        return
    else:
        problem = f"must be a mapping or JSON text, not {type(manifest).__name__}"
    raise ArgumentError.of("manifest", problem)


def check_key(manager: object, **named: object) -> None:
    """Check where a key, and the rules, come from.

    Args:
        manager: the key manager, or None.
        **named: the arguments that name a key, a version of it, or a profile.

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

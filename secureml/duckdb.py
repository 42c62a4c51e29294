"""Pseudonyms as functions of a DuckDB connection: ``secureml_protect(value, 'rule')``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Unpack

import pyarrow as pa

from secureml.engines.functions import Functions, KeyArguments, Values, constant, make_functions
from secureml.errors import MissingExtraError, PseudonymizationError
from secureml.forksafe import unforked
from secureml.frames.strings import combined

if TYPE_CHECKING:
    import duckdb

__all__ = ["register"]

_TYPES = (
    *("VARCHAR", "TINYINT", "SMALLINT", "INTEGER", "BIGINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
    *("DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMPTZ"),
)
"""Types with a function of their own; values of the others are handed over as text."""

_SHORT = 12
"""Characters of a job's name that tell it from others of a database."""

_DECIMAL = re.compile(r"DECIMAL\(([0-9]+),([0-9]+)\)", re.ASCII)
_FLOATS = {"FLOAT": pa.float32(), "DOUBLE": pa.float64()}


def register(
    connection: duckdb.DuckDBPyConnection,
    **arguments: Unpack[KeyArguments],
) -> Functions:
    """Give a connection the functions ``secureml_protect`` and ``secureml_recover``.

    Both take a value and the name of a rule: ``secureml_protect(ssn, 'ssn')``. Values are text,
    whole numbers, decimals, floats, dates or timestamps, and keep their type; nulls stay. A cursor
    is a connection of its own, and is registered by itself.

    Args:
        connection: it must not have an open result.
        master_key_name: the key; by default the setting of that name.
        master_key_version: its version; by default the newest at this moment.
        profile: the name of a set of rules in the settings, which stands over the rules for all.
        manifest: of earlier functions, or of a table; its key is used, and what it tells of columns
            stands over the rules.
        key_manager: where keys come from; by default the process's own.

    Returns:
        The functions, which tell their key, and the manifest to keep.

    Raises:
        ArgumentError: an argument can't be used.
        ManifestError: the manifest was changed, or the key that was found is another one.
        MissingExtraError: DuckDB is not installed.
        SecretError: the key can't be had.
    """
    _check_installed()
    functions = make_functions(**arguments)
    for verb, recover in (("protect", False), ("recover", True)):
        # All connections to a database share its functions, whose names so tell the registration.
        name = f"secureml_{verb}_{functions.job[:_SHORT]}"
        overloads = []
        for kind in _TYPES:
            typed = f"{name}_{kind.lower()}"
            _create(connection, typed, _typed(functions, recover), [kind, "VARCHAR"], kind)
            overloads.append(f"(value {kind}, rule) AS {typed}(value, rule)")
        _create(connection, name, _as_text(functions, recover), ["VARCHAR"] * 3, "VARCHAR")
        text = f"{name}(CAST(value AS VARCHAR), typeof(value), rule)"
        overloads.append(f"(value, rule) AS cast_to_type({text}, value)")
        macro = f"CREATE OR REPLACE TEMP MACRO secureml_{verb}"
        connection.execute(macro + ", ".join(overloads))
    return functions


def _check_installed() -> None:
    missing = False
    try:
        with unforked():
            import duckdb  # noqa: F401  # whether it is there
    except ImportError:
        missing = True
    if missing:
        raise MissingExtraError.of("duckdb", "A function of DuckDB")


def _create(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    function: Callable[..., pa.Array],
    parameters: Any,
    result: str,
) -> None:
    kinds: Any = {"type": "arrow", "null_handling": "special"}  # nulls come too, and stay
    connection.create_function(name, function, parameters, result, **kinds)


def _typed(functions: Functions, recover: bool) -> Callable[..., pa.Array]:
    def called(value: pa.ChunkedArray, rule: pa.ChunkedArray) -> pa.Array:
        return functions(Values(value, rule, recover))

    return called


def _as_text(functions: Functions, recover: bool) -> Callable[..., pa.Array]:
    """Return a function of numbers as text and the name of their type."""

    def called(value: pa.ChunkedArray, kind: pa.ChunkedArray, rule: pa.ChunkedArray) -> pa.Array:
        array = combined(value).cast(_type_of(constant(kind)))
        return functions(Values(array, rule, recover)).cast(pa.string())

    return called


def _type_of(kind: str) -> pa.DataType:
    decimal = _DECIMAL.fullmatch(kind)
    if decimal:
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    if kind not in _FLOATS:
        raise PseudonymizationError(
            f"there are no pseudonyms of values of type {kind}: cast them, for instance to VARCHAR"
        )
    return _FLOATS[kind]

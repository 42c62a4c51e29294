"""Pseudonyms as functions of a Spark session: ``secureml_protect(value, 'rule')``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Unpack

import pyarrow as pa

from secureml.engines.functions import Functions, KeyArguments, Values, make_functions
from secureml.errors import MissingExtraError, PseudonymizationError
from secureml.forksafe import unforked

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["register"]

_TYPES = {
    "": ("string", "StringType"),
    "_tinyint": ("int8", "ByteType"),
    "_smallint": ("int16", "ShortType"),
    "_int": ("int32", "IntegerType"),
    "_bigint": ("int64", "LongType"),
    "_float": ("float", "FloatType"),
    "_double": ("double", "DoubleType"),
    "_date": ("date32[day]", "DateType"),
    "_timestamp": ("timestamp[us, tz=UTC]", "TimestampType"),
    "_timestamp_ntz": ("timestamp[us]", "TimestampNTZType"),
}
"""By the end of a function's name, as each has one type of results: Arrow's type and Spark's."""


def register(
    session: SparkSession,
    **arguments: Unpack[KeyArguments],
) -> Functions:
    """Give a session the functions ``secureml_protect`` and ``secureml_recover``.

    Both take a value and the name of a rule: ``secureml_protect(ssn, 'ssn')``. They are for text;
    for other types there are ``secureml_protect_int``, ``_tinyint``, ``_smallint``, ``_bigint``,
    ``_float``, ``_double``, ``_date``, ``_timestamp`` and ``_timestamp_ntz``, and the same to
    recover. Nulls stay. The functions travel to the workers without the key, which each fetches
    once by its name and version, with its own login, from its own default manager.

    Args:
        session: classic, or of Spark Connect.
        master_key_name: the key; by default the setting of that name.
        master_key_version: its version; by default the newest at this moment.
        profile: the name of a set of rules in the settings, which stands over the rules for all.
        manifest: of earlier functions, or of a table; its key is used, and what it tells of columns
            stands over the rules.
        key_manager: where this process has its keys from; by default its own.

    Returns:
        The functions, which tell their key, and the manifest to keep.

    Raises:
        ArgumentError: an argument can't be used.
        ManifestError: the manifest was changed, or the key that was found is another one.
        MissingExtraError: PySpark is not installed.
        SecretError: the key can't be had.
    """
    arrow_udf, types = _pyspark()
    functions = make_functions(**arguments)
    for verb, recover in (("protect", False), ("recover", True)):
        name = f"secureml_{verb}"
        for suffix, (_, kind) in _TYPES.items():
            function = _of_type(functions, recover, name, suffix)
            session.udf.register(name + suffix, arrow_udf(function, getattr(types, kind)()))
    return functions


def _pyspark() -> tuple[Any, Any]:
    """Import what makes a function of Spark, and the module of its types."""
    try:
        with unforked():
            from pyspark.sql import types
            from pyspark.sql.functions import arrow_udf  # type: ignore[attr-defined]  # not in its stub
    except ImportError:
        pass
    else:
        return arrow_udf, types
    raise MissingExtraError.of("spark", "A function of Spark")


def _of_type(
    functions: Callable[[Values], pa.Array], recover: bool, name: str, suffix: str
) -> Callable[[pa.Array, pa.Array], pa.Array]:
    """Return a function of values of one type; it pickles as its first argument does."""

    def called(value: pa.Array, rule: pa.Array) -> pa.Array:
        fitting = _suffix_of(value.type)
        if fitting not in (suffix, None):
            raise PseudonymizationError(
                f"{name}{suffix} is for other values: use {name}{fitting} for those of type"
                f" {value.type}"
            )
        return functions(Values(value, rule, recover))

    return called


def _suffix_of(kind: pa.DataType) -> str | None:
    """Return the end of the name of the function for values of a type, None for nulls alone.

    Raises:
        PseudonymizationError: there is no such function.
    """
    types, told = pa.types, str(kind)
    if types.is_null(kind):
        return None
    if types.is_large_string(kind):
        told = "string"
    elif types.is_timestamp(kind) and kind.tz is not None:
        told = "timestamp[us, tz=UTC]"  # whatever the zone of the session is
    for suffix, (arrow, _) in _TYPES.items():
        if arrow == told:
            return suffix
    raise PseudonymizationError(
        f"there is no function for values of type {kind}: use anonymize, or cast them to STRING"
    )

"""Pseudonyms as expressions of Polars: ``pl.col("ssn").secureml.protect("ssn")``.

Importing this module gives every expression the namespace ``secureml``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import pyarrow as pa

from secureml.engines.functions import Functions, KeyArguments, Values, make_functions
from secureml.errors import MissingExtraError, PseudonymizationError
from secureml.forksafe import unforked

_missing = False
try:
    with unforked():
        import polars  # noqa: F401  # it is bound below
except ImportError:
    _missing = True
if _missing:
    raise MissingExtraError.of("polars", "An expression of Polars")

import polars as pl  # noqa: E402  # after the check that it is there

from secureml.frames.polars import PolarsTable  # noqa: E402  # it imports Polars too

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SecuremlExpressions", "pinned"]


def pinned(**arguments: Unpack[KeyArguments]) -> Functions:
    """Pin the key and the rules that expressions work with.

    Args:
        master_key_name: the key; by default the setting of that name.
        master_key_version: its version; by default the newest at this moment.
        profile: the name of a set of rules in the settings, which stands over the rules for all.
        manifest: of earlier functions, or of a table; its key is used, and what it tells of columns
            stands over the rules.
        key_manager: where keys come from; by default the process's own.

    Returns:
        What expressions take as ``functions``; it tells its key, and the manifest to keep.

    Raises:
        ArgumentError: an argument can't be used.
        ManifestError: the manifest was changed, or the key that was found is another one.
        SecretError: the key can't be had.
    """
    return make_functions(**arguments)


@pl.api.register_expr_namespace("secureml")
class SecuremlExpressions:
    """The namespace ``secureml`` of an expression.

    An expression pickles without the key, which the other process fetches with its own login.

    Args:
        expression: of text, whole numbers, decimals, floats, dates or timestamps.
    """

    def __init__(self, expression: pl.Expr) -> None:
        self._expression = expression

    def protect(self, rule: str, functions: Functions | None = None) -> pl.Expr:
        """Return pseudonyms of values; nulls stay, and so does the dtype.

        Args:
            rule: the name of their rule in the settings.
            functions: from ``pinned``; by default the settings in force, and the newest version of
                the key at this moment.

        Raises:
            ArgumentError: there is no such rule, or it is none for single values.
            SecretError: the key can't be had.
        """
        return self._mapped(rule, functions, recover=False)

    def recover(self, rule: str, functions: Functions | None = None) -> pl.Expr:
        """Return the values of pseudonyms; the inverse of ``protect``.

        Args:
            rule: as for ``protect``.
            functions: as for ``protect``.

        Raises:
            ArgumentError: there is no such rule, or it is none for single values.
            ManifestError: nothing tells which version of the key pseudonyms are of.
            SecretError: the key can't be had.
        """
        return self._mapped(rule, functions, recover=True)

    def _mapped(self, rule: str, functions: Functions | None, *, recover: bool) -> pl.Expr:
        functions = pinned() if functions is None else functions
        functions.check(rule, recover=recover)
        return self._expression.map_batches(
            _OfSeries(functions, rule, recover), return_dtype=pl.self_dtype(), is_elementwise=True
        )


@dataclass(frozen=True, slots=True)
class _OfSeries:
    """Replaces or recovers a Series.

    Args:
        functions: what does it for Arrow arrays.
        rule: the name of the rule.
        recover: whether values are to be recovered.
    """

    functions: Callable[[Values], pa.Array]
    rule: str
    recover: bool

    def __call__(self, series: pl.Series) -> pl.Series:
        table = PolarsTable({self.rule: series}, len(series))
        array = self.functions(Values(table.in_arrow(series), self.rule, self.recover))
        made = table.converted(self.rule, array).alias(series.name)
        if made.dtype != series.dtype:
            raise PseudonymizationError(
                f"pseudonyms of dtype {series.dtype} would be of {made.dtype}: cast the values to"
                " String first"
            )
        return made

"""``preview``: rows of a table before and after, and figures for each column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from secureml.anonymization.apply import ReplacedColumn, replace_column
from secureml.anonymization.arguments import Arguments, Function, check_rows
from secureml.anonymization.plan import in_column, plan_table
from secureml.frames.adapters import source_of
from secureml.frames.base import Column
from secureml.frames.streams import Stream
from secureml.pseudonymization.column_spec import ColumnSpec
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.strategies import collision_probability

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ColumnPreview", "Preview", "preview"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnPreview:
    """What would become of one column.

    Args:
        column: its name.
        strategy: how values are replaced.
        format: of "fpe", with its version; else None.
        domain: the name of the domain of its keys.
        domain_prefix: what sets that apart, or None.
        rows: how many rows there are.
        nulls: how many of them are null.
        distinct: how many distinct values the others have.
        domain_size: the least number of possible pseudonyms of a value that is permuted; 0 if
            none is.
        valid: how many rows get a pseudonym that is valid in the column's format.
        invalid: how many rows are not of the format and would be refused.
        small: how many rows have too few possible pseudonyms and would be refused.
        tokens: how many rows get a token in place of a pseudonym of the format.
        nulled: how many rows become null.
        reversible: whether the values can be had back.
        remark: what else there is to know.
    """

    column: str
    strategy: str
    format: str | None
    domain: str
    domain_prefix: str | None
    rows: int
    nulls: int
    distinct: int
    domain_size: int
    valid: int
    invalid: int
    small: int
    tokens: int
    nulled: int
    reversible: bool
    remark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What would become of a table.

    Args:
        columns: one for each column that would be replaced.
        rows: the first rows, each column before and after side by side.
    """

    columns: tuple[ColumnPreview, ...]
    rows: pd.DataFrame

    @property
    def passes(self) -> bool:
        """Whether no value would be refused."""
        return not any(column.invalid or column.small for column in self.columns)

    def __str__(self) -> str:
        return f"{self.rows.to_string()}\n\n{self._figures().to_string(index=False)}"

    def _repr_html_(self) -> str:
        return f"{self.rows.to_html()}\n{self._figures().to_html(index=False)}"

    def _figures(self) -> pd.DataFrame:
        """Return the figures of the columns, as they are shown."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "column": one.column,
                    "how": one.format or one.strategy,
                    "distinct": f"{one.distinct:,}",
                    "domain size": f"{one.domain_size:,}" if one.domain_size else "",
                    "valid": _share(one.valid, one.rows - one.nulls) if one.format else "",
                    "refused": f"{one.invalid + one.small:,}",
                    "tokens": f"{one.tokens:,}",
                    "nulled": f"{one.nulled:,}",
                    "remark": one.remark,
                }
                for one in self.columns
            ]
        )


def preview(
    data: Any,
    rows: int = 5,
    *,
    strategy: str | Function | Mapping[str, str | Function] | None = None,
    sensitive_columns: Iterable[str] | None = None,
    **arguments: Unpack[Arguments],
) -> Preview:
    """Show what ``anonymize`` would make of a table: rows before and after, and figures.

    All rows are worked on, and none is refused; of what comes in batches, those that are shown.

    Args:
        data: the table; it is not changed.
        rows: how many rows to show.
        strategy: as for ``anonymize``.
        sensitive_columns: as for ``anonymize``.
        **arguments: the other arguments of ``anonymize``.

    Raises:
        TypeError: the data is no table, or there is no such argument.
        ManifestError: the table already has a manifest that can't be extended.
        PseudonymizationError: an argument or a column can't be used.
        SecretError: the key can't be had.
    """
    import pandas as pd

    check_rows(rows)
    source = source_of(data)
    table = source.first(rows) if isinstance(source, Stream) else source
    plan, keyring, _ = plan_table(table, strategy, sensitive_columns, arguments)
    columns, shown = [], {}
    for name in plan.columns:
        replaced = in_column(name, replace_column, plan, name, table, keyring)
        before = table.column(name)
        places = table.rows_of(name)
        places = places[: np.searchsorted(places, rows)]
        after = table.head(in_column(name, replaced.rebuilt), len(places))
        refused = np.union1d(replaced.outcome.small.rows, replaced.outcome.invalid).astype(np.intp)
        if len(refused):
            after = after.astype(object)
            after[replaced.column.rows_at(refused)[: len(places)]] = "<refused>"
        both = {"before": table.head(before.array, len(places)), "after": after}
        inside, most = name in table.holders, min(rows, len(table))
        for which, values in both.items():
            shown[f"{name}, {which}"] = (
                _in_rows(values, places, most, lists=before.repeated) if inside else values
            )
        columns.append(_figures(name, plan.columns[name], before, replaced))
    return Preview(columns=tuple(columns), rows=pd.DataFrame(shown))


def _in_rows(values: pd.Series, places: Index, rows: int, *, lists: bool) -> pd.Series:
    """Return values of the rows at their places; of rows with any number of them, as lists."""
    import pandas as pd

    shown = pd.Series([None] * rows, dtype=object)
    for row, some in values.astype(object).groupby(places):
        shown[row] = some.tolist() if lists else some.iloc[0]
    return shown


def _figures(
    name: str, spec: ColumnSpec, before: Column, replaced: ReplacedColumn
) -> ColumnPreview:
    column, outcome = replaced.column, replaced.outcome
    small = column.occurrences(outcome.small.rows)
    invalid = column.occurrences(outcome.invalid)
    tokens = column.occurrences(outcome.tokens)
    nulled = column.occurrences(outcome.nulled)
    nulls = int(column.nulls.sum())
    distinct = before.distinct()
    remark = "" if spec.reversible else "can't be turned back"
    bits = spec.options.get("bits")
    if spec.strategy == "hash" and type(bits) is int:
        chance = collision_probability(distinct, bits)
        remark += f"; {bits} bits: two values collide with probability {chance:.1e}"
    if outcome.small.domain:
        remark = f"as few as {outcome.small.domain:,} possible pseudonyms"
    valid = len(column.nulls) - nulls - small - invalid - tokens - nulled
    return ColumnPreview(
        column=name,
        strategy=spec.strategy,
        format=spec.format,
        domain=spec.key_domain,
        domain_prefix=spec.domain_prefix,
        rows=len(column.nulls),
        nulls=nulls,
        distinct=distinct,
        domain_size=outcome.domain,
        valid=0 if spec.format is None else valid,
        invalid=invalid,
        small=small,
        tokens=tokens,
        nulled=nulled,
        reversible=spec.reversible,
        remark=remark,
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""

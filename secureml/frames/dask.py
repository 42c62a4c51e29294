"""Dask's DataFrames: their partitions are pandas', and are worked on where Dask has them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pandas as pd

from secureml.frames.base import Table
from secureml.frames.pandas import PandasTable
from secureml.frames.streams import OfBatch, Stream, check_types, in_batch

__all__ = ["DaskStream", "source_of"]

_UNKNOWN = "__UNKNOWN_CATEGORIES__"
"""What Dask has for the categories of partitions that may differ in them."""


class DaskStream(Stream):
    """A Dask DataFrame, to whose graph functions of its partitions are added.

    Args:
        frame: the DataFrame.
    """

    def __init__(self, frame: Any) -> None:
        self.frame = frame
        self.empty = PandasTable(
            _with_categories(frame._meta, [], lambda name, dtype: _UNKNOWN in dtype.categories)
        )

    def first(self, rows: int) -> PandasTable:
        """Return the first rows, of as few partitions as have them."""
        pieces, read, count = [self.frame._meta], 0, 1
        while sum(map(len, pieces)) < rows and read < self.frame.npartitions:
            some = self.frame.partitions[read : read + count]
            pieces.append(some.head(rows, npartitions=-1))
            read, count = read + count, 2 * count
        rest = pieces[1:] if len(pieces) > 1 else pieces
        return PandasTable(pd.concat(rest).iloc[:rows])

    def mapped(self, function: OfBatch, result: Table, manifest: Mapping[str, Any] | None) -> Any:
        """Return a DataFrame with a function applied to each partition.

        The manifest is in the attributes of what Dask takes for its meta, and of each partition.
        """
        before = self.frame._meta.dtypes
        meta = _with_categories(
            result.native(manifest), [_UNKNOWN], lambda name, dtype: dtype != before[name]
        )
        return self.frame.map_partitions(
            _Partitions(function, meta.dtypes.map(str).to_dict(), manifest),
            meta=meta,
            enforce_metadata=False,
            transform_divisions=False,
            token="secureml",  # noqa: S106  # how the names of tasks start
        )


@dataclass(frozen=True, slots=True, repr=False)
class _Partitions:
    """Applies a function of tables to partitions.

    Args:
        function: the function.
        dtypes: their names, by column of the result.
        manifest: of the result, or None.
        token: tells it from others, wherever it is unpickled.
    """

    function: OfBatch
    dtypes: Mapping[Any, str]
    manifest: Mapping[str, Any] | None
    token: str = field(default_factory=lambda: uuid4().hex)

    def __call__(
        self, frame: pd.DataFrame, partition_info: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        where = "a partition" if partition_info is None else f"partition {partition_info['number']}"
        made: pd.DataFrame = in_batch(where, self.function, PandasTable(frame)).native(
            self.manifest
        )
        # Partitions may differ from the meta that the caller gave them, and results may not.
        new = [name for name in self.dtypes if made[name].dtype != frame.dtypes.get(name)]
        check_types(
            new, [self.dtypes[name] for name in new], [str(made[name].dtype) for name in new]
        )
        return made

    def __dask_tokenize__(self) -> str:
        return self.token


def _with_categories(
    meta: pd.DataFrame, categories: list[str], is_chosen: Callable[[Any, Any], bool]
) -> pd.DataFrame:
    """Return a frame without rows, some of whose categoricals have other categories."""
    return meta.astype(
        {
            name: pd.CategoricalDtype(categories, dtype.ordered)
            for name, dtype in meta.dtypes.items()
            if isinstance(dtype, pd.CategoricalDtype) and is_chosen(name, dtype)
        }
    )


def source_of(data: Any) -> DaskStream | None:
    """Return a DataFrame as a stream, or None for anything else."""
    frames = sys.modules.get("dask.dataframe")
    if frames is None or not isinstance(data, frames.DataFrame):
        return None
    return DaskStream(data)

"""Timestamps of 12 bytes, as Spark, Hive and Impala wrote them.

Arrow reads those that it can't hold as others, without a word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from secureml.errors import PseudonymizationError

__all__ = ["check_moments", "columns_of_int96"]

_SECOND = 10**9


def columns_of_int96(about: parquet.FileMetaData, names: Collection[str]) -> list[str]:
    """Return which columns have such timestamps, nested ones too.

    Args:
        about: the file.
        names: of all columns.
    """
    leaves = map(about.schema.column, range(about.num_columns))
    paths = [leaf.path for leaf in leaves if leaf.physical_type == "INT96"]
    roots = (path if path in names else path.partition(".")[0] for path in paths)
    return list(dict.fromkeys(roots))


def check_moments(rows: pa.RecordBatch, in_seconds: pa.RecordBatch) -> None:
    """Refuse rows with a timestamp that nanoseconds can't count to.

    Args:
        rows: as Arrow reads them, in nanoseconds.
        in_seconds: the columns of such timestamps of the same rows, read in seconds.

    Raises:
        PseudonymizationError: there is one.
    """
    for name in in_seconds.schema.names:
        pairs = zip(_moments(rows.column(name)), _moments(in_seconds.column(name)), strict=True)
        for moments, seconds in pairs:
            apart = pc.max(pc.abs(pc.subtract(pc.divide(moments, _SECOND), seconds))).as_py()
            if (apart or 0) > 1:  # division is towards zero
                raise PseudonymizationError(
                    f"column {name!r} holds timestamps (INT96) outside of the years 1677 to 2262,"
                    " which Arrow can't read as they are: write the file with others, for instance"
                    " with spark.sql.parquet.outputTimestampType=TIMESTAMP_MICROS"
                )


def _moments(array: pa.Array) -> Iterator[pa.Array]:
    types = pa.types
    if types.is_timestamp(array.type):
        yield array.cast(pa.int64())
    elif types.is_struct(array.type):
        for each in array.flatten():
            yield from _moments(each)
    elif types.is_list(array.type) or types.is_large_list(array.type):
        yield from _moments(array.flatten())
    elif types.is_map(array.type):
        # Of a slice, the keys and items are those of the whole array.
        part = slice(array.offsets[0].as_py(), array.offsets[-1].as_py())
        yield from _moments(array.keys[part])
        yield from _moments(array.items[part])

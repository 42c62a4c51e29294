"""Dask's DataFrames keep what every kind of table has to keep: in threads of this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from helpers.frames import manager_of
from helpers.pandas_frames import STR, PandasContract
from secureml import preview

pytest.importorskip("dask.dataframe", reason="Dask is not installed: the extra dask brings it")

import dask
import dask.dataframe as dd


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    with dask.config.set(scheduler="threads", num_workers=2):
        yield


class DaskContract(PandasContract):
    """Three partitions, of tables that have some rows.

    Attributes:
        converts: whether Dask makes Arrow's strings of objects.
    """

    streams = True
    pickles = False
    twice = False
    converts = False

    def make(self, table: pa.Table) -> dd.DataFrame:
        frame = super().make(table)
        with dask.config.set({"dataframe.convert-string": self.converts}):
            return dd.from_pandas(frame, npartitions=3 if len(frame) > 8 else 1)

    def series(self, column: pa.ChunkedArray) -> pd.Series:
        """Return a column of pandas'; decimals as Arrow's, as Dask makes text of objects."""
        if pa.types.is_decimal(column.type):
            return pd.Series(pd.arrays.ArrowExtensionArray(column))
        return super().series(column)

    def read(self, frame: dd.DataFrame) -> pa.Table:
        return super().read(frame.compute())

    def memory(self, frame: dd.DataFrame, names: list[str]) -> Iterator[bytes]:
        return super().memory(frame.compute(), names)

    def attached(self, frame: dd.DataFrame) -> Any:
        attached = frame._meta.attrs.get("secureml")
        assert frame.compute().attrs.get("secureml") == attached
        return attached


class TestDaskFrame(DaskContract):
    text = STR
    converts = True
    one_type = False


class TestDaskObject(DaskContract):
    text = object
    one_type = False


@pytest.mark.parametrize(("rows", "most"), [(1, 2), (5, 4), (12, 8), (100, 20)])
def test_a_preview_reads_the_partitions_that_have_its_rows(rows: int, most: int) -> None:
    read: list[int] = []

    def partition(number: int) -> pd.DataFrame:
        read.append(number)
        return pd.DataFrame({"ssn": [f"{100 + number}-45-{6000 + row}" for row in range(3)]})

    columns = {"sensitive_columns": ["ssn"], "key_manager": manager_of()}
    whole = pd.concat(map(partition, range(20)), ignore_index=True)
    expected = preview(whole, rows, **columns)
    frame = dd.from_map(partition, range(20), meta=whole.iloc[:0])
    read.clear()
    shown = preview(frame, rows, **columns)
    assert shown.rows.astype(object).equals(expected.rows.astype(object))
    assert len(set(read)) <= most

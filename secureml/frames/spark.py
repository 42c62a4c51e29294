"""Spark DataFrames, classic and of Spark Connect, whose batches are worked on where they are.

Each column carries the manifest that concerns it in the metadata of its field, which Spark keeps
through selections and joins and writes into Parquet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyspark import TaskContext
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import types as spark_types
from pyspark.sql.pandas.types import from_arrow_type, to_arrow_schema

from secureml.errors import PseudonymizationError
from secureml.frames.arrow import ArrowTable
from secureml.frames.base import ATTRIBUTE, Table
from secureml.frames.paths import column_of
from secureml.frames.spark_plans import mixed_in
from secureml.frames.streams import OfBatch, Stream, check_types, in_batch
from secureml.pseudonymization.manifest import ColumnManifests

__all__ = ["SparkStream", "source_of"]

_ROWS = 1 << 17
_OCTETS = 32 << 20
"""Rows and octets of a partition that are worked on at once, so that fixed costs are small."""

_SPECIAL = frozenset(".`")

_CARRIERS = {
    spark_types.YearMonthIntervalType: spark_types.IntegerType(),
    spark_types.CalendarIntervalType: spark_types.StringType(),
}
"""Types that Spark hands to no Python worker, and those that their values travel as."""

_WIDER = {
    pa.uint8(): spark_types.ShortType(),
    pa.uint16(): spark_types.IntegerType(),
    pa.uint32(): spark_types.LongType(),
    pa.uint64(): spark_types.DecimalType(20, 0),
}
"""The types that Spark reads Parquet's unsigned numbers as."""


class SparkStream(Stream):
    """A Spark DataFrame, to whose plan functions of its batches are added.

    Args:
        frame: the DataFrame.

    Raises:
        PseudonymizationError: two columns have one name, or one can't come to Python.
    """

    by_column = True

    def __init__(self, frame: DataFrame) -> None:
        self._before: spark_types.StructType = frame.schema
        carried = _carried(self._before)
        self._frame = _cast_columns(_renamed(frame, carried.names), self._before, carried)
        self._given = pa.schema(
            field.with_name(name)
            for field, name in zip(_arrow_schema(carried), frame.columns, strict=True)
        )
        self._manifests = _manifests_of(frame, self._before)
        self.empty = self._table(self._given.empty_table())

    def first(self, rows: int) -> ArrowTable:
        """Return the first rows."""
        return self._table(_cast(self._frame.limit(rows).toArrow(), self._given))

    def mapped(
        self, function: OfBatch, result: Table, manifest: Mapping[str, Any] | None
    ) -> DataFrame:
        """Return a DataFrame with a function applied to the rows of each partition.

        Args:
            function: what is applied.
            result: what it makes of the table without rows.
            manifest: by column, that which it carries then, or None for none.
        """
        assert isinstance(result, ArrowTable)
        told = result.table.schema
        schema = spark_types.StructType([self._field(field, manifest or {}) for field in told])
        carried = _carried(schema)
        batches = _Batches(function, self._given, told, _arrow_schema(carried))
        frame = self._frame.mapInArrow(batches, carried)
        return _renamed(_cast_columns(frame, carried, schema), schema.names)

    def _field(self, told: pa.Field, manifest: Mapping[str, Any]) -> spark_types.StructField:
        """Return the field of a column of the result."""
        if told.name not in self._before.names:
            kind, metadata = from_arrow_type(told.type), {}
        else:
            before = self._before[told.name]
            kind = _type_after(before.dataType, self._given.field(told.name).type, told.type)
            metadata = dict(before.metadata)
        if told.name in manifest:
            metadata.pop(ATTRIBUTE, None)
            document = manifest[told.name]
            metadata |= {} if document is None else {ATTRIBUTE: json.dumps(document)}
        return spark_types.StructField(told.name, kind, told.nullable, metadata)

    def _table(self, table: pa.Table) -> ArrowTable:
        made = ArrowTable(table)
        made.manifest = self._manifests
        return made


@dataclass(frozen=True, slots=True)
class _Batches:
    """Applies a function of tables to the batches of a partition.

    Args:
        function: the function.
        given: the schema of what it gets.
        told: of what it returns.
        wire: of what Spark gets.
    """

    function: OfBatch
    given: pa.Schema
    told: pa.Schema
    wire: pa.Schema

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        task = TaskContext.get()
        place = "" if task is None else f"partition {task.partitionId()}, "
        read = 0
        for group in _groups(batches):
            table = _cast(pa.Table.from_batches(group), self.given)
            where = f"{place}rows {read + 1} to {read + len(table)}"
            made = in_batch(where, self.function, ArrowTable(table))
            assert isinstance(made, ArrowTable)
            check_types(self.told.names, self.told.types, made.table.schema.types)
            read += len(table)
            yield from _cast(made.table, self.wire).to_batches()


def source_of(data: object) -> SparkStream | None:
    """Return a DataFrame as a stream, or None for anything else."""
    return SparkStream(data) if isinstance(data, DataFrame) else None


def _manifests_of(frame: DataFrame, schema: spark_types.StructType) -> ColumnManifests | None:
    """Return the manifests that the columns carry, if some do."""
    documents = {
        field.name: field.metadata[ATTRIBUTE] for field in schema if ATTRIBUTE in field.metadata
    }
    if not documents:
        return None
    mixed = mixed_in(frame)
    tops = frozenset(schema.names)
    return ColumnManifests(
        documents,
        column_of=lambda name: name if name in tops else column_of(name),
        mixed=frozenset(name for name, document in documents.items() if document in mixed),
    )


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Put small batches together, and divide large ones."""
    group: list[pa.RecordBatch] = []
    rows = octets = 0
    for batch in batches:
        size = batch.nbytes
        most = len(batch) if size <= _OCTETS else max(1, len(batch) * _OCTETS // size)
        for start in range(0, len(batch), most or 1):
            piece = batch.slice(start, most)
            weight = size * len(piece) // len(batch)
            if group and (rows + len(piece) > _ROWS or octets + weight > _OCTETS):
                yield group
                group, rows, octets = [], 0, 0
            group.append(piece)
            rows, octets = rows + len(piece), octets + weight
    if group:
        yield group


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table of columns in the same order as one of a schema."""
    if table.schema.equals(schema):
        return table
    # A column of the same type is not cast: Arrow can't cast some to what they are.
    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(table.columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _arrow_schema(schema: spark_types.StructType) -> pa.Schema:
    """Return the schema of batches, in which time zones are UTC in every session.

    Raises:
        PseudonymizationError: a column can't come to Python.
    """
    fields = []
    for field in schema:
        try:
            fields += to_arrow_schema(spark_types.StructType([field]), timezone="UTC")
        except PySparkException:
            pass
        else:
            continue
        raise PseudonymizationError(
            f"column {field.name!r}: its type is {field.dataType.simpleString()}, which Spark hands"
            " to no Python worker: convert the column, or leave it out"
        )
    return pa.schema(fields)


def _carried(schema: spark_types.StructType) -> spark_types.StructType:
    """Return the schema as which columns come to Python."""
    # Spark takes names with a dot for paths, and does not tell upper from lower case.
    plain = {name.casefold() for name in schema.names if not _SPECIAL.intersection(name)}
    odd = len(plain) < len(schema)
    return spark_types.StructType(
        [
            spark_types.StructField(
                f"column{at}" if odd else field.name,
                _CARRIERS.get(type(field.dataType), field.dataType),
                field.nullable,
                field.metadata,
            )
            for at, field in enumerate(schema)
        ]
    )


def _renamed(frame: DataFrame, names: list[str]) -> DataFrame:
    """Return a frame with other names of columns; all else of them stays."""
    return frame if frame.columns == names else frame.toDF(*names)


def _cast_columns(
    frame: DataFrame, before: spark_types.StructType, after: spark_types.StructType
) -> DataFrame:
    """Return a frame whose columns have other types; all else of them stays."""
    if [field.dataType for field in before] == [field.dataType for field in after]:
        return frame
    columns = []
    for name, old, new in zip(frame.columns, before, after, strict=True):
        column = frame[name]
        if old.dataType != new.dataType:
            column = column.cast(new.dataType).alias(name, metadata=new.metadata)
        columns.append(column)
    return frame.select(columns)


def _type_after(
    before: spark_types.DataType, given: pa.DataType, told: pa.DataType
) -> spark_types.DataType:
    """Return Spark's type of a column whose Arrow type may have become another one.

    Args:
        before: Spark's type of the column as it was.
        given: its Arrow type.
        told: its Arrow type by now.
    """
    if told == given:
        return before
    if isinstance(before, spark_types.StructType):
        fields = [
            spark_types.StructField(
                field.name,
                _type_after(field.dataType, given.field(at).type, told.field(at).type),
                field.nullable,
                field.metadata,
            )
            for at, field in enumerate(before)
        ]
        return spark_types.StructType(fields)
    if isinstance(before, spark_types.ArrayType):
        element = _type_after(before.elementType, given.value_type, told.value_type)
        return spark_types.ArrayType(element, before.containsNull)
    if isinstance(before, spark_types.MapType):
        key = _type_after(before.keyType, given.key_type, told.key_type)
        value = _type_after(before.valueType, given.item_type, told.item_type)
        return spark_types.MapType(key, value, before.valueContainsNull)
    if pa.types.is_dictionary(told):
        told = told.value_type
    return _WIDER.get(told) or from_arrow_type(told)

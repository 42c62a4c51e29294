"""Datasets of Ray Data: their blocks are worked on as Arrow tables where Ray has them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from secureml.errors import SecureMLError
from secureml.frames.arrow import ArrowTable
from secureml.frames.base import Table, rows_of
from secureml.frames.streams import OfBatch, Stream, check_types, in_batch

__all__ = ["RayStream", "source_of"]


class RayStream(Stream):
    """A Dataset, to whose plan functions of its blocks are added.

    Args:
        dataset: the Dataset. Ray reads a row if nothing else tells it the schema.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self._schema = _schema_of(dataset)
        self.empty = ArrowTable(self._schema.empty_table())

    def first(self, rows: int) -> ArrowTable:
        """Return the first rows."""
        batches = self.dataset.limit(rows).iter_batches(batch_size=None, batch_format="pyarrow")
        return ArrowTable(pa.concat_tables([self._schema.empty_table(), *batches]))

    def mapped(self, function: OfBatch, result: Table, manifest: Mapping[str, Any] | None) -> Any:
        """Return a Dataset with a function applied to each block, whose schema has the manifest."""
        assert isinstance(result, ArrowTable)
        schema = result.native(manifest).schema
        return self.dataset.map_batches(
            _Blocks(function, self._schema, schema, manifest),
            batch_size=None,
            batch_format="pyarrow",
            zero_copy_batch=True,
            udf_modifying_row_count=False,
        )


@dataclass(frozen=True, slots=True, repr=False)
class _Blocks:
    """Applies a function of tables to blocks.

    Args:
        function: the function.
        given: the schema of the blocks.
        schema: of what becomes of them.
        manifest: of that, or None.
    """

    function: OfBatch
    given: pa.Schema
    schema: pa.Schema
    manifest: Mapping[str, Any] | None

    def __call__(self, block: pa.Table) -> pa.Table:
        where, table = f"a block of {rows_of(len(block))}", ArrowTable(_cast(block, self.given))
        try:
            return in_batch(where, self._made, table).native(self.manifest)
        except SecureMLError:
            # By default Ray raises an error of its own, with the text of this one.
            sys.modules["ray.data"].DataContext.get_current().raise_original_map_exception = True
            raise

    def _made(self, block: Table) -> Table:
        made = self.function(block)
        assert isinstance(made, ArrowTable)
        check_types(self.schema.names, self.schema.types, made.table.schema.types)
        return made


def source_of(data: Any) -> RayStream | None:
    """Return a Dataset as a stream, or None for anything else."""
    library = sys.modules.get("ray.data")
    if library is None or not isinstance(data, library.Dataset):
        return None
    return RayStream(data)


def _schema_of(dataset: Any) -> pa.Schema:
    """Return the schema of the blocks as they are in Arrow."""
    schema = dataset.schema()
    if schema is not None and not isinstance(schema.base_schema, pa.Schema):  # of pandas' blocks
        in_arrow = dataset.map_batches(_same, batch_size=None, batch_format="pyarrow")
        schema = in_arrow.schema()
    return pa.schema([]) if schema is None else schema.base_schema


def _same(block: pa.Table) -> pa.Table:
    return block


def _cast(block: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a block with the types of a schema, which it lacks if it has nulls alone."""
    if block.schema.types == schema.types or block.column_names != schema.names:
        return block
    try:
        return block.cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return block  # the types of what is made of it are checked

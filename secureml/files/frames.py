"""Chunks of a table as pandas frames, and back: what is not replaced never leaves Arrow."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from secureml.errors import PseudonymizationError
from secureml.frames.arrow import PLAIN, combined, is_text
from secureml.frames.dtypes import numbers_before
from secureml.pseudonymization.manifest import Column as Entry

__all__ = ["frame_of", "pseudonyms_of", "sample_of", "with_frame"]


def frame_of(chunk: pa.Table) -> pd.DataFrame:
    """Return a chunk as a frame; text and whole numbers have dtypes that lose nothing.

    Raises:
        PseudonymizationError: the chunk holds what can't be in one.
    """
    try:
        return chunk.replace_schema_metadata(None).to_pandas(types_mapper=_dtype_for)
    except (pa.ArrowException, ValueError):
        pass
    raise PseudonymizationError(
        "some column holds what pandas can't, such as strings that are not UTF-8"
    )


def sample_of(chunk: pa.Table) -> pd.DataFrame:
    """Return a chunk as a frame to look at, without the types that pandas can't work with."""
    plain = [
        column.cast(PLAIN[column.type]) if column.type in PLAIN else column
        for column in chunk.columns
    ]
    return frame_of(pa.table(plain, chunk.column_names))


def pseudonyms_of(chunk: pa.Table, entries: Mapping[str, Entry]) -> pd.DataFrame:
    """Return a chunk as a frame to recover.

    Args:
        chunk: the rows as they were read. In a file of text, a number that is missing is empty.
        entries: what the manifest tells of the columns.
    """
    columns = dict(zip(chunk.column_names, chunk.columns, strict=True))
    for name, entry in entries.items():
        if name in columns and numbers_before(entry) is not None and is_text(columns[name].type):
            columns[name] = pc.if_else(pc.equal(columns[name], ""), None, columns[name])
    return frame_of(pa.table(columns))


def with_frame(
    chunk: pa.Table, frame: pd.DataFrame, replaced: Collection[str], schema: pa.Schema | None
) -> pa.Table:
    """Return a chunk with the columns of a frame.

    Args:
        chunk: the rows as they were read.
        frame: the same rows, with columns replaced, added or gone.
        replaced: the columns of the chunk that the frame has new values of.
        schema: what the chunk is to have; None lets the first chunk tell.

    Raises:
        PseudonymizationError: the values do not fit the schema.
    """
    arrays = {}
    columns = dict(zip(chunk.column_names, chunk.columns, strict=True))
    for name in frame.columns:
        column = columns.get(name)
        if column is not None and name not in replaced:
            arrays[name] = column
            continue
        before = None if column is None else column.type
        wanted = None if schema is None else schema.field(name).type
        arrays[name] = _array_of(frame[name], before, wanted)
    return pa.table(arrays, metadata=_dtypes_of(frame, replaced))


def _dtypes_of(frame: pd.DataFrame, replaced: Collection[str]) -> Mapping[bytes, bytes] | None:
    """Return what pandas would keep of those new columns whose dtype Arrow's type does not tell."""
    own = [
        name
        for name, dtype in frame.dtypes.items()
        if name in replaced
        and isinstance(dtype, pd.api.extensions.ExtensionDtype)
        and not isinstance(dtype, pd.ArrowDtype | pd.StringDtype)
    ]
    metadata: dict[bytes, bytes] | None = None
    if own:
        metadata = pa.Schema.from_pandas(frame[own], preserve_index=False).metadata
    return metadata


def _dtype_for(arrow_type: pa.DataType) -> Any:
    plain = pa.types.is_dictionary(arrow_type) or pa.types.is_floating(arrow_type)
    return None if plain else pd.ArrowDtype(arrow_type)


def _array_of(
    series: pd.Series, before: pa.DataType | None, wanted: pa.DataType | None
) -> pa.Array:
    array = combined(pa.array(series, from_pandas=True))
    if wanted is None:
        categories = before is not None and pa.types.is_dictionary(before)
        wanted = before if categories and _holds_text(array.type) else array.type
    if array.type == wanted:
        return array
    problem = ""
    try:
        return _cast(array, wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # no such value, no such conversion
        problem = f"column {series.name!r}: some rows have the type {array.type}, others {wanted}"
    raise PseudonymizationError(problem)


def _cast(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    if not pa.types.is_dictionary(wanted):
        return array.cast(wanted)
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    return pa.DictionaryArray.from_arrays(
        array.indices.cast(wanted.index_type),
        array.dictionary.cast(wanted.value_type),
        ordered=wanted.ordered,
    )


def _holds_text(arrow_type: pa.DataType) -> bool:
    if pa.types.is_dictionary(arrow_type):
        return is_text(arrow_type.value_type)
    return is_text(arrow_type)

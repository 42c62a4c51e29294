"""The kinds of files that hold tables, told apart by what they begin with."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from secureml.errors import PseudonymizationError, SecureMLError
from secureml.files.base import TableFile
from secureml.files.compression import codec_of, decompressed, plain_name
from secureml.files.copies import CopiedTable
from secureml.files.csv import UNTOLD, CsvTable, Told
from secureml.files.feather import FILE_MAGIC, STREAM_MAGIC, FeatherTable
from secureml.files.json_lines import JsonLinesTable, is_json_lines
from secureml.files.parquet import MAGIC, ParquetTable
from secureml.files.standard import STANDARD

__all__ = ["holds_manifest", "is_of_another_kind", "open_table"]

_REFUSED = {
    b"PARE": "is an encrypted Parquet file: decrypt it first",
    b"FEA1": "is a Feather file of the first version, which Arrow does not write: write it anew",
    b"Obj\1": "is an Avro file: convert it to Parquet first",
    b"ORC": "is an ORC file: convert it to Parquet first",
    b"SQLite format 3": "is a database of SQLite: export its table first",
}
_KINDS = (CsvTable, FeatherTable, JsonLinesTable, ParquetTable)
_HEAD = 1 << 12


def open_table(path: str | os.PathLike[str], told: Told = UNTOLD) -> TableFile:
    """Open a table: of the kind that its first bytes tell, everything else as CSV.

    Args:
        path: the file, which may be compressed by gzip or zstd; "-" for standard input.
        told: what is known of a CSV file.

    Raises:
        PseudonymizationError: the file is no table.
        SecureMLError: the file can't be read.
    """
    name = "" if path == STANDARD or path == str(STANDARD) else plain_name(Path(path)).name

    def plain(place: Path) -> TableFile:
        return _table_of(place, _head_of(place), name, told)

    problem = ""
    try:
        if not name:
            return CopiedTable(None, plain)
        resolved = Path(os.path.realpath(path))
        # What a descriptor's path leads to may have no name.
        path = resolved if resolved.exists() else Path(path)
        if stat.S_ISFIFO(path.stat().st_mode):
            # It is read more than once, and opening it may wait for ever.
            raise SecureMLError(f"{path} is a pipe: name a file, or - for standard input")
        is_plain = codec_of(_head_of(path), path) is None
        return plain(path) if is_plain else CopiedTable(path, plain)
    except OSError as error:
        problem = f"{path} can't be read ({error.strerror or type(error).__name__})"
    raise SecureMLError(problem)


def holds_manifest(path: Path) -> bool:
    """Tell whether a file is of a kind that holds its manifest; one that can't be read is not."""
    try:
        with path.open("rb") as file:
            codec = codec_of(file.peek(_HEAD), path)
            head = next(decompressed(file, codec, path), b"")
    except (OSError, PseudonymizationError):
        return False
    return head.startswith((MAGIC, FILE_MAGIC, STREAM_MAGIC))


def is_of_another_kind(table: TableFile, path: Path) -> bool:
    """Tell whether the name of a file is that of another kind than a table's."""
    suffix = plain_name(path).suffix.lower()
    return suffix not in table.suffixes and any(suffix in kind.suffixes for kind in _KINDS)


def _table_of(path: Path, head: bytes, name: str, told: Told) -> TableFile:
    if head.startswith(MAGIC):
        return ParquetTable(path)
    if head.startswith((FILE_MAGIC, STREAM_MAGIC)):
        return FeatherTable(path)
    for magic, problem in _REFUSED.items():
        if head.startswith(magic) and b"\0" in head:  # or it is the name of a column
            raise PseudonymizationError(f"{path} {problem}")
    if codec_of(head, path) is not None:
        raise PseudonymizationError(f"{path} is compressed twice: decompress it first")
    is_empty = not head.strip() and name.lower().endswith(JsonLinesTable.suffixes)
    return JsonLinesTable(path) if is_empty or is_json_lines(head) else CsvTable(path, told)


def _head_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)

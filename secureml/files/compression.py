"""Files that are compressed as a whole, by gzip or zstd, whatever kind of table they hold."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from secureml.errors import PseudonymizationError
from secureml.files.base import Chunk, TableFile, TableWriter

__all__ = ["beginning_of", "codec_of", "decompressed", "plain_name", "writer_of"]

_CODECS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_SUFFIXES = {".gz": "gzip", ".zst": "zstd"}
_OTHERS = (
    (rb"BZh[1-9]1AY&SY", "bzip2", "bunzip2"),
    (rb"\xfd7zXZ\x00", "xz", "unxz"),
    (rb"\x04\x22\x4d\x18", "lz4", "unlz4"),
    (rb"\xff\x06\x00\x00sNaPpY", "snappy", "snzip -d"),
    (rb"\x1f\x9d", "compress", "uncompress"),
    (rb"PK\x03\x04", "zip", "unzip"),
)
"""What other files begin with, by what they are compressed, and the remedy."""

_PIECE = 1 << 20
_MARKS = 16


def codec_of(head: bytes, shown: object) -> str | None:
    """Return by what a file is compressed as a whole; None for a plain one.

    Args:
        head: what it begins with.
        shown: what it is called in messages.

    Raises:
        PseudonymizationError: it is compressed in another way.
    """
    for mark, name, remedy in _OTHERS:
        if re.match(mark, head):
            raise PseudonymizationError(
                f"{shown} is compressed by {name}: decompress it first with {remedy}"
            )
    return next((codec for mark, codec in _CODECS.items() if head.startswith(mark)), None)


def plain_name(path: Path) -> Path:
    """Return a path without the suffix that tells a compression."""
    return path.with_suffix("") if path.suffix.lower() in _SUFFIXES else path


def writer_of(table: TableFile, target: Path, file: BinaryIO, schema: pa.Schema) -> TableWriter:
    """Start a file that is compressed as its name tells, or as the input if that does not.

    Args:
        table: the input.
        target: the name of the file.
        file: where it is written.
        schema: its columns.
    """
    codec = _SUFFIXES.get(target.suffix.lower())
    if codec is None and (target == table.path or target.suffix.lower() not in table.suffixes):
        codec = table.codec
    if codec is None:
        return table.writer(file, schema)
    stream = pa.CompressedOutputStream(pa.PythonFile(_Open(file), "w"), codec)
    return _CompressingWriter(table.writer(cast(BinaryIO, stream), schema), stream)


class _CompressingWriter(TableWriter):
    def __init__(self, writer: TableWriter, stream: pa.NativeFile) -> None:
        self._writer, self._stream = writer, stream

    def write(self, chunk: Chunk, columns: pa.Table) -> None:
        self._writer.write(chunk, columns)

    def close(self, manifest: str | None) -> None:
        self._writer.close(manifest)
        self._stream.close()


class _Open:
    """A file that stays open when a stream on it is closed."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read
        self.write = file.write
        self.flush = file.flush

    def close(self) -> None:
        """Do nothing."""


def beginning_of(file: BinaryIO) -> BinaryIO:
    """Return the beginning of a file, decompressed.

    Args:
        file: one that was written, open to be read.
    """
    file.seek(0)
    codec = codec_of(file.read(_MARKS), "what was written")
    file.seek(0)
    return io.BytesIO(next(decompressed(file, codec, "what was written"), b""))


def decompressed(file: BinaryIO, codec: str | None, shown: object) -> Iterator[bytes]:
    """Read a file by pieces, decompressed.

    Args:
        file: the file.
        codec: by what it is compressed; None for a plain one.
        shown: what it is called in messages.

    Raises:
        PseudonymizationError: it is not whole.
        OSError: it can't be read.
    """
    if codec is None:
        yield from iter(lambda: file.read(_PIECE), b"")
        return
    stream = pa.CompressedInputStream(pa.PythonFile(_Open(file), "r"), codec)
    piece, problem = b"", ""
    while not problem:
        try:
            piece = stream.read(_PIECE)
        except (pa.ArrowException, OSError):
            problem = f"{shown} is not whole: {codec} can't decompress it to its end"
        if problem:
            raise PseudonymizationError(problem)
        if not piece:
            return
        yield piece

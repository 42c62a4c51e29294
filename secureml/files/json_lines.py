"""JSON Lines: an object in each line, of which new values replace old ones and all else stays.

A value is found by its place in the line, so that the order of keys, the spelling of numbers,
spaces, nested values and keys that are missing are as they were.
"""

from __future__ import annotations

import datetime
import decimal
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from json import decoder
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any, BinaryIO, Self

import pyarrow as pa

from secureml.errors import PseudonymizationError
from secureml.files.base import CHUNK_BYTES, Chunk, TableFile, TableWriter

__all__ = ["JsonLinesTable", "is_json_lines"]

_MARK = b"\xef\xbb\xbf"
_LONGEST = 1 << 26  # bytes of a line
_SPACE = r"[ \t\n\r]*"
_OPEN = re.compile(rf"{_SPACE}\{{{_SPACE}").match
_COLON = re.compile(rf"{_SPACE}:{_SPACE}").match
_NEXT = re.compile(rf"{_SPACE}([,}}]){_SPACE}").match
_STRING = r"[^\"\\\x00-\x1f]*"
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_PAIR = re.compile(rf'"({_STRING})"{_SPACE}:{_SPACE}("{_STRING}"|{_NUMBER}|true|false|null)').match
"""A key and a value that hold no escape and nothing nested."""

_WHOLE = re.compile(r"0|-?[1-9][0-9]*").fullmatch
_INT64 = range(-(2**63), 2**63)
_DIGITS = 38
"""How many the largest of Arrow's common types for numbers has."""

scanstring = decoder.scanstring  # type: ignore[attr-defined]  # typeshed leaves it out
_decoder = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)
_scan = _decoder.scan_once  # type: ignore[attr-defined]  # typeshed leaves it out

Span = tuple[int, int]


def is_json_lines(head: bytes) -> bool:
    """Tell whether a file begins as JSON Lines do: with an object."""
    return head.removeprefix(_MARK).lstrip(b" \t\r\n").startswith(b"{")


@dataclass(frozen=True, slots=True)
class _Rows:
    """Lines, and where in each the values of some columns are."""

    lines: Sequence[str]
    spans: Mapping[str, Sequence[Span | None]]

    def __len__(self) -> int:
        return len(self.lines)

    def slice(self, start: int) -> Self:
        spans = {name: places[start:] for name, places in self.spans.items()}
        return replace(self, lines=self.lines[start:], spans=spans)

    def filter(self, rows: pa.Array) -> Self:
        picked = rows.to_pylist()
        spans = {name: list(compress(places, picked)) for name, places in self.spans.items()}
        return replace(self, lines=list(compress(self.lines, picked)), spans=spans)


@dataclass(slots=True)
class _Kinds:
    """What values a key has."""

    first: set[str] = field(default_factory=set)
    digits: int = 0
    is_whole: bool = True
    fits: bool = True

    def add(self, line: str, start: int, end: int) -> None:
        first = line[start]
        if first in '"tfn{[':
            self.first.add("t" if first == "f" else first)
            return
        self.first.add("0")
        text = line[start:end]
        if not _WHOLE(text):
            self.is_whole = False
        elif end - start > _DIGITS // 2 - 1:
            self.digits = max(self.digits, len(text.lstrip("-")))
            self.fits = self.fits and len(text) < 21 and int(text) in _INT64

    @property
    def arrow_type(self) -> pa.DataType:
        """The type of a column; values of several kinds, and nested ones, stay JSON."""
        kinds = self.first - {"n"}
        if not kinds:
            return pa.null()
        if kinds == {'"'}:
            return pa.string()
        if kinds == {"t"}:
            return pa.bool_()
        if kinds != {"0"} or (self.is_whole and self.digits > _DIGITS):
            return pa.binary()
        if not self.is_whole:
            return pa.float64()
        return pa.int64() if self.fits else pa.decimal128(_DIGITS, 0)


class JsonLinesTable(TableFile):
    """A table in a file of JSON Lines.

    Args:
        path: the file.

    Raises:
        PseudonymizationError: a line is no object.
        OSError: it can't be read.
    """

    keeps_manifest = False
    suffixes = (".jsonl", ".ndjson")

    def __init__(self, path: Path) -> None:
        self.tail = ""
        self._size = path.stat().st_size
        kinds: dict[str, _Kinds] = {}
        for lines, _, first in _lines(path):
            for number, line in enumerate(lines, first):
                for key, start, end in _pairs(path, line, number):
                    if key not in kinds:
                        kinds[key] = _Kinds()
                    kinds[key].add(line, start, end)
        super().__init__(path, pa.schema([(key, each.arrow_type) for key, each in kinds.items()]))

    def writer(self, file: BinaryIO, schema: pa.Schema) -> TableWriter:
        """Start a file with the same byte order mark."""
        with self.path.open("rb") as before:
            file.write(_MARK if before.read(len(_MARK)) == _MARK else b"")
        dropped = [name for name in self.schema.names if name not in schema.names]
        return _JsonLinesWriter(file, self, dropped)

    def _chunks(self, columns: Collection[str] | None) -> Iterator[tuple[Chunk, float]]:
        names = [name for name in self.schema.names if columns is None or name in columns]
        done, blank = 0, ""
        for lines, size, first in _lines(self.path):
            rows: list[str] = []
            spans: dict[str, list[Span | None]] = {name: [] for name in names}
            values: dict[str, list[Any]] = {name: [] for name in names}
            for number, line in enumerate(lines, first):
                if not line.strip(" \t\r\n"):
                    blank += line
                    continue
                row, blank = blank + line, ""
                rows.append(row)
                places = {k: (s, e) for k, s, e in _pairs(self.path, row, number)}
                for name in names:
                    span = places.get(name)
                    spans[name].append(span)
                    values[name].append(None if span is None else row[span[0] : span[1]])
            done += size
            if rows:
                arrays = [self._array(name, values[name], columns is not None) for name in names]
                table = pa.Table.from_arrays(arrays, names)
                yield Chunk(table, _Rows(rows, spans)), done / max(self._size, done)
        self.tail = blank

    def _nothing(self, columns: Collection[str] | None) -> Chunk:
        return Chunk(Chunk.of(self.schema.empty_table(), columns).table, _Rows([], {}))

    def _array(self, name: str, texts: Sequence[str | None], exactly: bool) -> pa.Array:
        """Return a column of values as they are spelled."""
        arrow_type = self.schema.field(name).type
        read = _READERS.get(arrow_type, str.encode)
        values = [None if text is None or text == "null" else read(text) for text in texts]
        if exactly and arrow_type == pa.float64() and not _is_exact(texts, values):
            raise PseudonymizationError(
                f"column {name!r} holds numbers that floating-point numbers are not spelled as:"
                " they could not be recovered as they are. Write them as text"
            )
        array = None
        try:
            array = pa.array(values, arrow_type)
        except (UnicodeEncodeError, pa.ArrowInvalid):
            array = None
        if array is None:
            raise PseudonymizationError(f"column {name!r} holds half a surrogate pair")
        return array


class _JsonLinesWriter(TableWriter):
    def __init__(self, file: BinaryIO, table: JsonLinesTable, dropped: Sequence[str]) -> None:
        self._file, self._table, self._dropped = file, table, frozenset(dropped)

    def write(self, chunk: Chunk, columns: pa.Table) -> None:
        """Write the lines with new values in the places of old ones."""
        lines: list[str] = list(chunk.rest.lines)
        spans: Mapping[str, Sequence[Span | None]] = chunk.rest.spans
        edits: list[list[tuple[int, int, str]]] = [[] for _ in lines]
        added: list[list[str]] = [[] for _ in lines]
        for name in columns.column_names:
            texts = _written(name, columns.column(name))
            is_new = name not in self._table.schema.names
            key = f"{encode_basestring(name)}: "
            places = spans.get(name, [None] * len(lines))
            for row, (text, place) in enumerate(zip(texts, places, strict=True)):
                if place is not None:
                    edits[row].append((*place, text))
                elif is_new or text != "null":
                    added[row].append(key + text)
        for row, line in enumerate(lines):
            if added[row] or self._dropped:
                lines[row] = _whole(line, edits[row], added[row], self._dropped)
            else:
                lines[row] = _edited(line, edits[row])
        self._file.write("".join(lines).encode())

    def close(self, manifest: str | None) -> None:
        """Write the empty lines at the end; the manifest lies beside the file."""
        self._file.write(self._table.tail.encode())


def _edited(line: str, edits: Sequence[tuple[int, int, str]]) -> str:
    pieces: list[str] = []
    done = 0
    for start, end, text in sorted(edits):
        pieces += (line[done:start], text)
        done = end
    return "".join([*pieces, line[done:]])


def _whole(
    line: str, edits: Sequence[tuple[int, int, str]], added: Sequence[str], dropped: frozenset[str]
) -> str:
    """Return a line of which keys are added or dropped, with the pairs that stay as they were."""
    texts = {start: text for start, _, text in edits}
    opening = line.index("{") + 1
    pairs, before, end = [], opening, opening
    for key, start, stop in _pairs(Path(), line, 0):
        if key not in dropped:
            pairs.append(line[before:start] + texts.get(start, line[start:stop]))
        comma = line.find(",", stop)
        before, end = (comma + 1 if comma >= 0 else stop), stop
    space = " " if pairs else ""
    return line[:opening] + ",".join([*pairs, *(space + pair for pair in added)]) + line[end:]


def _lines(path: Path) -> Iterator[tuple[list[str], int, int]]:
    """Read lines with their ends, each time with how many bytes and the number of the first."""
    number, text, problem = 1, "", ""
    with path.open("rb") as file:
        if file.read(len(_MARK)) != _MARK:
            file.seek(0)
        while block := file.read(CHUNK_BYTES):
            if not block.endswith(b"\n"):
                block += file.readline(_LONGEST)
                if len(block) >= _LONGEST and not block.endswith(b"\n") and file.read(1):
                    raise PseudonymizationError(
                        f"{path} has a line of more than {_LONGEST >> 20} MiB"
                    )
            try:
                text = block.decode()
            except UnicodeDecodeError as error:
                line = number + block.count(b"\n", 0, error.start)
                problem = f"{path}, line {line}: the text is not UTF-8"
            if problem:
                raise PseudonymizationError(problem)
            lines = [f"{line}\n" for line in text.split("\n")]
            lines[-1] = lines[-1][:-1]
            yield lines if lines[-1] else lines[:-1], len(block), number
            number += len(lines) - 1


def _pairs(path: Path, line: str, number: int) -> list[tuple[str, int, int]]:
    """Return the keys of an object and where their values are; of an empty line, none.

    Raises:
        PseudonymizationError: the line is no object, or has a key twice.
    """
    try:
        pairs = _parsed(line)
    except (ValueError, IndexError, StopIteration, RecursionError):
        problem = "is not a JSON object"
    else:
        if len({key for key, _, _ in pairs}) == len(pairs):
            return pairs
        problem = "has a key twice"
    raise PseudonymizationError(f"{path}, line {number} {problem}")


def _parsed(line: str) -> list[tuple[str, int, int]]:
    """Return keys and the places of values; any error tells that the line is no object."""
    pairs: list[tuple[str, int, int]] = []
    opening = _OPEN(line)
    if opening is None:
        if line.strip(" \t\r\n"):
            raise ValueError
        return pairs
    place, mark = opening.end(), line[opening.end()]
    if mark == "}":
        place = _found(_NEXT(line, place)).end()
    while mark != "}":
        simple = _PAIR(line, place)
        if simple is not None and simple.lastindex == 2:
            key = simple[1]
            start, stop = simple.span(2)
        else:
            if line[place] != '"':
                raise ValueError
            key, stop = scanstring(line, place + 1, True)
            start = _found(_COLON(line, stop)).end()
            _, stop = _scan(line, start)
        pairs.append((key, start, stop))
        following = _found(_NEXT(line, stop))
        mark, place = following[1], following.end()
    if place != len(line):
        raise ValueError
    return pairs


def _found(match: re.Match[str] | None) -> re.Match[str]:
    if match is None:
        raise ValueError
    return match


def _is_exact(texts: Sequence[str | None], values: Sequence[Any]) -> bool:
    pairs = zip(texts, values, strict=True)
    return all(value is None or repr(value) == text for text, value in pairs)


def _text(spelled: str) -> str:
    return scanstring(spelled, 1, True)[0] if "\\" in spelled else spelled[1:-1]


_READERS: dict[pa.DataType, Callable[[str], Any]] = {
    pa.string(): _text,
    pa.int64(): int,
    pa.decimal128(_DIGITS, 0): decimal.Decimal,
    pa.float64(): float,
    pa.bool_(): "true".__eq__,
}


def _written(name: str, column: pa.ChunkedArray) -> list[str]:
    """Return the values of a column as JSON.

    Raises:
        PseudonymizationError: JSON has no values of its type.
    """
    values = column.to_pylist()
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    types = pa.types
    if types.is_string(column.type) or types.is_large_string(column.type):
        return ["null" if value is None else encode_basestring(value) for value in values]
    problem = ""
    try:
        return [json.dumps(value, default=_plain, allow_nan=False) for value in values]
    except (TypeError, ValueError):
        problem = f"column {name!r}: JSON has no values of the type {column.type}"
    raise PseudonymizationError(problem)


def _plain(value: object) -> Any:
    if isinstance(value, decimal.Decimal) and value == int(value):
        return int(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    raise TypeError

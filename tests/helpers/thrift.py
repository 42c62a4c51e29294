"""Footers of Parquet files, read and written in Thrift's compact protocol, to make odd files."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

__all__ = ["STRUCT", "with_footer"]

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, STRUCT = 1, 2, 3, 7, 8, 9, 12

Fields = dict[int, tuple[int, Any]]
"""By its number, the type of a field and its value; of a list, the type of its items and they."""


def with_footer(content: bytes, edit: Callable[[Fields], object]) -> bytes:
    """Return a file with another footer.

    Args:
        content: the file.
        edit: changes the fields of its FileMetaData.
    """
    size = int.from_bytes(content[-8:-4], "little")
    fields, _ = _struct_in(content, len(content) - 8 - size)
    edit(fields)
    footer = _struct_of(fields)
    return content[: -8 - size] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def _varint_in(content: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        octet = content[at]
        number |= (octet & 127) << shift
        at, shift = at + 1, shift + 7
        if octet < 128:
            return number, at


def _varint_of(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes([*made, number])


def _value_in(kind: int, content: bytes, at: int) -> tuple[Any, int]:
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, at
    if kind == _BYTE:
        return content[at], at + 1
    if kind == _DOUBLE:
        return struct.unpack_from("<d", content, at)[0], at + 8
    if kind == STRUCT:
        return _struct_in(content, at)
    if kind == _BINARY:
        size, at = _varint_in(content, at)
        return content[at : at + size], at + size
    if kind == _LIST:
        size, item = content[at] >> 4, content[at] & 15
        size, at = _varint_in(content, at + 1) if size == 15 else (size, at + 1)
        values = []
        for _ in range(size):
            value, at = _value_in(item, content, at)
            values.append(value)
        return (item, values), at
    number, at = _varint_in(content, at)
    return number >> 1 ^ -(number & 1), at


def _struct_in(content: bytes, at: int) -> tuple[Fields, int]:
    fields: Fields = {}
    number = 0
    while kind := content[at] & 15:
        delta, at = content[at] >> 4, at + 1
        if delta:
            number += delta
        else:
            coded, at = _varint_in(content, at)
            number = coded >> 1 ^ -(coded & 1)
        value, at = _value_in(kind, content, at)
        fields[number] = kind, value
    return fields, at + 1


def _value_of(kind: int, value: Any) -> bytes:
    if kind in (_TRUE, _FALSE):
        return b""
    if kind == _BYTE:
        return bytes([value])
    if kind == _DOUBLE:
        return struct.pack("<d", value)
    if kind == STRUCT:
        return _struct_of(value)
    if kind == _BINARY:
        return _varint_of(len(value)) + value
    if kind == _LIST:
        item, values = value
        head = bytes([15 << 4 | item]) + _varint_of(len(values))
        return head + b"".join(_value_of(item, each) for each in values)
    return _varint_of(value << 1 if value >= 0 else (-value << 1) - 1)


def _struct_of(fields: Fields) -> bytes:
    made, before = b"", 0
    for number, (known, value) in sorted(fields.items()):
        kind = (_TRUE if value else _FALSE) if known in (_TRUE, _FALSE) else known
        delta = number - before
        made += bytes([delta << 4 | kind]) if delta < 16 else bytes([kind]) + _varint_of(number * 2)
        made += _value_of(kind, value)
        before = number
    return made + b"\0"

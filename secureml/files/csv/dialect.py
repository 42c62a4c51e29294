"""How a CSV file is written: what separates its values, its encoding, and whether it has a header.

What is not told is found in its beginning: a byte order mark, and the first of ``, ; tab |`` that
its first line has as often, outside of quotation marks, as most of the lines that follow.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from secureml.errors import ArgumentError

__all__ = ["UNTOLD", "Dialect", "Told"]

_DELIMITERS = ",;\t|"
_LINES = 20

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
"""Byte order marks, and the encodings that they stand for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a caller tells of a CSV file; None is to be found out.

    Args:
        delimiter: one ASCII character.
        encoding: a name that Python has for it, of UTF-8, UTF-16, or one byte for a character.
        header: whether its first line names the columns; by default it does.

    Raises:
        ArgumentError: the delimiter or the encoding can't be one.
    """

    delimiter: str | None = None
    encoding: str | None = None
    header: bool | None = None

    def __post_init__(self) -> None:
        delimiter = self.delimiter
        if delimiter is not None and (
            not isinstance(delimiter, str)
            or len(delimiter) != 1
            or not delimiter.isascii()
            or delimiter in '"\r\n\0'
        ):
            raise ArgumentError.of("delimiter", "is not one ASCII character", f"={delimiter!r}")
        if self.encoding is not None and not _can_be_kept(self.encoding):
            raise ArgumentError.of(
                "encoding",
                "is neither UTF-8 nor UTF-16, nor one byte for each character",
                f"={self.encoding!r}",
            )

    def or_else(self, known: Mapping[str, Any]) -> Told:
        """Return the same, with what is known otherwise in place of what is to be found out."""
        told = {
            name: known.get(name) if value is None else value
            for name, value in asdict(self).items()
        }
        return Told(**told)


UNTOLD = Told()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a CSV file is written.

    Args:
        delimiter: what separates values.
        encoding: of the text, as Python names it.
        mark: the byte order mark that it begins with.
        header: whether its first line names the columns.
    """

    delimiter: str
    encoding: str
    mark: bytes
    header: bool

    @classmethod
    def of(cls, head: bytes, told: Told) -> Dialect:
        """Find out how a file is written.

        Args:
            head: what it begins with.
            told: what is known already.

        Raises:
            UnicodeDecodeError: it is in another encoding.
        """
        found = ((mark, name) for mark, name in _MARKS if head.startswith(mark))
        mark, encoding = next(found, (b"", told.encoding or "utf-8"))
        encoding = codecs.lookup(encoding).name
        if not mark and encoding in ("utf-8-sig", "utf-16"):
            encoding = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le"}[encoding]
        text = codecs.getincrementaldecoder(encoding)().decode(head[len(mark) :])
        delimiter = told.delimiter or _delimiter_of(text)
        return cls(
            delimiter=delimiter, encoding=encoding, mark=mark, header=told.header is not False
        )

    def beyond(self, head: bytes) -> dict[str, Any]:
        """Return what nobody finds out of this dialect.

        Args:
            head: what a file that is written so begins with.
        """
        try:
            found = asdict(Dialect.of(head, UNTOLD))
        except UnicodeDecodeError:
            found = {"header": True}
        told = asdict(Told(delimiter=self.delimiter, encoding=self.encoding, header=self.header))
        return {name: value for name, value in told.items() if found.get(name) != value}

    def __str__(self) -> str:
        names = {"\t": "tab", " ": "space"}
        shown = names.get(self.delimiter, f"'{self.delimiter}'")
        return (
            f"{self.encoding.upper()}{' with a byte order mark' if self.mark else ''},"
            f" separated by {shown}{'' if self.header else ', without a header'}"
        )


def _can_be_kept(encoding: str) -> bool:
    """Tell whether text in an encoding is the same bytes again when it was decoded."""
    try:
        name = codecs.lookup(encoding).name
        if name in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
            return True
        each = [bytes([octet]).decode(name, "ignore") for octet in range(256)]
    except (LookupError, ValueError, TypeError):
        return False
    known = [text for text in each if text]
    pairs = product((octet for octet in range(256) if not each[octet]), range(256))
    return (
        "".join(each[:128]) == bytes(range(128)).decode()
        and len(set(known)) == len("".join(known))
        and all(bytes(pair).decode(name, "ignore") == each[pair[1]] for pair in pairs)
    )


def _delimiter_of(text: str) -> str:
    bare = re.sub(r'"[^"]*("|\Z)', "", text.lstrip("\r\n")).splitlines()
    first, *others = bare[: _LINES + 1] or [""]
    if len(others) > 1 and len(bare) <= _LINES + 1:
        others.pop()  # it may not be whole
    others = [line for line in others if line]
    for delimiter in _DELIMITERS:
        same = sum(line.count(delimiter) == first.count(delimiter) for line in others)
        if delimiter in first and 2 * same >= len(others):
            return delimiter
    return _DELIMITERS[0]

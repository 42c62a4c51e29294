"""How a CSV file is written: what separates its values, its encoding, and whether it has a header.

What is not told is found in its beginning: a byte order mark, and the first of ``, ; tab |`` that
its first line has as often, outside of quotation marks, as most of the lines that follow.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

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
        header: whether its first line names the columns.

    Raises:
        ArgumentError: the delimiter or the encoding can't be one.
    """

    delimiter: str | None = None
    encoding: str | None = None
    header: bool = True

    def __post_init__(self) -> None:
        delimiter = self.delimiter
        if delimiter is not None and (
            len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0'
        ):
            raise ArgumentError.of("delimiter", "is not one ASCII character", f"={delimiter!r}")
        if self.encoding is not None and not _can_be_kept(self.encoding):
            raise ArgumentError.of(
                "encoding",
                "is neither UTF-8 nor UTF-16, nor one byte for each character",
                f"={self.encoding!r}",
            )


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
        return cls(delimiter=delimiter, encoding=encoding, mark=mark, header=told.header)

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
    except (LookupError, ValueError, TypeError, UnicodeError):
        return False
    known = [text for text in each if text]
    ascii_text = bytes(range(128)).decode("ascii")
    return "".join(each[:128]) == ascii_text and len(set(known)) == len("".join(known))


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

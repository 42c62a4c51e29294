"""The formats ``digits``, ``letters`` and ``alphabet``: values of some characters alone."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import Characters, Format
from secureml.pseudonymization.tables.character_classes import (
    CODE_POINTS,
    DIGIT,
    LETTER,
    OTHER_DIGIT,
    Alphabets,
    Codes,
    alphabets,
    kinds,
)
from secureml.pseudonymization.values.text import Text

__all__ = ["AlphabetFormat", "DigitsFormat", "LettersFormat"]

_MOST = 1 << 16  # the largest radix of FF1
_NEVER = "~"  # what tokens start with, and pseudonyms do not


class _Classes(Format):
    """The format ``class`` without characters of some kinds.

    Attributes:
        refused: the kinds that make a value invalid.
    """

    takes = (Text,)
    piecemeal = True
    refused: ClassVar[tuple[int, ...]]

    def read(self, values: Text, *, decrypt: bool) -> Iterable[Characters]:
        """Return the values without such a character."""
        refused = np.isin(np.arange(LETTER + 1), self.refused)
        invalid = values.rows_with(refused[kinds()][values.codes])
        rows, text = values.without(invalid)
        return [Characters(rows=rows, text=text, table=alphabets(), label=self.name)]


class DigitsFormat(_Classes):
    """Digits 0 to 9 become others; what is neither a letter nor a digit of any script is kept."""

    name = "digits/1"
    refused = (OTHER_DIGIT, LETTER)


class LettersFormat(_Classes):
    """Letters keep script and case as in ``class``; what is neither letter nor digit is kept."""

    name = "letters/1"
    refused = (DIGIT, OTHER_DIGIT)


class AlphabetFormat(Format):
    """Every character becomes another one of an alphabet; the length is kept.

    Args:
        characters: the alphabet: 2 to 65,536 characters, each once. Their order is part of what
            the pseudonyms are made of.

    Raises:
        PseudonymizationError: a character is there twice, there are too few or too many, or one
            is "~", which pseudonyms never start with.
    """

    name = "alphabet/1"
    takes = (Text,)
    piecemeal = True

    def __init__(self, *, characters: str = "") -> None:
        if not isinstance(characters, str):
            raise PseudonymizationError("an alphabet is a string of its characters")
        if not 2 <= len(characters) <= _MOST:
            raise PseudonymizationError(
                f"an alphabet has 2 to {_MOST:,} characters, not {len(characters):,}"
            )
        if len(set(characters)) < len(characters):
            raise PseudonymizationError("every character of an alphabet is there once")
        if _NEVER in characters:
            raise PseudonymizationError(f"{_NEVER!r} can't be in an alphabet: tokens start with it")
        self.options = {"characters": characters}
        self._characters = characters

    def read(self, values: Text, *, decrypt: bool) -> Iterable[Characters]:
        """Return the values as ranks in the alphabet, which are its characters to the table."""
        size = len(self._characters)
        ranks = _rank_of(self._characters)[values.codes]
        narrow = np.uint8 if size <= 0x80 else np.uint32
        rows, text = Text(ranks.astype(narrow), values.offsets).without(
            values.rows_with(ranks == size)
        )
        label = f"{self.name} {size} {self._characters}"
        return [Characters(rows=rows, text=text, table=_table(size), label=label)]

    def write(self, reading: Characters, new: Text) -> Text:
        """Write the characters of new ranks."""
        return Text(_code_of(self._characters)[new.codes], new.offsets)


@lru_cache(maxsize=16)
def _table(size: int) -> Alphabets:
    return Alphabets([np.arange(size, dtype=np.uint32)])


@lru_cache(maxsize=16)
def _code_of(characters: str) -> Codes:
    return Text.of([characters]).codes


@lru_cache(maxsize=16)
def _rank_of(characters: str) -> NDArray[np.uint32]:
    ranks = np.full(CODE_POINTS, len(characters), np.uint32)
    ranks[_code_of(characters)] = np.arange(len(characters), dtype=np.uint32)
    return ranks

"""The formats ``digits``, ``letters`` and ``alphabet``: values of some characters alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import Format, Option, Transformed
from secureml.pseudonymization.formats.classes import transform_text
from secureml.pseudonymization.parsing.pieces import blanked, rows_with
from secureml.pseudonymization.ranking.permutation import Permutation
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
from secureml.pseudonymization.values.kinds import Values
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

    @property
    def options(self) -> Mapping[str, Option]:
        """There are none."""
        return {}

    def transform(self, values: Values, permutation: Permutation) -> Transformed:
        """Permute every value among those of its template."""
        assert isinstance(values, Text)
        refused = np.isin(np.arange(LETTER + 1), self.refused)
        invalid = rows_with(values, refused[kinds()][values.codes])
        made = transform_text(blanked(values, invalid), permutation, alphabets(), self.name)
        return replace(made, invalid=invalid)


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
        self._characters = characters

    @property
    def options(self) -> Mapping[str, Option]:
        """The alphabet."""
        return {"characters": self._characters}

    def transform(self, values: Values, permutation: Permutation) -> Transformed:
        """Permute every value among those of its length."""
        assert isinstance(values, Text)
        ranks = _rank_of(self._characters)[values.codes]
        invalid = rows_with(values, ranks == len(self._characters))
        # To the table, a member of the alphabet is its rank.
        narrow = np.uint8 if len(self._characters) <= 0x80 else np.uint32
        text = blanked(Text(ranks.astype(narrow), values.offsets), invalid)
        name = f"{self.name} {len(self._characters)} {self._characters}"
        made = transform_text(text, permutation, _table(len(self._characters)), name)
        assert isinstance(made.values, Text)
        codes = _code_of(self._characters)[made.values.codes]
        return replace(made, values=Text(codes, made.values.offsets), invalid=invalid)


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

"""Strategies without a key, whose pseudonyms can't be recovered."""

from __future__ import annotations

import numpy as np

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.keys import DomainKeys
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.strategies.base import Outcome, Strategy
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.text import Text

__all__ = ["Custom", "Mask", "Null", "Redact"]


class Mask(Strategy):
    """Replaces all characters but the first and last few, or all if these are most of a value.

    The first algorithm kept them if one character of the value was hidden.

    Args:
        keys: not used.
        row_tweaks: not used.
        keep_first: how many characters stay at the beginning.
        keep_last: how many stay at the end.
        character: the replacement of each of the others.

    Raises:
        PseudonymizationError: an option does not fit.
    """

    algorithm = "mask/2"
    earlier = ("mask",)
    reversible = False

    def __init__(
        self,
        keys: DomainKeys,
        row_tweaks: RowTweaks | None = None,
        *,
        keep_first: int = 0,
        keep_last: int = 0,
        character: str = "*",
    ) -> None:
        for name, count in (("keep_first", keep_first), ("keep_last", keep_last)):
            if type(count) is not int or not 0 <= count < 1 << 31:
                raise PseudonymizationError(f"{name} of a mask is a number of characters")
        if not isinstance(character, str) or len(character) != 1:
            raise PseudonymizationError("the character of a mask is one character")
        super().__init__(
            keys, row_tweaks, keep_first=keep_first, keep_last=keep_last, character=character
        )
        self._first, self._last, self._character = keep_first, keep_last, character

    def protect(self, values: Values) -> Outcome:
        """Mask every value; its length stays."""
        text = values if isinstance(values, Text) else Text.of(values.strings())
        lengths = text.lengths
        kept = 3 * (self._first + self._last) <= 2 * lengths
        place = np.arange(len(text.codes)) - np.repeat(text.offsets[:-1], lengths)
        first = np.repeat(np.where(kept, self._first, 0), lengths)
        last = np.repeat(np.where(kept, lengths - self._last, lengths), lengths)
        code = ord(self._character)
        dtype = np.uint8 if text.codes.dtype == np.uint8 and code < 0x80 else np.uint32
        hidden = (place >= first) & (place < last)
        codes = np.where(hidden, dtype(code), text.codes.astype(dtype))
        return Outcome(values=Text(codes, text.offsets))


class Redact(Strategy):
    """Replaces every value by the same text.

    Args:
        keys: not used.
        row_tweaks: not used.
        replacement: the text.

    Raises:
        PseudonymizationError: the replacement is not text.
    """

    algorithm = "redact"
    reversible = False
    reads = False

    def __init__(
        self,
        keys: DomainKeys,
        row_tweaks: RowTweaks | None = None,
        *,
        replacement: str = "[redacted]",
    ) -> None:
        if not isinstance(replacement, str):
            raise PseudonymizationError("the replacement of redacted values is text")
        super().__init__(keys, row_tweaks, replacement=replacement)
        self._replacement = replacement

    def protect(self, values: Values) -> Outcome:
        """Replace every value, the empty string too; only nulls stay."""
        return Outcome(values=Text.of([self._replacement] * len(values)))


class Null(Strategy):
    """Replaces every value by null."""

    algorithm = "null"
    reversible = False
    reads = False

    def protect(self, values: Values) -> Outcome:
        """Replace every value; text beneath the nulls is emptied."""
        blank = Text.of([""] * len(values)) if isinstance(values, Text) else values
        return Outcome(values=blank, nulled=np.arange(len(values)))


class Custom(Strategy):
    """Null object: the caller's function replaces the values, and manifests do not name it."""

    algorithm = "custom"
    reversible = False
    reads = False

    def protect(self, values: Values) -> Outcome:
        """Refuse: the function is applied to the column itself.

        Raises:
            PseudonymizationError: always.
        """
        raise PseudonymizationError("pass the function itself as its strategy, not 'custom'")

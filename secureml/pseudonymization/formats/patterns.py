"""Values folded to what a pattern sees of them, so that ``re`` reads few instead of all.

A pattern tells two characters apart by a literal, by a range, or by one of the classes \\d, \\w and
\\s. So characters between the same two of those that stand in the pattern, and alike in these
classes, are all the same to it: of values that differ in such characters alone, one is enough.
"""

from __future__ import annotations

import re

import numpy as np

from secureml.pseudonymization.alphabets import CODE_POINTS, Codes
from secureml.pseudonymization.domains import Index

__all__ = ["Folding", "folding_of"]

_FLAGS = re.UNICODE | re.DOTALL | re.MULTILINE
_ENDS = "\n_"  # characters that a pattern may treat apart without naming them

_TOKENS = re.compile(
    r"(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])"
    r"|\\(?P<escape>.)"
    r"|(?P<again>\(\?P=)"
    r"|(?P<flags>\(\?[msu]*[aiLx-])"
    r"|\(\?P<\w+>"
    r"|\{(?:[0-9]+(?:,[0-9]*)?|,[0-9]*)\}"
    r"|(?P<one>.)",
    re.DOTALL,
)
_CLASSES, _CLASSES_IN_SETS = "dDwWsSbBAZ", "dDwWsS"
_IN_SET = re.compile(r"\\(?P<escape>.)|(?P<one>.)", re.DOTALL)


class Folding:
    """Replaces characters by others that a pattern does not tell from them.

    Args:
        named: characters that stand in the pattern.
    """

    __slots__ = ("_edges", "_narrow")

    def __init__(self, named: str) -> None:
        self._edges = np.unique([*map(ord, named + _ENDS)])
        self._narrow = self._table(np.arange(1 << 8), np.zeros(1 << 8, np.uint8))

    def table(self, codes: Codes) -> Codes:
        """Return what each code point is folded to, as few different ones as the pattern allows.

        Args:
            codes: of the characters that are to be folded; the table is of their dtype.
        """
        if codes.dtype == np.uint8:
            return self._narrow
        present = np.zeros(CODE_POINTS, np.bool_)
        present[codes] = True
        return self._table(np.flatnonzero(present), np.zeros(CODE_POINTS, codes.dtype))

    def _table(self, distinct: Index, fold: Codes) -> Codes:
        # The span between two edges has an even number, an edge an odd one of its own.
        spans = np.searchsorted(self._edges, distinct) + np.searchsorted(
            self._edges, distinct, side="right"
        )
        first: dict[tuple[int, bool, bool, bool], int] = {}
        for span, code in zip(spans.tolist(), distinct.tolist(), strict=True):
            one = chr(code)
            key = span, one.isdecimal(), one.isalnum(), one.isspace()
            fold[code] = first.setdefault(key, code)
        return fold


def folding_of(pattern: re.Pattern[str]) -> Folding | None:
    """Return the folding of a pattern; None if it may tell any two characters apart.

    Args:
        pattern: any. One that ignores case, or refers to what a group matched, or writes
            characters as escapes, has none.
    """
    if pattern.flags & ~_FLAGS:
        return None
    named: list[str] = []
    for token in _TOKENS.finditer(pattern.pattern):
        if token["again"] or token["flags"]:
            return None
        characters = [_meant(token, _CLASSES)]
        if token["set"]:
            inside = _IN_SET.finditer(token["set"])
            characters = [_meant(one, _CLASSES_IN_SETS) for one in inside]
        for character in characters:
            if character is None:
                return None
            named.append(character)
    return Folding("".join(named))


def _meant(token: re.Match[str], classes: str) -> str | None:
    """Return the character that a token stands for: "" for a class, None where it is not known."""
    escape: str | None = token["escape"]
    if escape is None:
        return token["one"] or ""
    if escape in classes:
        return ""
    # Other letters and digits write characters by their names and numbers, or refer to groups.
    return None if escape.isascii() and escape.isalnum() else escape

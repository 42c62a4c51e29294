"""The first version of the format ``regex``, of which values are recovered, and none are made.

It went by what the interpreter's own Unicode data says of characters, and which version that was
is not known. So values are recovered if no version of it says anything else of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import Characters, Flags, Format
from secureml.pseudonymization.parsing.chosen import ChosenCharacters
from secureml.pseudonymization.tables.character_classes import CODE_POINTS, alphabets
from secureml.pseudonymization.tables.character_sets import property_set
from secureml.pseudonymization.values.text import Text

__all__ = ["FirstRegexFormat"]

_UNICODE = re.compile(r"\\[wWdDsSbB]|\(\?[a-z]*i")


class FirstRegexFormat(Format):
    """What the groups of a pattern match keeps its classes; what is outside of them stays.

    Args:
        pattern: in the syntax of Python's ``re``, with at least one group.

    Raises:
        PseudonymizationError: the pattern is none.
    """

    name = "regex/1"
    takes = (Text,)

    def __init__(self, *, pattern: str = "") -> None:
        compiled = None
        try:
            compiled = re.compile(pattern)
        except (re.error, TypeError, RecursionError, OverflowError):
            compiled = None
        if compiled is None or not compiled.groups:
            raise PseudonymizationError("the pattern is not one that Python's re can compile")
        self.options = {"pattern": pattern}
        self._pattern = compiled

    def read(self, values: Text, *, decrypt: bool) -> Iterator[Characters]:
        """Read what is in groups.

        Raises:
            PseudonymizationError: values are to be made, or what they were depends on the version
                of Python that made them.
        """
        if not decrypt:
            raise PseudonymizationError(
                f"the format {self.name!r} is one that values are recovered of alone: recover the"
                " table, and pseudonymize it anew"
            )
        self._refuse_unsettled(values)
        flags, failed = self._groups(values)
        rows = np.flatnonzero(~failed)
        chosen = ChosenCharacters(values, flags)[rows]
        yield Characters(
            rows=rows,
            text=chosen.picked(),
            table=alphabets(),
            label=f"{self.name} {len(self._pattern.pattern)} {self._pattern.pattern}",
            bound=chosen.kept(),
            context=chosen,
        )

    def outside(self, reading: Characters, new: Text) -> Flags:
        """Tell which do not match, or have other characters in groups."""
        made = self.write(reading, new)
        found, failed = self._groups(made)
        failed[made.rows_with(found != reading.context.flags)] = True
        return failed

    def write(self, reading: Characters, new: Text) -> Text:
        """Write what is in groups."""
        text: Text = reading.context.put(new)
        return text

    def _groups(self, text: Text) -> tuple[Flags, Flags]:
        """Return which characters of values are in groups, and which of the values fail."""
        count = self._pattern.groups + 1
        nothing = ((0, 0),) * count
        matches = map(self._pattern.fullmatch, text.strings())
        spans = [nothing if match is None else match.regs for match in matches]
        ends = chain.from_iterable(chain.from_iterable(spans))
        places = np.fromiter(ends, np.int64, 2 * count * len(text)).reshape(len(text), count, 2)
        failed: Flags = places[:, 0, 1] == 0
        bounds = np.maximum(places[:, 1:], 0) + text.offsets[:-1, None, None]
        size = len(text.codes) + 1
        depth = np.bincount(bounds[:, :, 0].ravel(), minlength=size)
        depth -= np.bincount(bounds[:, :, 1].ravel(), minlength=size)
        np.cumsum(depth, out=depth)
        failed[text.rows_with(depth[:-1] > 1)] = True
        return depth[:-1] > 0, failed

    def _refuse_unsettled(self, text: Text) -> None:
        folds = self._pattern.flags & re.IGNORECASE or _UNICODE.search(self._pattern.pattern)
        if text.codes.dtype == np.uint8 or self._pattern.flags & re.ASCII or not folds:
            return
        count = len(text.rows_with(_unsettled().take(text.codes)))
        if count:
            raise PseudonymizationError(
                f"{count} values of the format {self.name!r} have characters that versions of"
                " Python tell apart in different ways: which one hid them is not known. Recover"
                " them by the version of secureml and of Python that hid them"
            )


@cache
def _unsettled() -> NDArray[np.bool_]:
    """Return which characters are not the same to all versions, or share a class with one."""
    table, every = alphabets(), np.arange(CODE_POINTS, dtype=np.uint32)
    changed = property_set("changed").holds(every)
    classes = table.classes(table.canonical(every))
    shared = np.isin(classes, np.unique(classes[changed & (classes >= 0)]))
    unknown = np.array([unicodedata.category(chr(code)) == "Cn" for code in range(CODE_POINTS)])
    unsettled: NDArray[np.bool_] = changed | shared | unknown
    return unsettled

"""The first version of the format ``regex``, of which values are recovered, and none are made.

It went by what the interpreter's own Unicode data says of characters, and which version that was
is not known. So values are recovered if no version of it says anything else of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import NONE_SMALL, Format, Option, Transformed
from secureml.pseudonymization.parsing.pieces import (
    Flags,
    blanked,
    rows_with,
    transform_pieces,
    walked,
)
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import Permutation
from secureml.pseudonymization.tables.character_classes import CODE_POINTS, alphabets
from secureml.pseudonymization.tables.character_sets import property_set
from secureml.pseudonymization.values.kinds import Values
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
        self._pattern = compiled

    @property
    def options(self) -> Mapping[str, Option]:
        """The pattern."""
        return {"pattern": self._pattern.pattern}

    def transform(self, values: Values, permutation: Permutation) -> Transformed:
        """Recover every value: walk among those of its template until one matches.

        Raises:
            PseudonymizationError: values are to be made, or what they were depends on the version
                of Python that made them.
        """
        assert isinstance(values, Text)
        if not permutation.decrypt:
            raise PseudonymizationError(
                f"the format {self.name!r} is one that values are recovered of alone: recover the"
                " table, and pseudonymize it anew"
            )
        self._refuse_unsettled(values)
        chosen, failed = self._groups(values)
        invalid = np.flatnonzero(failed & (values.lengths > 0))
        text = blanked(values, invalid)
        if len(invalid):
            chosen = np.delete(chosen, values.places(invalid))
        label = f"{self.name} {len(self._pattern.pattern)} {self._pattern.pattern}"

        def once(part: Text) -> Transformed:
            # While some values walk on, the others are empty.
            here = chosen
            if len(part.codes) != len(chosen):
                here = chosen[np.repeat(part.lengths > 0, text.lengths)]
            return transform_pieces(part, here, permutation, alphabets(), label)

        def outside(made: Text, rows: Index) -> Index:
            part, before = made.at(rows), chosen[text.places(rows)]
            found, failed = self._groups(part)
            failed[rows_with(part, found != before)] = True
            return rows[failed]

        made = walked(text, once, outside)
        return Transformed(
            made.values, NONE_SMALL, np.union1d(invalid, made.small.rows), made.domain
        )

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
        failed[rows_with(text, depth[:-1] > 1)] = True
        return depth[:-1] > 0, failed

    def _refuse_unsettled(self, text: Text) -> None:
        folds = self._pattern.flags & re.IGNORECASE or _UNICODE.search(self._pattern.pattern)
        if text.codes.dtype == np.uint8 or self._pattern.flags & re.ASCII or not folds:
            return
        count = len(rows_with(text, _unsettled().take(text.codes)))
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
    classes = table.classes(table.skeletons(every))
    shared = np.isin(classes, np.unique(classes[changed & (classes >= 0)]))
    unknown = np.array([unicodedata.category(chr(code)) == "Cn" for code in range(CODE_POINTS)])
    unsettled: NDArray[np.bool_] = changed | shared | unknown
    return unsettled

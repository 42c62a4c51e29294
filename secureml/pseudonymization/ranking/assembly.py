"""New values of a column, put in their places as its parts come.

So a long column takes no room for its parts beside the whole.
"""

from __future__ import annotations

import numpy as np

from secureml.pseudonymization.values.kinds import Numbers, Values, as_numbers
from secureml.pseudonymization.values.text import Text

__all__ = ["NumberAssembly", "TextAssembly", "assembly"]


class TextAssembly:
    """Puts text together. Threads may put different parts at the same time.

    Args:
        before: the column; most formats keep the length of every value.
    """

    __slots__ = ("_before", "_codes", "_parts")

    def __init__(self, before: Text) -> None:
        self._before = before
        self._codes = np.empty_like(before.codes)
        self._parts: dict[int, tuple[slice, Text | None]] = {}

    def put(self, span: slice, part: Values) -> None:
        """Put the new values of some rows in."""
        assert isinstance(part, Text)
        offsets = self._before.offsets[span.start : span.stop + 1]
        first, last = offsets[0], offsets[-1]
        alike = part.codes.dtype == self._codes.dtype and len(part.codes) == last - first
        if alike and (part.offsets == offsets - first).all():
            self._codes[first:last] = part.codes
            self._parts[span.start] = span, None
        else:
            self._parts[span.start] = span, part

    def whole(self) -> Text:
        """Return the text, after all parts were put in."""
        text = Text(self._codes, self._before.offsets)
        parts = [self._parts[start] for start in sorted(self._parts)]
        if all(part is None for _, part in parts):
            return text
        return Text.joined([text.cut(span) if part is None else part for span, part in parts])


class NumberAssembly:
    """Puts numbers together. Threads may put different parts at the same time.

    Args:
        before: the column.
    """

    __slots__ = ("_before", "_magnitudes", "_negative")

    def __init__(self, before: Numbers) -> None:
        self._before = before
        self._magnitudes = np.empty_like(before.magnitudes)
        self._negative = np.empty_like(before.negative)

    def put(self, span: slice, part: Values) -> None:
        """Put the new values of some rows in."""
        part = as_numbers(part)
        self._magnitudes[span], self._negative[span] = part.magnitudes, part.negative

    def whole(self) -> Numbers:
        """Return the numbers, after all parts were put in."""
        return self._before.holding(self._magnitudes, self._negative)


def assembly(before: Values) -> TextAssembly | NumberAssembly:
    """Begin to put the new values of a column together.

    Args:
        before: the column.
    """
    return TextAssembly(before) if isinstance(before, Text) else NumberAssembly(as_numbers(before))

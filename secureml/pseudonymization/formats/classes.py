"""The format ``class``: every character keeps its class, and a character of no class stays."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from secureml.pseudonymization.formats.base import Characters, Format
from secureml.pseudonymization.tables.character_classes import alphabets
from secureml.pseudonymization.values.text import Text

__all__ = ["ClassFormat"]


class ClassFormat(Format):
    """Every character keeps its class: digit, upper case, letter of a script, ..."""

    name = "class/1"
    takes = (Text,)
    piecemeal = True

    def read(self, values: Text, *, decrypt: bool) -> Iterable[Characters]:
        """Return all values."""
        rows = np.arange(len(values))
        return [Characters(rows=rows, text=values, table=alphabets(), label=self.name)]

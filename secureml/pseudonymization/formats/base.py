"""What a format is: it finds the ranks of values, and writes permuted ranks as values again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import Permutation
from secureml.pseudonymization.values.kinds import Values
from secureml.settings.rules import Option

__all__ = ["NONE_SMALL", "NO_ROWS", "Format", "Option", "TooSmall", "Transformed", "join_small"]

NO_ROWS: Index = np.empty(0, np.intp)


@dataclass(frozen=True, slots=True, eq=False)
class TooSmall:
    """Values whose domain is below the minimum.

    Args:
        rows: where they are, ascending.
        domain: the smallest of their domains, 0 if there are no such values.
    """

    rows: Index = field(default_factory=lambda: NO_ROWS)
    domain: int = 0


NONE_SMALL = TooSmall()


def join_small(findings: Sequence[TooSmall]) -> TooSmall:
    """Put findings in different rows together."""
    found = [one for one in findings if len(one.rows)]
    if not found:
        return NONE_SMALL
    rows = np.sort(np.concatenate([one.rows for one in found]))
    return TooSmall(rows, min(one.domain for one in found))


@dataclass(frozen=True, slots=True, eq=False)
class Transformed:
    """What a format made of the values of a column.

    Args:
        values: the new ones, of the same kind and number. Where ``small`` or ``invalid`` names a
            row, they hold nothing of the value but what the format keeps.
        small: the values whose domain is too small to be permuted.
        invalid: the rows whose values are not of the format, ascending.
        domain: the size of the smallest domain that was permuted, 0 if there was none.
    """

    values: Values
    small: TooSmall
    invalid: Index
    domain: int


class Format(ABC):
    """A set of domains of values, and what pseudonyms in it keep.

    A format is made from its options, as keyword arguments; whatever these are, what a version
    of a format makes of a value never changes.

    Attributes:
        name: with its version, such as "ssn/1"; kept in manifests.
        takes: the kinds of values that it takes.
        tables: which version of Unicode its frozen tables are of, if it has any.
        piecemeal: whether it works on a column of many templates piece by piece by itself, and
            on all cores, with no more memory for a long one than values and results take.
    """

    name: ClassVar[str]
    takes: ClassVar[tuple[type, ...]]
    tables: ClassVar[str | None] = None
    piecemeal: ClassVar[bool] = False

    @property
    @abstractmethod
    def options(self) -> Mapping[str, Option]:
        """The options that make this format again, defaults too; kept in manifests."""

    @abstractmethod
    def transform(self, values: Values, permutation: Permutation) -> Transformed:
        """Permute every value; null is no value, and the empty string stays.

        Args:
            values: of a kind that the format takes. To be the inverse of itself under the
                inverse permutation, on every value that it does not report.
            permutation: under the key of the column's domain, in either direction.
        """

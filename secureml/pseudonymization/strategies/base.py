"""Strategies: what each must do to replace the values of a column and to recover them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import ClassVar

from secureml.ciphers.siv import SivToken
from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats import NO_ROWS, NONE_SMALL, Option, TooSmall
from secureml.pseudonymization.keys import DomainKeys
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.values.decimals import Decimals
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.timestamps import Moments

__all__ = ["Kind", "Outcome", "Strategy", "joining_strings"]

_ZEROS = re.compile(r"(?:\.|(\.[0-9]*[1-9]))0*(?=Z?$)", re.ASCII)
"""The zeros at the end of a fraction, before the Z of an instant."""

Kind = Callable[[Sequence[str]], Values]
"""Reads the values of a column from the strings that their own ``strings()`` gives."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Outcome:
    """Result of replacing the values of a column.

    Args:
        values: the new ones; text if the strategy makes text of other kinds.
        tokens: the rows that hold tokens in place of a pseudonym of their format.
        nulled: the rows that become null; in ``values`` they are empty.
        small: the values that are refused because their domain is too small; in ``values`` they
            are empty, or 0.
        invalid: the rows that are refused because they are not of the format; likewise.
        domain: the size of the smallest domain that was permuted, 0 if none was.
    """

    values: Values
    tokens: Index = field(default_factory=lambda: NO_ROWS)
    nulled: Index = field(default_factory=lambda: NO_ROWS)
    small: TooSmall = NONE_SMALL
    invalid: Index = field(default_factory=lambda: NO_ROWS)
    domain: int = 0


class Strategy(ABC):
    """Replaces the values of one column.

    One without tweaks of rows replaces those of many batches, in several threads at once.

    A strategy declares its options as keyword-only arguments, each with a default, and hands
    their values on.

    Args:
        keys: of the column's key domain.
        row_tweaks: a tweak for each row, or None.
        options: those that make this strategy again, defaults too; kept in manifests.

    Attributes:
        algorithm: its name in manifests.
        second: the algorithm for kinds of values that the first one kept from joining;
            ``recover`` reverses both.
        earlier: algorithms of earlier versions, whose manifests can be read.
        reversible: whether ``recover`` returns every value.
        reads: whether it looks at the values, and not only at their number.
    """

    algorithm: ClassVar[str]
    second: ClassVar[str | None] = None
    earlier: ClassVar[tuple[str, ...]] = ()
    reversible: ClassVar[bool] = True
    reads: ClassVar[bool] = True

    def __init__(
        self, keys: DomainKeys, row_tweaks: RowTweaks | None = None, **options: Option
    ) -> None:
        self.keys: DomainKeys = keys
        self.row_tweaks: RowTweaks | None = row_tweaks
        self.options: Mapping[str, Option] = options

    def algorithm_for(self, kind: type, *, tweaked: bool) -> str:
        """Return the algorithm by which ``protect`` replaces values.

        Args:
            kind: of the values.
            tweaked: whether rows have tweaks.
        """
        return self.second if self.second and kind in (Moments, Decimals) else self.algorithm

    @abstractmethod
    def protect(self, values: Values) -> Outcome:
        """Replace every value; the empty string stays."""

    def recover(self, values: Values, kind: Kind) -> Values:
        """Replace every pseudonym by its value; the inverse of ``protect``.

        Args:
            values: the pseudonyms.
            kind: reads values of the kind that the column held before.

        Raises:
            PseudonymizationError: some values can't be pseudonyms of this column, or the strategy
                can't be reversed.
        """
        raise PseudonymizationError(f"{self.algorithm} can't be reversed")

    def each(
        self,
        convert: Callable[[str, bytes], str],
        strings: Sequence[str],
        context: bytes,
        rows: Index | None = None,
    ) -> list[str]:
        """Convert strings, each in a context that is bound to the tweak of its row.

        Args:
            convert: from a string and a context; called once for equal ones without tweaks.
            strings: empty ones stay empty.
            context: of all of them.
            rows: where in the column they are; None for all rows.
        """
        if self.row_tweaks is None:
            once = cache(lambda text: convert(text, context))
            return [once(one) if one else "" for one in strings]
        number = self.row_tweaks.number if rows is None else self.row_tweaks.number[rows]
        contexts = map(cache(partial(self.row_tweaks.bound, tweak=context)), number.tolist())
        return [
            convert(one, bound) if one else "" for one, bound in zip(strings, contexts, strict=True)
        ]

    def opened(
        self,
        cipher: SivToken,
        tokens: Sequence[str],
        prefix: str,
        context: bytes,
        rows: Index | None = None,
    ) -> list[str]:
        """Open tokens; the inverse of ``each`` with ``cipher.seal``.

        Args:
            cipher: that sealed them.
            tokens: empty ones stay empty.
            prefix: what each begins with.
            context: in which they were sealed.
            rows: where in the column they are; None for all rows.

        Raises:
            PseudonymizationError: some are no tokens of this column.
        """
        foreign = sum(not token.startswith(prefix) for token in tokens if token)
        if foreign:
            raise PseudonymizationError(f"{foreign} values are no tokens of this column")

        def unseal(token: str, context: bytes) -> str:
            return cipher.open(token.removeprefix(prefix), context)

        try:
            return self.each(unseal, tokens, context, rows)
        except ValueError:
            pass
        raise PseudonymizationError("some tokens were changed or belong to another column")


def joining_strings(values: Values) -> list[str]:
    """Return values as strings that are the same for equal values of columns of any unit or scale.

    Raises:
        PseudonymizationError: values of this kind can't be written as strings.
    """
    strings = values.strings()
    if isinstance(values, Moments | Decimals):
        return [_ZEROS.sub(r"\1", text) for text in strings]
    return strings

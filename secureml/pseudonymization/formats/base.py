"""What a format is: a codec between the values of a column and ranks, made from name and options.

A format takes values apart and puts them together again. All that is between is the same for all
formats, and ``ranking.pipeline`` does it: the minimum, values that are not of the format, slices
of a long column, tweaks of rows, threads and cycle walking.

1. ``read`` returns what it could read of the values of a column, or of a slice of one: *readings*.
   A reading holds some of the rows, and is one of two kinds:

   - ``Ranks``: a rank for each row, the domain that it is in, and the size and the tweak of each
     domain. Most formats have these.
   - ``Characters``: text in which characters are replaced by others of their classes. The domains
     are those of the templates, which the pipeline finds.

   A value that no reading holds is invalid; an empty string stays, whether or not one holds it.
2. The pipeline asks ``members`` how many pseudonyms each domain has. Rows in domains with fewer
   than the minimum are reported, and are not permuted.
3. The pipeline permutes. It asks ``outside`` which of the results are no values of the format, and
   permutes these again until there are none: cycle walking.
4. ``write`` returns the values of the new ranks (or of the new characters). ``Format.written`` does
   so for all readings of a column; only a format that reads one value in two parts replaces it.

What holds for every format:

- Reading what was written gives the same domain and the rank that was written. So a format is the
  same in both directions; only one whose pseudonyms do not look like its values asks for
  ``decrypt``.
- A tweak holds the name of the format with its version, and all that is kept of a value. The
  tweaks of rows are bound by the pipeline.
- Threads share a format, and each gives it another slice: it keeps nothing of a column. A slice
  has at most 2**17 rows, so that arrays of that length are fine.
- What a version of a format makes of a value never changes.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.tables.character_classes import Alphabets
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.text import Text
from secureml.registry import FORMATS, VENDOR_NAME
from secureml.settings.environments import did_you_mean
from secureml.settings.rules import Option

__all__ = [
    "NONE_SMALL",
    "NO_ROWS",
    "Characters",
    "Flags",
    "Format",
    "Option",
    "Ranks",
    "Reading",
    "TooSmall",
    "Transformed",
    "check_options",
    "format_type",
    "make_format",
    "newest_format",
    "options_of",
    "resolve_format",
]

Flags = NDArray[np.bool_]
NO_ROWS: Index = np.empty(0, np.intp)

_LATEST = {name.partition("/")[0]: name for name in FORMATS.built_in}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Ranks:
    """Values that were read as ranks.

    Args:
        rows: where in the column they are, ascending.
        ranks: uint64 of shape (rows,); or Python integers, dtype object; or uint64 of shape
            (rows, 2), the most significant word first, if all domains have one size, which is a
            power of two.
        group: the domain of each value, shape (rows,).
        sizes: how many ranks each domain has. No value may be in some of the domains.
        tweaks: of each domain.
        numerals: radix and length of the numeral strings that FF1 encrypts, if it is not to choose
            them; each size is then radix**length.
        context: what ``write`` needs of each value beside its rank, an entry for each row.
        layout: what ``write`` needs to know of all values.
    """

    rows: Index
    ranks: NDArray[Any]
    group: Index
    sizes: Sequence[int]
    tweaks: Sequence[bytes]
    numerals: tuple[int, int] | None = None
    context: Any = None
    layout: Any = None

    def at(self, members: NDArray[Any]) -> Self:
        """Return the reading of some of its values, given by their places or by flags."""
        places: Index = np.flatnonzero(members) if members.dtype == np.bool_ else members
        return replace(
            self,
            rows=self.rows[places],
            ranks=self.ranks[places],
            group=self.group[places],
            context=None if self.context is None else self.context[places],
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Characters:
    """Values of which characters are replaced by others of their classes.

    Args:
        rows: where in the column they are, ascending.
        text: the values; empty ones stay empty.
        table: the classes. A character of no class is kept.
        label: what the tweaks begin with: the name of the format and its options.
        bound: what is kept of each value beside this text, to be a part of its tweak.
        context: what ``write`` needs of each value, an entry for each row.
        layout: what ``write`` needs to know of all values.
    """

    rows: Index
    text: Text
    table: Alphabets
    label: str
    bound: RowTweaks | None = None
    context: Any = None
    layout: Any = None

    def at(self, members: NDArray[Any]) -> Self:
        """Return the reading of some of its values, given by their places or by flags."""
        places: Index = np.flatnonzero(members) if members.dtype == np.bool_ else members
        return replace(
            self,
            rows=self.rows[places],
            text=self.text.at(places),
            bound=None if self.bound is None else self.bound.at(places),
            context=None if self.context is None else self.context[places],
        )


Reading = Ranks | Characters


class Format(ABC):
    """A set of domains of values, and what pseudonyms in it keep: see the top of the module.

    A format declares its options as keyword-only arguments, each with a default.

    Attributes:
        options: those that make this format again, defaults too; kept in manifests.
        name: with its version, such as "ssn/1"; kept in manifests.
        takes: the kinds of values that it takes.
        tables: which version of Unicode its frozen tables are of, if it has any.
        piecemeal: whether ``read`` takes a column of texts of many lengths as a whole, because
            there is one reading, of characters, which the pipeline cuts in slices itself.
    """

    name: ClassVar[str]
    takes: ClassVar[tuple[type, ...]]
    tables: ClassVar[str | None] = None
    piecemeal: ClassVar[bool] = False

    def __init__(self) -> None:
        self.options: Mapping[str, Option] = {}

    @abstractmethod
    def read(self, values: Any, *, decrypt: bool) -> Iterable[Reading]:
        """Read values.

        Args:
            values: of a kind that the format takes.
            decrypt: whether they are pseudonyms.
        """

    def members(self, reading: Any, minimum: int) -> Sequence[int]:
        """Return how many pseudonyms each domain of a reading of ranks has.

        Only a format with ``outside`` has fewer of them than ranks.

        Args:
            reading: that ``read`` returned.
            minimum: a number from which on it does not matter how many more there are.
        """
        sizes: Sequence[int] = reading.sizes
        return sizes

    def outside(self, reading: Any, new: Any) -> Flags | None:
        """Tell which results are no values of the format; None if there can be none.

        Args:
            reading: that ``read`` returned, or some of its rows.
            new: the ranks, or the text, that it is permuted to.
        """
        return None

    def write(self, reading: Any, new: Any) -> Values:
        """Return the values, of the kind that was read, of the rows of a reading.

        Args:
            reading: that ``read`` returned, or some of its rows.
            new: the ranks, or the text, that it is permuted to.
        """
        made: Values = new
        return made

    def written(self, made: Sequence[tuple[Any, Any]]) -> Iterable[tuple[Index, Values]]:
        """Return all values: of the rows that have any. An empty one is reported as invalid.

        Args:
            made: all readings of a column, without rows in domains that are too small, and what
                each is permuted to.
        """
        return [(reading.rows, self.write(reading, new)) for reading, new in made]


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


@dataclass(frozen=True, slots=True, eq=False)
class Transformed:
    """What became of the values of a column.

    Args:
        values: the new ones, of the same kind and number; empty, or 0, in the rows that ``small``
            or ``invalid`` names.
        small: the values whose domain is too small to be permuted.
        invalid: the rows whose values are not of the format, ascending.
        domain: the size of the smallest domain that was permuted, 0 if there was none.
    """

    values: Values
    small: TooSmall
    invalid: Index
    domain: int


def resolve_format(written: str, options: Mapping[str, Option]) -> Format:
    """Make the newest version of a format as rules name it: "ssn" or "alphabet:0123ABCD".

    Raises:
        PseudonymizationError: there is no such format, or an option does not fit.
    """
    if VENDOR_NAME.fullmatch(written):
        return make_format(written, options)
    short, colon, value = written.partition(":")
    if short not in _LATEST:
        hint = did_you_mean(short, _LATEST) or f"; there are {', '.join(_LATEST)}"
        raise PseudonymizationError(f"there is no format {written!r}{hint}")
    argument = FORMATS.built_in[_LATEST[short]].argument
    if bool(colon) != (argument is not None):
        example = f"{short}:..." if argument else short
        raise PseudonymizationError(f"the format {written!r} is to be written {example!r}")
    if argument:
        options = {**options, argument: value}
    return make_format(_LATEST[short], options)


def make_format(name: str, options: Mapping[str, Option]) -> Format:
    """Make a format from its name with version and its options.

    Raises:
        PseudonymizationError: there is no such format, or an option does not fit.
    """
    kind = format_type(name)
    check_options(f"the format {name!r}", kind, options)
    return kind(**options)


def newest_format(name: str, options: Mapping[str, Option]) -> Format:
    """Make the newest version of a format, for new pseudonyms.

    Args:
        name: of any version; one of another package is kept.
        options: of that version.

    Raises:
        PseudonymizationError: as of ``make_format``.
    """
    return make_format(_LATEST.get(name.partition("/")[0], name), options)


@cache
def format_type(name: str) -> type[Format]:
    """Return the class of a format.

    Raises:
        PseudonymizationError: there is none of this name, or its package is broken.
    """
    kind = FORMATS.load(name, Format)  # type: ignore[type-abstract]  # a subclass of it is loaded
    own = getattr(kind, "name", None)
    if own != name:
        raise PseudonymizationError(f"the format {name!r} can't be used: its name is {own!r}")
    return kind


def options_of(kind: type) -> tuple[str, ...]:
    """Return the names of the options of a format or a strategy: its keyword-only arguments."""
    return tuple(
        parameter.name
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    )


def check_options(what: str, kind: type, options: Mapping[str, Option]) -> None:
    """Check that a format or a strategy has the options that it is given.

    Raises:
        PseudonymizationError: it lacks one.
    """
    known = options_of(kind) if options else ()
    for option in options:
        if option not in known:
            hint = did_you_mean(option, known)
            raise PseudonymizationError(f"{what} has no option {option!r}{hint}")

"""The format ``regex``: what the groups of a pattern match is encrypted, the rest is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import (
    NO_ROWS,
    Characters,
    Flags,
    Format,
    Ranks,
    Reading,
)
from secureml.pseudonymization.parsing.automata import Automaton
from secureml.pseudonymization.parsing.chosen import ChosenCharacters
from secureml.pseudonymization.parsing.languages import (
    FIRST_CLASS,
    WORD,
    Language,
    Languages,
    Run,
    Symbol,
)
from secureml.pseudonymization.parsing.patterns import parsed
from secureml.pseudonymization.parsing.templates import find_folded, find_templates
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.tables.character_classes import CODE_POINTS, Codes, alphabets
from secureml.pseudonymization.tables.character_sets import masks_of
from secureml.pseudonymization.values.text import Text

__all__ = ["RegexFormat"]


class RegexFormat(Format):
    r"""What the groups of a pattern match keeps its classes; what is outside of them stays.

    A value is of the format if the whole of it matches. So is every pseudonym, with its groups in
    the same places: it is one of the values that match, that have the same characters outside of
    the groups, and characters of the same classes inside. There are as many pseudonyms as such
    values, which are counted exactly.

    ``\w``, ``\d``, ``\s``, ``\b`` and ``(?i)`` go by Unicode 18, as the table that ships with
    secureml has it, whatever the version of Python. Groups are where ``re`` has them, except where
    what is repeated may be empty, as in ``(?:a*)*``: then a group may begin or end elsewhere.

    Args:
        pattern: in the syntax of Python's ``re``, with at least one group, and without references
            to groups, look-arounds, atomic groups and possessive repeats.

    Raises:
        PseudonymizationError: the pattern is none, or has no groups, or one that is in another
            one, or one that is repeated (of which only the last repetition would be encrypted);
            or it is too large.
    """

    name = "regex/2"
    takes = (Text,)
    tables = "18.0.0"

    def __init__(self, *, pattern: str = "") -> None:
        if not isinstance(pattern, str):
            raise PseudonymizationError("the pattern is to be text")
        self._automaton = Automaton(parsed(pattern))
        self.options = {"pattern": pattern}
        self._pattern = pattern
        self._languages = Languages(self._automaton, self._members)
        self._runs: dict[int, list[Run]] = {}

    def read(self, values: Text, *, decrypt: bool) -> Iterator[Reading]:
        """Read values as characters if all of their template match, else as numbers of those."""
        flags, number, languages = self._read(values)
        chosen = ChosenCharacters(values, flags)
        label = f"{self.name} {len(self._pattern)} {self._pattern}"
        whole = _rows(number, [one.whole and one.size > 1 for one in languages])
        if len(whole):
            some = chosen if len(whole) == len(values) else chosen[whole]
            yield Characters(
                rows=whole,
                text=some.picked(),
                table=alphabets(),
                label=label,
                bound=some.kept(),
                context=some,
            )
        others = [0 if one.whole and one.size > 1 else one.size for one in languages]
        for rows in (
            _rows(number, [0 < size <= WORD for size in others]),
            _rows(number, [size > WORD for size in others]),
        ):
            if len(rows):
                yield _Column(chosen[rows], number[rows], languages).read(rows, label)

    def write(self, reading: Reading, new: Any) -> Text:
        """Write what is in groups."""
        put = reading.context.put if isinstance(reading, Characters) else reading.context.written
        text: Text = put(new)
        return text

    def _read(self, text: Text) -> tuple[Flags, Index, list[Language]]:
        """Return which characters are in groups, and the language of each value, or -1."""
        fold, known = self._folding(text.codes)
        distinct, shape = find_folded(text, fold)
        numbers: dict[tuple[Symbol, ...], int] = {}
        flags, of_shape = np.zeros(len(distinct.codes), np.bool_), np.full(len(distinct), -1)
        for one, (start, end) in enumerate(pairwise(distinct.offsets.tolist())):
            characters, classes = _pairs(known[code] for code in distinct.codes[start:end].tolist())
            inside = self._automaton.inside(characters)
            if inside is None or start == end:
                continue
            flags[start:end] = inside
            symbols = tuple(
                (FIRST_CLASS - number, True)
                if encrypted and number >= 0
                else (character, encrypted)
                for character, number, encrypted in zip(characters, classes, inside, strict=True)
            )
            of_shape[one] = numbers.setdefault(symbols, len(numbers))
        languages = [*map(self._languages.of, numbers)]
        if shape is None:
            filled = text.lengths > 0
            return np.tile(flags, int(filled.sum())), np.where(filled, of_shape[0], -1), languages
        chosen = Text(flags.view(np.uint8), distinct.offsets).at(shape).codes.view(np.bool_)
        return chosen, of_shape[shape], languages

    def _folding(self, codes: Codes) -> tuple[Codes, Mapping[int, tuple[int, int]]]:
        """Fold characters that are the same to the pattern, and of the same class, to one.

        Returns:
            What each code point is folded to; and of these, what they are to the pattern, and
            their class, or -1.
        """
        if codes.dtype == np.uint8:
            return self._fold(np.arange(1 << 7), np.zeros(1 << 8, np.uint8))
        present = np.zeros(CODE_POINTS, np.bool_)
        present[codes] = True
        return self._fold(np.flatnonzero(present), np.zeros(CODE_POINTS, codes.dtype))

    def _fold(self, distinct: Index, fold: Codes) -> tuple[Codes, Mapping[int, tuple[int, int]]]:
        table, first = alphabets(), dict[tuple[int, int], int]()
        classes = table.classes(table.canonical(distinct.astype(np.uint32))).tolist()
        characters = masks_of(self._automaton.sets, distinct)
        for code, pair in zip(
            distinct.tolist(), zip(characters, classes, strict=True), strict=True
        ):
            fold[code] = first.setdefault(pair, code)
        return fold, {code: pair for pair, code in first.items()}

    def _members(self, number: int) -> Sequence[Run]:
        """Return the members of a class, as runs of those that are the same to the pattern."""
        runs = self._runs.get(number)
        if runs is None:
            table = alphabets()
            size = int(table.sizes[number])
            codes = table.codes(table.starts[number] + np.arange(size, dtype=np.uint32))
            flags = np.array([one.holds(codes) for one in self._automaton.sets], np.bool_)
            changes = np.flatnonzero((flags[:, 1:] != flags[:, :-1]).any(axis=0)) + 1
            starts = np.append(0, changes)
            counts = np.diff(starts, append=size)
            characters = masks_of(self._automaton.sets, codes[starts])
            runs = list(map(Run, starts.tolist(), counts.tolist(), characters))
            self._runs[number] = runs
        return runs


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """Values of languages that hold not all values of a template.

    Args:
        chosen: their characters that are in groups.
        number: of the language of each value.
        languages: all of them.
    """

    chosen: ChosenCharacters
    number: Index
    languages: Sequence[Language]

    def __getitem__(self, members: Index) -> _Column:
        """Return some of the values."""
        return _Column(self.chosen[members], self.number[members], self.languages)

    def read(self, rows: Index, label: str) -> Ranks:
        """Return the numbers of the values in their languages."""
        table, codes = alphabets(), self.chosen.text.codes
        templates, template = find_templates(table, self.chosen.picked())
        template = np.zeros(len(rows), np.intp) if template is None else template
        tweaks = [label.encode("utf-8", "surrogatepass") + one for one in templates.symbols]
        group, bound, _ = self.chosen.kept().split(template, tweaks)
        _, member = np.unique(group, return_index=True)
        sizes = [self.languages[one].size for one in self.number[member].tolist()]
        ranks = np.zeros(len(rows), np.uint64 if max(sizes) <= WORD else object)
        for language, members, places in self._parts():
            if language.size > 1:
                firsts = table.starts[language.classes].astype(np.intp)
                ordinals = map(table.ordinals, codes[np.ascontiguousarray(places.T)])
                ranks[members] = language.rank([*map(np.subtract, ordinals, firsts)])
        return Ranks(rows=rows, ranks=ranks, group=group, sizes=sizes, tweaks=bound, context=self)

    def written(self, ranks: NDArray[Any]) -> Text:
        """Return the values of other numbers."""
        table, text = alphabets(), self.chosen.text
        codes = text.codes.copy()
        for language, members, places in self._parts():
            firsts = table.starts[language.classes].astype(np.intp)
            columns = zip(language.unrank(ranks[members]), firsts, places.T, strict=True)
            for column, first, place in columns:
                codes[place] = table.codes((column + first).astype(np.uint32))
        return Text(codes, text.offsets)

    def _parts(self) -> Iterator[tuple[Language, Index, Index]]:
        """Return each language, its values, and where their encrypted characters are."""
        order = np.argsort(self.number, kind="stable")
        starts = np.flatnonzero(np.diff(self.number[order], prepend=-1)).tolist()
        for start, end in pairwise([*starts, len(order)]):
            rows = order[start:end]
            language = self.languages[int(self.number[rows[0]])]
            yield language, rows, self.chosen.text.offsets[rows][:, None] + language.places


def _rows(number: Index, holds: Sequence[bool]) -> Index:
    """Return the rows with a number for which something holds; -1 is none."""
    return np.flatnonzero(np.array([*holds, False])[number]) if any(holds) else NO_ROWS


def _pairs(pairs: Iterable[tuple[int, int]]) -> tuple[Sequence[int], Sequence[int]]:
    firsts, seconds = zip(*pairs, strict=True) if (pairs := list(pairs)) else ((), ())
    return firsts, seconds

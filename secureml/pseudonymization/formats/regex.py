"""The format ``regex``: what the groups of a pattern match is encrypted, the rest is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import (
    NO_ROWS,
    NONE_SMALL,
    Format,
    Option,
    TooSmall,
    Transformed,
)
from secureml.pseudonymization.parsing.automata import Automaton
from secureml.pseudonymization.parsing.languages import (
    FIRST_CLASS,
    WORD,
    Language,
    Languages,
    Run,
    Symbol,
)
from secureml.pseudonymization.parsing.patterns import parsed
from secureml.pseudonymization.parsing.pieces import (
    Flags,
    blanked,
    kept_of,
    picked,
    transform_pieces,
)
from secureml.pseudonymization.parsing.templates import find_folded, find_templates
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import Permutation
from secureml.pseudonymization.tables.character_classes import CODE_POINTS, Codes, alphabets
from secureml.pseudonymization.tables.character_sets import masks_of
from secureml.pseudonymization.values.kinds import Values
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
        self._pattern = pattern
        self._languages = Languages(self._automaton, self._members)
        self._runs: dict[int, list[Run]] = {}

    @property
    def options(self) -> Mapping[str, Option]:
        """The pattern."""
        return {"pattern": self._pattern}

    def transform(self, values: Values, permutation: Permutation) -> Transformed:
        """Permute every value among those of its template that match."""
        assert isinstance(values, Text)
        chosen, number, languages = self._read(values)
        minimum = permutation.minimum
        sizes = [language.size for language in languages]
        used = min((size for size in sizes if size >= minimum), default=0)
        tiny = _rows(number, [size < minimum for size in sizes])
        ranked = [one.size if one.size >= minimum and not one.whole else 0 for one in languages]
        narrow = _rows(number, [0 < size <= WORD for size in ranked])
        wide = _rows(number, [size > WORD for size in ranked])
        invalid = np.flatnonzero((number < 0) & (values.lengths > 0))
        small = TooSmall(tiny, min(sizes)) if len(tiny) else NONE_SMALL
        label = f"{self.name} {len(self._pattern)} {self._pattern}"
        if not any(map(len, (tiny, narrow, wide, invalid))):
            return transform_pieces(values, chosen, permutation, alphabets(), label)

        stays = np.ones(len(values), np.bool_)
        for rows in (tiny, narrow, wide, invalid):
            stays[rows] = False
        there = np.repeat(stays, values.lengths)
        whole = blanked(values, np.flatnonzero(~stays))
        made = transform_pieces(whole, chosen[there], permutation, alphabets(), label)
        assert isinstance(made.values, Text)
        codes = values.codes.copy()
        codes[there] = made.values.codes
        for rows in (narrow, wide):
            if len(rows):
                places = values.places(rows)
                column = _Column(values.at(rows), chosen[places], number[rows], languages)
                codes[places] = column.permuted(permutation.at(rows), label)
        text = blanked(Text(codes, values.offsets), np.union1d(invalid, tiny))
        return Transformed(text, small, invalid, used)

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
        classes = table.classes(table.skeletons(distinct.astype(np.uint32))).tolist()
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
        text: the values.
        chosen: which characters are in groups.
        number: of the language of each value.
        languages: all of them.
    """

    text: Text
    chosen: Flags
    number: Index
    languages: Sequence[Language]

    def permuted(self, permutation: Permutation, label: str) -> Codes:
        """Return the characters of the values that become of them."""
        table = alphabets()
        templates, template = find_templates(table, picked(self.text, self.chosen))
        template = np.zeros(len(self.text), np.intp) if template is None else template
        tweaks = [label.encode("utf-8", "surrogatepass") + one for one in templates.symbols]
        group, bound, _ = kept_of(self.text, self.chosen).split(template, tweaks)
        _, member = np.unique(group, return_index=True)
        sizes = [self.languages[one].size for one in self.number[member].tolist()]

        codes = self.text.codes.copy()
        ranks = np.empty(len(self.text), np.uint64 if max(sizes) <= WORD else object)
        parts = [*self._parts()]
        for language, rows, places in parts:
            firsts = table.starts[language.classes].astype(np.intp)
            ordinals = map(table.ordinals, codes[np.ascontiguousarray(places.T)])
            ranks[rows] = language.rank([*map(np.subtract, ordinals, firsts)])
        ranks = permutation.permute(sizes, bound, group, ranks)
        for language, rows, places in parts:
            firsts = table.starts[language.classes].astype(np.intp)
            members = zip(language.unrank(ranks[rows]), firsts, places.T, strict=True)
            for column, first, place in members:
                codes[place] = table.codes((column + first).astype(np.uint32))
        return codes

    def _parts(self) -> Iterator[tuple[Language, Index, Index]]:
        """Return each language, its values, and where their encrypted characters are."""
        order = np.argsort(self.number, kind="stable")
        starts = np.flatnonzero(np.diff(self.number[order], prepend=-1)).tolist()
        for start, end in pairwise([*starts, len(order)]):
            rows = order[start:end]
            language = self.languages[self.number[rows[0]]]
            yield language, rows, self.text.offsets[rows][:, None] + language.places


def _rows(number: Index, holds: Sequence[bool]) -> Index:
    """Return the rows with a number for which something holds; -1 is none."""
    return np.flatnonzero(np.array([*holds, False])[number]) if any(holds) else NO_ROWS


def _pairs(pairs: Iterable[tuple[int, int]]) -> tuple[Sequence[int], Sequence[int]]:
    firsts, seconds = zip(*pairs, strict=True) if (pairs := list(pairs)) else ((), ())
    return firsts, seconds

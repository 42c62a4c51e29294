"""The values of a template that match a pattern: counted, numbered, and found by their numbers.

Numbers are in the order of the values, whose characters are in the order of their classes. Where
all that may follow is the same whatever the characters before are, a value is cut: so nearly all
of it is cut into single characters, and the numbers of what is between two cuts stay small.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.parsing.automata import Automaton, Branch

__all__ = ["FIRST_CLASS", "WORD", "Language", "Languages", "Run", "Symbol"]

_MOST_ARCS = 1 << 20
_MOST_BITS = 1 << 28  # of all numbers of branches together
WORD = 1 << 63
"""The largest size of a language whose numbers are uint64."""

Columns = NDArray[np.intp]
Ranks = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive members of a class that a pattern does not tell apart.

    Args:
        first: the rank of the first one in the class.
        count: of the members.
        character: what each is to the pattern.
    """

    first: int
    count: int
    character: int


Symbol = tuple[int, bool]
"""A place of a template: what its character is to the pattern, and whether it is in a group; of a
character that is encrypted, its class as FIRST_CLASS - class."""

FIRST_CLASS = -2  # not -1, whose hash is that of -2

Arc = tuple[int, int, int]
"""The first rank and the number of members of a class, and the branch that follows all of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A place between two cuts, where values are at one of several branches.

    Args:
        encrypted: whether values have a character there that counts.
        lookup: for each branch, and each member of the class, the number of its arc.
        width: the number of members of the class.
        first: of each arc, the rank of its first member.
        after: the branch that follows each arc.
        weight: how many values follow.
        below: how many values of the same branch are before it.
        start: how many values are before it, those of branches before counted too.
        base: how many of these are of branches before, for each branch.
    """

    encrypted: bool
    lookup: NDArray[np.intp]
    width: int
    first: NDArray[np.intp]
    after: NDArray[np.intp]
    weight: Ranks
    below: Ranks
    start: Ranks
    base: Ranks


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """One encrypted character between two cuts.

    Args:
        size: how many values there are.
        members: the ranks in its class that match, ascending.
        numbers: the inverse: their numbers, by rank.
    """

    size: int
    members: NDArray[np.intp]
    numbers: NDArray[np.uint64]
    width: ClassVar[int] = 1

    def rank(self, columns: Sequence[Columns]) -> Ranks:
        """Return the numbers of values, whose characters come as ranks in their classes."""
        return self.numbers.take(columns[0])

    def unrank(self, ranks: Ranks) -> list[Columns]:
        """Return the characters of values, as ranks in their classes; the inverse of ``rank``."""
        return [self.members.take(ranks.view(np.int64))]


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Several characters between two cuts.

    Args:
        size: how many values there are.
        width: how many characters are encrypted.
        steps: the places.
    """

    size: int
    width: int
    steps: Sequence[Step]

    def rank(self, columns: Sequence[Columns]) -> Ranks:
        """Return the numbers of values, whose characters come as ranks in their classes."""
        dtype = self.steps[0].weight.dtype
        branch, rank = np.zeros(len(columns[0]), np.intp), np.zeros(len(columns[0]), dtype)
        given = iter(columns)
        for step in self.steps:
            if not step.encrypted:
                branch = step.after[branch]
                continue
            column = next(given)
            arc = step.lookup[branch * step.width + column]
            rank += step.below[arc] + (column - step.first[arc]).astype(dtype) * step.weight[arc]
            branch = step.after[arc]
        return rank

    def unrank(self, ranks: Ranks) -> list[Columns]:
        """Return the characters of values, as ranks in their classes; the inverse of ``rank``."""
        branch, rest = np.zeros(len(ranks), np.intp), ranks.copy()
        columns = []
        for step in self.steps:
            if not step.encrypted:
                branch = step.after[branch]
                continue
            rest += step.base[branch]
            arc = np.searchsorted(step.start, rest, side="right") - 1
            rest -= step.start[arc]
            steps = rest // step.weight[arc]
            rest -= steps * step.weight[arc]
            columns.append(step.first[arc] + steps.astype(np.intp))
            branch = step.after[arc]
        return columns


@dataclass(frozen=True, slots=True, eq=False)
class Language:
    """The values of a template that match, with the same characters in groups.

    Args:
        size: how many there are.
        places: where their encrypted characters stand.
        classes: of these.
        blocks: what is between the cuts and holds encrypted characters; put together as long as
            one word holds the numbers.
        whole: whether all values of the template are among them.
    """

    size: int
    places: NDArray[np.intp]
    classes: Sequence[int]
    blocks: Sequence[Sequence[Choice | Paths]]
    whole: bool

    def rank(self, columns: Sequence[Columns]) -> Ranks:
        """Return the numbers of values: uint64, or Python integers if there are too many.

        Args:
            columns: of each encrypted character, the ranks in its class, shape (values,).
        """
        ranks: Ranks | None = None
        place = 0
        for block in self.blocks:
            size, rank = 1, np.zeros(len(columns[0]), np.uint64)
            for segment in block:
                number = segment.rank(columns[place : place + segment.width])
                place += segment.width
                size *= segment.size
                rank = number if len(block) == 1 else rank * np.uint64(segment.size) + number
            ranks = rank if ranks is None else ranks.astype(object) * size + rank
        assert ranks is not None
        return ranks

    def unrank(self, ranks: Ranks) -> list[Columns]:
        """Return the encrypted characters of values; the inverse of ``rank``."""
        columns: list[Columns] = []
        for number, block in reversed([*enumerate(self.blocks)]):
            size = math.prod(segment.size for segment in block)
            rank = ranks
            if number:
                ranks = rank // size
                rank = rank - ranks * size
            if size <= WORD:
                rank = rank.astype(np.uint64)
            for place, segment in reversed([*enumerate(block)]):
                number_in = rank
                if place:
                    rank = number_in // np.uint64(segment.size)
                    number_in = number_in - rank * np.uint64(segment.size)
                columns[:0] = segment.unrank(number_in)
        return columns


class Languages:
    """The languages of the templates of one pattern.

    Args:
        automaton: of the pattern.
        runs: returns the members of a class.
    """

    __slots__ = ("_automaton", "_choices", "_followed", "_runs")

    def __init__(self, automaton: Automaton, runs: Callable[[int], Sequence[Run]]) -> None:
        self._automaton, self._runs = automaton, runs
        self._followed: dict[tuple[Branch, Symbol], list[tuple[int, int, Branch | None]]] = {}
        self._choices: dict[tuple[tuple[int, bool], ...], Choice] = {}

    def of(self, symbols: Sequence[Symbol]) -> Language:
        """Count the values of a template.

        Args:
            symbols: of the template; it has at least one value that matches.

        Raises:
            PseudonymizationError: that would take too much memory.
        """
        layers, accepted = self._layers(symbols)
        alive = _alive(layers, accepted)
        cuts = [place for place, some in enumerate(alive[:-1]) if len(some) == 1]
        segments: list[Choice | Paths] = []
        for first, last in pairwise([*cuts, len(layers)]):
            (before,) = alive[first]
            if last - first > 1:
                paths = _paths(layers[first:last], alive[first : last + 1], symbols[first:last])
                segments += [paths] if paths.width else []
            elif symbols[first][0] < 0:
                segments.append(self._choice(layers[first][before], alive[last]))
        places = [place for place, (symbol, _) in enumerate(symbols) if symbol < 0]
        classes = [FIRST_CLASS - symbols[place][0] for place in places]
        widths = {one: sum(run.count for run in self._runs(one)) for one in set(classes)}
        size = _product([segment.size for segment in segments])
        whole = size == _product([widths[one] for one in classes])
        return Language(size, np.array(places, np.intp), classes, _blocks(segments), whole)

    def _layers(self, symbols: Sequence[Symbol]) -> tuple[list[Layer], set[int]]:
        """Return the arcs of all places, and which branches behind the last one are accepted."""
        branches, layers, total = {self._automaton.start: 0}, list[Layer](), 0
        for symbol in symbols:
            then: dict[Branch, int] = {}
            layer = []
            for branch in branches:
                arcs = self._follow(branch, symbol)
                total += len(arcs)
                layer.append(
                    [
                        (first, count, -1 if after is None else then.setdefault(after, len(then)))
                        for first, count, after in arcs
                    ]
                )
            if total > _MOST_ARCS:
                _refuse(len(symbols))
            branches = then
            layers.append(layer)
        return layers, {one for branch, one in branches.items() if self._automaton.accepts(branch)}

    def _follow(self, branch: Branch, symbol: Symbol) -> list[tuple[int, int, Branch | None]]:
        """Return the first rank and the number of members that lead to one branch, and it."""
        arcs = self._followed.get((branch, symbol))
        if arcs is None:
            what, inside = symbol
            some = [Run(0, 1, what)] if what >= 0 else self._runs(FIRST_CLASS - what)
            then = [(self._automaton.follow(branch, run.character, inside), run) for run in some]
            arcs = []
            for after, together in groupby(then, lambda pair: pair[0]):
                alike = [run for _, run in together]
                arcs.append((alike[0].first, sum(run.count for run in alike), after))
            self._followed[branch, symbol] = arcs
        return arcs

    def _choice(self, arcs: Sequence[Arc], alive: Set[int]) -> Choice:
        """Number the members of a class that match."""
        key = tuple((count, after in alive) for _, count, after in arcs)
        choice = self._choices.get(key)
        if choice is None:
            matching = np.repeat([holds for _, holds in key], [count for count, _ in key])
            numbers = np.cumsum(matching).astype(np.uint64) - np.uint64(1)
            members = np.flatnonzero(matching)
            choice = self._choices[key] = Choice(len(members), members, numbers)
        return choice


Layer = list[list[Arc]]
"""The arcs of each branch at a place."""


def _alive(layers: Sequence[Layer], accepted: set[int]) -> list[set[int]]:
    """Return the branches before each place, and behind the last, from which values match."""
    alive = [accepted]
    for layer in reversed(layers):
        alive.append(
            {
                branch
                for branch, arcs in enumerate(layer)
                if any(after in alive[-1] for _, _, after in arcs)
            }
        )
    return alive[::-1]


def _paths(layers: Sequence[Layer], alive: Sequence[Set[int]], symbols: Sequence[Symbol]) -> Paths:
    """Count the values between two cuts."""
    counts: Mapping[int, int] = dict.fromkeys(alive[-1], 1)
    counted, bits = [counts], 0
    for layer, living in zip(reversed(layers), reversed(alive[:-1]), strict=True):
        counts = {
            branch: sum(count * counts.get(after, 0) for _, count, after in layer[branch])
            for branch in living
        }
        counted.append(counts)
        bits += sum(count.bit_length() for count in counts.values())
        if bits > _MOST_BITS:
            _refuse(len(layers))
    counted.reverse()
    (size,) = counted[0].values()
    dtype = np.uint64 if size <= WORD else object
    steps = [
        _step(layer, here, then, encrypted=symbol < 0, dtype=dtype)
        for layer, (here, then), (symbol, _) in zip(layers, pairwise(counted), symbols, strict=True)
    ]
    return Paths(size, sum(step.encrypted for step in steps), steps)


def _step(
    layer: Layer, here: Mapping[int, int], then: Mapping[int, int], *, encrypted: bool, dtype: Any
) -> Step:
    """Number the arcs of a place.

    Args:
        layer: its arcs.
        here: the branches before it, and how many values follow each.
        then: the branches behind it, likewise.
        encrypted: whether values have a character there that counts.
        dtype: of numbers of values.
    """
    number = {branch: place for place, branch in enumerate(then)}
    columns: list[tuple[int, int, int, int, int, int]] = []
    base, total = [], 0
    for branch in here:
        base.append(total)
        for first, count, after in layer[branch]:
            weight = then.get(after, 0)
            columns.append((count, first, number.get(after, 0), weight, total - base[-1], total))
            total += count * weight
    counts, first_ones, after_ones, weights, below, start = zip(*columns, strict=True)
    return Step(
        encrypted=encrypted,
        lookup=np.repeat(np.arange(len(counts)), counts),
        width=sum(count for _, count, _ in layer[next(iter(here))]),
        first=np.array(first_ones, np.intp),
        after=np.array(after_ones, np.intp),
        weight=np.array(weights, dtype),
        below=np.array(below, dtype),
        start=np.array(start, dtype),
        base=np.array(base, dtype),
    )


def _blocks(segments: Sequence[Choice | Paths]) -> list[list[Choice | Paths]]:
    """Put segments together whose numbers one word holds."""
    blocks: list[list[Choice | Paths]] = []
    size = 0
    for segment in segments:
        if blocks and size * segment.size <= WORD:
            blocks[-1].append(segment)
            size *= segment.size
        else:
            blocks.append([segment])
            size = segment.size
    return blocks


def _product(sizes: Sequence[int]) -> int:
    """Multiply numbers many of which are the same."""
    return math.prod(size**count for size, count in Counter(sizes).items())


def _refuse(length: int) -> None:
    raise PseudonymizationError(
        f"the pattern needs too large an automaton for a value of {length:,} characters: write it"
        " with fewer alternatives that begin alike"
    )

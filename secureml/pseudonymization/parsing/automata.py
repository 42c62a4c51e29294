"""The deterministic automaton of a pattern, built as far as values need it.

A state is what a backtracking matcher may go on with, in the order in which it would: so the
automaton tells not just whether a value matches, but which of its characters are in groups. It
reads characters as the sets of the pattern that they are in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.parsing.patterns import (
    END,
    NO_CHARACTERS,
    Fork,
    Mark,
    MarkKind,
    Place,
    Program,
)
from secureml.pseudonymization.tables.character_sets import CharSet

__all__ = ["Automaton", "Branch"]

_MOST_STATES = 1 << 14


class _Need(NamedTuple):
    """What the next character has to be for an item to go on.

    Args:
        characters: the number of a set.
        member: whether it is to be in that set.
        or_end: whether there may be none.
        last: whether it has to be the last one.
    """

    characters: int
    member: bool
    or_end: bool
    last: bool = False


Item = tuple[int, frozenset[_Need]]
"""A place, or END, and what has to hold between the last character and the next."""


@dataclass(slots=True, eq=False)
class State:
    """What a matcher may go on with.

    Attributes:
        items: the preferred one first.
        following: by what a character is, the next state, and the item that each of its items
            comes from.
    """

    items: tuple[Item, ...]
    following: dict[int, tuple[State, tuple[int, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Branch:
    """A state on the way to a given set of characters in groups.

    Args:
        state: reached so far, without what can't matter any more.
        agreeing: bit i tells whether item i has had the same characters in groups.
    """

    state: State
    agreeing: int


class Automaton:
    """Reads values. Threads may share one.

    Args:
        program: of the pattern.

    Attributes:
        sets: the sets of characters that it tells apart; bit i of what a character is, is whether
            set i holds it.
    """

    def __init__(self, program: Program) -> None:
        self.sets: Sequence[CharSet] = program.sets
        self._nodes = program.nodes
        self._states: dict[tuple[Item, ...], State] = {}
        self._behind: dict[int, list[tuple[int, tuple[Mark, ...]]]] = {}
        items = self._items(program.start, None, frozenset())
        self._start = self._state(tuple(dict.fromkeys(items)))

    @property
    def start(self) -> Branch:
        """Where every value begins."""
        return Branch(self._start, (1 << len(self._start.items)) - 1)

    def inside(self, characters: Sequence[int]) -> list[bool] | None:
        """Tell which characters of a value are in groups.

        Args:
            characters: what each is.

        Returns:
            One flag for each; None if the value does not match.
        """
        state, origins = self._start, []
        passed = [state]
        for one in characters:
            state, origin = self._follow(state, one)
            if not state.items:
                return None
            origins.append(origin)
            passed.append(state)
        item = next((one for one, item in enumerate(state.items) if _ends(item)), None)
        if item is None:
            return None
        flags = [False] * len(origins)
        for place in reversed(range(len(origins))):
            item = origins[place][item]
            flags[place] = self._is_inside(passed[place].items[item])
        return flags

    def follow(self, branch: Branch, character: int, inside: bool) -> Branch | None:
        """Return what follows a character; None if nothing does that has the same in groups.

        Args:
            branch: before it.
            character: what it is.
            inside: whether it is to be in a group.
        """
        state, origins = self._follow(branch.state, character)
        agreeing = 0
        for item, origin in enumerate(origins):
            agrees = branch.agreeing >> origin & 1
            if agrees and self._is_inside(branch.state.items[origin]) == inside:
                agreeing |= 1 << item
        if not agreeing:
            return None
        # What is less preferred than all that agree, can't win against them.
        return Branch(self._state(state.items[: agreeing.bit_length()]), agreeing)

    def accepts(self, branch: Branch) -> bool:
        """Tell whether a value that ends here has the same characters in groups."""
        for item, what in enumerate(branch.state.items):
            if _ends(what):
                return bool(branch.agreeing >> item & 1)
        return False

    def _follow(self, state: State, character: int) -> tuple[State, tuple[int, ...]]:
        found = state.following.get(character)
        if found is not None:
            return found
        origins: dict[Item, int] = {}
        for origin, (number, needs) in enumerate(state.items):
            place = self._nodes[number]
            if not isinstance(place, Place) or not character >> place.characters & 1:
                continue
            if any(character >> need.characters & 1 != need.member for need in needs):
                continue
            last = frozenset([_NOTHING] if any(need.last for need in needs) else ())
            for item in self._items(place.behind, character, last):
                origins.setdefault(item, origin)
        found = self._state(tuple(origins)), tuple(origins.values())
        state.following[character] = found
        return found

    def _items(self, node: int, before: int | None, needs: frozenset[_Need]) -> list[Item]:
        """Return the items that follow a character; None stands for the beginning of a value."""
        if node not in self._behind:
            self._behind[node] = self._reached(node)
        items = []
        for number, marks in self._behind[node]:
            more = [self._need(mark, before) for mark in marks]
            if _NEVER not in more:
                items.append((number, needs.union(need for need in more if need is not None)))
        return items

    def _need(self, mark: Mark, before: int | None) -> _Need | None:
        """Return what a mark demands of the next character, after the one before; or _NEVER."""
        held = before is not None and bool(before >> mark.characters & 1)
        if mark.kind is MarkKind.START:
            return None if before is None else _NEVER
        if mark.kind is MarkKind.LINE_START:
            return None if before is None or held else _NEVER
        if mark.kind is MarkKind.END:
            return _NOTHING
        if mark.kind in (MarkKind.LINE_END, MarkKind.LAST):
            return _Need(mark.characters, True, True, last=mark.kind is MarkKind.LAST)
        word = held == (mark.kind is MarkKind.NO_BOUNDARY)
        return _Need(mark.characters, member=word, or_end=not word)

    def _reached(self, node: int) -> list[tuple[int, tuple[Mark, ...]]]:
        """Return the places that follow a node, and END, each behind the marks on the way."""
        reached: dict[tuple[int, tuple[Mark, ...]], None] = {}
        seen: set[tuple[int, tuple[Mark, ...]]] = set()
        left: list[tuple[int, tuple[Mark, ...]]] = [(node, ())]
        while left:
            number, marks = left.pop()
            if (number, marks) in seen:
                continue
            seen.add((number, marks))
            here = self._nodes[number]
            if isinstance(here, Fork):
                left += [(way, marks) for way in reversed(here.ways)]
            elif isinstance(here, Mark):
                left.append((here.behind, marks if here in marks else (*marks, here)))
            else:
                reached[number, marks] = None
        return list(reached)

    def _state(self, items: tuple[Item, ...]) -> State:
        found = self._states.get(items)
        if found is None:
            if len(self._states) >= _MOST_STATES:
                raise PseudonymizationError(
                    f"the pattern needs an automaton of more than {_MOST_STATES:,} states: write"
                    " it with fewer alternatives that begin alike"
                )
            found = self._states.setdefault(items, State(items))
        return found

    def _is_inside(self, item: Item) -> bool:
        place = self._nodes[item[0]]
        return isinstance(place, Place) and place.inside


_NOTHING = _Need(NO_CHARACTERS, member=True, or_end=True)
_NEVER = _Need(-1, member=True, or_end=False)


def _ends(item: Item) -> bool:
    number, needs = item
    return number == END and all(need.or_end for need in needs)

"""Regular expressions in the syntax of Python's ``re``, as a machine whose parts are numbered.

The machine is what a backtracking matcher would try, in the order in which it would: a place takes
one character, a fork goes on in several ways, the preferred one first, and a mark says what has to
hold between two characters. Which characters a class such as \\w holds, and which differ in case
alone, comes from the frozen tables: what a pattern means does not change with the interpreter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from re import _constants as ops  # type: ignore[attr-defined]  # not in typeshed
from re import _parser  # type: ignore[attr-defined]  # not in typeshed
from typing import Any, NoReturn

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.tables.character_sets import ASCII, CharSet, caseless, property_set

__all__ = ["END", "NO_CHARACTERS", "Fork", "Mark", "MarkKind", "Node", "Place", "Program", "parsed"]

_LARGEST = 1 << 14  # places and forks of a pattern, whose repeats count as often as they repeat

END = 0
"""The node behind a pattern."""

NO_CHARACTERS = 0
"""The number of the empty set."""


class MarkKind(Enum):
    """What has to hold between two characters."""

    START = r"\A"
    LINE_START = "^ of (?m)"
    END = r"\Z"
    LINE_END = "$ of (?m)"
    LAST = "$"
    BOUNDARY = r"\b"
    NO_BOUNDARY = r"\B"


@dataclass(frozen=True, slots=True)
class Place:
    """Takes a character.

    Args:
        characters: which, as the number of their set.
        inside: whether it is inside of a group.
        behind: the node that follows.
    """

    characters: int
    inside: bool
    behind: int


@dataclass(frozen=True, slots=True)
class Fork:
    """Goes on with one of several nodes, the preferred one first."""

    ways: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """Goes on if something holds here.

    Args:
        kind: what.
        characters: the number of the set of word characters, or of line ends, if it needs one.
        behind: the node that follows.
    """

    kind: MarkKind
    characters: int
    behind: int


Node = Place | Fork | Mark | None


@dataclass(slots=True)
class Program:
    """A pattern.

    Attributes:
        sets: the sets of characters that it tells apart, and NO_CHARACTERS.
        nodes: by number; END is none.
        start: where it begins.
        groups: whether it has any.
    """

    sets: list[CharSet] = field(default_factory=lambda: [CharSet(())])
    nodes: list[Node] = field(default_factory=lambda: [None])
    start: int = END
    groups: bool = False

    def number(self, characters: CharSet) -> int:
        """Return the number of a set."""
        if characters not in self.sets:
            self.sets.append(characters)
        return self.sets.index(characters)

    def add(self, node: Node) -> int:
        """Add a node, and return its number."""
        if len(self.nodes) >= _LARGEST:
            _refuse(f"stands for more than {_LARGEST:,} characters: choose smaller repeats")
        self.nodes.append(node)
        return len(self.nodes) - 1


@lru_cache(1 << 6)
def parsed(pattern: str) -> Program:
    """Read a pattern.

    Raises:
        PseudonymizationError: the pattern is none, has no groups, or one that is in another one,
            or one that is repeated; or it is not regular, or too large.
    """
    tree, program = None, Program()
    try:
        tree = _parser.parse(pattern)
        program.start = _Builder(program).sequence(tree, tree.state.flags, END)
    except (re.error, RecursionError, OverflowError):
        tree = None
    if tree is None:
        raise PseudonymizationError("the pattern is not one that Python's re can compile")
    if not program.groups:
        _refuse("has no groups: what is to be encrypted goes in parentheses")
    return program


@dataclass(frozen=True, slots=True)
class _Builder:
    """Adds the nodes of a syntax tree, from its end on.

    Args:
        program: that they are added to.
        inside: of a group.
        repeated: whether all of this may occur several times.
    """

    program: Program
    inside: bool = False
    repeated: bool = False

    def sequence(self, items: Any, flags: int, behind: int) -> int:
        """Return the node that items begin with, which ``behind`` follows."""
        for op, argument in reversed(list(items)):
            behind = self._item(op, argument, flags, behind)
        return behind

    def _item(self, op: Any, argument: Any, flags: int, behind: int) -> int:
        if op in (ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN):
            characters = _characters(op, argument, flags)
            return self.program.add(Place(self.program.number(characters), self.inside, behind))
        if op is ops.SUBPATTERN:
            return self._group(argument, flags, behind)
        if op is ops.BRANCH:
            ways = [self.sequence(items, flags, behind) for items in argument[1]]
            return self.program.add(Fork(tuple(ways)))
        if op in (ops.MAX_REPEAT, ops.MIN_REPEAT):
            return self._repeat(argument, flags, behind, lazy=op is ops.MIN_REPEAT)
        if op is not ops.AT:
            _refuse(f"has {_IRREGULAR.get(str(op), 'a construct that is not known')}: {_WITHOUT}")
        return self._mark(argument, flags, behind)

    def _group(self, group: Any, flags: int, behind: int) -> int:
        number, added, removed, items = group
        if added & _TYPES:
            flags &= ~_TYPES
        flags = (flags | added) & ~removed
        if number is None:
            return self.sequence(items, flags, behind)
        if self.inside:
            _refuse("has a group inside of another one")
        if self.repeated:
            _refuse("has a group that is repeated: only the last one would be encrypted")
        self.program.groups = True
        return _Builder(self.program, inside=True).sequence(items, flags, behind)

    def _repeat(self, repeat: Any, flags: int, behind: int, *, lazy: bool) -> int:
        least, most, items = repeat
        body = _Builder(self.program, self.inside, self.repeated or most > 1)
        endless = most == ops.MAXREPEAT
        following = behind
        if endless:
            # The loop's own number is known before the node: that of its end, filled in later.
            following = self.program.add(None)
            again = body.sequence(items, flags, following)
            self.program.nodes[following] = _fork(again, behind, lazy=lazy)
        for _ in range(0 if endless else most - least):
            following = self.program.add(
                _fork(body.sequence(items, flags, following), behind, lazy=lazy)
            )
        for _ in range(least):
            following = body.sequence(items, flags, following)
        return following

    def _mark(self, at: Any, flags: int, behind: int) -> int:
        lines = bool(flags & re.MULTILINE)
        kinds = {
            ops.AT_BEGINNING: MarkKind.LINE_START if lines else MarkKind.START,
            ops.AT_BEGINNING_STRING: MarkKind.START,
            ops.AT_END: MarkKind.LINE_END if lines else MarkKind.LAST,
            ops.AT_END_STRING: MarkKind.END,
            ops.AT_BOUNDARY: MarkKind.BOUNDARY,
            ops.AT_NON_BOUNDARY: MarkKind.NO_BOUNDARY,
        }
        boundary = at in (ops.AT_BOUNDARY, ops.AT_NON_BOUNDARY)
        needed = _category("WORD", flags) if boundary else _LINE_END
        return self.program.add(Mark(kinds[at], self.program.number(needed), behind))


_TYPES = re.ASCII | re.LOCALE | re.UNICODE
_LINE_END = CharSet.of([(10, 10)])
_IRREGULAR = {
    "GROUPREF": "a reference to a group",
    "GROUPREF_EXISTS": "a condition on a group",
    "ASSERT": "a look-around",
    "ASSERT_NOT": "a look-around",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repeat",
}
_WITHOUT = "write what it says as alternatives"
_PROPERTIES = {"DIGIT": "decimal", "SPACE": "space", "WORD": "word"}


def _fork(body: int, behind: int, *, lazy: bool) -> Fork:
    return Fork((behind, body) if lazy else (body, behind))


def _characters(op: Any, argument: Any, flags: int) -> CharSet:
    """Return the characters that an item of a syntax tree matches."""
    if op is ops.ANY:
        return CharSet.of([(0, 0x10FFFF)]) if flags & re.DOTALL else ~_LINE_END
    if op is not ops.IN:
        characters = _folded(CharSet.of([(argument, argument)]), flags)
        return ~characters if op is ops.NOT_LITERAL else characters
    spans, negated, categories = [], False, CharSet(())
    for kind, value in argument:
        if kind is ops.NEGATE:
            negated = True
        elif kind is ops.CATEGORY:
            name = str(value).removeprefix("CATEGORY_")
            characters = _category(name.removeprefix("NOT_"), flags)
            categories |= ~characters if name.startswith("NOT_") else characters
        else:
            spans.append((value, value) if kind is ops.LITERAL else value)
    characters = _folded(CharSet.of(spans), flags) | categories
    return ~characters if negated else characters


def _folded(characters: CharSet, flags: int) -> CharSet:
    if not flags & re.IGNORECASE:
        return characters
    if flags & re.ASCII:
        return characters | caseless(characters & ASCII) & ASCII
    return caseless(characters)


def _category(name: str, flags: int) -> CharSet:
    characters = property_set(_PROPERTIES[name])
    if name == "WORD":
        characters |= CharSet.of([(ord("_"), ord("_"))])
    if flags & re.ASCII:
        # U+001C to U+001F are spaces of Unicode, and not of ASCII.
        characters &= CharSet.of([(0, 0x1B), (0x20, 0x7F)])
    return characters


def _refuse(problem: str) -> NoReturn:
    raise PseudonymizationError(f"the pattern {problem}")

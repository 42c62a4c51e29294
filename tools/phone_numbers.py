"""Write the frozen table of valid numbers, `secureml/pseudonymization/tables/phone_numbers.txt`.

Run once per version of the format, with the package phonenumbers:
`python tools/phone_numbers.py > TABLE`. A new table is a new version of
the format: what the old one encrypted can't be recovered with it.

The patterns of every region of a calling code are read as automata that run side by side; what
follows a digit string is merged wherever it is the same, over all calling codes and lengths.
"""

from __future__ import annotations

import random
import re._constants as op  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from functools import cache

import phonenumbers
from phonenumbers import PhoneMetadata

States = frozenset[int]
TYPES = (
    "premium_rate",
    "toll_free",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
    "fixed_line",
    "mobile",
)


class Automaton:
    """A non-deterministic automaton of one pattern."""

    def __init__(self, pattern: str) -> None:
        self.moves: list[list[tuple[str, int]]] = []
        self.empty: list[list[int]] = []
        self.final = self.state()
        self.start = self.build(list(parser.parse(pattern)), self.final)

    def state(self) -> int:
        self.moves.append([])
        self.empty.append([])
        return len(self.moves) - 1

    def build(self, items: list, end: int) -> int:
        """Return the state from which the items lead to the end."""
        for kind, value in reversed(items):
            end = self.item(kind, value, end)
        return end

    def item(self, kind: object, value: object, end: int) -> int:
        if kind in (op.LITERAL, op.IN):
            begin = self.state()
            self.moves[begin].append((members(kind, value), end))
        elif kind is op.SUBPATTERN:
            begin = self.build(list(value[3]), end)
        elif kind is op.BRANCH:
            begin = self.state()
            self.empty[begin] = [self.build(list(branch), end) for branch in value[1]]
        elif kind is op.MAX_REPEAT:
            least, most, body = value
            begin = end
            for number in range(int(most), 0, -1):
                inner = self.build(list(body), begin)
                begin = inner
                if number > least:
                    begin = self.state()
                    self.empty[begin] = [inner, end]
        else:
            raise ValueError(f"{kind} is not expected")
        return begin

    @cache  # noqa: B019 - automata live as long as the script
    def closed(self, states: States) -> States:
        found = set(states)
        while True:
            more = {one for state in found for one in self.empty[state]} - found
            if not more:
                return frozenset(found)
            found |= more

    @cache  # noqa: B019 - as above
    def after(self, states: States, digit: str) -> States:
        here = self.closed(states)
        return self.closed(
            frozenset(end for s in here for digits, end in self.moves[s] if digit in digits)
        )


def members(kind: object, value: object) -> str:
    if kind is op.LITERAL:
        return chr(value)
    digits = ""
    for part, argument in value:
        if part is op.LITERAL:
            digits += chr(argument)
        elif part is op.RANGE:
            digits += "".join(map(chr, range(argument[0], argument[1] + 1)))
        elif (part, argument) == (op.CATEGORY, op.CATEGORY_DIGIT):
            digits += "0123456789"
        else:
            raise ValueError(f"{part} is not expected")
    return digits


class Region:
    """What makes a number one of a region."""

    def __init__(self, metadata: PhoneMetadata) -> None:
        self.kinds = [getattr(metadata, kind) for kind in ("general_desc", *TYPES)]
        self.kinds = [kind for kind in self.kinds if kind and kind.national_number_pattern]
        self.automata = [Automaton(kind.national_number_pattern) for kind in self.kinds]
        self.leading = Automaton(metadata.leading_digits) if metadata.leading_digits else None
        self.general = metadata.general_desc

    def matches(self, states: tuple[States, ...], length: int) -> bool:
        found = [
            automaton.final in here
            and length in (kind.possible_length or self.general.possible_length)
            for automaton, here, kind in zip(self.automata, states, self.kinds, strict=True)
        ]
        return found[0] and any(found[1:])


NODES: dict[tuple[int, ...], int] = {}
"""Nodes by the nodes that follow each digit. 0 is no number, 1 the end of one."""

FOLLOWING: dict[int, tuple[int, ...]] = {}


def number_of(children: tuple[int, ...]) -> int:
    if not any(children):
        return 0
    return NODES.setdefault(children, len(NODES) + 2)


def root(regions: list[Region], length: int) -> int:
    """Return the node that all numbers of a length begin with."""

    @cache
    def node(states: tuple, leading: tuple, left: int) -> int:
        if not left:
            for region, here, led in zip(regions, states, leading, strict=True):
                if region.leading is not None:
                    if led is True:
                        return int(region.matches(here, length))
                elif region.matches(here, length):
                    return 1
            return 0
        return number_of(tuple(node(*step(states, leading, d), left - 1) for d in "0123456789"))

    def step(states: tuple, leading: tuple, digit: str) -> tuple[tuple, tuple]:
        return (
            tuple(
                tuple(a.after(s, digit) for a, s in zip(region.automata, here, strict=True))
                for region, here in zip(regions, states, strict=True)
            ),
            tuple(
                led
                if led is True or led is None
                else reached(region.leading.after(led, digit), region)
                for region, led in zip(regions, leading, strict=True)
            ),
        )

    def reached(states: States, region: Region) -> States | bool:
        return True if region.leading.final in states else states

    return node(
        tuple(tuple(a.closed(frozenset([a.start])) for a in region.automata) for region in regions),
        tuple(
            None if one.leading is None else one.leading.closed(frozenset([one.leading.start]))
            for one in regions
        ),
        length,
    )


# What the library always takes for something else before the number, by calling code.
MISREAD = {81: ["003768"]}


def without(node: int, digits: str) -> int:
    """Return the node without the numbers that begin with some digits."""
    if not digits or not node:
        return 0
    children = list(next(children for children, number in NODES.items() if number == node))
    children[int(digits[0])] = without(children[int(digits[0])], digits[1:])
    return number_of(tuple(children))


def survives(before: str, length: int, node: int, region: str | None = None) -> bool:
    """Tell whether the library reads numbers of a length as it would be told them.

    It may take the first digits for a national prefix, or not, and what is left is no number.
    """
    generator = random.Random(length)
    for _ in range(1000):
        here, number = node, before
        for _ in range(length):
            digit = generator.choice([d for d, child in enumerate(FOLLOWING[here]) if child])
            here, number = FOLLOWING[here][digit], f"{number}{digit}"
        try:
            parsed = phonenumbers.parse(number, region)
        except phonenumbers.NumberParseException:
            return False
        if not phonenumbers.is_valid_number(parsed):
            return False
    return True


def main() -> None:
    """Print the table."""
    roots, countries = [], []
    for code, names in sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()):
        metadata = [
            PhoneMetadata.metadata_for_nongeo_region(code)
            if name == "001"
            else PhoneMetadata.metadata_for_region(name)
            for name in names
        ]
        regions = [Region(one) for one in metadata]
        lengths = {length for one in metadata for length in one.general_desc.possible_length}
        found = [(length, root(regions, length)) for length in sorted(lengths)]
        for digits in MISREAD.get(code, ()):
            found = [(length, without(node, digits)) for length, node in found]
        FOLLOWING.update({number: children for children, number in NODES.items()})
        found = [(n, node) for n, node in found if node and survives(f"+{code}", n, node)]
        prefix = (metadata[0].national_prefix or "").replace("~", "")
        mark = {n: "*" for n, node in found if prefix and survives(f"+{code}{prefix}", n, node)}
        roots.append((code, prefix or "-", [f"{n}:{node}{mark.get(n, '')}" for n, node in found]))
        for name, one in zip(names, metadata, strict=True):
            own = (one.national_prefix or "").replace("~", "")
            if name != "001":
                bare = [n for n, node in found if survives("", n, node, name)]
                prefixed = [f"{n}*" for n, node in found if own and survives(own, n, node, name)]
                countries.append((name, code, own or "-", [*bare, *prefixed]))
    print("# Valid national numbers by calling code. Frozen: a part of the format phone/1.")
    print(f"# From the metadata of phonenumbers {phonenumbers.__version__}.")
    print("# NODE=FOLLOWING: what follows the digits 0 to 9 of a node; DIGITS:NODE where it is not")
    print("# 0, which is no number; 1 is the end of one.")
    print("# CODE PREFIX LENGTH:NODE ...: of a calling code, its national prefix and the nodes its")
    print("# numbers begin with; * where the prefix may stand before the number.")
    print("# REGION CODE PREFIX LENGTH ...: of a region, its calling code, its national prefix and")
    print("# how long the numbers in national writing are; * with the prefix before them.")
    for children, number in NODES.items():
        groups: dict[int, str] = {}
        for digit, child in enumerate(children):
            if child:
                groups[child] = groups.get(child, "") + str(digit)
        print(f"{number}=" + " ".join(f"{digits}:{child}" for child, digits in groups.items()))
    for code, prefix, nodes in roots:
        print(code, prefix, *nodes)
    for name, code, prefix, lengths in sorted(countries):
        print(name, code, prefix, *lengths)


if __name__ == "__main__":
    main()

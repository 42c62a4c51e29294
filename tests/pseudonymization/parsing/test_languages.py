"""The values of a template that match are counted and numbered as brute force does it."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from secureml.pseudonymization.parsing.automata import Automaton
from secureml.pseudonymization.parsing.languages import FIRST_CLASS, Languages, Run
from secureml.pseudonymization.parsing.patterns import parsed
from secureml.pseudonymization.tables.character_sets import masks_of

CLASSES = ["012", "AB", "ab"]
"""Small classes, so that all values of a template can be tried."""

ATOMS = ["0", "1", "2", "[01]", "[02]", r"\d", "A", "[AB]", "a", "[ab]", r"\w", "-", ".", "[^1a]"]
TIMES = ["", "", "", "?", "*", "+", "{2}", "{1,2}", "*?"]


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """A pattern of alternatives; what is repeated as a whole is never empty."""
    text = ""
    for _ in range(draw(st.integers(1, 4))):
        first, second, third = (draw(st.sampled_from(ATOMS)) for _ in range(3))
        piece = f"(?:{first}|{second}{draw(st.sampled_from(['', '+', '{1,2}', '+?']))}{third})"
        piece += draw(st.sampled_from(TIMES))
        text += draw(st.sampled_from(["({})", "({})", "{}"])).replace("{}", piece)
    return text


def flags(pattern: re.Pattern[str], value: str) -> list[bool] | None:
    match = pattern.fullmatch(value)
    if match is None:
        return None
    spans = match.regs[1:]
    return [any(start <= place < end for start, end in spans) for place in range(len(value))]


@settings(max_examples=300)
@given(patterns(), st.text(st.sampled_from("012ABab-"), min_size=1, max_size=6))
@example(r"(0|12)([01]{2}|2\d)", "0011")
@example(r"((?:0|12|2)*)", "012012")
@example(r"(\w*)-?(\d*)", "AB012")
@example(r"(0[12]|1[01]|2\d)-((?:[ab]|A)*)", "01-")
def test_members_are_those_of_the_template_in_order(text: str, value: str) -> None:
    try:
        pattern = re.compile(text)
    except re.error:
        return
    here = flags(pattern, value) if pattern.groups else None
    if here is None:
        return
    automaton = Automaton(parsed(text))

    def characters(some: str) -> list[int]:
        return masks_of(automaton.sets, np.array([*map(ord, some)], np.uint32))

    def runs(number: int) -> list[Run]:
        return [Run(rank, 1, one) for rank, one in enumerate(characters(CLASSES[number]))]

    number = {one: place for place, every in enumerate(CLASSES) for one in every}
    symbols = [
        (FIRST_CLASS - number[one] if inside and one in number else what, inside)
        for one, what, inside in zip(value, characters(value), here, strict=True)
    ]
    choices = [
        CLASSES[number[one]] if inside and one in number else one
        for one, inside in zip(value, here, strict=True)
    ]
    every = ["".join(one) for one in product(*choices)]
    members = [one for one in every if flags(pattern, one) == here]
    language = Languages(automaton, runs).of(symbols)
    assert language.size == len(members)
    assert language.whole == (len(members) == len(every))
    if not len(language.places):
        return
    columns = [
        np.array([CLASSES[one].index(member[place]) for member in members])
        for place, one in zip(language.places.tolist(), language.classes, strict=True)
    ]
    ranks = language.rank(columns)
    assert ranks.tolist() == [*range(len(members))]
    back = language.unrank(ranks)
    assert all((one == other).all() for one, other in zip(back, columns, strict=True))


@pytest.mark.parametrize("length", [40, 70, 200, 2001])
def test_numbers_of_any_size_come_back(length: int) -> None:
    automaton = Automaton(parsed(r"((?:\d|[1-3]\d|4[0-5]x?)*[1-9]\d*)"))
    everything = masks_of(automaton.sets, np.array([*map(ord, "0123456789")]))

    def runs(number: int) -> list[Run]:
        return [Run(rank, 1, one) for rank, one in enumerate(everything)]

    language = Languages(automaton, runs).of([(FIRST_CLASS, True)] * length)
    assert 1 < language.size < 10**length
    numbers = [0, 1, language.size // 3, language.size - 2, language.size - 1]
    small = language.size <= 1 << 63
    columns = language.unrank(np.array(numbers, np.uint64 if small else object))
    assert language.rank(columns).tolist() == numbers

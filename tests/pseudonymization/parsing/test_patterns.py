"""What a pattern matches, and what is in its groups, is what Python's ``re`` says."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.parsing.automata import Automaton
from secureml.pseudonymization.parsing.patterns import parsed
from secureml.pseudonymization.tables.character_sets import masks_of

CHARACTERS = [
    *["a", "b", "1", "_", "\\n", ".", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", "[ab]", "[^a]"],
    *["[^1_]", r"[\d_a]", r"[^\w]", r"[^\W\d]", "[a-b-]"],
    *["(?:a|b1)", "(?:ab|a)", "(?:b|bb)", "(?i:A)", "(?-i:a)", "(?s:.)", "[]a]", r"\."],
]
MARKS = [r"\b", r"\B", "^", "$", r"\A", r"\Z"]
TIMES = ["", "", "", "?", "*", "+", "{2}", "{1,3}", "{,2}", "{2,}", "??", "*?", "+?", "{1,2}?"]
VALUES = st.text(st.sampled_from("ab1_A \n-.]"), min_size=1, max_size=7)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """A pattern of some repeated pieces, some of them in groups.

    What is repeated as a whole is never empty: re has rules of its own for empty repeats.
    """
    text = draw(st.sampled_from(["", "", "(?s)", "(?m)", "(?i)", "(?a)"]))
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            first, second = (
                draw(st.sampled_from(CHARACTERS)) + draw(st.sampled_from(["", "", "+", "{2}"]))
                for _ in range(2)
            )
            piece = f"(?:{first}{draw(st.sampled_from(['', '|']))}{second})"
            piece += draw(st.sampled_from(TIMES))
        else:
            atom = draw(st.sampled_from(CHARACTERS + MARKS))
            piece = atom + (draw(st.sampled_from(TIMES)) if atom in CHARACTERS else "")
        text += draw(st.sampled_from(["({})", "{}"])).replace("{}", piece)
    return text


def inside(pattern: str, value: str) -> list[bool] | None:
    automaton = Automaton(parsed(pattern))
    codes = np.array([*map(ord, value)], np.uint32)
    return automaton.inside(masks_of(automaton.sets, codes))


def expected(pattern: re.Pattern[str], value: str) -> list[bool] | None:
    match = pattern.fullmatch(value)
    if match is None:
        return None
    spans = match.regs[1:]
    return [any(start <= place < end for start, end in spans) for place in range(len(value))]


@settings(max_examples=400)
@given(patterns(), st.lists(VALUES, min_size=1, max_size=12))
@example(r"^(a)$\n", ["a\n", "a", "a\n\n"])
@example(r"(?m)(a$)\n(^b)", ["a\nb"])
@example(r"(a|ab)(?:c|bcd)?(1*)", ["abcd1", "ab1"])
@example(r"(\w+?)(?:\b.|_)*(a*)", ["ab-a", "a__a"])
def test_groups_are_where_re_has_them(text: str, values: list[str]) -> None:
    try:
        pattern = re.compile(text)
    except (re.error, FutureWarning):
        return
    if not pattern.groups:
        return
    for value in values:
        assert inside(text, value) == expected(pattern, value), (text, value)


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("(?i)([k-k]+)", "kK\u212a"),
        ("(?i)(\u212a\u017f)", "ks"),
        ("(?i)([^k]+)", "K"),
        ("(?i)(i+)", "iI\u0130\u0131"),
        ("(?ia)(k+)", "kK"),
        ("(?ia)(k+)", "\u212a"),
        ("(?ia)([é]+)", "É"),
        ("(?i)(σ+)", "σςΣ"),
        (r"(?a)(\w+)(\s*)", "é"),
        (r"(?a)(\s+)", " \x1c"),
        (r"(\s+)", " \x1c\x85\u2003"),
        (r"(\d+)", "1٣४"),
        (r"(\d+)", "²"),
        (r"(\w+)", "x²Ⅷ½山"),
        (r"(\w+)", "e\u0301"),
        (r"(\w+)(?u:é)", "aé"),
        (r"(.)", "\ud800"),
    ],
)
def test_classes_and_cases_of_characters_that_every_version_knows(pattern: str, value: str) -> None:
    assert inside(pattern, value) == expected(re.compile(pattern), value)


def test_a_letter_that_some_versions_do_not_know_is_one() -> None:
    khojki = "\U0001123f\U00011240"
    assert inside(r"(\w+)", khojki) == [True, True]
    assert inside(r"(\W+)", khojki) is None


def test_states_are_bounded() -> None:
    automaton = Automaton(parsed("((?:.*a.{18})*)"))
    every = np.array([ord("a"), ord("b")])[np.random.default_rng(0).integers(0, 2, 50_000)]
    with pytest.raises(PseudonymizationError, match="automaton of more than"):
        automaton.inside(masks_of(automaton.sets, every))

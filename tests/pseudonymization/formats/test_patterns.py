"""A pattern says of a folded value what it says of the value."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.pseudonymization.formats.patterns import folding_of
from secureml.pseudonymization.text import Text

CHARACTERS = st.sampled_from("aAbdwZ_09459-/.]^[{},(\\ \t\n\x1c²½٣߁éßſİıΩжЖ山한-\ud800😀\U0001d7d8")
ATOMS = [
    *["a", "B", "4", "é", "ж", ".", "_", "/", " ", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S"],
    *[r"\.", r"\[", r"\\", r"\{", "{", "[0-5]", "[^a-f]", r"[\d_]", r"[^\s\]]", "[]x]", "[а-я]"],
    *[
        r"\b",
        r"\B",
        "^",
        "$",
        r"\A",
        r"\Z",
        "(?=a)",
        "(?!9)",
        "(?:b|4)",
        r"(?<=\d)",
        "[+--]",
        "[[4}]",
        r"[\\d]",
        r"[^\\w]",
        r"\\d",
        r"\]",
        r"[\]\-a]",
    ],
]
TIMES = ["", "", "?", "*", "{2}", "{1,3}", "{,2}", "+?"]
GROUPS = ["({})", "({})", "(?P<a4>{})", "{}"]


@st.composite
def patterns(draw: st.DrawFn) -> re.Pattern[str]:
    pieces = []
    for number in range(draw(st.integers(1, 4))):
        repeated = draw(st.sampled_from(ATOMS)) + draw(st.sampled_from(TIMES))
        group = draw(st.sampled_from(GROUPS)).replace("a4", f"a4{number}")
        pieces.append(group.replace("{}", repeated))
    text = draw(st.sampled_from(["", "(?s)", "(?m)"])) + "".join(pieces)
    try:
        return re.compile(text)
    except (re.error, FutureWarning):
        return re.compile(r"(\d)\w*")


@given(patterns(), st.lists(st.text(CHARACTERS, max_size=6), max_size=8))
def test_folded_values_match_as_they_did(pattern: re.Pattern[str], values: list[str]) -> None:
    folding = folding_of(pattern)
    assert folding is not None
    text = Text.of(values)
    folded = Text(folding.table(text.codes)[text.codes], text.offsets)
    assert folded.codes.dtype == text.codes.dtype
    for before, after in zip(values, folded.strings(), strict=True):
        one, other = pattern.fullmatch(before), pattern.fullmatch(after)
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert one.regs == other.regs


@pytest.mark.parametrize(
    "text", [r"[\\d]", r"[^\\w]", r"\\d", r"\\\d", r"[\]\-a]", r"[]w]", r"[\wd]"]
)
def test_a_backslash_makes_a_class_of_a_letter_only_where_it_is_not_escaped(text: str) -> None:
    pattern = re.compile(text)
    folding = folding_of(pattern)
    assert folding is not None
    values = [first + second for first in "\\dwe]-5" for second in ["", *"\\de5"]]
    column = Text.of(values)
    folded = Text(folding.table(column.codes)[column.codes], column.offsets).strings()
    assert [bool(pattern.fullmatch(one)) for one in folded] == [
        bool(pattern.fullmatch(one)) for one in values
    ]


def test_what_a_pattern_does_not_tell_apart_is_one() -> None:
    folding = folding_of(re.compile(r"DE-(\d{4})/(?P<x9>[a-z]{2,4})-L"))
    assert folding is not None
    text = Text.of(["DE-1234/ab-L", "DE-9876/xy-L"])
    folded = folding.table(text.codes)[text.codes].reshape(2, -1)
    assert (folded[0] == folded[1])[: len("DE-1234/")].all()
    assert len(np.unique(folded[:, 3:7])) == 1


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a)\1",
        r"(?P<x>.)(?P=x)",
        r"(?i)(k)",
        r"(?i:k)(.)",
        r"(?-i:k)(.)",
        r"(?a)(\d)",
        r"(?x)( a )",
        r"(\x41)",
        r"(\n)",
        r"([\u0041-\u005a])",
        r"(\N{DIGIT ONE})",
        r"([\b])",
        r"([\x41])",
        r"[\\](\x41)",
    ],
)
def test_patterns_that_may_tell_any_characters_apart(pattern: str) -> None:
    assert folding_of(re.compile(pattern)) is None

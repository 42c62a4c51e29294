from __future__ import annotations

import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import secureml
from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats import make_format, resolve_format
from secureml.pseudonymization.formats.regex import RegexFormat
from secureml.pseudonymization.ranking.permutation import MIN_DOMAIN

PATTERNS = {
    r"ID-(\d{7})-[A-Z]{2}": ["ID-1234567-AB", "ID-7654321-XY"],
    r"([1-4]\d{8})": ["123456789", "499999999"],
    r"(?P<name>[a-z]{3,})@(?:x|(y))\.com": ["abcdefg@x.com", "abcdefg@y.com"],
    r"([A-Za-z]+) ?([a-z]+-?[a-z]*)": ["Anna bella-donna", "Abcdef"],
    r"(\w+)-(\w+)?": ["山田太郎-Émile", "abcdefg-"],
    r"(.*)": ["any thing, 12 at all", "~tilde\ud8001234é"],
    r"(\d{4})(\d{4})": ["12345678"],
    r"~(\d{6})": ["~123456"],
}
"""Patterns, and values that they match."""


VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "regex_2.json").read_text("utf-8"))
"""Of version 2 of the format, under the key of octets 0 to 31; they never change."""


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: ascii(vector["pattern"]))
def test_every_interpreter_makes_the_same_pseudonyms(lab, vector: dict[str, Any]) -> None:
    form = RegexFormat(pattern=vector["pattern"])
    assert lab.encrypted(form, vector["before"]) == vector["after"]


def able(python: str) -> bool:
    """Tell whether an interpreter has what secureml needs."""
    asked = [python, "-c", "import secureml.pseudonymization.formats"]
    tried = subprocess.run(asked, check=False, cwd=ROOT, capture_output=True, timeout=60)
    return tried.returncode == 0


ROOT = Path(secureml.__file__).parents[1]
OTHERS = [
    python
    for minor in range(11, 16)
    for python in [os.environ.get(f"PYTHON3{minor}") or shutil.which(f"python3.{minor}")]
    if minor != sys.version_info.minor and python and able(python)
]
"""The other interpreters of this machine."""

OTHER = """
import json, sys
from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.pseudonymization.formats import make_format
from secureml.pseudonymization.ranking.permutation import Permutation
from secureml.pseudonymization.ranking.pipeline import transform
from secureml.pseudonymization.values.text import Text
cipher = IntegerFF1(bytes(range(32)))
for vector in json.load(sys.stdin):
    form = make_format("regex/2", {"pattern": vector["pattern"]})
    for decrypt, before, after in ((False, "before", "after"), (True, "after", "before")):
        made = transform(form, Text.of(vector[before]), Permutation(cipher, decrypt=decrypt))
        assert made.values.strings() == vector[after]
"""


@pytest.mark.skipif(not OTHERS, reason="no other interpreter has what secureml needs")
@pytest.mark.parametrize("python", OTHERS)
def test_another_interpreter_on_this_machine_does(python: str) -> None:
    asked = json.dumps(VECTORS)
    subprocess.run([python, "-c", OTHER], input=asked, text=True, cwd=ROOT, check=True, timeout=120)


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(max_examples=25)
@given(data=st.data(), wide=st.booleans(), tables=st.booleans())
def test_any_text_comes_back_or_is_reported(lab, pattern, data, wide, tables) -> None:
    form = RegexFormat(pattern=pattern)
    some = st.from_regex(re.compile(pattern), fullmatch=True) | st.text(st.characters(codec=None))
    values = data.draw(st.lists(some, max_size=4))
    for value, new in zip(values, lab.tried(form, values, wide=wide, tables=tables), strict=True):
        old = re.fullmatch(pattern, value)
        if value and new is not None:
            match = re.fullmatch(pattern, new)
            assert match
            assert match.regs == old.regs or len(match.regs) > 2
            outside = [
                (one, other)
                for place, (one, other) in enumerate(zip(value, new, strict=True))
                if not any(start <= place < end for start, end in old.regs[1:])
            ]
            assert all(one == other for one, other in outside)
        assert old or not new


def test_what_does_not_match_as_a_whole_is_invalid(lab) -> None:
    form = RegexFormat(pattern=r"ID-(\d{7})")
    values = ["ID-1234567", "ID-123456", "ID-1234567x", "xID-1234567", "", "\ud800", "é"]
    assert lab.invalid(form, values) == [value for value in values[1:] if value]
    assert lab.invalid(form, values, decrypt=True) == [value for value in values[1:] if value]


def test_a_pattern_within_classes_is_walked_to(lab) -> None:
    form = RegexFormat(pattern=r"([0-4][0-4][0-4]\d{6})")
    values = [f"{n % 5}{n // 5 % 5}{n // 25 % 5}{n:06d}" for n in range(3000)]
    pseudonyms = lab.encrypted(form, values)
    assert len(set(pseudonyms)) == len(values)
    assert all(set(pseudonym[:3]) <= set("01234") for pseudonym in pseudonyms)


def test_a_whole_domain_within_a_class(lab) -> None:
    form = RegexFormat(pattern=r"([1-4]\d\d)-X")
    values = [f"{number}-X" for number in range(100, 500)]
    assert sorted(lab.encrypted(form, values, tables=True)) == values


def test_100_000_stay_distinct_and_are_even(lab) -> None:
    form = RegexFormat(pattern=r"N(\d{9})")
    values = [f"N{number:09d}" for number in range(0, 10**8, 1000)]
    pseudonyms = lab.transform(form, values).values.strings()
    assert len(set(pseudonyms)) == len(values)
    lab.even(pseudonyms)


@pytest.mark.parametrize(
    ("pattern", "value", "domain"),
    [
        (r"X(\d{5})", "X12345", 10**5),
        (r"(1[0-9]{5})", "123456", 10**5),
        (r"(AAAAAAB?)\d+", "AAAAAA1", 1),
        (r"(-+)\d+", "--1234567", 1),
        (r"(x)?1234567", "1234567", 1),
    ],
)
def test_what_has_too_few_pseudonyms(lab, pattern: str, value: str, domain: int) -> None:
    made = lab.transform(RegexFormat(pattern=pattern), ["", value, value])
    assert made.small.rows.tolist() == [1, 2]
    assert made.small.domain == domain
    assert made.values.strings() == ["", "", ""]
    assert not len(made.invalid)


def test_what_is_kept_and_the_pattern_separate_pseudonyms(lab) -> None:
    form = RegexFormat(pattern=r"([A-Z]{6})-\d")
    first, second = lab.encrypted(form, ["ABCDEF-1", "ABCDEF-2"])
    (third,) = lab.encrypted(RegexFormat(pattern=r"([A-Z]{6})-\d+"), ["ABCDEF-1"])
    assert len({first[:6], second[:6], third[:6]}) == 3


def test_row_tweaks(lab) -> None:
    lab.unlinkable(RegexFormat(pattern=r"ID-(\d+)"), "ID-1234567")
    lab.unlinkable(RegexFormat(pattern=r"([12]\d{7})"), "12345678")


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", "no groups"),
        ("abc", "no groups"),
        ("(?:a)", "no groups"),
        ("(", "can compile"),
        ("(a", "can compile"),
        ("((a))", "inside"),
        ("(?P<x>a(?:b(c)))", "inside"),
        ("(a)+", "repeated"),
        ("(a)*?", "repeated"),
        ("(a){2}", "repeated"),
        ("(?:(a)b)*", "repeated"),
        ("(?:(?:(a)b)c){3}", "repeated"),
        (None, "text"),
        (["(a)"], "text"),
        (b"(a)", "text"),
        (r"(a)\1", "reference"),
        ("(?P<x>a)(?P=x)", "reference"),
        ("(a)?(?(1)b|c)", "condition"),
        ("(?=a)(a)", "look-around"),
        ("(?<!a)(a)", "look-around"),
        ("(?>a)(b)", "atomic"),
        ("a++(b)", "possessive"),
        ("(a{20000})", "16,384 characters"),
        ("(" * 2000 + ")" * 2000, "can compile"),
    ],
)
def test_patterns_that_can_not_be(pattern: object, said: str) -> None:
    with pytest.raises(PseudonymizationError, match=said) as caught:
        make_format("regex/2", {"pattern": pattern})  # type: ignore[dict-item]
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "pattern", [r"\((a)\)", "[()]((?:a))", "(?:a)+(b)?", "[]()](a)", r"(a)\)+"]
)
def test_parentheses_that_are_no_nested_groups(pattern: str) -> None:
    assert RegexFormat(pattern=pattern).options == {"pattern": pattern}


def test_a_pattern_with_colons_can_be_written(lab) -> None:
    form = resolve_format(r"regex:(?:a:)(\d{6})", {})
    assert lab.encrypted(form, ["a:123456"])[0].startswith("a:")


def test_none(lab) -> None:
    form = RegexFormat(pattern=r"ID-(\d{7})")
    for values in ([], [""], ["", ""]):
        assert lab.encrypted(form, values) == values


PARTS = [
    ["[2-2]", "[1-4]", r"\d", "[02468]", "(?:1|7)"],
    [r"\d", "[0-4]", "(?:0[1-9]|1[0-2])", "[^39]", "(?:00|0?[1-9])"],
    ["370", r"3[0-4]\d", r"\d\d\d"],
    [r"\d\d\d\d", r"[05]\d\d", r"(?:19|20)\d\d"],
    ["", "1", "[1-3]"],
]
"""Alternatives for each part of a pattern of digits; none but the second have several lengths."""


@cache
def matching(part: str) -> list[str]:
    """All strings of digits that a part matches, found by trying."""
    every = (f"{number:0{n}d}" for n in range(1, 5) for number in range(10**n))
    return [one for one in every if re.fullmatch(part, one)] if part else [""]


@pytest.mark.parametrize("head", PARTS[0])
def test_members_are_counted_exactly(lab, head: str) -> None:
    for parts in product([head], *PARTS[1:]):
        pattern = f"({''.join(parts)})"
        first, *_ = values = [matching(part) for part in parts]
        width = len(values[1][-1])
        others = [one for one in values[1] if len(one) == width]
        members = len(first) * len(others) * math.prod(map(len, values[2:]))
        value = "".join(found[-1] for found in values)
        made = lab.transform(RegexFormat(pattern=pattern), [value])
        small = members < MIN_DOMAIN
        assert (made.small.domain if small else made.domain) == members, pattern
        assert bool(len(made.small.rows)) == small


def test_a_pattern_that_an_estimate_took_for_large_is_refused(lab) -> None:
    made = lab.transform(RegexFormat(pattern=r"([2-2]\d370\d\d\d\d)"), ["203700000"])
    assert made.small.domain == 100_000


def test_a_rank_is_the_place_among_all_members_in_order(lab, walk) -> None:
    pattern = r"((?:0[1-9]|1[0-2])[0-8]\d{4}[05])"
    digits = (
        f"{month:02d}{rest:05d}{last}"
        for month in range(1, 13)
        for rest in range(90_000)
        for last in "05"
    )
    members = [*digits]
    assert all(re.fullmatch(pattern, one) for one in members[::997])
    ranks = [0, 1, 12_345, 999_999, len(members) - 1]
    tweak = f"regex/2 {len(pattern)} {pattern}".encode()
    inside, outside = struct.pack(">I", 0x110000), struct.pack(">I", 0x110000)
    kept = outside * 8
    bound = b"row/1" + len(kept).to_bytes(8, "big") + kept + tweak + inside * 8
    expected = [members[walk([rank], [len(members)], bound)[0]] for rank in ranks]
    assert (
        lab.encrypted(RegexFormat(pattern=pattern), [members[rank] for rank in ranks]) == expected
    )


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        (r"([1-9]\d{24})", "9" * 25),
        (r"([1-9][0-8]{59})", "8" * 60),
        (r"((?:ab|cd|e)*)", "abcde" * 40),
        (r"([a-y]{300}-\d*)", "x" * 300 + "-0"),
        (r"((?:\d|[1-3]\d|4[0-5]){30}[05])", "1" * 40 + "5"),
    ],
)
def test_more_members_than_a_word_can_count(lab, pattern: str, value: str) -> None:
    (pseudonym,) = lab.encrypted(RegexFormat(pattern=pattern), [value])
    assert pseudonym != value
    assert re.fullmatch(pattern, pseudonym)


def test_an_automaton_that_is_too_large_is_refused(lab) -> None:
    with pytest.raises(PseudonymizationError, match="automaton"):
        lab.transform(RegexFormat(pattern=r"((?:.*a.{14})*)"), ["ab" * 5000 + "a"])
    with pytest.raises(PseudonymizationError, match="automaton"):
        lab.transform(RegexFormat(pattern=r"((?:ab|cd|e)*)"), ["abcde" * 12_000])


def test_values_of_many_templates(lab) -> None:
    form = RegexFormat(pattern=r"([A-F0-9]{12})|([1-9]\d{24})|-(\w*)-")
    values = [f"{number * 7919 % 2**48:012X}" for number in range(2**40, 2**40 + 200)]
    values += ["1" * 25, "-Émile-", "", "x", "-Straße-"]
    made = lab.tried(form, values)
    assert made[-2] is None
    assert all(re.fullmatch(form.options["pattern"], one) for one in made if one)

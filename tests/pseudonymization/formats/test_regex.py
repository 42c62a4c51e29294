from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats import make_format, resolve_format
from secureml.pseudonymization.formats.regex import RegexFormat

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


@pytest.mark.parametrize("pattern", PATTERNS)
def test_golden_values(lab, pattern: str) -> None:
    assert lab.encrypted(RegexFormat(pattern=pattern), PATTERNS[pattern]) == GOLDEN[pattern]


GOLDEN = {
    "ID-(\\d{7})-[A-Z]{2}": ["ID-5788865-AB", "ID-8482988-XY"],
    "([1-4]\\d{8})": ["412929927", "421031027"],
    "(?P<name>[a-z]{3,})@(?:x|(y))\\.com": ["jbkxxwr@x.com", "abpvgwt@y.com"],
    "([A-Za-z]+) ?([a-z]+-?[a-z]*)": ["Hyae pdxvk-ecowt", "Zpkvtr"],
    "(\\w+)-(\\w+)?": ["堤缼裌鶛-Öyqor", "vwywehn-"],
    "(.*)": ["yhr fbkph, 82 rf qlk", "~hkozu\ud8000174ë"],
    "(\\d{4})(\\d{4})": ["58529110"],
    "~(\\d{6})": ["~667798"],
}
"""Version 1 of the format under the key of octets 0 to 31; it never changes."""


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
        (r"(\d{9})-\1", "123456789-123456789", 1),
        (r"(-+)\d+", "--1234567", 1),
        (r"(x)?1234567", "1234567", 1),
    ],
)
def test_what_has_too_few_pseudonyms(lab, pattern: str, value: str, domain: int) -> None:
    made = lab.transform(RegexFormat(pattern=pattern), ["", value, value])
    assert made.small.rows.tolist() == [1, 2]
    assert 0.5 * domain <= made.small.domain <= 2 * domain
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
        (None, "can compile"),
        (5, "can compile"),
    ],
)
def test_patterns_that_can_not_be(pattern: object, said: str) -> None:
    with pytest.raises(PseudonymizationError, match=said) as caught:
        make_format("regex/1", {"pattern": pattern})  # type: ignore[dict-item]
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "pattern", [r"\((a)\)", "[()]((?:a))", "(?:a)+(b)?", "(?P<x>a)(?P=x)", "[]()](a)", r"(a)\)+"]
)
def test_parentheses_that_are_no_nested_groups(pattern: str) -> None:
    assert RegexFormat(pattern=pattern).options == {"pattern": pattern}


def test_a_pattern_with_colons_can_be_written(lab) -> None:
    form = resolve_format(r"regex:(?:a:)(\d{6})", {})
    assert lab.encrypted(form, ["a:123456"])[0].startswith("a:")


def test_groups_that_overlap_by_looking_ahead_are_invalid(lab) -> None:
    form = RegexFormat(pattern=r"(?=(\d+))(\d+)")
    assert lab.invalid(form, ["1234567"]) == ["1234567"]


def test_none(lab) -> None:
    form = RegexFormat(pattern=r"ID-(\d{7})")
    for values in ([], [""], ["", ""]):
        assert lab.encrypted(form, values) == values

"""What the first version of the format made is recovered, or it is said that it can't be."""

from __future__ import annotations

import re

import numpy as np
import pytest

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats import make_format
from secureml.pseudonymization.formats.regex_1 import FirstRegexFormat
from secureml.pseudonymization.ranking import pipeline
from secureml.pseudonymization.tables.character_sets import property_set

VALUES = {
    r"ID-(\d{7})-[A-Z]{2}": ["ID-1234567-AB", "ID-7654321-XY"],
    r"([1-4]\d{8})": ["123456789", "499999999"],
    r"(?P<name>[a-z]{3,})@(?:x|(y))\.com": ["abcdefg@x.com", "abcdefg@y.com"],
    r"([A-Za-z]+) ?([a-z]+-?[a-z]*)": ["Anna bella-donna", "Abcdef"],
    r"(\w+)-(\w+)?": ["山田太郎-Émile", "abcdefg-"],
    r"(.*)": ["any thing, 12 at all", "~tilde\ud8001234é"],
    r"(\d{4})(\d{4})": ["12345678"],
    r"~(\d{6})": ["~123456"],
}
"""By pattern, what was encrypted."""

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


@pytest.mark.parametrize("pattern", VALUES)
def test_golden_values_are_recovered(lab, pattern: str) -> None:
    form = make_format("regex/1", {"pattern": pattern})
    made = lab.transform(form, GOLDEN[pattern], decrypt=True)
    assert not len(made.invalid)
    assert made.values.strings() == VALUES[pattern]


def test_nothing_is_made_any_more(lab) -> None:
    with pytest.raises(PseudonymizationError, match="recovered"):
        lab.transform(FirstRegexFormat(pattern=r"(\d+)"), ["1234567"])


@pytest.mark.parametrize("pattern", [r"(\w+)", r"(?i)(\S+)", r"([^-]+)\b", "(?i)([^x]+)"])
def test_what_versions_of_python_may_take_for_other_characters_is_refused(lab, pattern) -> None:
    form = FirstRegexFormat(pattern=pattern)
    for value in ("\U00011200\U00011201", "a\U0001fae8b", "a\u0378b", "\u0897"):
        with pytest.raises(PseudonymizationError, match="version of secureml and of Python"):
            lab.transform(form, ["Émile", value], decrypt=True)


def test_a_pattern_that_names_its_characters_recovers_any(lab) -> None:
    for pattern in ("([^-]+)", r"(?as)(.+)"):
        lab.transform(FirstRegexFormat(pattern=pattern), ["\U00011200\U00011201"], decrypt=True)


EVERYDAY = "Émile Łódź Straße Ελλάδα Москва Україна 山田太郎 한국어 ひらがな カタカナ ١٢٣ שלום ไทย"


def test_everyday_text_is_recovered(lab) -> None:
    form = FirstRegexFormat(pattern=r"((?:\w|[^a])*)")
    made = lab.transform(form, EVERYDAY.split(), decrypt=True)
    assert all(map(re.compile(r"((?:\w|[^a])*)").fullmatch, made.values.strings()))


def test_foreign_values_are_invalid(lab) -> None:
    form = FirstRegexFormat(pattern=r"ID-(\d{7})")
    assert lab.invalid(form, ["ID-1234567", "ID-12345678", "x", ""], decrypt=True) == [
        "ID-12345678",
        "x",
    ]


def test_the_walk_is_bounded(lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_LONGEST_WALK", 50)
    form = FirstRegexFormat(pattern=r"(1{9})")
    with pytest.raises(PseudonymizationError, match="too few"):
        lab.transform(form, ["1" * 9], decrypt=True)


def test_characters_that_changed_are_those_of_later_versions() -> None:
    changed = property_set("changed").holds(
        np.array([0x61, 0x130, 0x3B1, 0x1123F, 0x11240, 0x1FAE8])
    )
    assert changed.tolist() == [False, False, False, True, True, True]


@pytest.mark.parametrize("pattern", ["(", "abc", None, 5])
def test_patterns_that_can_not_be(pattern: object) -> None:
    with pytest.raises(PseudonymizationError, match="can compile"):
        make_format("regex/1", {"pattern": pattern})  # type: ignore[dict-item]

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.pseudonymization.parsing.templates import Templates, find_templates
from secureml.pseudonymization.tables.character_classes import alphabets
from secureml.pseudonymization.values.text import Text


def found(strings: list[str]) -> tuple[Templates, np.ndarray | None]:
    return find_templates(alphabets(), Text.of(strings))


def octets(symbols: list[int]) -> bytes:
    return b"".join(struct.pack(">I", symbol) for symbol in symbols)


@given(
    strings=st.lists(st.text(st.sampled_from("aZ9-éж一"), max_size=5), max_size=12),
)
def test_values_share_a_template_exactly_if_classes_and_kept_characters_agree(
    strings: list[str],
) -> None:
    shape = str.maketrans("abzAZ09éж一", "aaaAA99éж一")
    templates, template = found(strings)
    if template is None:
        assert len({string.translate(shape) for string in strings if string}) == 1
        return
    numbers: dict[str, int] = {}
    for string, number in zip(strings, template.tolist(), strict=True):
        assert numbers.setdefault(string.translate(shape), number) == number
    assert len(set(numbers.values())) == len(numbers) == len(templates)


def test_a_template(class_of: Callable[[str], int | str]) -> None:
    templates, template = found(["Zoë-7", "", "ab"])
    assert template is not None
    group = int(template[0])
    upper, lower, accented, digit = (0x110000 + int(class_of(c)) for c in "Zoë7")
    assert templates.symbols[group] == octets([upper, lower, accented, ord("-"), digit])
    members = slice(templates.bounds[group], templates.bounds[group + 1])
    assert templates.positions[members].tolist() == [0, 1, 2, 4]
    assert templates.sizes[members].tolist() == [26, 26, 32, 10]
    assert templates.firsts[members].tolist()[:2] == [ord("A"), ord("a")]
    assert templates.domains()[group] == 26 * 26 * 32 * 10
    assert templates.numerals()[group] is None
    assert templates.widths[group] == 5
    assert templates.numerals()[int(template[2])] == (26, 2)


@pytest.mark.parametrize(
    "strings", [["12-3", "45-6"], ["12-3", "", "45-6"], ["12-3"], ["山田", "习近"]]
)
def test_one_template_needs_no_numbers(strings: list[str]) -> None:
    templates, template = found(strings)
    assert template is None
    assert len(templates) == 1


@pytest.mark.parametrize(
    "strings", [["12-3", "12-a"], ["12-3", "123"], ["1-23", "12-3"], ["a", "é"]]
)
def test_several_templates_have_numbers(strings: list[str]) -> None:
    templates, template = found(strings)
    assert template is not None
    assert len(templates) == len(set(template.tolist())) == 2


@pytest.mark.parametrize("strings", [[], [""], ["", ""]])
def test_nothing_to_encrypt(strings: list[str]) -> None:
    templates, template = found(strings)
    assert template is not None
    assert template.tolist() == [0] * len(strings)
    assert templates.widths.sum() == 0


def test_domain_of_a_long_value_is_exact() -> None:
    templates, _ = found(["a1" * 100])
    assert templates.domains() == [260**100]

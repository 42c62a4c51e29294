from __future__ import annotations

import string
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secureml.ciphers.ff1 import FF1
from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats import make_format, resolve_format
from secureml.pseudonymization.formats.characters import AlphabetFormat, DigitsFormat, LettersFormat

KEY = bytes(range(32))
HEX = AlphabetFormat(characters="0123456789ABCDEF")
MIXED = AlphabetFormat(characters="é0zA山\ud800ß9")
ANY = st.text(
    st.characters(codec=None) | st.sampled_from("0123456789ABCDEFaz -.~éßŁяЯ山٣०０½Ⅷ\u0301\ud800"),
    max_size=24,
)


def test_golden_values(lab) -> None:
    digits = [
        "123-45-6789",
        "1234567",
        "+49 30 1234567",
        "👍 123 4567",
        "\ud8001234567",
        "~1234567",
    ]
    assert lab.encrypted(DigitsFormat(), digits) == [
        "170-38-9435",
        "8727655",
        "+27 25 1283244",
        "\U0001f44d 868 9912",
        "\ud8008316968",
        "~2904316",
    ]
    letters = ["Anna Müller", "伊藤伊藤伊", "O'Brien-Łukasz"]
    assert lab.encrypted(LettersFormat(), letters) == [
        "Ilmz E\xe6wbwz",
        "\u5121\u56ff\u7cb6\u6a76\u97c8",
        "O'Aluee-\u013bhatwl",
    ]
    assert lab.encrypted(HEX, ["00000", "DEADBEEF"]) == ["48DBD", "03E48DA8"]
    assert lab.encrypted(MIXED, ["0000000", "zA山\ud800ß9é0"]) == [
        "\ud800\xdfz\u5c71\ud800z\ud800",
        "9\xdf90\xe9\xdf09",
    ]


def test_an_alphabet_is_plain_ff1_in_its_radix(lab) -> None:
    symbols = (0x110000).to_bytes(4, "big") * 8
    tweak = b"alphabet/1 16 0123456789ABCDEF" + symbols
    ranks = [int(character, 16) for character in "DEADBEEF"]
    expected = "".join(f"{rank:X}" for rank in FF1(KEY, 16).encrypt(ranks, tweak))
    assert lab.encrypted(HEX, ["DEADBEEF"]) == [expected]


@pytest.mark.parametrize(
    "form", [DigitsFormat(), LettersFormat(), HEX, MIXED], ids=lambda f: f.name
)
@settings(max_examples=60, deadline=None)
@given(values=st.lists(ANY, max_size=6), tables=st.booleans(), wide=st.booleans())
def test_any_text_comes_back_or_is_reported(lab, form, values, tables, wide) -> None:
    lab.tried(form, values, tables=tables, wide=wide)


@settings(max_examples=60, deadline=None)
@given(values=st.lists(ANY, max_size=6))
def test_what_is_of_a_format(lab, values) -> None:
    def kinds(value: str) -> set[str]:
        # The characters of classes with one member are kept, like those of none.
        return {unicodedata.category(character)[0] for character in value if character.isascii()}

    for value in values:
        if value.isascii():
            assert bool(lab.invalid(DigitsFormat(), [value])) == ("L" in kinds(value))
            assert bool(lab.invalid(LettersFormat(), [value])) == ("N" in kinds(value))
        assert bool(lab.invalid(HEX, [value])) == bool(set(value) - set("0123456789ABCDEF"))


@pytest.mark.parametrize(
    "value", ["12345678a", "1234567é", "1234567٣", "1234567०", "1234567０", "山1"]
)
def test_letters_and_digits_of_other_scripts_are_no_digits(lab, value: str) -> None:
    assert lab.invalid(DigitsFormat(), ["123-4567", value, ""]) == [value]


@pytest.mark.parametrize("value", ["abcdef1", "abcdef٣", "०abcdef"])
def test_digits_are_no_letters(lab, value: str) -> None:
    assert lab.invalid(LettersFormat(), ["abc-def", value, ""]) == [value]


@pytest.mark.parametrize(
    "value", ["1234567\u0301", "½1234567", "Ⅷ1234567", "\ud8001234567", "👍1234567"]
)
def test_what_is_neither_letter_nor_digit_is_kept(lab, value: str) -> None:
    (pseudonym,) = lab.encrypted(DigitsFormat(), [value])
    for old, new in zip(value, pseudonym, strict=True):
        assert new in string.digits if old in string.digits else new == old


def test_outputs_stay_of_the_format(lab) -> None:
    values = [f"{number:05d}-é" for number in range(0, 10**5, 37)]
    assert lab.invalid(DigitsFormat(), values) == values
    numbers = [f"{number:07d}" for number in range(3000)]
    for pseudonym in lab.encrypted(DigitsFormat(), [*numbers, "山", ""][:-2]):
        assert len(pseudonym) == 7
        assert pseudonym.isdigit()
    names = ["Ann-Marie O'Neil", "Мария Ивановна", "Ωμέγα Ωμέγα"]
    for value, pseudonym in zip(names, lab.encrypted(LettersFormat(), names), strict=True):
        for old, new in zip(value, pseudonym, strict=True):
            assert unicodedata.category(old) == unicodedata.category(new)
            assert unicodedata.name(old).split()[0] == unicodedata.name(new).split()[0]


def test_the_whole_domain_of_a_million(lab) -> None:
    values = [f"{number:06d}" for number in range(10**6)]
    pseudonyms = lab.encrypted(DigitsFormat(), values)
    assert sorted(pseudonyms) == values
    lab.even(pseudonyms[::10])


def test_the_whole_domain_of_an_alphabet(lab) -> None:
    binary = AlphabetFormat(characters="ba")
    values = [f"{number:020b}".translate({48: "b", 49: "a"}) for number in range(2**20)]
    assert len(set(lab.encrypted(binary, values))) == 2**20


def test_digits_are_even(lab) -> None:
    values = [f"{number:09d}" for number in range(100_000)]
    lab.even(lab.encrypted(DigitsFormat(), values))
    lab.even(lab.encrypted(HEX, values), "0123456789ABCDEF")
    words = ["".join(chr(97 + n // 26**place % 26) for place in range(6)) for n in range(20_000)]
    lab.even(lab.encrypted(LettersFormat(), words), string.ascii_lowercase)


def test_small_domains_are_reported_with_nothing_of_the_value(lab) -> None:
    made = lab.transform(DigitsFormat(), ["99-999", "1234567", "999", "--"])
    assert (made.small.rows.tolist(), made.small.domain) == ([0, 2, 3], 1)
    assert [made.values.strings()[row] for row in (0, 2, 3)] == ["", "", ""]
    made = lab.transform(MIXED, ["9999", "9999999"])
    assert (made.small.rows.tolist(), made.small.domain) == ([0], 8**4)
    assert made.values.strings()[0] == ""


def test_small_domains_are_permuted_on_demand(lab) -> None:
    values = [f"{number:03d}" for number in range(1000)]
    assert sorted(lab.encrypted(DigitsFormat(), values, tables=True)) == values
    assert len(set(lab.encrypted(HEX, values, tables=True))) == 1000


@pytest.mark.parametrize(
    ("form", "value"), [(DigitsFormat(), "1234567"), (LettersFormat(), "abcdef"), (HEX, "0123456")]
)
def test_row_tweaks(lab, form, value: str) -> None:
    lab.unlinkable(form, value)


def test_narrow_and_wide_texts_give_the_same(lab) -> None:
    values = ["123-45-6789", "7654321", ""]
    for form in (DigitsFormat(), AlphabetFormat(characters="0123456789-")):
        narrow, wide = (lab.transform(form, values, wide=wide) for wide in (False, True))
        assert narrow.values.strings() == wide.values.strings()


def test_formats_and_alphabets_separate_pseudonyms(lab) -> None:
    digits = AlphabetFormat(characters="0123456789")
    turned = AlphabetFormat(characters="1023456789")
    plain, other, third = (
        lab.encrypted(form, ["123456789"])[0] for form in (DigitsFormat(), digits, turned)
    )
    assert len({plain, other, third}) == 3


def test_a_large_alphabet(lab) -> None:
    characters = "".join(chr(code) for code in range(0x4E00, 0x4E00 + 20_000))
    form = AlphabetFormat(characters=characters)
    values = [characters[n] + characters[-n - 1] for n in range(500)]
    assert set("".join(lab.encrypted(form, values))) <= set(characters)


@pytest.mark.parametrize(
    ("characters", "said"),
    [
        ("", "2 to 65,536"),
        ("a", "2 to 65,536"),
        ("aa", "once"),
        ("a~", "tokens"),
        ("".join(map(chr, range(200, 70_000))), "2 to 65,536"),
        (None, "a string"),
        (["a", "b"], "a string"),
    ],
)
def test_alphabets_that_can_not_be(characters: object, said: str) -> None:
    with pytest.raises(PseudonymizationError, match=said):
        make_format("alphabet/1", {"characters": characters})  # type: ignore[dict-item]


def test_options_make_the_format_again(lab) -> None:
    form = resolve_format("alphabet:01:", {})
    assert form.options == {"characters": "01:"}
    again = make_format(form.name, form.options)
    values = ["01:01:01:01:01:01", "1" * 20]
    assert lab.encrypted(again, values) == lab.encrypted(form, values)
    assert make_format("digits/1", {}).options == {}


def test_tampered_values_are_reported(lab) -> None:
    assert lab.invalid(DigitsFormat(), ["123456a", "1234567"], decrypt=True) == ["123456a"]
    assert lab.invalid(HEX, ["123456a", "1234567"], decrypt=True) == ["123456a"]


def test_none(lab) -> None:
    for form in (DigitsFormat(), LettersFormat(), HEX):
        for values in ([], [""], ["", ""]):
            assert lab.encrypted(form, values) == values


def test_the_digits_of_an_alphabet_keep_their_length(lab) -> None:
    lengths = np.arange(5, 60)
    values = ["F" * length for length in lengths]
    assert [len(pseudonym) for pseudonym in lab.encrypted(HEX, values)] == lengths.tolist()

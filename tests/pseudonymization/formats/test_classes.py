from __future__ import annotations

import random
import string
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secureml.ciphers.ff1 import FF1
from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.pseudonymization.formats import TooSmall
from secureml.pseudonymization.formats.classes import ClassFormat
from secureml.pseudonymization.ranking.permutation import MIN_DOMAIN, Permutation
from secureml.pseudonymization.ranking.pipeline import transform
from secureml.pseudonymization.values.text import Text

GOLDEN = [
    ("123-45-6789", "240-91-3913"),
    ("078-05-1120", "184-46-7199"),
    ("4111 1111 1111 1111", "8606 9248 8270 6619"),
    ("4111111111111111", "1820637919615266"),
    ("+49 (0)30 901820", "+28 (9)86 480196"),
    ("SW1A 1AA9", "JB2E 3TE0"),
    ("K1A 0B1-2", "I1Z 1W9-7"),
    ("Ann Lee", "Aik Rdl"),
    ("Anne-Marie O'Neil", "Evux-Yumml D'Mzlw"),
    ("José Müller", "Hktï Sàxhcw"),
    ("Ægir Þórsson", "Ùkmv Íçstptv"),
    ("Łukasz Żółć", "Żpsjko Ăñħĺ"),
    ("Ștefan Țepeș", "Ęrmefx Ţvbpț"),
    ("Nguyễn Thị Ơn", "Wlqiạb Opỹ Ổg"),
    ("Ελένη Παπαδοπούλου", "Ωϋξρπ Ρψΐώηωϊγδχβψ"),
    ("Ξενοφών", "Πήΐνθηκ"),
    ("Фёдор Достоевский", "Ѝсещт Ёаўљыџъцшџн"),
    ("Їжакевич Ґалаґан", "Ѝѐїтпеєй Ӡљџцӓїр"),
    ("Հայկ Աբովյան", "Ճքտր Չժխլկժհ"),
    ("ירושלים", "שםעםעדי"),
    ("محمد علي", "نىمه إبح"),
    ("گلستان ایران", "ےتةءيح يھذسآ"),
    ("สมชาย ใจดี", "ทๆๆชโ ทผฮี"),
    ("नरेन्द्र शर्मा", "ऽधेऊ्र्च घण्ळा"),
    ("१२३४५६७", "८३३०४८७"),
    ("山田太郎", "鿐攢廨碛"),
    ("习近平", "曣宫蓱"),
    ("ひらがなカタカナ", "たぅびぐヿマラァ"),
    ("김철수", "롗댈읲"),
    ("ქართული", "ოუღფპწი"),
    ("አማርኛ ጽሑፍ", "ሜኆዕዊ ቦለሄ"),
    ("anna.example+tag@mail.example.com", "qqfw.wpunrne+jvi@eokr.uytvlrd.scb"),
    (
        "A-very-long-value with 25 Words, 0123456789!",
        "J-xpac-quii-nrnjh sgxp 44 Zazmd, 5115834835!",
    ),
    ("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "rftngbzvskzhnhnyyjwkvihawkzuxfayfzqyudhh"),
    ("été combining", "źeé dlhmsppzn"),
    ("𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "𝞟𝗄𝒙𝓃𝘩𝐠𝗐"),
    ("👍 1234567", "👍 3938956"),
    ("\ud800lone surrogate", "\ud800jgol lfxujqgce"),
    ("~tilde12", "~nrhvb79"),
    ("\x00nul\x007654321", "\x00yuz\x001591376"),
    ("FULLWIDTH ＡＢＣ１２３", "RZGPDTSXU ＯＱＣ１０４"),
    ("abcde", "wwyfo"),
]
"""Version 1 of the format under the key of octets 0 to 31; it never changes."""


def transformed(
    values: list[str], cipher: IntegerFF1, *, decrypt: bool = False
) -> tuple[list[str], TooSmall]:
    made = transform(ClassFormat(), Text.of(values), Permutation(cipher, decrypt=decrypt))
    assert isinstance(made.values, Text)
    assert not len(made.invalid)
    return made.values.strings(), made.small


def encrypted(values: list[str], cipher: IntegerFF1) -> list[str]:
    return transformed(values, cipher)[0]


def decrypted(values: list[str], cipher: IntegerFF1) -> list[str]:
    return transformed(values, cipher, decrypt=True)[0]


def test_golden_values(cipher: IntegerFF1) -> None:
    values, pseudonyms = (list(column) for column in zip(*GOLDEN, strict=True))
    assert encrypted(values, cipher) == pseudonyms
    assert decrypted(pseudonyms, cipher) == values


@pytest.mark.parametrize(("value", "pseudonym"), GOLDEN)
def test_golden_values_agree_with_the_definition(
    value: str, pseudonym: str, reference: Callable[[str], str]
) -> None:
    assert reference(value) == pseudonym


def test_an_ssn_is_nine_numerals_of_plain_ff1(key: bytes, cipher: IntegerFF1) -> None:
    digit, dash = (0x110000).to_bytes(4, "big"), ord("-").to_bytes(4, "big")
    tweak = b"class/1" + dash.join([digit * 3, digit * 2, digit * 4])
    expected = "".join(map(str, FF1(key, 10).encrypt([int(d) for d in "078051120"], tweak)))
    (pseudonym,) = encrypted(["078-05-1120"], cipher)
    assert pseudonym.replace("-", "") == expected


ALPHABET = st.characters(codec=None) | st.sampled_from(
    string.ascii_letters + string.digits + " -.@~éüßŁșơΩςЯёї山田김ーあア०٣ﷲ"
)


@settings(max_examples=300)
@given(st.lists(st.text(ALPHABET, min_size=4, max_size=40), max_size=6))
def test_any_text_comes_back_with_its_classes_in_place(
    cipher: IntegerFF1,
    class_of: Callable[[str], int | str],
    values: list[str],
) -> None:
    pseudonyms, small = transformed(values, cipher)
    recovered, again = transformed(pseudonyms, cipher, decrypt=True)
    assert not len(again.rows)
    for row, (value, pseudonym) in enumerate(zip(values, pseudonyms, strict=True)):
        if row in small.rows:
            assert not pseudonym
        else:
            assert [class_of(c) for c in pseudonym] == [class_of(c) for c in value]
            assert recovered[row] == value


@settings(max_examples=40, deadline=None)
@given(st.text(ALPHABET, min_size=5, max_size=24))
def test_any_text_agrees_with_the_definition(
    cipher: IntegerFF1, reference: Callable[[str], str], value: str
) -> None:
    pseudonyms, small = transformed([value], cipher)
    if not len(small.rows):
        assert pseudonyms == [reference(value)]


def numbered(template: str, count: int) -> list[str]:
    """Distinct values: the digits of the template run through numbers."""
    generator = np.random.default_rng(11)
    size = 10 ** template.count("9")
    chosen = generator.choice(min(size, 1 << 40), count, replace=size < 1 << 24)
    values = []
    for number in chosen.tolist():
        digits = iter(f"{number:0{template.count('9')}d}")
        values.append("".join(next(digits) if c == "9" else c for c in template))
    return list(dict.fromkeys(values))


def spelled(alphabet: str, count: int, shape: str = "{} {}") -> list[str]:
    generator = random.Random(12)
    words = ["".join(generator.choices(alphabet, k=4 + i % 5)) for i in range(3 * count)]
    pairs = zip(words[:count], words[count + 1 :], strict=False)
    return list(dict.fromkeys(shape.format(*pair) for pair in pairs))


COLUMNS = {
    "ssn": lambda: numbered("999-99-9999", 110_000),
    "card": lambda: numbered("9999 9999 9999 9999", 110_000),
    "phone": lambda: numbered("+49 (0)99 999-9999", 110_000),
    "postcode": lambda: [f"SW{value}" for value in spelled("ABCDEFGHX0123456789", 110_000)],
    "name": lambda: [
        value.title() for value in spelled("aàbcdeéfghiłmnoørsßtuyz", 110_000, "{} O'{}")
    ],
    "e-mail": lambda: spelled(string.ascii_lowercase + "0.", 110_000, "{}.{}@example.com"),
    "greek": lambda: spelled("αβγδεζηθικλμνξοπρςστυφχψωάέή", 110_000),
    "cyrillic": lambda: [v.title() for v in spelled("абвгдеёжзийклмнопрстуіїє", 110_000)],
    "chinese": lambda: spelled("山田太郎习近平王李张刘陈杨黄赵周吴", 110_000, "{}{}"),
    "arabic": lambda: spelled("ابتثجحخدذرزسشصضطظعغفقكلمنهويپچ", 110_000),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_100_000_distinct_values_stay_distinct_and_come_back(
    name: str, cipher: IntegerFF1, class_of: Callable[[str], int | str]
) -> None:
    values = COLUMNS[name]()[:100_000]
    assert len(values) == 100_000
    pseudonyms, small = transformed(values, cipher)
    assert not len(small.rows)
    assert len(set(pseudonyms)) == len(values)
    assert decrypted(pseudonyms, cipher) == values
    unchanged = sum(map(str.__eq__, pseudonyms, values))
    assert unchanged < 10
    for value, pseudonym in zip(values[:500], pseudonyms, strict=False):
        assert [class_of(c) for c in pseudonym] == [class_of(c) for c in value]


@pytest.mark.parametrize(
    ("value", "domain"),
    [("Al", 676), ("12345", 10**5), ("-", 1), ("2020-1", 10**5), ("山", 20992), ("\u0301", 1)],
)
@pytest.mark.parametrize("company", [[], ["Somebody Else"]])
def test_a_small_domain_is_reported_and_nothing_of_its_value_is_left(
    value: str, domain: int, company: list[str], cipher: IntegerFF1
) -> None:
    pseudonyms, small = transformed(["", value, *company, value], cipher)
    assert small.domain == domain < MIN_DOMAIN
    assert small.rows.tolist() == [1, 2 + len(company)]
    assert pseudonyms[1] == pseudonyms[-1] == ""


def test_the_smallest_domain_is_reported() -> None:
    small = transformed(["123", "ab", "1234567", "12"], IntegerFF1(bytes(32)))[1]
    assert (small.domain, small.rows.tolist()) == (100, [0, 1, 3])


def test_exactly_a_million_is_enough(cipher: IntegerFF1) -> None:
    pseudonyms, small = transformed(["000000", "999999"], cipher)
    assert not len(small.rows)
    assert decrypted(pseudonyms, cipher) == ["000000", "999999"]


def test_the_template_is_part_of_the_cipher(cipher: IntegerFF1) -> None:
    plain, dashed, longer = encrypted(["123456789", "123-456789", "1234567890"], cipher)
    assert plain != dashed.replace("-", "")
    assert plain != longer[:9]


def test_another_key_gives_another_pseudonym(cipher: IntegerFF1) -> None:
    other = IntegerFF1(bytes(32))
    assert encrypted(["123-45-6789"], cipher) != encrypted(["123-45-6789"], other)
    assert decrypted(encrypted(["123-45-6789"], cipher), other) != ["123-45-6789"]


@pytest.mark.parametrize("values", [[], [""], ["", "", ""]])
def test_nothing_stays_nothing(values: list[str], cipher: IntegerFF1) -> None:
    pseudonyms, small = transformed(values, cipher)
    assert pseudonyms == values
    assert (len(small.rows), small.domain) == (0, 0)


def test_the_input_is_not_changed(cipher: IntegerFF1) -> None:
    for values in (["123-45-6789", "987-65-4321"], ["Zoë Smith", "山田太郎"]):
        text = Text.of(values)
        transform(ClassFormat(), text, Permutation(cipher))
        assert text.strings() == values


def test_values_of_a_hundred_thousand_bits() -> None:
    text = Text.of(["aB1" * 7_000, "Ж" * 20_000, "ab-12 " * 4_000])
    form, cipher = ClassFormat(), IntegerFF1(bytes(32))
    made = transform(form, text, Permutation(cipher)).values
    assert isinstance(made, Text)
    assert all(new != old for new, old in zip(made.strings(), text.strings(), strict=True))
    back = transform(form, made, Permutation(cipher, decrypt=True)).values
    assert back.strings() == text.strings()

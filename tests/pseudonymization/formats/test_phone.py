from __future__ import annotations

import hashlib
import operator
import random
from functools import cache
from importlib.resources import files

import numpy as np
import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats import make_format
from secureml.pseudonymization.formats.phone import PhoneFormat, _international, _national
from secureml.pseudonymization.tables.phone_table import numbering

PHONE = PhoneFormat()
US = PhoneFormat(region="US")
FROZEN = "a9aae80eabbf506e20127562b3348206a9a1a487e01269651f3b908247488093"
# The table may come to differ from what later versions of the library say of single numbers.
SAME = phonenumbers.__version__ == "9.0.43"


def drawn(code: str, length: int, count: int, seed: int = 1) -> list[str]:
    """National numbers of a calling code."""
    table, generator = numbering(), random.Random(seed)
    root = table.codes[code].roots[length]
    size = table.size(root)
    ranks = [generator.randrange(size) for _ in range(count)]
    digits = table.unrank(root, np.array(ranks, np.uint64), length).tolist()
    return ["".join(map(str, row)) for row in digits]


def valid(value: str, region: str | None = None) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(value, region))
    except phonenumbers.NumberParseException:
        return False


def shape(value: str) -> str:
    return "".join("9" if character.isdigit() else character for character in value)


def test_the_table_is_the_frozen_one() -> None:
    table = files("secureml.pseudonymization.tables").joinpath("phone_numbers.txt").read_bytes()
    assert hashlib.sha256(table).hexdigest() == FROZEN, "a new table is a new version of the format"


@pytest.mark.skipif(not SAME, reason="the table was made from another version of phonenumbers")
def test_the_table_says_what_phonenumbers_says() -> None:
    table, generator = numbering(), random.Random(3)
    for code, digits in table.codes.items():
        for length, root in digits.roots.items():
            some = ["".join(generator.choices("0123456789", k=length)) for _ in range(40)]
            some += drawn(code, length, 20)
            cells = np.array([list(map(int, value)) for value in some], np.uint8)
            for value, accepted in zip(some, table.accepts(root, cells).tolist(), strict=True):
                zeros = len(value) - len(value.lstrip("0"))
                number = phonenumbers.PhoneNumber(
                    country_code=int(code),
                    national_number=int(value),
                    italian_leading_zero=True if zeros else None,
                    number_of_leading_zeros=zeros or None,
                )
                if phonenumbers.national_significant_number(number) == value:
                    assert phonenumbers.is_valid_number(number) == accepted, (code, value)


def test_ranks_run_through_all_numbers_of_a_length() -> None:
    table = numbering()
    root = table.codes["290"].roots[5]  # Saint Helena
    size = table.size(root)
    digits = table.unrank(root, np.arange(size, dtype=np.uint64), 5)
    assert len(np.unique(digits, axis=0)) == size
    assert table.accepts(root, digits).all()
    assert (table.rank(root, digits) == np.arange(size)).all()
    every = np.array([list(map(int, f"{number:05d}")) for number in range(10**5)], np.uint8)
    assert table.accepts(root, every).sum() == size


def test_ranks_are_in_the_order_of_the_numbers() -> None:
    table, generator = numbering(), np.random.default_rng(4)
    for code in table.codes.values():
        for length, root in code.roots.items():
            size = table.size(root)
            ranks = np.append(generator.integers(0, size, 200, np.uint64), [0, size - 1])
            ranks = np.unique(ranks.astype(np.uint64))
            digits = table.unrank(root, ranks, length)
            assert table.accepts(root, digits).all()
            assert (table.rank(root, digits) == ranks).all()
            strings = ["".join(map(str, row)) for row in digits.tolist()]
            assert all(map(operator.lt, strings, strings[1:]))


GOLDEN = [
    ("+18455981220", "+15237939391"),
    ("+1 845 598 1220", "+1 407 445 4655"),
    ("(845) 598-1220", "(567) 711-6235"),
    ("1-845-598-1220", "1-319-577-7448"),
    ("+49 (0)30 901820", "+49 (0)66 136431"),
    ("+49 30 901820", "+49 92 953238"),
    ("+44 20 7946 0958", "+44 37 1165 6172"),
    ("+7 (495) 123-45-67", "+7 (948) 628-10-39"),
    ("+33.1.42.68.53.00", "+33.2.26.91.26.16"),
    ("+390612345678", "+390573099540"),
    ("+81\u20113\u20111234\u20115678", "+81\u20116\u20112936\u20114323"),
]
"""Version 1 of the format under the key of octets 0 to 31; it never changes."""


def test_golden_values(lab) -> None:
    values, pseudonyms = (list(column) for column in zip(*GOLDEN, strict=True))
    assert lab.encrypted(US, values) == pseudonyms


@pytest.mark.skipif(not SAME, reason="the table was made from another version of phonenumbers")
@pytest.mark.parametrize(
    "region",
    [
        "US",
        "CA",
        "GB",
        "DE",
        "FR",
        "ES",
        "IT",
        "NL",
        "BE",
        "AT",
        "CH",
        "SE",
        "PL",
        "RU",
        "CN",
        "JP",
        "IN",
        "BR",
        "MX",
        "AU",
    ],
)
def test_numbers_of_a_region_come_out_valid(lab, region: str) -> None:
    written = numbering().regions[region]
    code = numbering().codes[written.code]
    values = []
    for length, root in code.roots.items():
        if numbering().size(root) >= 10**6:
            numbers = drawn(code.digits, length, 300)
            values += [f"+{code.digits}{number}" for number in numbers]
            values += [f"+{code.digits} {number[:3]}-{number[3:]}" for number in numbers[:50]]
            if length in written.bare:
                values += numbers[:100]
            if length in written.prefixed:
                values += [written.prefix + number for number in numbers[:100]]
            if length in code.prefixed:
                values += [f"+{code.digits} ({code.prefix}){n}" for n in numbers[:100]]
    values = list(dict.fromkeys(values))
    made = lab.encrypted(PhoneFormat(region=region), values)
    assert len(set(made)) == len(made)
    for value, pseudonym in zip(values, made, strict=True):
        assert valid(pseudonym, region), (value, pseudonym)
        assert shape(pseudonym) == shape(value)
        if value[0] == "+":
            assert pseudonym.startswith(f"+{code.digits}")


@settings(max_examples=60)
@given(
    values=st.lists(
        st.builds(
            lambda number, form: form.format(number[:3], number[3:]),
            st.sampled_from([*drawn("1", 10, 50), *drawn("49", 11, 20)]),
            st.sampled_from(
                ["+1{}{}", "+1 ({}) {}", "({}) {}", "1-{}-{}", "+49 {}/{}", "+49(0){} {}"]
            ),
        )
        | st.text(st.sampled_from("+0123456789 ()-/.é٣\ud800~x"), max_size=16)
        | st.text(st.characters(codec=None), max_size=12),
        max_size=5,
    ),
    wide=st.booleans(),
    form=st.sampled_from([PHONE, US]),
)
def test_any_text_comes_back_or_is_reported(lab, values, wide, form) -> None:
    for value, new in zip(values, lab.tried(form, values, wide=wide), strict=True):
        if value and new is not None:
            assert shape(new) == shape(value)
            assert valid(new, "US") or not SAME


@pytest.mark.parametrize(
    "value",
    [
        "+1 111 111 1111",
        "+1 845 598 122",
        "+1 845 598 12200",
        "+999 1234567",
        "845 598 1220",
        "+1 845 598 1220 ext. 5",
        "+1 845 598 1220x5",
        "1+845 598 1220",
        "++1 845 598 1220",
        " +18455981220",
        "+1 845;598 1220",
        "tel:+18455981220",
        "+١8455981220",
        "＋18455981220",
        "+1\ud8008455981220",
        "+",
        "()",
        "x",
    ],
)
def test_what_is_no_number(lab, value: str) -> None:
    good = "+18455981220"
    assert lab.invalid(PHONE, [good, value, ""]) == [value]
    assert lab.invalid(PHONE, [value], decrypt=True) == [value]


def test_national_writing_needs_a_region(lab) -> None:
    values = ["(845) 598-1220", "1 845 598 1220", "+1 845 598 1220"]
    assert lab.invalid(PHONE, values) == values[:2]
    assert all(valid(value, "US") for value in lab.encrypted(US, values))


def test_100_000_stay_distinct_and_are_even(lab) -> None:
    values = list(dict.fromkeys(f"+1{number}" for number in drawn("1", 10, 101_000)))[:100_000]
    made = lab.encrypted(PHONE, values)
    assert len(set(made)) == len(values)
    lab.even([value[-4:] for value in made])


def test_small_domains(lab) -> None:
    (number,) = drawn("290", 5, 1)
    made = lab.transform(PHONE, ["+1 845 598 1220", f"+290 {number}"])
    root = numbering().codes["290"].roots[5]
    assert (made.small.rows.tolist(), made.small.domain) == ([1], numbering().size(root))
    assert made.values.strings()[1] == ""
    values = [f"+290{number}" for number in dict.fromkeys(drawn("290", 5, 300))]
    permuted = lab.encrypted(PHONE, values, tables=True)
    assert len(set(permuted)) == len(values)
    assert all(map(valid, permuted)) or not SAME


def test_writing_and_region_separate_pseudonyms(lab) -> None:
    values = ["+18455981220", "+1 845 598 1220", "8455981220", "18455981220"]
    made = ["".join(filter(str.isdigit, value))[-10:] for value in lab.encrypted(US, values)]
    assert len(set(made)) == 4
    canada = lab.encrypted(PhoneFormat(region="CA"), values)
    assert canada[0][-10:] == made[0]  # nothing national in it
    assert canada[2] != made[2]


def test_row_tweaks(lab) -> None:
    lab.unlinkable(PHONE, "+49 (0)30 901820")
    lab.unlinkable(US, "(845) 598-1220")


@pytest.mark.parametrize(("region", "hint"), [("us", "'US'"), ("UK", ""), ("", ""), (5, "")])
def test_regions_that_are_none(region: object, hint: str) -> None:
    with pytest.raises(PseudonymizationError, match=f"no region.*{hint}"):
        make_format("phone/1", {"region": region})  # type: ignore[dict-item]


def test_options_and_no_values(lab) -> None:
    assert (PHONE.options, US.options) == ({"region": None}, {"region": "US"})
    for values in ([], [""], ["", ""]):
        assert lab.encrypted(PHONE, values) == values


def test_no_number_can_be_read_with_a_prefix_and_without() -> None:
    """So the members of a reading are those that the table counts."""
    table = numbering()

    @cache
    def common(one: int, other: int) -> int:
        if min(one, other) < 2:
            return int(one == other == 1)
        pairs = zip(table._following[one], table._following[other], strict=True)
        return sum(common(*map(int, pair)) for pair in pairs)

    readings = [_international(code, count) for code in table.codes.values() for count in range(21)]
    readings += [_national(one, table, count) for one in table.regions for count in range(21)]
    both = [pair for pair in readings if len(pair) > 1]
    assert len(both) > 100
    for bare, prefixed in both:
        node = bare.root
        for digit in prefixed.prefix:
            node = int(table._following[node, int(digit)])
        assert not common(prefixed.root, node)

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.ciphers.small_domain import SmallDomainCipher
from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats import Format, Transformed, resolve_format
from secureml.pseudonymization.ranking.permutation import Permutation
from secureml.pseudonymization.ranking.pipeline import transform
from secureml.pseudonymization.values.decimals import Decimals, parse_decimals
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers

if TYPE_CHECKING:
    from conftest import Lab

KEY = bytes(range(32))
LIMITS = Limits(1 - (1 << 63), (1 << 63) - 1)
PLAIN = resolve_format("decimal", {})
MONEY = resolve_format("decimal", {"scale": 2, "minimum": "-9999.99", "maximum": "1000000"})


def decimals(strings: list[str], scale: int, limits: Limits = LIMITS) -> Decimals:
    numbers = WholeNumbers.parse([], limits)
    return parse_decimals(Decimals(numbers.magnitudes, numbers.negative, limits, scale), strings)


def column(form: Format, values: Decimals, *, decrypt: bool = False) -> Transformed:
    permutation = Permutation(IntegerFF1(KEY), tables=SmallDomainCipher(KEY), decrypt=decrypt)
    return transform(form, values, permutation)


NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
NUMBERS = st.decimals(-(10**6), 10**6, places=2).map(lambda number: f"{number:f}")


def fits(text: str) -> bool:
    match = NUMBER.fullmatch(text)
    if not match or len(match[2] or "") > 19:
        return text == ""
    units = int(text.replace(".", ""))
    return -(1 << 63) <= units < 1 << 63 and (units != 0 or not text.startswith("-"))


@given(st.lists(NUMBERS | st.text("0123456789.-", max_size=22) | st.text(max_size=4), max_size=8))
def test_text_keeps_its_digits_or_is_reported(lab: Lab, values: list[str]) -> None:
    made = lab.transform(PLAIN, values)
    expected = [row for row, value in enumerate(values) if not fits(value)]
    assert made.invalid.tolist() == expected
    for value, pseudonym in zip(values, lab.tried(PLAIN, values), strict=True):
        if pseudonym:
            assert fits(pseudonym)
            assert re.sub(r"\d", "9", pseudonym) == re.sub(r"\d", "9", value)


@given(st.lists(NUMBERS, max_size=8))
def test_text_of_a_range(lab: Lab, values: list[str]) -> None:
    for value, pseudonym in zip(values, lab.tried(MONEY, values), strict=True):
        inside = Decimal("-9999.99") <= Decimal(value) <= 1_000_000 and value != "-0.00"
        assert (pseudonym is not None) == inside
        if pseudonym:
            assert fits(pseudonym)
            assert pseudonym[-3] == "."
            assert Decimal("-9999.99") <= Decimal(pseudonym) <= 1_000_000


@pytest.mark.parametrize(
    "value",
    [
        "1",
        "1.5",
        "1.500",
        ".50",
        "01.50",
        "1.",
        "-0.00",
        "1e2",
        "+1.50",
        "1,50",
        "1.5\u0660",
        "é.50",
    ],
)
def test_other_text(lab: Lab, value: str) -> None:
    assert lab.invalid(MONEY, ["1.50", value, ""]) == [value]
    assert lab.invalid(MONEY, [value, "1.50"], decrypt=True) == [value]


@given(st.lists(st.integers(-999_999, 100_000_000), max_size=6))
def test_columns_and_text_have_the_same_pseudonyms(lab: Lab, units: list[int]) -> None:
    strings = [f"{Decimal(one).scaleb(-2):f}" for one in units]
    made = column(MONEY, decimals(strings, 2)).values
    assert isinstance(made, Decimals)
    assert made.strings() == lab.encrypted(MONEY, strings)
    back = column(MONEY, made, decrypt=True).values
    assert isinstance(back, Decimals)
    assert back.strings() == strings


def test_a_column_takes_its_own_scale() -> None:
    values = ["12345.6789", "-98765.4321"]
    made = column(PLAIN, decimals(values, 4))
    assert isinstance(made.values, Decimals)
    for pseudonym, value in zip(made.values.strings(), values, strict=True):
        assert re.sub(r"\d", "9", pseudonym) == re.sub(r"\d", "9", value)
    assert column(PLAIN, made.values, decrypt=True).values.strings() == values
    with pytest.raises(PseudonymizationError, match=r"4 digits after the point.*scale=2"):
        column(MONEY, decimals(values, 4))


def test_small_and_invalid_rows(lab: Lab) -> None:
    form = resolve_format("decimal", {"scale": 1, "minimum": 0, "maximum": "99.9"})
    made = lab.transform(form, ["5.0", "", "100.0", "5.00", "99.9"])
    assert (made.small.rows.tolist(), made.small.domain) == ([0, 4], 1000)
    assert made.invalid.tolist() == [2, 3]
    assert made.values.strings() == [""] * 5
    every = [f"{Decimal(one).scaleb(-1):f}" for one in range(1000)]
    assert sorted(lab.encrypted(form, every, tables=True), key=Decimal) == every
    made = lab.transform(PLAIN, ["12.50", "1.5", "123456789.01"])
    assert (made.small.rows.tolist(), made.small.domain) == ([0, 1], 90)
    assert made.domain == 90_000_000_000


def test_the_ends_of_a_range_between_two_numbers() -> None:
    form = resolve_format("decimal", {"minimum": "0.05", "maximum": "2.95"})
    values = decimals([f"{Decimal(one).scaleb(-1):f}" for one in range(40)], 1)
    made = column(form, values)
    assert made.invalid.tolist() == [0, *range(30, 40)]
    assert sorted(made.values.strings()[1:30]) == values.strings()[1:30]


def test_a_range_that_the_type_does_not_hold() -> None:
    with pytest.raises(PseudonymizationError, match="ends at"):
        column(MONEY, decimals(["1.00"], 2, Limits(-9999, 9999)))


@pytest.mark.parametrize(
    "options",
    [
        {"scale": -1},
        {"scale": 19},
        {"scale": "2"},
        {"scale": True},
        {"minimum": "1"},
        {"maximum": "1"},
        {"minimum": "2", "maximum": "1"},
        {"minimum": "1", "maximum": "1"},
        {"minimum": "x", "maximum": "1"},
        {"minimum": "0", "maximum": "Infinity"},
        {"minimum": "NaN", "maximum": "1"},
        {"minimum": 0.5, "maximum": 1},
        {"minimum": True, "maximum": 5},
        {"minimum": "0", "maximum": "1e30"},
        {"minimum": "0", "maximum": "1e999999"},
        {"scale": 18, "minimum": "0", "maximum": "100"},
    ],
)
def test_options_that_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(PseudonymizationError) as caught:
        resolve_format("decimal", options)
    assert caught.value.__context__ is None


def test_options_are_kept_and_make_the_format_again() -> None:
    assert PLAIN.options == {"scale": None, "minimum": None, "maximum": None}
    form = resolve_format("decimal", {"scale": 2, "minimum": -5, "maximum": "1e3"})
    assert form.options == {"scale": 2, "minimum": "-5", "maximum": "1000"}
    assert resolve_format("decimal", form.options).options == form.options


def test_no_two_numbers_meet_and_digits_are_even(lab: Lab) -> None:
    form = resolve_format("decimal", {"scale": 3, "minimum": 0, "maximum": "9999999.999"})
    made = lab.encrypted(form, [f"{Decimal(one).scaleb(-3):f}" for one in range(100_000)])
    assert len(set(made)) == 100_000
    lab.even([one.zfill(11).replace(".", "") for one in made])


def test_tweaks_of_rows_and_wide_text(lab: Lab) -> None:
    lab.unlinkable(MONEY, "12.50")
    lab.unlinkable(PLAIN, "123456.78")
    assert lab.encrypted(MONEY, ["12.50"], wide=True) == lab.encrypted(MONEY, ["12.50"])


@given(st.lists(st.integers(1 - (1 << 63), (1 << 63) - 1)), st.integers(0, 18))
def test_numbers_are_read_as_they_are_written(units: list[int], scale: int) -> None:
    strings = [f"{Decimal(one).scaleb(-scale):f}" for one in units]
    assert decimals(strings, scale).strings() == strings
    longer = [string + ("0" if "." in string else ".0") for string in strings]
    assert decimals(longer, scale).strings() == strings


def test_numbers_in_other_writings() -> None:
    assert decimals(["1.5", "1.50", "1.5000", "150e-2", "0", "-0", "0e99"], 2).strings() == [
        *["1.50"] * 4,
        "0.00",
        "-0.00",
        "0.00",
    ]


@pytest.mark.parametrize(
    "text", ["", "x", "1.505", "inf", "nan", "١", "1e20", "1e-3", "1e999999999", str(1 << 64)]
)
def test_text_that_is_no_number_of_a_column(text: str) -> None:
    with pytest.raises(PseudonymizationError, match="1 values are not decimal numbers"):
        decimals(["1", text], 2)


def test_golden_values(lab: Lab) -> None:
    assert lab.encrypted(MONEY, ["0.00", "-9999.99", "1000000.00", "12.50"]) == GOLDEN[:4]
    assert lab.encrypted(PLAIN, ["12345.67", "-1234567.8", "12345678"]) == GOLDEN[4:]


GOLDEN = [
    "269879.53",
    "880258.44",
    "464231.71",
    "598432.79",
    "28755.58",
    "-6964454.3",
    "13612398",
]

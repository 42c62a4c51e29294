from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.ciphers.small_domain import SmallDomainCipher
from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats import Transformed, resolve_format
from secureml.pseudonymization.ranking.permutation import Permutation, RowTweaks
from secureml.pseudonymization.ranking.pipeline import transform
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers

if TYPE_CHECKING:
    from conftest import Lab

KEY = bytes(range(32))
FORM = resolve_format("integer", {})
INT64 = Limits(-(1 << 63), (1 << 63) - 1)
BIG = 1 << 63


def ranged(minimum: int, maximum: int, values: list[int], **how: object) -> Transformed:
    numbers = WholeNumbers.parse([str(value) for value in values], how.pop("limits", INT64))  # type: ignore[arg-type]  # Limits
    return transformed(minimum, maximum, numbers, **how)


def transformed(
    minimum: int,
    maximum: int,
    numbers: WholeNumbers,
    *,
    decrypt: bool = False,
    tables: bool = False,
    row_tweaks: RowTweaks | None = None,
) -> Transformed:
    permutation = Permutation(
        IntegerFF1(KEY),
        tables=SmallDomainCipher(KEY) if tables else None,
        row_tweaks=row_tweaks,
        decrypt=decrypt,
    )
    form = resolve_format("integer", {"minimum": minimum, "maximum": maximum})
    return transform(form, numbers, permutation)


def plain(made: Transformed) -> list[int]:
    return [int(string) for string in made.values.strings()]


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(1, (1 << 64) - 1), st.data())
def test_numbers_stay_in_their_range_and_come_back(
    minimum: int, more: int, data: st.DataObject
) -> None:
    maximum = min(minimum + more, (1 << 63) - 1)
    if minimum == maximum:
        minimum -= 1
    inside = st.integers(minimum, maximum) | st.sampled_from([minimum, maximum])
    values = data.draw(st.lists(inside | st.integers(-(1 << 63), (1 << 63) - 1), max_size=6))
    tables = maximum - minimum < 1_000_000
    made = ranged(minimum, maximum, values, tables=tables)
    out = [row for row, value in enumerate(values) if not minimum <= value <= maximum]
    assert made.invalid.tolist() == out
    assert not len(made.small.rows)
    assert made.domain == (maximum - minimum + 1 if len(out) < len(values) else 0)
    assert all(plain(made)[row] == 0 for row in out)
    kept = [row for row in range(len(values)) if row not in out]
    pseudonyms = [plain(made)[row] for row in kept]
    assert all(minimum <= pseudonym <= maximum for pseudonym in pseudonyms)
    back = ranged(minimum, maximum, pseudonyms, decrypt=True, tables=tables)
    assert plain(back) == [values[row] for row in kept]


@pytest.mark.parametrize(("minimum", "maximum"), [(-500_000, 499_999), (7, 1_000_006)])
def test_every_number_has_its_own(minimum: int, maximum: int) -> None:
    values = np.arange(minimum, maximum + 1)
    numbers = WholeNumbers(np.abs(values).astype(np.uint64), values < 0, INT64)
    made = transformed(minimum, maximum, numbers).values
    assert isinstance(made, WholeNumbers)
    signed = np.where(made.negative, -made.magnitudes, made.magnitudes).view(np.int64)
    assert (np.sort(signed) == values).all()
    assert (signed != values).mean() > 0.999


def test_whole_words() -> None:
    values = [-(1 << 63), -1, 0, 1, (1 << 63) - 1]
    made = plain(ranged(-(1 << 63), (1 << 63) - 1, values))
    assert plain(ranged(-(1 << 63), (1 << 63) - 1, made, decrypt=True)) == values
    limits = Limits(0, (1 << 64) - 1)
    top = [0, (1 << 64) - 1]
    made = plain(ranged(0, (1 << 64) - 1, top, limits=limits))
    assert plain(ranged(0, (1 << 64) - 1, made, limits=limits, decrypt=True)) == top


def test_small_ranges_are_reported_or_permuted_by_a_table() -> None:
    made = ranged(0, 120, [5, 121, -1, 5])
    assert made.small.rows.tolist() == [0, 3]
    assert made.small.domain == 121
    assert made.invalid.tolist() == [1, 2]
    assert plain(made) == [0] * 4
    ages = plain(ranged(0, 120, list(range(121)), tables=True))
    assert sorted(ages) == list(range(121))
    assert plain(ranged(0, 120, ages, tables=True, decrypt=True)) == list(range(121))


def test_a_range_that_the_type_does_not_hold() -> None:
    with pytest.raises(PseudonymizationError, match="ends at -128 and 127"):
        ranged(0, 1_000_000, [5], limits=Limits(-128, 127))


def test_negative_zero_is_no_number_of_a_range() -> None:
    zeros = WholeNumbers(np.zeros(2, np.uint64), np.array([False, True]), INT64)
    assert transformed(-10, 10, zeros, tables=True).invalid.tolist() == [1]


@pytest.mark.parametrize("decrypt", [False, True])
def test_digits_without_a_range_never_become_a_negative_zero(decrypt: bool) -> None:
    permutation = Permutation(IntegerFF1(KEY), tables=SmallDomainCipher(KEY), decrypt=decrypt)
    numbers = WholeNumbers.parse([*map(str, range(-9, 10)), "-0"], INT64)
    made = transform(FORM, numbers, permutation)
    assert sorted(plain(made)[:9]) == list(range(-9, 0))
    assert sorted(plain(made)[9:-1]) == list(range(10))
    assert made.small.rows.tolist() == [19]
    assert made.small.domain == 1


@pytest.mark.parametrize(
    "given_options",
    [
        {"minimum": 1},
        {"maximum": 1},
        {"minimum": 5, "maximum": 5},
        {"minimum": 6, "maximum": 5},
        {"minimum": "0", "maximum": 10**7},
        {"minimum": False, "maximum": 10**7},
        {"minimum": 0.0, "maximum": 10**7},
        {"minimum": 0, "maximum": 1 << 64},
        {"minimum": -1, "maximum": (1 << 64) - 1},
        {"minimum": -(1 << 64), "maximum": 0},
    ],
)
def test_options_that_are_refused(given_options: dict[str, int]) -> None:
    with pytest.raises(PseudonymizationError):
        resolve_format("integer", given_options)


def test_options_are_kept() -> None:
    assert FORM.options == {}
    options = {"minimum": -3, "maximum": 9_999_999}
    assert resolve_format("integer", options).options == options


# Text.

TEXT = resolve_format("integer", {"minimum": -2_000_000, "maximum": 10**12})
INTEGERS = st.integers(-(10**12), BIG - 1).map(str)


@given(st.lists(INTEGERS | st.just(""), max_size=8))
def test_text_of_a_range(lab: Lab, values: list[str]) -> None:
    for value, pseudonym in zip(values, lab.tried(TEXT, values), strict=True):
        if value and not -2_000_000 <= int(value) <= 10**12:
            assert pseudonym is None
        elif value:
            assert pseudonym is not None
            assert -2_000_000 <= int(pseudonym) <= 10**12


@given(st.lists(INTEGERS | st.text("-0123456789.", max_size=22) | st.text(max_size=4), max_size=8))
def test_text_keeps_sign_and_digits_or_is_reported(lab: Lab, values: list[str]) -> None:
    made = lab.transform(FORM, values)
    fit = [
        bool(re.fullmatch(r"|0|-?[1-9][0-9]{0,18}", value, re.ASCII))
        and -BIG <= int(value or 0) < BIG
        for value in values
    ]
    assert made.invalid.tolist() == [row for row, one in enumerate(fit) if not one]
    for value, pseudonym, one in zip(values, lab.tried(FORM, values), fit, strict=True):
        if one and len(value.lstrip("-")) > 6 and pseudonym is not None:
            assert len(pseudonym) == len(value)
            assert pseudonym.startswith("-") == value.startswith("-")
        elif value:
            assert pseudonym is None


@given(st.lists(st.integers(-(10**18), 10**18), max_size=6))
def test_text_and_numbers_have_the_same_pseudonyms(lab: Lab, values: list[int]) -> None:
    strings = [str(value) for value in values if abs(value) >= 10**7]
    numbers = transform(FORM, WholeNumbers.parse(strings, INT64), Permutation(IntegerFF1(KEY)))
    assert lab.encrypted(FORM, strings) == numbers.values.strings()


@pytest.mark.parametrize(
    "value",
    [
        "01",
        "-0",
        "+5",
        "1.0",
        "1e3",
        " 1",
        "1_0",
        "١",
        "-",
        "--1",
        "1" * 20,
        str(BIG),
        str(-BIG - 1),
        "é",
        "\ud800",
    ],
)
def test_text_that_is_no_number(lab: Lab, value: str) -> None:
    good = "123456789"
    for form in (FORM, TEXT):
        assert lab.invalid(form, [good, value, "", good]) == [value]
        assert lab.invalid(form, [value, good], decrypt=True) == [value]


def test_text_of_small_ranges(lab: Lab) -> None:
    form = resolve_format("integer", {"minimum": 0, "maximum": 120})
    made = lab.transform(form, ["7", "", "121", "x"])
    assert (made.small.rows.tolist(), made.small.domain, made.invalid.tolist()) == (
        [0],
        121,
        [2, 3],
    )
    ages = [str(age) for age in range(121)]
    assert sorted(lab.encrypted(form, ages, tables=True), key=int) == ages


def test_digits_are_even_and_values_do_not_meet(lab: Lab) -> None:
    form = resolve_format("integer", {"minimum": 10**9, "maximum": 10**10 - 1})
    pseudonyms = lab.encrypted(form, [str(10**9 + number) for number in range(100_000)])
    assert len(set(pseudonyms)) == 100_000
    lab.even([pseudonym[1:] for pseudonym in pseudonyms])


def test_tweaks_of_rows_and_wide_text(lab: Lab) -> None:
    lab.unlinkable(TEXT, "123456")
    lab.unlinkable(FORM, "12345678")
    assert lab.encrypted(TEXT, ["5"], wide=True) == lab.encrypted(TEXT, ["5"])


def test_golden_values(lab: Lab) -> None:
    assert lab.encrypted(FORM, ["1234567", "-1234567", "1000000000"]) == [
        "2418380",
        "-1330877",
        "9657670931",
    ]
    assert lab.encrypted(TEXT, ["0", "-2000000", "1000000000000"]) == GOLDEN
    assert [
        str(one) for one in plain(ranged(-2_000_000, 10**12, [0, -2_000_000, 10**12]))
    ] == GOLDEN


GOLDEN = ["258756458250", "427954400511", "868892626991"]

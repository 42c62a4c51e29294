from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.pseudonymization.formats import TooSmall
from secureml.pseudonymization.formats.integers import IntegerFormat
from secureml.pseudonymization.ranking.permutation import MIN_DOMAIN, Permutation
from secureml.pseudonymization.ranking.pipeline import transform
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers

INT64 = Limits(-(1 << 63), (1 << 63) - 1)
INT32 = Limits(-(1 << 31), (1 << 31) - 1)
UINT64 = Limits(0, (1 << 64) - 1)
FLOAT32 = Limits(-(1 << 24) + 1, (1 << 24) - 1)
ALL_LIMITS = [INT64, INT32, UINT64, FLOAT32]


def whole(values: list[int], limits: Limits = INT64) -> WholeNumbers:
    magnitudes = np.array([abs(value) for value in values], np.uint64)
    return WholeNumbers(magnitudes, np.array([value < 0 for value in values], np.bool_), limits)


def transformed(
    numbers: WholeNumbers, cipher: IntegerFF1, *, decrypt: bool = False
) -> tuple[WholeNumbers, TooSmall]:
    made = transform(IntegerFormat(), numbers, Permutation(cipher, decrypt=decrypt))
    assert isinstance(made.values, WholeNumbers)
    assert not len(made.invalid)
    return made.values, made.small


def plain(numbers: WholeNumbers) -> list[int]:
    return [int(string) for string in numbers.strings()]


@given(st.sampled_from(ALL_LIMITS), st.data())
def test_numbers_come_back_with_sign_and_digits(
    cipher: IntegerFF1, limits: Limits, data: st.DataObject
) -> None:
    values = data.draw(st.lists(st.integers(limits.lowest, limits.highest), max_size=8))
    new, small = transformed(whole(values, limits), cipher)
    assert not new.outside().any()
    back, _ = transformed(new, cipher, decrypt=True)
    for row, (value, other) in enumerate(zip(values, plain(new), strict=True)):
        if row in small.rows:
            assert other == 0
            assert abs(value) < 10**7
        else:
            assert len(str(other)) == len(str(value))
            assert (other < 0) == (value < 0)
            assert plain(back)[row] == value


@pytest.mark.parametrize(
    ("limits", "value"),
    [
        (INT64, (1 << 63) - 1),
        (INT64, -(1 << 63)),
        (INT64, 10**18),
        (INT32, (1 << 31) - 1),
        (INT32, -(1 << 31)),
        (UINT64, (1 << 64) - 1),
        (UINT64, 10**19),
        (FLOAT32, (1 << 24) - 1),
        (FLOAT32, 10**7),
        (INT64, 10**6),
        (INT64, 10**7 - 1),
    ],
)
def test_edges(limits: Limits, value: int, cipher: IntegerFF1) -> None:
    new, small = transformed(whole([value], limits), cipher)
    assert not len(small.rows)
    assert not new.outside().any()
    assert plain(transformed(new, cipher, decrypt=True)[0]) == [value]


@pytest.mark.parametrize(
    ("limits", "value", "domain"),
    [
        (INT64, 0, 10),
        (INT64, 9, 10),
        (INT64, -10, 90),
        (INT64, 999_999, 900_000),
        (Limits(-128, 127), 100, 28),
        (Limits(-128, 127), -100, 29),
        (Limits(0, 1_999_998), 1_500_000, 999_999),
    ],
)
def test_small_domains(limits: Limits, value: int, domain: int, cipher: IntegerFF1) -> None:
    new, small = transformed(whole([value, value], limits), cipher)
    assert small.domain == domain < MIN_DOMAIN
    assert small.rows.tolist() == [0, 1]
    assert plain(new) == [0, 0]


def test_types_of_different_width_give_equal_pseudonyms(cipher: IntegerFF1) -> None:
    values = [123_456_789, -1_234_567]
    narrow, wide = (transformed(whole(values, limits), cipher)[0] for limits in (INT32, INT64))
    assert plain(narrow) == plain(wide)


def test_sign_and_length_separate_domains(cipher: IntegerFF1) -> None:
    first, second, third = plain(transformed(whole([1234567, -1234567, 12345678]), cipher)[0])
    assert first != -second
    assert str(first) != str(third)[:7]


def test_golden_values(cipher: IntegerFF1) -> None:
    values = [1234567, -1234567, 10**9, (1 << 63) - 1, -(1 << 63)]
    assert plain(transformed(whole(values), cipher)[0]) == [
        2418380,
        -1330877,
        9657670931,
        5037207800423320601,
        -2854946540254077730,
    ]


def test_every_value_of_a_domain_has_its_own_pseudonym(cipher: IntegerFF1) -> None:
    limits = Limits(0, 2_000_000)
    values = np.arange(10**6, 2 * 10**6 + 1, dtype=np.uint64)
    numbers = WholeNumbers(values, np.zeros(len(values), np.bool_), limits)
    new, small = transformed(numbers, cipher)
    assert not len(small.rows)
    assert (np.sort(new.magnitudes) == values).all()


def test_none(cipher: IntegerFF1) -> None:
    new, small = transformed(whole([]), cipher)
    assert (len(new), len(small.rows), small.domain) == (0, 0, 0)

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum.us import ssn

from secureml.ciphers.ff1 import FF1
from secureml.ciphers.integer_ff1 import numerals_for
from secureml.pseudonymization.formats.ssn import SsnFormat

SSN = SsnFormat()
SIZE = 898 * 99 * 9999
AREAS = [area for area in range(1, 900) if area != 666]
WITHDRAWN = {"078-05-1120", "457-55-5462", "219-09-9999"}  # stdnum refuses these as well
NUMBERS = st.builds(
    lambda area, group, serial, separator: separator.join(
        [f"{area:03d}", f"{group:02d}", f"{serial:04d}"]
    ),
    st.sampled_from(AREAS),
    st.integers(1, 99),
    st.integers(1, 9999),
    st.sampled_from(["-", " ", ""]),
)


def drawn(count: int) -> list[str]:
    generator = np.random.default_rng(5)
    ranks = generator.choice(SIZE, count, replace=False).tolist()
    return [
        f"{AREAS[rank // 9999 // 99]:03d}-{rank // 9999 % 99 + 1:02d}-{rank % 9999 + 1:04d}"
        for rank in ranks
    ]


def test_golden_values(lab) -> None:
    values = [
        "123-45-6789",
        "123456789",
        "123 45 6789",
        "899-99-9999",
        "001-01-0001",
        "667-01-0001",
    ]
    assert lab.encrypted(SSN, values) == [
        "580-40-5126",
        "717112471",
        "517 55 7174",
        "328-32-8364",
        "226-83-0383",
        "898-81-2901",
    ]


def test_the_rank_is_what_ff1_encrypts(lab) -> None:
    radix, n = numerals_for(SIZE)
    rank = (AREAS.index(123) * 99 + 44) * 9999 + 6788
    while True:
        numerals = [rank // radix ** (n - 1 - place) % radix for place in range(n)]
        rank = 0
        for numeral in FF1(bytes(range(32)), radix).encrypt(numerals, b"ssn/1 -"):
            rank = rank * radix + int(numeral)
        if rank < SIZE:
            break
    block, serial = divmod(rank, 9999)
    expected = f"{AREAS[block // 99]:03d}-{block % 99 + 1:02d}-{serial + 1:04d}"
    assert lab.encrypted(SSN, ["123-45-6789"]) == [expected]


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(NUMBERS | st.text(st.sampled_from("0123456789- é"), max_size=12), max_size=6),
    wide=st.booleans(),
    tables=st.booleans(),
)
def test_any_text_comes_back_or_is_reported(lab, values, wide, tables) -> None:
    made = lab.tried(SSN, values, wide=wide, tables=tables)
    for value, pseudonym in zip(values, made, strict=True):
        if pseudonym:
            assert ssn.is_valid(pseudonym.replace(" ", "-")) or pseudonym in WITHDRAWN
            assert [c for c in pseudonym if not c.isdigit()] == [
                c for c in value if not c.isdigit()
            ]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(codec=None), max_size=12), max_size=4))
def test_arbitrary_text_is_invalid(lab, values) -> None:
    assert lab.tried(SSN, values) == [None if value else "" for value in values]


@pytest.mark.parametrize(
    "value",
    [
        "000-12-3456",
        "666-12-3456",
        "900-12-3456",
        "999-12-3456",
        "123-00-4567",
        "123-45-0000",
        "123-456789",
        "123-45 6789",
        "123 45-6789",
        "123.45.6789",
        "12345678",
        "1234567890",
        "a23-45-6789",
        "12-345-6789",
        " 123456789",
        "١٢٣٤٥٦٧٨٩",
        "123-45-678٣",
        "123456789\ud800\ud800",
        "~23-45-6789",
        "/23456789",
        ":23456789",
    ],
)
@pytest.mark.parametrize("company", [[], ["123-45-6789", "123456789"], ["987é"]])
def test_what_is_no_ssn(lab, value: str, company: list[str]) -> None:
    assert value in lab.invalid(SSN, [*company, value])
    assert value in lab.invalid(SSN, [*company, value], decrypt=True)


def test_outputs_are_valid_distinct_and_even(lab) -> None:
    values = drawn(100_000)
    pseudonyms = lab.encrypted(SSN, values)
    assert len(set(pseudonyms)) == len(values)
    assert all(map(ssn.is_valid, set(pseudonyms) - WITHDRAWN))
    lab.even([pseudonym[-3:] for pseudonym in pseudonyms])
    lab.even([pseudonym[1:3] for pseudonym in pseudonyms if pseudonym[0] in "12345"])


def test_a_million_stay_distinct(lab) -> None:
    values = [f"{number:09d}" for number in range(1_010_001, 899_000_000, 890)]
    values = [value for value in values if ssn.is_valid(value)][:1_000_000]
    assert len(values) > 950_000
    pseudonyms = lab.transform(SSN, values).values.strings()
    assert len(set(pseudonyms)) == len(values)


def test_the_writing_separates_pseudonyms(lab) -> None:
    three = lab.encrypted(SSN, ["123-45-6789", "123456789", "123 45 6789"])
    assert len({value.replace("-", "").replace(" ", "") for value in three}) == 3


def test_row_tweaks(lab) -> None:
    lab.unlinkable(SSN, "123-45-6789")
    lab.unlinkable(SSN, "123456789")


def test_company_changes_nothing(lab) -> None:
    alone = lab.encrypted(SSN, ["123-45-6789"])
    mixed = lab.transform(SSN, ["", "123456789", "x", "123-45-6789", "123 45 6789", "é"])
    assert mixed.values.strings()[3] == alone[0]
    assert mixed.invalid.tolist() == [2, 5]
    assert mixed.domain == SIZE


def test_none(lab) -> None:
    for values in ([], [""], ["", ""]):
        made = lab.transform(SSN, values)
        assert (made.values.strings(), made.domain) == (values, 0)


def test_nothing_but_invalid_values(lab) -> None:
    made = lab.transform(SSN, ["x", "", "987654321"])
    assert (made.invalid.tolist(), made.domain) == ([0, 2], 0)

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum import luhn

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats import make_format
from secureml.pseudonymization.formats.credit_card import CreditCardFormat
from secureml.pseudonymization.ranking.permutation import RowTweaks

CARD = CreditCardFormat()
EDGES = CreditCardFormat(keep_first=4, keep_last=3)
TAIL = CreditCardFormat(keep_last=4)
HEAD = CreditCardFormat(keep_first=6)
FORMS = [CARD, EDGES, TAIL, HEAD, CreditCardFormat(keep_first=6, keep_last=6)]


def written(number: int, length: int = 16, layout: str = "") -> str:
    """The valid number that continues a number, with separators from a layout such as "4-4"."""
    body = f"{number:0{length - 1}d}"
    digits = iter(body + luhn.calc_check_digit(body))
    return "".join(next(digits) if c == "9" else c for c in layout or "9" * length)


def numbers(count: int, length: int = 16, layout: str = "") -> list[str]:
    generator = np.random.default_rng(7)
    drawn = generator.choice(10 ** min(length - 1, 18), 2 * count, replace=True)
    return list(dict.fromkeys(written(number, length, layout) for number in drawn.tolist()))[:count]


def digits(value: str) -> str:
    return "".join(character for character in value if character.isdigit())


def layout(value: str) -> str:
    return "".join("9" if character.isdigit() else character for character in value)


CARDS = st.builds(
    lambda number, length, shape: written(number, length, shape.replace("#", "9" * (length - 8))),
    st.integers(0, 10**11 - 1),
    st.integers(12, 19),
    st.sampled_from(
        ["9999#9999", "9999 #-9999", " 9999.#.9999é".replace("é", "€"), "~9999#\ud8009999"]
    ),
)


def test_golden_values(lab) -> None:
    values = [
        "4111 1111 1111 1111",
        "4111111111111111",
        "3782-822463-10005",
        "6304000000000000000",
        "630400000000",
    ]
    assert lab.encrypted(CARD, values) == [
        "0499 9879 5625 5927",
        "8435962626865470",
        "7466-426702-75716",
        "5885063165543825818",
        "040275156590",
    ]
    assert lab.encrypted(EDGES, values[:4]) == [
        "4111 5105 6519 4111",
        "4111812347950111",
        "3782-105617-38005",
        "6304696944458187000",
    ]
    assert lab.encrypted(TAIL, values[:4]) == [
        "5228 6263 5627 1111",
        "0000902128241111",
        "5883-446500-00005",
        "0156094866999790000",
    ]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: str(form.options))
@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(CARDS | st.text(st.sampled_from("0123456789- é٣\ud800")), max_size=5),
    wide=st.booleans(),
    tables=st.booleans(),
)
def test_any_text_comes_back_or_is_reported(lab, form, values, wide, tables) -> None:
    first, last = form.options["keep_first"], form.options["keep_last"]
    for value, new in zip(values, lab.tried(form, values, wide=wide, tables=tables), strict=True):
        if new:
            assert luhn.is_valid(digits(new))
            assert layout(new) == layout(value)
            assert digits(new)[:first] == digits(value)[:first]
            assert (
                digits(new)[len(digits(new)) - last :] == digits(value)[len(digits(new)) - last :]
            )


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(codec=None), max_size=20), max_size=4))
def test_arbitrary_text_is_invalid(lab, values) -> None:
    assert lab.tried(CARD, values) == [None if value else "" for value in values]


@pytest.mark.parametrize(
    "value",
    [
        "4111111111111112",
        "41111111111",
        "00000000000",
        "00000000000000000000",
        "4111a111111111111",
        "4111111111111111a",
        "4111é11111111111110",
        "٤111111111111111",
        "x",
        "-",
    ],
)
@pytest.mark.parametrize("company", [[], ["4111111111111111", "4111 1111 1111 1111"]])
def test_what_is_no_card_number(lab, value: str, company: list[str]) -> None:
    assert lab.invalid(CARD, [*company, value]) == [value]
    assert lab.invalid(CARD, [*company, value], decrypt=True) == [value]


@pytest.mark.parametrize("form", [CARD, EDGES, TAIL], ids=lambda form: str(form.options))
def test_outputs_are_valid_distinct_and_even(lab, form) -> None:
    values = numbers(60_000 if form is CARD else 20_000)
    if form is not CARD:  # as numbers of a few issuers are
        values = list(dict.fromkeys(written(int("4111" + value[4:15])) for value in values))
        if form is EDGES:
            values = [value for value in values if value[-3:] < "050"]
            values += [written(int(f"4111{number:011d}")) for number in range(0, 10**8, 999)]
            values = list({value for value in values if value[-3:] < "020"})
    pseudonyms = lab.encrypted(form, values)
    assert len(set(pseudonyms)) == len(values)
    assert all(map(luhn.is_valid, pseudonyms))
    lab.even([pseudonym[4:13] if form is EDGES else pseudonym[:12] for pseudonym in pseudonyms])


def test_the_whole_domain_of_a_million(lab) -> None:
    form = CreditCardFormat(keep_first=5)
    # Ten numbers that differ in the last free digit alone have ten check digits.
    tens = [written(int(f"41111{number:06d}"), 12) for number in range(0, 10**6, 10)]
    steps = [int(written(4111100000 * 10 + digit, 12)) % 10 for digit in range(10)]
    values = [
        f"{ten[:10]}{digit}{(int(ten[11]) + step - steps[0]) % 10}"
        for ten in tens
        for digit, step in enumerate(steps)
    ]
    assert all(map(luhn.is_valid, values[::997]))
    pseudonyms = lab.transform(form, values).values.strings()
    assert sorted(pseudonyms) == values


def test_the_whole_domain_that_a_kept_check_digit_leaves(lab) -> None:
    form = CreditCardFormat(keep_first=4, keep_last=4)
    values = [f"4111{number:04d}1111" for number in range(10**4)]
    values = [value for value in values if luhn.is_valid(value)]
    assert len(values) == 1000
    assert sorted(lab.encrypted(form, values, tables=True)) == values


@pytest.mark.parametrize("keep_last", range(6))
def test_the_last_free_digit_follows_wherever_it_stands(lab, keep_last: int) -> None:
    for length in (15, 16):
        values = [written(number, length) for number in range(30)]
        pseudonyms = lab.encrypted(CreditCardFormat(keep_last=keep_last), values)
        assert all(map(luhn.is_valid, pseudonyms))


@pytest.mark.parametrize(
    ("keep", "value", "domain"),
    [
        ((6, 4), "4111 1111 1111 1111", 10**5),
        ((0, 6), "630400000000", 10**5),
        ((6, 5), "630400000000", 1),
        ((6, 6), "630400000000", 1),
        ((12, 0), "630400000000", 1),
    ],
)
def test_too_many_kept_digits(lab, keep: tuple[int, int], value: str, domain: int) -> None:
    form = CreditCardFormat(keep_first=keep[0], keep_last=keep[1])
    made = lab.transform(form, ["", value, "x"])
    assert (made.small.rows.tolist(), made.small.domain) == ([1], domain)
    assert made.values.strings()[1] == ""


@pytest.mark.parametrize("keep", [(13, 0), (6, 7), (0, 13), (19, 19)])
def test_options_that_can_never_do(keep: tuple[int, int]) -> None:
    with pytest.raises(PseudonymizationError, match=r"19 - .* = .*1,000,000"):
        CreditCardFormat(keep_first=keep[0], keep_last=keep[1])


@pytest.mark.parametrize("count", [-1, True, "4", 2.0, None])
def test_options_that_are_no_number_of_digits(count: object) -> None:
    with pytest.raises(PseudonymizationError, match="number of digits"):
        make_format("credit_card/1", {"keep_first": count})  # type: ignore[dict-item]


def test_options_are_recorded_with_defaults() -> None:
    assert CARD.options == {"keep_first": 0, "keep_last": 0}
    assert make_format("credit_card/1", {"keep_last": 4}).options["keep_last"] == 4


@pytest.mark.parametrize("form", [CARD, EDGES], ids=lambda form: str(form.options))
def test_row_tweaks(lab, form) -> None:
    lab.unlinkable(form, "4111 1111 1111 1111")


def test_rows_keep_their_tweaks_in_mixed_columns(lab) -> None:
    values = ["4111 1111 1111 1111", "x", "4111111111111111", "4111 1111 1111 1111", ""]
    tweaks = RowTweaks([b"a", b"b"], np.array([0, 0, 1, 1, 0]))
    made = lab.transform(CARD, values, row_tweaks=tweaks).values.strings()
    for row in (0, 2, 3):
        alone = RowTweaks([b"a", b"b"], tweaks.number[row : row + 1])
        assert lab.encrypted(CARD, [values[row]], row_tweaks=alone) == [made[row]]


def test_layout_and_kept_digits_separate_pseudonyms(lab) -> None:
    plain, spaced = lab.encrypted(CARD, ["4111111111111111", "4111 1111 1111 1111"])
    assert plain != digits(spaced)
    one, other = lab.encrypted(HEAD, ["4111111111111111", "4111121111111110"])
    assert one[6:15] != other[6:15]


def test_none(lab) -> None:
    for values in ([], [""], ["", ""]):
        assert lab.encrypted(CARD, values) == values

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.keys import DomainKeys
from secureml.pseudonymization.strategies.one_way import Custom, Mask, Null, Redact
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers
from secureml.pseudonymization.values.text import Text


def _no_key(purpose: str, size: int) -> bytes:
    raise AssertionError("these strategies need no key")


KEYS = DomainKeys(_no_key, "")


def masked(values: list[str], **options: object) -> list[str]:
    made = Mask(KEYS, **options).protect(Text.of(values)).values  # type: ignore[arg-type]  # by name
    assert isinstance(made, Text)
    return made.strings()


def test_a_mask_keeps_the_ends() -> None:
    values = ["1234567890", "12345", "123", "", "Łódź-Ω1"]
    assert masked(values, keep_first=1, keep_last=2) == [
        "1*******90",
        "1**45",
        "***",
        "",
        "Ł****Ω1",
    ]


def test_a_mask_shows_two_thirds_of_a_value_at_most() -> None:
    assert masked(["12345", "123456"], keep_first=2, keep_last=2) == ["*****", "12**56"]
    cards = ["4951601736867108", "49516017368671"]
    assert masked(cards, keep_first=6, keep_last=4) == ["495160******7108", "*" * 14]


@given(
    st.lists(st.text(st.characters(codec=None), max_size=9), max_size=6),
    st.integers(0, 5),
    st.integers(0, 5),
    st.sampled_from("*#•"),
)
def test_a_mask_is_what_its_definition_says(
    values: list[str], first: int, last: int, character: str
) -> None:
    def slow(value: str) -> str:
        if first + last > len(value) * 2 / 3:
            return character * len(value)
        hidden = character * (len(value) - first - last)
        return value[:first] + hidden + value[len(value) - last :]

    made = masked(values, keep_first=first, keep_last=last, character=character)
    assert made == [slow(value) for value in values]


def test_a_mask_of_numbers_is_text() -> None:
    numbers = WholeNumbers.parse(["-123", "42"], Limits(-1000, 1000))
    made = Mask(KEYS, keep_last=1).protect(numbers).values
    assert isinstance(made, Text)
    assert made.strings() == ["***3", "*2"]


@pytest.mark.parametrize(
    "options", [{"keep_first": -1}, {"keep_last": True}, {"character": "**"}, {"character": 0}]
)
def test_the_options_of_a_mask_are_checked(options: dict[str, object]) -> None:
    (name,) = options
    with pytest.raises(PseudonymizationError, match=f"^(the )?{name} of a mask"):
        masked(["value"], **options)


def test_redaction_says_nothing_of_any_value() -> None:
    made = Redact(KEYS, replacement="—").protect(Text.of(["a", "", "long"])).values
    assert isinstance(made, Text)
    assert made.strings() == ["—"] * 3
    with pytest.raises(PseudonymizationError, match="is text"):
        Redact(KEYS, replacement=None)  # type: ignore[arg-type]  # the wrong type is the test


def test_null_takes_every_row() -> None:
    assert Null(KEYS).protect(Text.of(["a", "", "b"])).nulled.tolist() == [0, 1, 2]


def test_a_custom_strategy_is_a_function_not_a_name() -> None:
    with pytest.raises(PseudonymizationError, match="pass the function itself"):
        Custom(KEYS).protect(Text.of(["a"]))


@pytest.mark.parametrize("kind", [Mask, Redact, Null, Custom])
def test_there_is_no_way_back(kind: type[Mask | Redact | Null | Custom]) -> None:
    with pytest.raises(PseudonymizationError, match="can't be reversed"):
        kind(KEYS).recover(Text.of(["a"]), Text.of)

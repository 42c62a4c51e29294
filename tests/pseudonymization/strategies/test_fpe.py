from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats import make_format
from secureml.pseudonymization.keys import DomainKeys
from secureml.pseudonymization.ranking.character_ranks import _PREPARED
from secureml.pseudonymization.strategies import Outcome
from secureml.pseudonymization.strategies.fpe import TOKEN_PREFIX, Fpe
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers
from secureml.pseudonymization.values.text import Text

LIMITS = Limits(-(1 << 31), (1 << 31) - 1)


def keys(domain: str) -> DomainKeys:
    return DomainKeys(lambda purpose, size: bytes(range(size)), domain)


def fpe(policy: str, domain: str = "name") -> Fpe:
    return Fpe(keys(domain), make_format("class/1", {}), policy)


def numeric(policy: str) -> Fpe:
    return Fpe(keys("name"), make_format("integer/1", {}), policy)


def parse(strings: Sequence[str]) -> WholeNumbers:
    return WholeNumbers.parse(strings, LIMITS)


def whole(values: list[int]) -> WholeNumbers:
    return parse([str(value) for value in values])


def protected(cipher: Fpe, strings: Sequence[str]) -> Outcome:
    return cipher.protect(Text.of(strings))


def recovered(cipher: Fpe, text: Text) -> list[str]:
    return cipher.recover(text, Text.of).strings()


def recovered_numbers(cipher: Fpe, strings: Sequence[str]) -> list[int]:
    numbers = cipher.recover(Text.of(strings), parse)
    return [int(string) for string in numbers.strings()]


def test_error_refuses_and_hides_small_values() -> None:
    outcome = protected(fpe("error"), ["Somebody", "Bo", ""])
    assert outcome.small.rows.tolist() == [1]
    assert outcome.small.domain == 676
    assert isinstance(outcome.values, Text)
    assert outcome.values.strings()[1:] == ["", ""]


def test_a_table_permutes_no_domain_below_the_smallest() -> None:
    def permuted(smallest: int) -> Outcome:
        form = make_format("class/1", {})
        return protected(Fpe(keys("name"), form, "permute", smallest=smallest), ["Bo", "x"])

    refused, taken = permuted(27).small, permuted(26).small
    assert (refused.rows.tolist(), refused.domain) == ([1], 26)
    assert not len(taken.rows)


def test_null_empties_small_values() -> None:
    outcome = protected(fpe("null"), ["Somebody", "Bo", "", "-"])
    assert outcome.nulled.tolist() == [1, 3]
    assert not len(outcome.small.rows)
    assert isinstance(outcome.values, Text)
    assert outcome.values.strings()[1:] == ["", "", ""]


def test_token_seals_small_values() -> None:
    outcome = protected(fpe("token"), ["Somebody", "Bo", "", "Bo"])
    assert outcome.tokens.tolist() == [1, 3]
    assert isinstance(outcome.values, Text)
    first, second, empty, third = outcome.values.strings()
    assert second == third
    assert second.startswith(TOKEN_PREFIX)
    assert "Bo" not in second
    assert not first.startswith(TOKEN_PREFIX)
    assert empty == ""


TRICKY = st.text(st.sampled_from("~aZ0-é山"), max_size=9) | st.text(
    st.characters(codec=None), max_size=12
)


@given(st.lists(TRICKY, max_size=8))
def test_whatever_starts_with_the_prefix_is_a_token_and_everything_comes_back(
    values: list[str],
) -> None:
    cipher = fpe("token")
    outcome = protected(cipher, values)
    assert isinstance(outcome.values, Text)
    pseudonyms = outcome.values.strings()
    starting = [row for row, new in enumerate(pseudonyms) if new.startswith(TOKEN_PREFIX)]
    assert starting == outcome.tokens.tolist()
    assert recovered(cipher, outcome.values) == values
    distinct = dict(zip(values, pseudonyms, strict=True))
    assert len(set(distinct.values())) == len(distinct)


@given(st.lists(TRICKY, max_size=4))
def test_tokens_of_tokens_come_back(values: list[str]) -> None:
    inner, outer = fpe("token", "one"), fpe("token", "two")
    once = protected(inner, values).values
    assert isinstance(once, Text)
    twice = outer.protect(once).values
    assert isinstance(twice, Text)
    assert recovered(inner, Text.of(recovered(outer, twice))) == values


@given(st.lists(st.integers(LIMITS.lowest, LIMITS.highest), max_size=8))
def test_integers_come_back_from_decimal_text_and_tokens(values: list[int]) -> None:
    cipher = numeric("token")
    outcome = cipher.protect(whole(values))
    assert isinstance(outcome.values, Text)
    strings = outcome.values.strings()
    small = [row for row, value in enumerate(values) if abs(value) < 10**6]
    assert [row for row, new in enumerate(strings) if new.startswith(TOKEN_PREFIX)] == small
    assert outcome.tokens.tolist() == small
    assert recovered_numbers(cipher, strings) == values


def test_integers_stay_numbers_without_tokens() -> None:
    outcome = numeric("null").protect(whole([12345678, 5]))
    assert isinstance(outcome.values, WholeNumbers)
    assert outcome.nulled.tolist() == [1]
    back = numeric("null").recover(outcome.values.at(np.array([0])), parse)
    assert back.strings() == ["12345678"]


@pytest.mark.parametrize("policy", ["error", "token", "null"])
@pytest.mark.parametrize("value", ["Bo", "-", "12345"])
def test_values_that_no_pseudonym_can_have_are_refused(policy: str, value: str) -> None:
    with pytest.raises(PseudonymizationError, match=r"^2 values can't be pseudonyms"):
        recovered(fpe(policy), Text.of([value, "Somebody", value]))


@pytest.mark.parametrize("value", ["~", "~abc", "~" + "a" * 30, "~é", "~ABCDEFGH"])
def test_forged_tokens_are_refused(value: str) -> None:
    with pytest.raises(PseudonymizationError, match="tokens were changed") as caught:
        recovered(fpe("token"), Text.of(["Somebody", value]))
    assert caught.value.__context__ is None
    assert value not in str(caught.value)


def test_a_token_belongs_to_its_domain() -> None:
    outcome = protected(fpe("token", "one"), ["Bo"])
    assert isinstance(outcome.values, Text)
    with pytest.raises(PseudonymizationError, match="tokens"):
        recovered(fpe("token", "two"), outcome.values)


def test_numbers_that_no_pseudonym_can_be_are_refused() -> None:
    for numbers in (["5"], ["2147483648"], ["-2147483649"]):
        with pytest.raises(PseudonymizationError, match="1 values can't be pseudonyms"):
            numeric("error").recover(parse(numbers), parse)


@pytest.mark.parametrize("text", ["5", "x", "", "1e9", "2147483648", "é"])
def test_decimal_text_that_no_pseudonym_can_be_is_refused(text: str) -> None:
    with pytest.raises(PseudonymizationError, match="1 values"):
        recovered_numbers(numeric("token"), ["12345678", text])


def test_a_token_of_text_is_no_number() -> None:
    for value in ["Bo", "99999999999"]:
        token = Text.of([value])
        sealed = fpe("token").protect(token.replaced(np.array([0]), ["~" + value])).values
        assert isinstance(sealed, Text)
        with pytest.raises(PseudonymizationError, match="1 values"):
            recovered_numbers(numeric("token"), sealed.strings())


BATCHES = (
    [f"{number:09}" for number in range(3000)],
    ["123-45-6789", "", "987-65-4321"],
    ["Żaneta Ünal", "Łukasz Ünal"],
    ["Somebody", "1234567", "Somebody-else"],
    ["12", "34"],
    ["000000000", "987654321"],
)


@pytest.mark.parametrize("policy", ["permute", "token"])
@given(st.permutations(BATCHES * 2))
def test_what_is_kept_for_more_values_changes_none(policy: str, batches: list[list[str]]) -> None:
    one = fpe(policy)
    for strings in batches:
        text = protected(one, strings).values
        assert isinstance(text, Text)
        other = protected(fpe(policy), strings).values
        assert isinstance(other, Text)
        assert text.strings() == other.strings()
        assert recovered(one, text) == strings


def test_templates_of_which_something_is_kept_are_few() -> None:
    one = fpe("error")
    for length in range(20, 20 + 2 * _PREPARED):
        protected(one, ["x" * length])
    assert 0 < len(one._encryption.prepared) <= _PREPARED

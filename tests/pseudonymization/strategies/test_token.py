from __future__ import annotations

import base64
import re

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given
from hypothesis import strategies as st

from secureml.errors import PseudonymizationError
from secureml.keys import derive
from secureml.pseudonymization.keys import DomainKeys
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.strategies.token import Token
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers
from secureml.pseudonymization.values.text import Text

KEY = bytes(range(32))


def keys(domain: str = "customer") -> DomainKeys:
    return DomainKeys(lambda purpose, size: derive(KEY, purpose, size), domain)


def tokens(strategy: Token, values: list[str]) -> list[str]:
    made = strategy.protect(Text.of(values)).values
    assert isinstance(made, Text)
    return made.strings()


def test_a_token_is_aes_siv_of_the_whole_value() -> None:
    (token,) = tokens(Token(keys(), encoding="base64url"), ["Zoë"])
    siv = AESSIV(derive(KEY, "pseudonymization/siv/customer", 64))
    sealed = siv.encrypt("Zoë".encode(), [b"strategy/token/1/customer"])
    assert token == base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def test_tokens_stay_what_they_are() -> None:
    assert tokens(Token(keys(), prefix="cus_"), ["Ann", "", "Bob", "Ann"]) == [
        "cus_542bb7xtp7vs4jkj4sz3oyepw3lxuvq",
        "",
        "cus_pqq5rlzpsr6ikuigohyf6ybthl5v6cq",
        "cus_542bb7xtp7vs4jkj4sz3oyepw3lxuvq",
    ]


@pytest.mark.parametrize("encoding", ["base32", "base64url"])
@given(values=st.lists(st.text(st.characters(codec=None), max_size=12), max_size=6))
def test_every_value_comes_back(encoding: str, values: list[str]) -> None:
    strategy = Token(keys(), prefix="t-", encoding=encoding)
    made = tokens(strategy, values)
    back = strategy.recover(Text.of(made), Text.of)
    assert isinstance(back, Text)
    assert back.strings() == values
    shape = r"t-[a-z2-7]+" if encoding == "base32" else r"t-[\w-]+"
    assert all(re.fullmatch(shape, one, re.ASCII) for one in made if one)
    assert len(set(made)) == len(set(values))


def test_whole_numbers_come_back_as_numbers() -> None:
    limits = Limits(-(1 << 31), (1 << 31) - 1)
    numbers = WholeNumbers.parse(["0", "-5", "2147483647"], limits)
    strategy = Token(keys())
    made = strategy.protect(numbers).values
    assert isinstance(made, Text)
    back = strategy.recover(made, lambda strings: WholeNumbers.parse(strings, limits))
    assert isinstance(back, WholeNumbers)
    assert back.strings() == ["0", "-5", "2147483647"]


def test_another_domain_gives_other_tokens() -> None:
    values = ["Ann", "Bob"]
    one, other = tokens(Token(keys("a")), values), tokens(Token(keys("b")), values)
    assert not set(one) & set(other)
    with pytest.raises(PseudonymizationError, match="belong to another column"):
        Token(keys("b")).recover(Text.of(one), Text.of)


def test_a_row_tweak_makes_equal_values_unlinkable() -> None:
    tweaks = RowTweaks([b"one", b"two"], np.array([0, 1, 0]))
    strategy = Token(keys(), tweaks)
    made = tokens(strategy, ["Ann", "Ann", "Ann"])
    assert made[0] == made[2] != made[1]
    back = strategy.recover(Text.of(made), Text.of)
    assert isinstance(back, Text)
    assert back.strings() == ["Ann"] * 3
    with pytest.raises(PseudonymizationError):
        strategy.recover(Text.of([made[1], made[0], made[2]]), Text.of)


@pytest.mark.parametrize(
    "change", [str.upper, lambda t: t[:-1], lambda t: t + "a", lambda t: t[2:], lambda t: t[:2]]
)
def test_a_changed_token_is_refused(change) -> None:  # type: ignore[no-untyped-def]  # str -> str
    strategy = Token(keys(), prefix="t-")
    (made,) = tokens(strategy, ["somebody"])
    with pytest.raises(PseudonymizationError) as caught:
        strategy.recover(Text.of([change(made)]), Text.of)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prefix": "a b"}, "prefix"),
        ({"prefix": "x" * 33}, "prefix"),
        ({"prefix": 3}, "prefix"),
        ({"encoding": "base16"}, "base16"),
    ],
)
def test_options_are_checked(options: dict[str, object], message: str) -> None:
    with pytest.raises(PseudonymizationError, match=message):
        Token(keys(), **options)  # type: ignore[arg-type]  # the wrong type is the test

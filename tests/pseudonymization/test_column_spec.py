from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.column_spec import ColumnSpec, check_choice
from secureml.pseudonymization.keys import DomainKeys, Keyring
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.strategies.fpe import Fpe
from secureml.pseudonymization.values.decimals import Decimals
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers
from secureml.pseudonymization.values.text import Text
from secureml.pseudonymization.values.timestamps import Days, Moments
from secureml.settings.rules import ColumnRule

KEYS = DomainKeys(lambda purpose, size: bytes(range(size)), "name")


def of(kind: type = Text, **rule: Any) -> ColumnSpec:
    return ColumnSpec.of(ColumnRule(**rule), "column", kind)


def test_defaults() -> None:
    assert of() == ColumnSpec(
        strategy="fpe",
        algorithm="FF1-AES256",
        format="class/1",
        options={},
        key_domain="column",
        small_domain="error",
        on_invalid="error",
        normalize=None,
        tweak=None,
    )
    assert of(WholeNumbers).format == "integer/1"


def test_what_is_said_is_kept() -> None:
    rule = {
        "domain": "person",
        "small_domain": "permute",
        "on_invalid": "null",
        "normalize": "NFC",
        "tweak": "when",
    }
    recipe = of(**rule)
    rule["key_domain"] = rule.pop("domain")
    assert {name: getattr(recipe, name) for name in rule} == rule


def test_a_strategy_without_a_format() -> None:
    recipe = of(strategy="token", options={"prefix": "p_"}, tweak="when", normalize="NFC")
    assert recipe.format is None
    assert recipe.options == {"prefix": "p_", "encoding": "base32"}
    assert (recipe.tweak, recipe.normalize) == ("when", "NFC")
    with pytest.raises(PseudonymizationError, match="'token' takes no format"):
        of(strategy="token", format="class")


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        ({"strategy": "fep"}, "strategy='fep' is not known; did you mean 'fpe'"),
        ({"small_domain": "tokens"}, "did you mean 'token'"),
        ({"on_invalid": "permute"}, "on_invalid='permute' is not known"),
        ({"normalize": "NFD"}, "normalize='NFD' is not known; did you mean 'NFC'"),
        ({"format": "clas"}, "there is no format 'clas'; did you mean 'class'"),
        ({"format": "zzzzzz"}, "there is no format 'zzzzzz'"),
        ({"format": "class:x"}, "is to be written 'class'"),
        ({"format": "class/1"}, "there is no format 'class/1'"),
        ({"format": "class", "options": {"more": 1}}, "has no option 'more'"),
        ({"strategy": "token", "options": {"prefx": ""}}, "did you mean 'prefix'"),
    ],
)
def test_rules_that_do_not_fit(rule: dict[str, Any], match: str) -> None:
    with pytest.raises(PseudonymizationError, match=match):
        of(**rule)


def test_a_format_that_does_not_take_the_values() -> None:
    with pytest.raises(PseudonymizationError, match="'class/1' is not for values of its dtype"):
        of(WholeNumbers, format="class")


@pytest.mark.parametrize("kind", [Text, WholeNumbers])
def test_what_a_recipe_makes_is_made_again_from_what_manifests_hold(kind: type) -> None:
    recipe = of(kind, small_domain="permute")
    again = ColumnSpec(**{name: getattr(recipe, name) for name in ColumnSpec.__dataclass_fields__})
    again.check()
    values = (
        Text.of(["Somebody", "ab"])
        if kind is Text
        else WholeNumbers.parse(["1234567", "12"], Limits(-100, 10**8))
    )
    first, second = (one.make(KEYS).protect(values).values for one in (recipe, again))
    assert first.strings() == second.strings()  # type: ignore[union-attr]  # neither is opaque
    assert first.strings() != values.strings()  # type: ignore[union-attr]  # neither is opaque
    assert isinstance(again.make(KEYS), Fpe)


def test_a_keyring_keeps_each_strategy_without_tweaks_for_as_long_as_it_lives() -> None:
    keyring = Keyring(lambda purpose, size: bytes(size), "name", 1, None, "")
    recipe = of()
    first = recipe.keyed(keyring)
    assert replace(recipe).keyed(keyring) is first
    assert recipe.keyed(keyring, smallest=2) is not first
    for other in (of(domain="other"), of(small_domain="permute"), of(on_invalid="null")):
        assert other.keyed(keyring) is not first
    tweaks = [RowTweaks([value], np.zeros(1, np.intp)) for value in (b"a", b"b")]
    assert [recipe.keyed(keyring, each).row_tweaks for each in tweaks] == tweaks
    kept = weakref.ref(first)
    del first, keyring
    gc.collect()
    assert kept() is None


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"algorithm": "FF3"}, "no algorithm 'FF3'"),
        ({"format": "class/9"}, "no format 'class/9'"),
        ({"format": None}, "no format"),
        ({"options": {"more": True}}, "no option 'more'"),
        ({"strategy": "token"}, "no algorithm 'FF1-AES256'"),
    ],
)
def test_recipes_that_this_version_does_not_know(changes: dict[str, Any], match: str) -> None:
    recipe = replace(of(), **changes)
    with pytest.raises(PseudonymizationError, match=match):
        recipe.check()


@pytest.mark.parametrize(
    ("rule", "makes_text", "reversible"),
    [
        ({}, False, True),
        ({"small_domain": "permute"}, False, True),
        ({"small_domain": "null", "on_invalid": "null"}, False, True),
        ({"small_domain": "token"}, True, True),
        ({"on_invalid": "token"}, True, True),
        ({"strategy": "token"}, True, True),
        ({"strategy": "hash"}, True, False),
        ({"strategy": "redact"}, True, False),
    ],
)
def test_what_a_recipe_tells(rule: dict[str, Any], makes_text: bool, reversible: bool) -> None:
    recipe = of(**rule)
    assert (recipe.makes_text, recipe.reversible) == (makes_text, reversible)


def test_values_are_normalized_where_that_is_wanted() -> None:
    text = Text.of(["e\u0301", "x"])
    assert of().prepared(text) is text
    prepared = of(normalize="NFC").prepared(text)
    assert isinstance(prepared, Text)
    assert prepared.strings() == ["\u00e9", "x"]
    numbers = WholeNumbers.parse(["1"], Limits(0, 9))
    assert of(WholeNumbers, normalize="NFC").prepared(numbers) is numbers


def test_choices() -> None:
    check_choice("method", "one", ("one", "two"))
    with pytest.raises(
        PseudonymizationError, match="method='tow' is not known; did you mean 'two'"
    ):
        check_choice("method", "tow", ("one", "two"))
    for other in (None, 7, ["one"]):
        with pytest.raises(PseudonymizationError, match="must be one of 'one', 'two'"):
            check_choice("method", other, ("one", "two"))


def test_the_second_algorithm_is_named_where_it_makes_a_difference() -> None:
    second = {(Moments, None), (Decimals, None), (Moments, "when"), (Decimals, "when")}
    for kind in (Text, WholeNumbers, Moments, Days, Decimals):
        for tweak in (None, "when"):
            hashed, token = (of(kind, strategy=one, tweak=tweak) for one in ("hash", "token"))
            assert token.algorithm.endswith("/2") == ((kind, tweak) in second)
            assert hashed.algorithm.endswith("/2") == ((kind, tweak) in second or tweak is not None)
            for recipe in (hashed, token):
                recipe.check()
                first = replace(recipe, algorithm=recipe.algorithm.removesuffix("/2"))
                first.check()
                assert first.renewed(kind) == recipe
    with pytest.raises(PseudonymizationError, match="no algorithm"):
        replace(of(strategy="token"), algorithm="AES-256-SIV/3").check()


def test_what_the_first_algorithm_of_masks_made_is_known_and_made_anew_by_the_second() -> None:
    mask = of(strategy="mask")
    first = replace(mask, algorithm="mask")
    first.check()
    assert first.renewed(Text) == mask


def test_values_that_are_replaced_anew_are_of_the_newest_version() -> None:
    first = replace(of(format=r"regex:(\d+)"), format="regex/1", tables=None)
    assert first.renewed(Text) == of(format=r"regex:(\d+)")
    assert of(format="ssn").renewed(Text) == of(format="ssn")
    assert of(strategy="token").renewed(Text) == of(strategy="token")
    with pytest.raises(PseudonymizationError, match="look-around"):
        replace(first, options={"pattern": r"(?=1)(\d+)"}).renewed(Text)

"""small_domain="permute": values of small domains are permuted by a table."""

from __future__ import annotations

import itertools
import string
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from secureml import anonymize, reidentify, rekey
from secureml.anonymization import apply
from secureml.anonymization.plan import plan_table
from secureml.errors import DomainTooSmallError
from secureml.key_management import KeyManager


def permuted(frame: pd.DataFrame, manager: KeyManager, **arguments: Any) -> pd.DataFrame:
    return anonymize(
        frame,
        sensitive_columns=list(frame.columns),
        small_domain="permute",
        key_manager=manager,
        **arguments,
    )


DOMAINS = {
    "one digit": [str(n) for n in range(10)],
    "two letters": ["".join(pair) for pair in itertools.product(string.ascii_lowercase, repeat=2)],
    "a code": [f"{letter}-{n:03d}" for letter in string.ascii_uppercase for n in range(1000)],
    "one ideograph": [chr(code) for code in range(0x4E00, 0xA000)],
    "numbers": list(range(-99_999, -9_999)),
    "digits": list(range(10)),
}


@pytest.mark.parametrize("name", DOMAINS)
def test_a_whole_domain_is_permuted_and_comes_back(manager: KeyManager, name: str) -> None:
    values = DOMAINS[name]
    frame = pd.DataFrame({"x": values})
    made = permuted(frame, manager)
    assert made["x"].dtype == frame["x"].dtype
    new = made["x"].tolist()
    assert set(new) == set(values)
    assert sum(one == other for one, other in zip(new, values, strict=True)) < 12
    assert permuted(frame, manager)["x"].tolist() == new
    pd.testing.assert_frame_equal(reidentify(made, key_manager=manager), frame)
    other = permuted(frame, manager, domains={"x": "other"})["x"].tolist()
    assert other != new
    moved = rekey(made, "other_key", key_manager=manager)
    assert moved["x"].tolist() not in (new, values)
    pd.testing.assert_frame_equal(reidentify(moved, key_manager=manager), frame)


def test_small_and_large_values_and_categories_in_one_table(manager: KeyManager) -> None:
    frame = pd.DataFrame(
        {
            "name": ["Bo", "Somebody", "", None, "Ab", "Al", "Bo", "山田"],
            "kind": pd.Categorical(["F", "M", None, "F", "Something", "", "F", "M"]),
            "id": pd.array([7, 1234567, None, -5, 42, 999_999, 0, 10**12], "Int64"),
        }
    )
    made = permuted(frame, manager)
    assert made.dtypes.astype(str).tolist() == frame.dtypes.astype(str).tolist()
    assert made["name"].iloc[0] == made["name"].iloc[6]
    assert made["name"].str.len().equals(frame["name"].str.len())
    pd.testing.assert_frame_equal(reidentify(made, key_manager=manager), frame)
    entry = made.attrs["secureml"]["columns"]["name"]
    assert (entry["small_domain"], entry["tokens"], entry["nulled"]) == ("permute", 0, 0)


@pytest.mark.parametrize("value", ["-", "...", "\u0301"])
def test_a_domain_of_one_has_no_pseudonym(manager: KeyManager, value: str) -> None:
    with pytest.raises(DomainTooSmallError) as caught:
        permuted(pd.DataFrame({"x": ["Somebody", value]}), manager)
    assert (caught.value.domain_size, caught.value.rows) == (1, 1)


@pytest.mark.parametrize("characters", ["MF", "1234567"])
def test_a_domain_of_fewer_than_eight_has_too_few_pseudonyms(
    manager: KeyManager, characters: str
) -> None:
    frame = pd.DataFrame({"x": [*characters, None]})
    formats = {"x": f"alphabet:{characters}"}
    with pytest.raises(DomainTooSmallError, match="each domain of 8 or more") as caught:
        permuted(frame, manager, formats=formats)
    assert caught.value.domain_size == caught.value.rows == len(characters)
    preview = permuted(frame, manager, formats=formats, preview=1)
    assert preview.columns[0].small == len(characters)


def planned_for_every_size(*arguments: Any) -> Any:
    """Plan as earlier versions did, which permuted domains of every size by tables."""
    plan, keyring, earlier = plan_table(*arguments)
    return replace(plan, smallest=2), keyring, earlier


def test_smaller_domains_of_earlier_tables_are_recovered_and_rekeyed(
    manager: KeyManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame({"x": ["M", "F", "F", "M"] * 8})
    with monkeypatch.context() as earlier:
        earlier.setattr(apply, "plan_table", planned_for_every_size)
        made = permuted(frame, manager, formats={"x": "alphabet:MF"})
    pd.testing.assert_frame_equal(reidentify(made, key_manager=manager), frame)
    moved = rekey(made, "other_key", key_manager=manager)
    pd.testing.assert_frame_equal(reidentify(moved, key_manager=manager), frame)


def test_values_of_large_domains_do_not_depend_on_permute(manager: KeyManager) -> None:
    frame = pd.DataFrame({"x": ["078-05-1120", "Some Body", "123456"]})
    usual = anonymize(frame, sensitive_columns=["x"], key_manager=manager)
    assert permuted(frame, manager)["x"].tolist() == usual["x"].tolist()


def test_tables_join_before_and_after(manager: KeyManager) -> None:
    left = pd.DataFrame({"who": ["Bo", "Al", "Somebody", "Cy", "Bo"], "x": range(5)})
    right = pd.DataFrame({"person": ["Somebody", "Bo", "Nobody", "Al"], "y": range(4)})
    for policy in ("permute", "token"):
        one = anonymize(
            left,
            sensitive_columns=["who"],
            domains={"who": "person"},
            small_domain=policy,
            key_manager=manager,
        )
        two = anonymize(
            right, sensitive_columns=["person"], small_domain=policy, key_manager=manager
        )
        before = left.merge(right, left_on="who", right_on="person")
        after = one.merge(two, left_on="who", right_on="person")
        assert after[["x", "y"]].to_numpy().tolist() == before[["x", "y"]].to_numpy().tolist()
        assert len(after) == 4

"""normalize="NFC": what looks the same is the same."""

from __future__ import annotations

import unicodedata
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml import anonymize, reidentify, rekey
from secureml.errors import PseudonymizationError
from secureml.key_management import KeyManager
from secureml.pseudonymization.values.text import Text

APART = [
    "Zoe\u0308 Mu\u0308ller",
    "A\u030angstrom-1",
    "\u1100\u1161\u11a8 Kim Yu",
    "q\u0307\u0323 xyzabc",
]
TOGETHER = [unicodedata.normalize("NFC", value) for value in APART]


def nfc(frame: pd.DataFrame, manager: KeyManager, **arguments: Any) -> pd.DataFrame:
    return anonymize(
        frame, sensitive_columns=["x"], normalize="NFC", key_manager=manager, **arguments
    )


@pytest.mark.parametrize("dtype", ["object", "string[python]", "string[pyarrow]", "category"])
def test_both_spellings_have_one_pseudonym(manager: KeyManager, dtype: str) -> None:
    values = [*APART, *TOGETHER, None]
    frame = pd.DataFrame({"x": pd.Series(values, dtype=object).astype(dtype)})
    made = nfc(frame, manager)
    new = made["x"].astype(object).tolist()
    assert new[:4] == new[4:8]
    assert len(set(new[:4])) == 4
    back = reidentify(made, key_manager=manager)["x"].astype(object)
    assert back.tolist()[:8] == TOGETHER * 2
    assert back.isna().tolist() == [False] * 8 + [True]
    assert made.attrs["secureml"]["columns"]["x"]["normalize"] == "NFC"
    direct = anonymize(frame.iloc[4:8], sensitive_columns=["x"], key_manager=manager)["x"].astype(
        object
    )
    assert direct.tolist() == new[4:8]


def test_spellings_stay_apart_without_normalization(manager: KeyManager) -> None:
    frame = pd.DataFrame({"x": [*APART, *TOGETHER]})
    made = anonymize(frame, sensitive_columns=["x"], key_manager=manager)
    assert made["x"].nunique() == 8
    pd.testing.assert_frame_equal(reidentify(made, key_manager=manager), frame)


def test_rekey_keeps_the_normalization(manager: KeyManager) -> None:
    made = nfc(pd.DataFrame({"x": APART}), manager)
    moved = rekey(made, "other_key", key_manager=manager)
    assert moved.attrs["secureml"]["columns"]["x"]["normalize"] == "NFC"
    assert reidentify(moved, key_manager=manager)["x"].tolist() == TOGETHER
    more = nfc(pd.DataFrame({"x": TOGETHER}), manager, master_key_name="other_key")
    assert more["x"].tolist() == moved["x"].tolist()


def test_tokens_of_small_values_are_of_the_normalized_ones(manager: KeyManager) -> None:
    frame = pd.DataFrame({"x": ["e\u0301", "\u00e9"]})
    made = nfc(frame, manager, small_domain="token")
    assert made["x"].nunique() == 1
    assert reidentify(made, key_manager=manager)["x"].tolist() == ["\u00e9"] * 2


def test_numbers_have_no_spellings(manager: KeyManager) -> None:
    frame = pd.DataFrame({"x": [1234567, 7654321]})
    made = nfc(frame, manager)
    pd.testing.assert_frame_equal(reidentify(made, key_manager=manager), frame)


def test_an_unknown_normalization_is_an_error_that_suggests_one(manager: KeyManager) -> None:
    with pytest.raises(PseudonymizationError, match="normalize='NFKC' is not known; did you mean"):
        anonymize(
            pd.DataFrame({"x": APART}),
            sensitive_columns=["x"],
            normalize="NFKC",
            key_manager=manager,
        )


@given(
    st.lists(
        st.text(
            st.characters(codec=None, exclude_categories=["Cn"])
            | st.sampled_from("eua\u0308\u0301\u1161\u1100")
        )
    )
)
def test_text_is_normalized_value_by_value(strings: list[str]) -> None:
    text = Text.of(strings)
    expected = [unicodedata.normalize("NFC", string) for string in strings]
    assert text.normalized("NFC").strings() == expected
    assert text.strings() == strings


def test_ascii_is_left_alone() -> None:
    text = Text.of(["plain", ""])
    assert text.normalized("NFC") is text

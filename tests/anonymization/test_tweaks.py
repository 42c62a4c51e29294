"""A tweak column: equal values of rows that differ in it get unlinkable pseudonyms."""

from __future__ import annotations

from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
import pytest

from secureml import anonymize, reidentify, rekey
from secureml.errors import PseudonymizationError
from secureml.key_management import KeyManager

ROWS = 60


def table(dtype: Any = "string") -> pd.DataFrame:
    """Three people, each in each of four years; and a null, an empty and a short value."""
    ssn = ["078-05-1120", "219-09-9999", "457-55-5462", None, "", "7"] * 10
    year = [str(2020 + row % 4) if row % 13 else None for row in range(ROWS)]
    frame = pd.DataFrame({"ssn": pd.array(ssn, "string"), "year": pd.Series(year).astype(dtype)})
    frame["id"] = pd.array([1234567, 7, None, 12345678, 99999999] * 12, "Int64")
    return frame


def made(frame: pd.DataFrame, manager: KeyManager, **arguments: Any) -> pd.DataFrame:
    arguments = {
        "sensitive_columns": ["ssn", "id"],
        "tweaks": {"ssn": "year", "id": "year"},
        "small_domain": "token",
    } | arguments
    return anonymize(frame, key_manager=manager, **arguments)


@pytest.mark.parametrize("policy", ["token", "permute"])
def test_equal_values_are_equal_within_a_tweak_and_nowhere_else(
    manager: KeyManager, policy: str
) -> None:
    frame = table()
    result = made(frame, manager, small_domain=policy)
    pd.testing.assert_series_equal(result["year"], frame["year"])
    for name in ("ssn", "id"):
        known = frame[name].notna() & (frame[name].astype("string") != "")
        groups = frame[known].assign(new=result[name]).groupby([name, "year"], dropna=False)["new"]
        assert (groups.nunique() == 1).all()
        large = frame[name].astype("string").str.len() > 5
        pairs = frame[known & large].assign(new=result[name]).drop_duplicates([name, "year"])
        assert pairs["new"].is_unique
        assert len(pairs) > 6
    pd.testing.assert_frame_equal(reidentify(result, key_manager=manager), frame)


@pytest.mark.parametrize("policy", ["token", "permute"])
@pytest.mark.parametrize("strategy", ["fpe", "token"])
def test_everything_comes_back(manager: KeyManager, strategy: str, policy: str) -> None:
    frame = table()
    result = made(frame, manager, strategy=strategy, small_domain=policy)
    pd.testing.assert_frame_equal(reidentify(result, key_manager=manager), frame)
    mixed = result.iloc[np.random.default_rng(1).permutation(ROWS)]
    pd.testing.assert_frame_equal(reidentify(mixed, key_manager=manager), frame.loc[mixed.index])
    moved = rekey(result, "other_key", key_manager=manager)
    large = frame["ssn"].str.len() > 5
    assert not set(moved.loc[large, "ssn"].dropna()) & set(result["ssn"].dropna())
    pd.testing.assert_frame_equal(reidentify(moved, key_manager=manager), frame)


def test_a_row_alone_gets_what_it_gets_in_its_table(manager: KeyManager) -> None:
    frame = table()
    result = made(frame, manager)
    for row in (0, 1, 5, 13, 26):
        alone = made(frame.iloc[[row]], manager)
        pd.testing.assert_frame_equal(alone, result.iloc[[row]])


@pytest.mark.parametrize("dtype", ["Int64", "float64", "category", "int64[pyarrow]"])
def test_the_dtype_of_the_tweak_does_not_matter(manager: KeyManager, dtype: Any) -> None:
    expected, frame = made(table(), manager), table("Int64").astype({"year": dtype})
    result = made(frame, manager)
    pd.testing.assert_frame_equal(result.drop(columns="year"), expected.drop(columns="year"))
    pd.testing.assert_frame_equal(reidentify(result, key_manager=manager), frame)


def test_through_csv(manager: KeyManager) -> None:
    frame = table("Int64")
    result = made(frame, manager)
    manifest = result.attrs["secureml"]
    for dtype in (None, str):
        read = pd.read_csv(StringIO(result.to_csv(index=False)), dtype=dtype)
        back = reidentify(read, manifest, key_manager=manager)
        assert back["ssn"].astype("string").equals(frame["ssn"].replace("", pd.NA))
        pd.testing.assert_series_equal(back["id"], frame["id"])


def test_null_empty_and_text_are_tweaks_of_their_own(manager: KeyManager) -> None:
    frame = pd.DataFrame({"x": ["Some Body"] * 4, "t": pd.array([None, "", "nan", "0"], "string")})
    result = made(frame, manager, sensitive_columns=["x"], tweaks={"x": "t"})
    assert result["x"].nunique() == 4
    pd.testing.assert_frame_equal(reidentify(result, key_manager=manager), frame)


def test_a_tweak_that_was_changed_gives_other_values(manager: KeyManager) -> None:
    frame = pd.DataFrame({"x": ["Some Body"] * 2, "t": ["a", "b"]})
    result = made(frame, manager, sensitive_columns=["x"], tweaks={"x": "t"})
    back = reidentify(result.assign(t=["b", "b"]), result.attrs["secureml"], key_manager=manager)
    assert back["x"].tolist()[1] == "Some Body" != back["x"].tolist()[0]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"tweaks": {"ssn": "yaer"}}, "no column 'yaer'; did you mean 'year'"),
        ({"tweaks": {"ssn": "ssn"}}, "can't lie in 'ssn'"),
        ({"tweaks": {"ssn": "id"}}, "can't lie in 'id', which is pseudonymized too"),
        ({"tweaks": {"year": "ssn"}}, "tweaks names 'year', which is no sensitive column"),
    ],
)
def test_bad_arguments(manager: KeyManager, arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(PseudonymizationError, match=match):
        made(table(), manager, **arguments)


def test_a_tweak_that_is_gone(manager: KeyManager) -> None:
    result = made(table(), manager)
    with pytest.raises(PseudonymizationError, match="column 'ssn': the column 'year' that holds"):
        reidentify(result.drop(columns="year"), key_manager=manager)


def test_tweaks_of_another_kind(manager: KeyManager) -> None:
    frame = table().assign(year=1.5)
    match = "column 'ssn': column 'year': of its float64 values"
    with pytest.raises(PseudonymizationError, match=match):
        made(frame, manager)


def test_tweaks_that_are_neither_text_nor_numbers(manager: KeyManager) -> None:
    frame = table("Int64").astype({"year": object})
    match = r"column 'ssn': column 'year': it holds values that are not strings \(55 int\)"
    with pytest.raises(PseudonymizationError, match=match):
        made(frame, manager)


def test_a_categorical_has_no_rows_of_its_own(manager: KeyManager) -> None:
    frame = table().astype({"ssn": "category"})
    with pytest.raises(PseudonymizationError, match="column 'ssn': it is a categorical"):
        made(frame, manager)

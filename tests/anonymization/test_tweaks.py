"""A tweak column: equal values of rows that differ in it get unlinkable pseudonyms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from secureml import anonymize, merge_manifests, reidentify, rekey
from secureml.errors import IrreversibleWarning, PseudonymizationError, WrongTableError
from secureml.files import anonymize_file, reidentify_file, rekey_file
from secureml.key_management import KeyManager
from secureml.pseudonymization.keys import keyring_of
from secureml.pseudonymization.manifest import Manifest

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


def test_tweaked_columns_are_recovered_through_csv(manager: KeyManager) -> None:
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


def test_tweaks_that_are_equal_up_to_a_nul_are_not_equal(manager: KeyManager) -> None:
    frame = pd.DataFrame({"name": ["Somebody-Else"] * 4, "salt": ["a\0b", "a\0c", "a", "a\0b"]})
    how = {"sensitive_columns": ["name"], "tweaks": {"name": "salt"}, "key_manager": manager}
    hidden = anonymize(frame, **how)
    assert len(set(hidden["name"])) == 3
    assert hidden["name"][0] == hidden["name"][3]
    for rows in ([0, 3], [2, 1]):
        alone = anonymize(frame.iloc[rows], **how)
        assert alone["name"].tolist() == hidden["name"].iloc[rows].tolist()
        back = reidentify(hidden.iloc[rows], key_manager=manager)
        pd.testing.assert_frame_equal(back, frame.iloc[rows])


def people(rows: int) -> pd.DataFrame:
    generator = np.random.default_rng(rows)
    ssn = [f"{number:09d}" for number in generator.integers(0, 10**9, rows).tolist()]
    site = [f"{number:03d}" for number in generator.integers(0, 900, rows).tolist()]
    return pd.DataFrame({"ssn": pd.array(ssn, "string"), "id": range(10**7, 10**7 + rows)}).assign(
        site=pd.array(site, "string")
    )


SITED: dict[str, Any] = {
    "sensitive_columns": ["ssn", "id"],
    "tweaks": {"ssn": "site", "id": "site"},
}
CHANGES: dict[str, Callable[[pd.Series], Any]] = {
    "one other for all": lambda site: "007",
    "reversed": lambda site: site.array[::-1],
    "shifted": lambda site: site.shift(1).fillna("007"),
    "all null": lambda site: None,
    "all empty": lambda site: "",
}


@pytest.mark.parametrize("call", [reidentify, rekey])
@pytest.mark.parametrize("rows", [2, 60, 5000])
@pytest.mark.parametrize("change", CHANGES)
def test_tweaks_that_are_not_those_of_their_rows_are_noticed(
    manager: KeyManager, change: str, rows: int, call: Any
) -> None:
    result = made(people(rows), manager, **SITED)
    changed = result.assign(site=CHANGES[change](result["site"]))
    match = "column 'ssn': its tweaks in 'site' are not those that its rows had"
    with pytest.raises(WrongTableError, match=match):
        call(changed, manifest=result.attrs["secureml"], key_manager=manager)
    with pytest.raises(WrongTableError, match="column 'id': its tweaks in 'site'"):
        call(
            changed.assign(ssn=pd.array([None] * rows, "string")),
            manifest=result.attrs["secureml"],
            key_manager=manager,
        )


def test_a_tweak_of_one_row_of_few_is_noticed_and_gives_another_value(manager: KeyManager) -> None:
    frame = pd.DataFrame({"x": ["Some Body"] * 2, "t": ["a", "b"]})
    result = made(frame, manager, sensitive_columns=["x"], tweaks={"x": "t"})
    arguments = {"manifest": result.attrs["secureml"], "key_manager": manager}
    changed = result.assign(t=["b", "b"])
    with pytest.raises(WrongTableError, match="its tweaks in 't'"):
        reidentify(changed, **arguments)
    back = reidentify(changed, check_table=False, **arguments)
    assert back["x"].tolist()[1] == "Some Body" != back["x"].tolist()[0]


@pytest.mark.parametrize("rows", [3, 5000])
def test_tweaks_that_csv_turned_into_numbers_are_noticed(manager: KeyManager, rows: int) -> None:
    """Even if one row alone has a leading zero."""
    frame = people(rows).assign(site="500")
    frame.loc[1, "site"] = "007"
    result = made(frame, manager, **SITED)
    manifest, text = result.attrs["secureml"], result.to_csv(index=False)
    assert manifest["columns"]["ssn"]["tweak_arrow"].endswith("string")
    read = pd.read_csv(StringIO(text), dtype={"ssn": "str"})
    for call in (reidentify, rekey):
        with pytest.raises(WrongTableError, match=r"column 'ssn': its tweaks in 'site'.*'str'}"):
            call(read, manifest=manifest, key_manager=manager)
    read = pd.read_csv(StringIO(text), dtype={"ssn": "str", "site": "str"})
    back = reidentify(read, manifest, key_manager=manager)
    assert back["ssn"].tolist() == frame["ssn"].tolist()
    assert back["id"].tolist() == frame["id"].tolist()


def test_nulls_and_empty_text_that_csv_merged_are_noticed(manager: KeyManager) -> None:
    frame = people(60)
    frame.loc[::3, "site"] = pd.NA
    frame.loc[::7, "site"] = ""
    result = made(frame, manager, **SITED)
    pd.testing.assert_frame_equal(reidentify(result, key_manager=manager), frame)
    for keep in (True, False):
        read = pd.read_csv(
            StringIO(result.to_csv(index=False)),
            dtype={"ssn": "str", "site": "str"},
            keep_default_na=keep,
        )
        with pytest.raises(WrongTableError, match="such as empty text as null"):
            reidentify(read, result.attrs["secureml"], key_manager=manager)


@pytest.mark.parametrize("policy", ["token", "permute"])
@pytest.mark.parametrize("strategy", ["fpe", "token"])
def test_some_of_the_rows_fit_in_any_order(manager: KeyManager, strategy: str, policy: str) -> None:
    frame = people(5000)
    frame.loc[::9, "ssn"] = pd.NA
    frame.loc[::10, "ssn"] = ""
    frame.loc[::11, "site"] = pd.NA
    frame["id"] = frame["id"].astype("Int64")
    frame.loc[::12, "id"] = pd.NA
    frame.loc[::13, "id"] = 7
    result = made(frame, manager, strategy=strategy, small_domain=policy, **SITED)
    for rows in (slice(None, None, -1), slice(5, 6), slice(0, 0), slice(None, None, 7)):
        part = result.iloc[rows]
        back = reidentify(part, result.attrs["secureml"], key_manager=manager)
        pd.testing.assert_frame_equal(back, frame.iloc[rows])
    text = result.astype({"id": "string"})  # as from a file: nulls are no values of numbers
    pd.testing.assert_frame_equal(reidentify(text, key_manager=manager), frame)


def test_parts_with_tweaks_are_merged(manager: KeyManager, opened: Any) -> None:
    frame = people(5000)
    whole = made(frame, manager, **SITED)
    parts = [made(frame.iloc[rows], manager, **SITED) for rows in (slice(99), slice(99, None))]
    documents = [part.attrs["secureml"] for part in parts]
    merged = merge_manifests(documents, key_manager=manager)
    assert opened(merged, manager) == opened(whole.attrs["secureml"], manager)
    shuffled = whole.assign(site=whole["site"].to_numpy()[::-1])
    with pytest.raises(WrongTableError, match="its tweaks"):
        reidentify(shuffled, merged, key_manager=manager)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tweaks_of_a_file_are_held_against_its_manifest(
    manager: KeyManager, tmp_path: Path, kind: str
) -> None:
    plain, hidden, back = (tmp_path / f"{name}.{kind}" for name in ("plain", "hidden", "back"))
    frame = people(300)
    write = frame.to_csv if kind == "csv" else frame.to_parquet
    write(plain, index=False)
    document = anonymize_file(
        plain, hidden, ["ssn"], tweaks={"ssn": "site"}, key_manager=manager
    ).manifest
    reidentify_file(hidden, back, key_manager=manager)
    shuffled = pd.read_csv(hidden, dtype="str") if kind == "csv" else pd.read_parquet(hidden)
    shuffled["site"] = shuffled["site"].to_numpy()[::-1]
    shuffled.attrs = {}
    write = shuffled.to_csv if kind == "csv" else shuffled.to_parquet
    write(hidden, index=False)
    for call in (
        partial(reidentify_file, hidden, back, force=True),
        partial(rekey_file, hidden, to_key="other_key"),
    ):
        with pytest.raises(WrongTableError, match="column 'ssn': its tweaks in 'site'"):
            call(manifest=document, key_manager=manager)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"tweaks": {"ssn": "yaer"}}, "no column 'yaer'; did you mean 'year'"),
        ({"tweaks": {"ssn": "ssn"}}, "can't lie in 'ssn'"),
        ({"tweaks": {"ssn": "id"}}, "can't lie in 'id', which is pseudonymized too"),
        ({"tweaks": {"year": "ssn"}}, "tweaks names 'year', which is no sensitive column"),
    ],
)
def test_wrong_tweaks_are_refused(
    manager: KeyManager, arguments: dict[str, Any], match: str
) -> None:
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


DEPENDENT = pd.DataFrame(
    {
        "ssn": ["078-05-1120", "219-09-9999", "457-55-5462", "078-05-1120"],
        "visit": ["10000001", "10000002", "10000003", "10000004"],
    }
)


@pytest.mark.parametrize("order", [("ssn", "visit"), ("visit", "ssn")])
def test_a_column_and_its_tweaks_are_not_both_pseudonymized(
    manager: KeyManager, order: tuple[str, str]
) -> None:
    first, second = order
    tweaks: dict[str, dict[str, str]] = {"ssn": {"ssn": "visit"}, "visit": {}}
    hidden = made(DEPENDENT, manager, sensitive_columns=[first], tweaks=tweaks[first])
    match = "can't lie in 'visit'" if second == "ssn" else "recovery of 'ssn' reads 'visit'"
    with pytest.raises(PseudonymizationError, match=match):
        made(hidden, manager, sensitive_columns=[second], tweaks=tweaks[second])
    bare = hidden.copy()
    bare.attrs = {}
    with pytest.raises(PseudonymizationError, match=match):
        made(
            bare,
            manager,
            sensitive_columns=[second],
            tweaks=tweaks[second],
            manifest=hidden.attrs["secureml"],
        )


def test_the_versions_that_recovery_reads_are_not_pseudonymized(manager: KeyManager) -> None:
    frame = table()
    hidden = made(frame, manager, sensitive_columns=["id"], tweaks=None, key_versions=True)
    with pytest.raises(PseudonymizationError, match="recovery of 'id' reads 'id__key_version'"):
        made(hidden, manager, sensitive_columns=["id__key_version"], tweaks=None)


def test_tweaks_may_lie_in_the_versions_of_another_column(manager: KeyManager) -> None:
    hidden = made(DEPENDENT, manager, sensitive_columns=["visit"], tweaks=None, key_versions=True)
    tweaks = {"ssn": "visit__key_version"}
    hidden = made(hidden, manager, sensitive_columns=["ssn"], tweaks=tweaks)
    manager.rotate_key("master_key")
    moved = rekey(hidden, key_manager=manager)
    assert moved["visit__key_version"].tolist() == [2] * 4
    pd.testing.assert_frame_equal(reidentify(moved, key_manager=manager), DEPENDENT)


@pytest.mark.parametrize("order", [("ssn", "visit"), ("visit", "ssn")])
def test_tables_in_which_both_are_come_back(manager: KeyManager, order: tuple[str, str]) -> None:
    hidden = dependent(order, manager)
    pd.testing.assert_frame_equal(reidentify(hidden, key_manager=manager), DEPENDENT)
    moved = rekey(rekey(hidden, "other_key", key_manager=manager), key_manager=manager)
    assert not (moved == hidden).any(axis=None)
    assert not (moved == DEPENDENT).any(axis=None)
    pd.testing.assert_frame_equal(reidentify(moved, key_manager=manager), DEPENDENT)


def test_tweaks_that_were_replaced_for_good_are_not_guessed(manager: KeyManager) -> None:
    hidden = dependent(("ssn", "visit"), manager, visit="hash")
    match = "tweaks in 'visit' were replaced for good"
    with pytest.warns(IrreversibleWarning), pytest.raises(PseudonymizationError, match=match):
        reidentify(hidden, key_manager=manager)
    hidden = dependent(("visit", "ssn"), manager, visit="hash")
    with pytest.warns(IrreversibleWarning):
        back = reidentify(hidden, key_manager=manager)
    pd.testing.assert_series_equal(back["ssn"], DEPENDENT["ssn"])


def dependent(order: tuple[str, ...], manager: KeyManager, **strategy: str) -> pd.DataFrame:
    """Return a table as earlier versions made it: a column and its tweaks, in this order."""
    frame, columns = DEPENDENT, {}
    for name in order:
        frame = made(
            frame,
            manager,
            strategy=strategy.get(name),
            sensitive_columns=[name],
            tweaks={"ssn": "visit"} if name == "ssn" else None,
        )
        columns |= Manifest.parse(frame.attrs.pop("secureml")).columns
    frame.attrs["secureml"] = Manifest.of(keyring_of(manager, None), columns).document()
    return frame

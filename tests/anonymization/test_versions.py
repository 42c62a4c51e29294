"""Rows under several versions of a key in one column."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
import pytest

from secureml import anonymize, merge_manifests, reidentify, rekey
from secureml.anonymization.versions import rows_by_version
from secureml.errors import (
    ManifestError,
    MissingColumnWarning,
    PseudonymizationError,
    WrongTableError,
)
from secureml.frames.pandas import PandasTable
from secureml.key_management import KeyManager
from secureml.stores import MemoryStore

COLUMNS = ["ssn", "id"]


def month(number: int, rows: int = 40) -> pd.DataFrame:
    """A table of its own for each month, with nulls, empty strings and values of other months."""
    generator = np.random.default_rng(number)
    ssn = [f"{n:09d}" for n in generator.integers(0, 10**9, rows).tolist()]
    ssn[0], ssn[1], ssn[2] = "123456789", "", ""
    people = pd.DataFrame({"ssn": pd.array(ssn, "string"), "month": number})
    people.loc[3, "ssn"] = pd.NA
    people["id"] = pd.array(generator.integers(10**6, 10**9, rows), "Int64")
    people.loc[[4, 5], "id"] = [7, pd.NA]
    return people


def appended(manager: KeyManager, **arguments: Any) -> tuple[pd.DataFrame, Any, pd.DataFrame]:
    """Four months, a rotation after each; the manifest of all, and what they were."""
    months = [month(number) for number in range(1, 5)]
    made = []
    for number, table in enumerate(months):
        if number:
            manager.rotate_key("master_key")
            manager.invalidate("master_key")
        made.append(
            anonymize(
                table,
                sensitive_columns=COLUMNS,
                small_domain="token",
                key_versions=True,
                key_manager=manager,
                **arguments,
            )
        )
    table = pd.concat(made, ignore_index=True)
    manifest = merge_manifests((one.attrs["secureml"] for one in made), key_manager=manager)
    return table, manifest, pd.concat(months, ignore_index=True)


def test_the_columns_of_versions(manager: KeyManager) -> None:
    table, manifest, before = appended(manager)
    added = ["ssn__key_version", "id__key_version"]
    assert list(table.columns) == [*before.columns, *added]
    assert list(table.dtypes[added].astype(str)) == ["Int64", "Int64"]
    assert table["ssn__key_version"].tolist() == sorted([1, 2, 3, 4] * 40)
    assert [manifest["columns"][name]["versions"] for name in COLUMNS] == [True, True]
    # What is equal in two months is not so under two versions of the key.
    assert table.loc[[0, 40, 80, 120], "ssn"].nunique() == 4


def test_rows_of_four_versions_come_back_in_any_order(manager: KeyManager) -> None:
    table, manifest, before = appended(manager)
    back = reidentify(table, manifest, key_manager=manager)
    pd.testing.assert_frame_equal(back, before)
    mixed = table.sample(frac=1, random_state=3)
    back = reidentify(mixed, manifest, key_manager=manager)
    pd.testing.assert_frame_equal(back, before.loc[mixed.index])


def test_some_rows_and_one_of_the_columns(manager: KeyManager) -> None:
    table, manifest, before = appended(manager)
    some = table.loc[30:90, ["month", "ssn", "ssn__key_version"]]
    with pytest.warns(MissingColumnWarning):
        back = reidentify(some, manifest, key_manager=manager)
    pd.testing.assert_frame_equal(back, before.loc[30:90, ["month", "ssn"]])
    none = table.iloc[:0]
    pd.testing.assert_frame_equal(
        reidentify(none, manifest, key_manager=manager), before.iloc[:0], check_dtype=False
    )


@pytest.mark.parametrize("text", [True, False])
def test_columns_of_versions_are_recovered_through_csv(manager: KeyManager, text: bool) -> None:
    table, manifest, before = appended(manager)
    table.loc[table["ssn"].isna(), "ssn__key_version"] = pd.NA  # the column becomes one of floats
    read = pd.read_csv(StringIO(table.to_csv(index=False)), dtype=str if text else {"ssn": str})
    assert read["ssn__key_version"].dtype == (read["ssn"].dtype if text else np.float64)
    back = reidentify(read, manifest, key_manager=manager)
    assert list(back.columns) == list(before.columns)
    expected = before["ssn"].replace("", pd.NA)  # CSV does not tell them from nulls
    assert back["ssn"].astype("string").equals(expected)
    pd.testing.assert_series_equal(back["id"], before["id"])


@pytest.mark.parametrize(
    "changed",
    [
        lambda versions: versions.astype(object),
        lambda versions: versions.astype("string"),
        lambda versions: versions.astype("float64").astype(str),
        lambda versions: versions.astype("category"),
        lambda versions: versions.astype("int8[pyarrow]"),
        lambda versions: versions.to_numpy(np.uint16),
    ],
)
def test_versions_in_another_dtype(manager: KeyManager, changed: Callable[..., Any]) -> None:
    table, manifest, before = appended(manager)
    for name in COLUMNS:
        table[f"{name}__key_version"] = changed(table[f"{name}__key_version"])
    pd.testing.assert_frame_equal(reidentify(table, manifest, key_manager=manager), before)


@pytest.mark.parametrize(
    "wrong", [None, "x", "", 0, -1, 1.5, "1.5", float("inf"), 1e300, 10**30, float("nan")]
)
def test_a_value_that_is_no_version_is_refused_with_its_rows(
    manager: KeyManager, wrong: object
) -> None:
    table, manifest, _ = appended(manager)
    table["ssn__key_version"] = table["ssn__key_version"].astype(object)
    table.loc[[10, 50], "ssn__key_version"] = wrong
    match = "column 'ssn': 'ssn__key_version' holds no version of the key in 2 rows"
    with pytest.raises(PseudonymizationError, match=match) as caught:
        reidentify(table, manifest, key_manager=manager)
    assert caught.value.__context__ is None


def test_a_version_that_there_is_not(manager: KeyManager) -> None:
    table, manifest, _ = appended(manager)
    table.loc[10, "ssn__key_version"] = 9
    with pytest.raises(WrongTableError, match="version 9 of 'master_key', which the manifest does"):
        reidentify(table, manifest, key_manager=manager)


def test_a_null_needs_no_version(manager: KeyManager) -> None:
    table, manifest, before = appended(manager)
    table.loc[table["ssn"].isna(), "ssn__key_version"] = pd.NA
    pd.testing.assert_frame_equal(reidentify(table, manifest, key_manager=manager), before)


def test_a_column_of_versions_that_is_missing(manager: KeyManager) -> None:
    table, manifest, _ = appended(manager)
    match = "column 'ssn': the column 'ssn__key_version' is missing"
    with pytest.raises(PseudonymizationError, match=match):
        reidentify(table.drop(columns="ssn__key_version"), manifest, key_manager=manager)


def test_a_column_of_that_name_is_there_already(manager: KeyManager) -> None:
    table = month(1).assign(id__key_version=1)
    with pytest.raises(PseudonymizationError, match="already: 'id__key_version'"):
        anonymize(
            table,
            sensitive_columns=COLUMNS,
            small_domain="token",
            key_versions=True,
            key_manager=manager,
        )


def test_rekey_moves_all_rows_to_one_version(manager: KeyManager) -> None:
    table, manifest, before = appended(manager)
    manager.rotate_key("master_key")
    newer = rekey(table, None, manifest, key_manager=manager)
    assert list(newer.columns) == list(table.columns)
    for name in COLUMNS:
        assert newer[f"{name}__key_version"].tolist() == [5] * len(table)
        assert newer[f"{name}__key_version"].dtype == "Int64"
    assert newer.attrs["secureml"]["key"]["version"] == 5
    assert newer.attrs["secureml"]["columns"]["ssn"]["rows"] == len(table)
    assert newer.loc[[0, 40, 80, 120], "ssn"].nunique() == 1
    pd.testing.assert_frame_equal(reidentify(newer, key_manager=manager), before)
    older = rekey(newer, to_version=2, key_manager=manager)
    merged = merge_manifests(
        [newer.attrs["secureml"], older.attrs["secureml"]], key_manager=manager
    )
    back = reidentify(pd.concat([newer, older]), merged, key_manager=manager)
    pd.testing.assert_frame_equal(back, pd.concat([before, before]))


def test_categories(manager: KeyManager) -> None:
    months = [
        pd.DataFrame({"x": pd.Categorical(values, categories=sorted({*filter(None, values)}))})
        for values in (["Somewhere", "Elsewhere", None, "x"], ["Elsewhere", "Anywhere", "y", None])
    ]
    made = []
    for table in months:
        made.append(
            anonymize(
                table,
                sensitive_columns=["x"],
                small_domain="token",
                key_versions=True,
                key_manager=manager,
            )
        )
        manager.rotate_key("master_key")
        manager.invalidate("master_key")
    pd.testing.assert_frame_equal(reidentify(made[0], key_manager=manager), months[0])
    table = pd.concat(made)
    table["x"] = table["x"].astype("category")
    merged = merge_manifests((one.attrs["secureml"] for one in made), key_manager=manager)
    back = reidentify(table, merged, key_manager=manager)
    expected = ["Somewhere", "Elsewhere", None, "x", "Elsewhere", "Anywhere", "y", None]
    assert [None if pd.isna(value) else value for value in back["x"]] == expected


def test_columns_that_can_not_be_turned_back_have_no_versions(manager: KeyManager) -> None:
    table = anonymize(
        month(1),
        strategy={"ssn": "hash"},
        sensitive_columns=COLUMNS,
        small_domain="token",
        key_versions=True,
        key_manager=manager,
    )
    assert [name for name in table.columns if name.endswith("version")] == ["id__key_version"]


def test_a_key_without_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECUREML_MASTER_KEY", "ab" * 32)
    outside = KeyManager(environment="development")
    with pytest.raises(PseudonymizationError, match="has no versions"):
        anonymize(
            month(1)[["ssn"]], sensitive_columns=["ssn"], key_versions=True, key_manager=outside
        )


def test_a_table_needs_the_keys_of_its_own_rows_alone(manager: KeyManager) -> None:
    table, manifest, before = appended(manager)
    asked: list[int | None] = []
    fetch = manager.get_key

    def noting(name: Any = None, version: Any = None, **named: Any) -> Any:
        asked.append(version)
        return fetch(name, version, **named)

    manager.get_key = noting  # type: ignore[method-assign]  # the real one still answers
    some = table[table["ssn__key_version"].isin([2, 4])]
    reidentify(some, manifest, key_manager=manager)
    assert sorted(asked, key=str) == [2, 4]
    last = table[table["ssn__key_version"] == 4]
    asked.clear()
    back = reidentify(last, manifest, key_manager=manager)
    assert asked == [4]
    pd.testing.assert_frame_equal(back, before.loc[last.index])


def test_a_manifest_without_versions_is_no_other(manager: KeyManager) -> None:
    table, _, _ = appended(manager)
    january = anonymize(
        month(1),
        sensitive_columns=COLUMNS,
        small_domain="token",
        master_key_version=1,
        key_manager=manager,
    )
    with pytest.raises(ManifestError, match="not of this table"):
        reidentify(table, january.attrs["secureml"], key_manager=manager)


def test_rows_by_version() -> None:
    frame = pd.DataFrame({"a": ["x", None, "y", "z"], "a__key_version": [2, None, 1, 2]})
    places = rows_by_version(PandasTable(frame), "a", 3)
    assert {version: rows.tolist() for version, rows in places.items()} == {
        1: [2],
        2: [0, 3],
        3: [1],
    }


def test_the_store_is_not_written() -> None:
    store = MemoryStore()
    manager = KeyManager(environment="development", store=store)
    manager.generate_key("master_key")
    table = anonymize(
        month(1),
        sensitive_columns=COLUMNS,
        small_domain="token",
        key_versions=True,
        key_manager=manager,
    )
    reidentify(table, key_manager=manager)
    assert [version.version for version in store.versions("master_key")] == [1]


def test_a_table_of_several_versions_takes_further_columns(manager: KeyManager) -> None:
    table, manifest, before = appended(manager)
    table.attrs["secureml"] = manifest
    extra = [f"value number {row}" for row in range(len(table))]
    more = anonymize(table.assign(extra=extra), sensitive_columns=["extra"], key_manager=manager)
    listed = more.attrs["secureml"]
    assert [one["version"] for one in listed["versions"]] == [1, 2, 3, 4]
    sketched = {
        name: [one["version"] for one in listed["columns"][name]["sketches"]]
        for name in ("ssn", "extra")
    }
    assert sketched == {"ssn": [1, 2, 3, 4], "extra": [4]}
    back = reidentify(more, key_manager=manager)
    pd.testing.assert_frame_equal(back, before.assign(extra=extra))

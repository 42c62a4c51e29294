"""A manifest of another key, of another table, or one that was edited: each has its own error."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
import pytest

from secureml import anonymize, merge_manifests, reidentify, rekey
from secureml.errors import ManifestChangedError, ManifestError, WrongKeyError, WrongTableError
from secureml.key_management import KeyManager
from secureml.stores import MemoryStore

pytestmark = pytest.mark.filterwarnings("ignore::secureml.errors.MissingColumnWarning")


def people(seed: int, rows: int = 3000) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    numbers = generator.integers(10**8, 10**9, rows)
    names = [f"Person {number % 1000:03d}" for number in numbers.tolist()]
    return pd.DataFrame(
        {
            "ssn": pd.array([str(number) for number in numbers.tolist()], "string"),
            "id": pd.array(generator.integers(10**6, 10**12, rows), "Int64"),
            "small": pd.array(generator.integers(0, 500, rows), "Int64"),
            "kind": pd.Categorical(names),
        }
    )


COLUMNS = ["ssn", "id", "small", "kind"]


@pytest.fixture
def january(manager: KeyManager) -> pd.DataFrame:
    return anonymized(people(1), manager)


@pytest.fixture
def february(manager: KeyManager, january: pd.DataFrame) -> pd.DataFrame:
    """The same columns after a rotation; made after January's."""
    manager.rotate_key("master_key")
    manager.invalidate("master_key")
    return anonymized(people(2), manager)


def anonymized(table: pd.DataFrame, manager: KeyManager, **arguments: Any) -> pd.DataFrame:
    arguments = {"sensitive_columns": COLUMNS, "small_domain": "token"} | arguments
    return anonymize(table, key_manager=manager, **arguments)


def manifest(table: pd.DataFrame) -> Any:
    return table.attrs["secureml"]


@pytest.mark.parametrize("call", [reidentify, rekey])
def test_the_manifest_of_another_month(
    manager: KeyManager, january: pd.DataFrame, february: pd.DataFrame, call: Any
) -> None:
    for table, other in ((january, february), (february, january)):
        with pytest.raises(WrongTableError, match="column 'ssn': it holds values that are not of"):
            call(table, manifest=manifest(other), key_manager=manager)


@pytest.mark.parametrize("name", COLUMNS)
def test_every_kind_of_column_tells(
    manager: KeyManager, january: pd.DataFrame, february: pd.DataFrame, name: str
) -> None:
    with pytest.raises(WrongTableError, match=f"column '{name}'.*merge_manifests.*check_table"):
        reidentify(january[[name]], manifest(february), key_manager=manager)


@pytest.mark.parametrize("name", ["ssn", "id", "kind"])
def test_rows_of_another_table_under_the_same_key(
    manager: KeyManager, january: pd.DataFrame, name: str
) -> None:
    others = anonymized(people(3).assign(kind=pd.Categorical(people(3)["ssn"])), manager)
    with pytest.raises(WrongTableError, match=f"column '{name}'"):
        reidentify(others[[name]], manifest(january), key_manager=manager)
    added = pd.concat([january[[name]], others[[name]].iloc[:200]], ignore_index=True)
    with pytest.raises(WrongTableError, match=f"column '{name}'"):
        reidentify(added, manifest(january), key_manager=manager)


def test_a_table_with_added_rows_is_recovered_without_the_check(
    manager: KeyManager, january: pd.DataFrame, february: pd.DataFrame
) -> None:
    added = pd.concat([january, anonymized(people(3), manager, master_key_version=1)])
    both = pd.concat([people(1), people(3)])
    back = reidentify(added, manifest(january), check_table=False, key_manager=manager)
    pd.testing.assert_frame_equal(back[["ssn", "id"]], both[["ssn", "id"]])
    moved = rekey(added, manifest=manifest(january), check_table=False, key_manager=manager)
    back = reidentify(moved, key_manager=manager)
    pd.testing.assert_frame_equal(back[["ssn", "id", "small"]], both[["ssn", "id", "small"]])
    wrong = reidentify(january[["ssn"]], manifest(february), check_table=False, key_manager=manager)
    # 3,000 of a billion numbers meet 3,000 others by chance, about once in a hundred runs.
    assert len(set(wrong["ssn"]) & set(people(1)["ssn"])) < 5


@pytest.mark.parametrize("policy", ["error", "token", "null", "permute"])
def test_some_of_the_rows_in_any_order(manager: KeyManager, policy: str) -> None:
    before = people(1).drop(columns=["small", "kind"])
    before.loc[::9, "ssn"] = pd.NA
    before.loc[::11, "ssn"] = ""
    before.loc[::7, "id"] = pd.NA
    if policy != "error":
        before.loc[5::70, "id"] = 77
        before.loc[5::70, "ssn"] = "99"
    made = anonymized(before, manager, sensitive_columns=["ssn", "id"], small_domain=policy)
    expected = reidentify(made, key_manager=manager)
    for rows in (
        slice(None, None, -1),
        slice(5, 6),
        slice(0, 0),
        slice(None, None, 13),
        np.random.default_rng(1).integers(0, len(before), 10_000),
    ):
        some = reidentify(made.iloc[rows], manifest(made), key_manager=manager)
        pd.testing.assert_frame_equal(some, expected.iloc[rows])
    unique = made.drop_duplicates("ssn")
    reidentify(unique, manifest(made), key_manager=manager)
    nulled = made.assign(ssn=made["ssn"].where(made["ssn"] < "5"))
    reidentify(nulled, manifest(made), key_manager=manager)


@pytest.mark.parametrize("policy", ["token", "null", "permute"])
@pytest.mark.parametrize("rows", [slice(None), slice(0, 900), slice(None, None, 2)])
def test_numbers_that_come_back_from_csv_as_text_or_floats(
    manager: KeyManager, policy: str, rows: slice
) -> None:
    before = pd.DataFrame({"id": people(1)["id"].astype("Int64")})
    before.loc[901::4, "id"] = 5
    before.loc[903::4, "id"] = pd.NA
    made = anonymized(before, manager, sensitive_columns=["id"], small_domain=policy)
    expected = reidentify(made, key_manager=manager).iloc[rows].reset_index(drop=True)
    text = StringIO(made.iloc[rows].to_csv(index=False))
    for dtype in (None, str):
        text.seek(0)
        read = pd.read_csv(text, dtype=dtype, skip_blank_lines=False)
        back = reidentify(read, manifest(made), key_manager=manager)
        pd.testing.assert_frame_equal(back, expected)


def test_categories_that_no_row_has_do_not_count(manager: KeyManager) -> None:
    table = pd.DataFrame({"kind": pd.Categorical(["Somewhere", "Elsewhere", None])})
    made = anonymized(table, manager, sensitive_columns=["kind"])
    more = made.assign(kind=made["kind"].cat.add_categories(["Abcdefghi", "Tuvwxyzab"]))
    back = reidentify(more, manifest(made), key_manager=manager)
    assert back["kind"].astype(object).where(back["kind"].notna(), None).tolist() == [
        "Somewhere",
        "Elsewhere",
        None,
    ]
    as_text = reidentify(made.astype({"kind": object}), manifest(made), key_manager=manager)
    assert as_text["kind"].tolist()[:2] == ["Somewhere", "Elsewhere"]


def test_one_edited_value_of_a_small_table_is_noticed(manager: KeyManager) -> None:
    table = pd.DataFrame({"ssn": ["078-05-1120", "219-09-9999"]})
    made = anonymized(table, manager, sensitive_columns=["ssn"])
    made.loc[0, "ssn"] = "123-45-6789"
    with pytest.raises(WrongTableError, match="added or edited"):
        reidentify(made, key_manager=manager)


def test_rows_of_every_version_are_held_against_the_manifest(manager: KeyManager) -> None:
    parts = [anonymized(people(1), manager, key_versions=True)]
    manager.rotate_key("master_key")
    manager.invalidate("master_key")
    parts += [anonymized(people(2), manager, key_versions=True)]
    merged = merge_manifests(map(manifest, parts), key_manager=manager)
    fits = pd.concat(parts, ignore_index=True)
    back = reidentify(fits, merged, key_manager=manager)
    expected = pd.concat([people(1), people(2)], ignore_index=True)
    pd.testing.assert_frame_equal(back[["ssn", "id"]], expected[["ssn", "id"]])
    for version in (1, 2):
        foreign = anonymized(people(3), manager, key_versions=True, master_key_version=version)
        with pytest.raises(WrongTableError, match="column 'ssn'"):
            reidentify(pd.concat([*parts, foreign]), merged, key_manager=manager)


def test_a_row_whose_version_was_edited_is_noticed(manager: KeyManager) -> None:
    parts = [anonymized(people(1, 50), manager, key_versions=True)]
    manager.rotate_key("master_key")
    manager.invalidate("master_key")
    parts += [anonymized(people(2, 50), manager, key_versions=True)]
    merged = merge_manifests(map(manifest, parts), key_manager=manager)
    both = pd.concat(parts, ignore_index=True)
    for row, version in ((3, 2), (60, 1)):
        edited = both.assign(ssn__key_version=both["ssn__key_version"].copy())
        edited.loc[row, "ssn__key_version"] = version
        for call in (reidentify, rekey):
            with pytest.raises(WrongTableError, match="column 'ssn'"):
                call(edited, manifest=merged, key_manager=manager)


def test_rows_of_a_version_that_the_manifest_does_not_list(manager: KeyManager) -> None:
    parts = [anonymized(people(1, 50), manager, key_versions=True)]
    manager.rotate_key("master_key")
    manager.invalidate("master_key")
    parts += [anonymized(people(2, 50), manager, key_versions=True)]
    both = pd.concat(parts, ignore_index=True)
    for call in (reidentify, rekey):
        for check_table in (True, False):
            with pytest.raises(
                WrongTableError, match=r"column 'ssn': .*version 1.*merge_manifests"
            ):
                call(
                    both, manifest=manifest(parts[1]), check_table=check_table, key_manager=manager
                )


def test_an_older_version_that_is_another_key_by_now(manager: KeyManager) -> None:
    store = MemoryStore()
    restored = KeyManager(environment="development", store=store)
    restored.generate_key("master_key")
    parts = [anonymized(people(1, 50), manager, key_versions=True)]
    manager.rotate_key("master_key")
    manager.invalidate("master_key")
    newest = manager.get_key("master_key").reveal().hex()
    store.write("master_key", {"value": newest, "encoding": "hex"}, cas=None)
    parts += [anonymized(people(2, 50), manager, key_versions=True)]
    merged = merge_manifests(map(manifest, parts), key_manager=manager)
    both = pd.concat(parts, ignore_index=True)
    for check_table in (True, False):
        with pytest.raises(WrongKeyError, match=r"version 1 .*not the same"):
            reidentify(both, merged, check_table=check_table, key_manager=restored)
    back = reidentify(parts[1], merged, key_manager=restored)
    pd.testing.assert_frame_equal(back[["ssn", "id"]], people(2, 50)[["ssn", "id"]])


def test_no_column_of_the_manifest(manager: KeyManager, january: pd.DataFrame) -> None:
    with pytest.raises(WrongTableError, match="none of the columns of the manifest: 'ssn', 'id'"):
        reidentify(pd.DataFrame({"other": ["x"]}), manifest(january), key_manager=manager)


def test_a_table_of_another_key_of_the_same_name_is_noticed(january: pd.DataFrame) -> None:
    stranger = KeyManager(environment="development", store=MemoryStore())
    stranger.generate_key("master_key")
    with pytest.raises(WrongKeyError, match=r"not the same.*Use the environment"):
        reidentify(january, key_manager=stranger)


def test_an_edited_manifest(manager: KeyManager, january: pd.DataFrame) -> None:
    edited = json.loads(json.dumps(manifest(january)))
    edited["columns"]["ssn"]["sketches"] = []
    with pytest.raises(ManifestChangedError, match="Restore it"):
        reidentify(january, edited, key_manager=manager)


def test_the_errors_are_apart() -> None:
    apart = (WrongKeyError, ManifestChangedError, WrongTableError)
    for one in apart:
        assert issubclass(one, ManifestError)
        assert not any(issubclass(one, other) for other in apart if other is not one)


def test_manifests_alone_do_not_link_tables(manager: KeyManager, opened: Any) -> None:
    """Neither equal columns of one table nor equal tables, nor how many values a column has."""
    table = pd.DataFrame({"a": ["Some Body"] * 3, "b": ["Some Body"] * 3, "c": [*"pqr"]})
    made = [
        manifest(anonymized(table, manager, sensitive_columns=["a", "b", "c"], domains={"b": "a"}))
        for _ in range(2)
    ]
    sealed = [column["sketches"][0]["values"] for one in made for column in one["columns"].values()]
    assert len({*sealed}) == 6
    assert len({*map(len, sealed)}) == 1
    parts = [sealed[start : start + 12] for sealed in sealed for start in range(0, 1080, 12)]
    assert len({*parts}) == len(parts)
    assert made[0]["mac"] != made[1]["mac"]
    assert opened(made[0], manager) == opened(made[1], manager)


@pytest.mark.parametrize("strategy", ["hash", "mask", "redact", "null"])
def test_an_irreversible_column_has_no_sketch(manager: KeyManager, strategy: str) -> None:
    table = pd.DataFrame({"ssn": ["078-05-1120", "219-09-9999"]})
    made = anonymized(table, manager, sensitive_columns=["ssn"], strategy=strategy)
    assert manifest(made)["columns"]["ssn"]["sketches"] == []


@pytest.mark.parametrize("dtype", ["datetime64[us]", "datetime64[ns]", "date32[day][pyarrow]"])
def test_moments_are_held_against_the_sketch_too(
    manager: KeyManager, opened: Any, dtype: str
) -> None:
    days = pd.to_datetime(pd.Series(np.arange(3000) * 7 - 20_000), unit="D").astype(dtype)
    before = pd.DataFrame({"x": days})
    made = anonymized(before, manager, sensitive_columns=["x"], small_domain="permute")
    assert len(opened(manifest(made), manager)["columns"]["x"]["sketches"][0]["values"]) == 64
    pd.testing.assert_frame_equal(reidentify(made, key_manager=manager), before)
    pd.testing.assert_frame_equal(reidentify(made[::-9], key_manager=manager), before[::-9])
    other = anonymized(
        before, manager, sensitive_columns=["x"], small_domain="permute", domains={"x": "y"}
    )
    with pytest.raises(WrongTableError):
        reidentify(other, manifest(made), key_manager=manager)


def test_a_wrapped_key_that_was_rotated_is_no_way_around_the_check(
    manager: KeyManager, january: pd.DataFrame, february: pd.DataFrame
) -> None:
    with pytest.raises(WrongTableError):
        rekey(january, manifest=manifest(february), to_version=2, key_manager=manager)
    moved = rekey(february, to_version=2, key_manager=manager)
    pd.testing.assert_frame_equal(moved, february)
    with pytest.raises(WrongTableError, match="none of the columns"):
        rekey(pd.DataFrame({"y": [1]}), manifest=manifest(february), key_manager=manager)

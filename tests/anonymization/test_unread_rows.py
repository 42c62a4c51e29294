"""Manifests that were signed before rows were read: recovery works, and tells what is unchecked."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from helpers.manifests import before_reading
from secureml import anonymize, merge_manifests, reidentify, rekey
from secureml.errors import IrreversibleWarning, ManifestChangedError, UncheckedTableWarning
from secureml.key_management import KeyManager

TABLE = pd.DataFrame(
    {
        "ssn": pd.array(["123-45-6789", None, "078-05-1120", "", "899-99-9999"], "string"),
        "id": pd.array([1_234_567, 7_654_321, None, 1_000_000, 9_999_999], "Int64"),
        "place": pd.array(["here", "there", "here", "there", None], "string"),
    }
)


def hidden(manager: KeyManager, table: pd.DataFrame = TABLE, **arguments: Any) -> pd.DataFrame:
    """Pseudonymize a table, and leave what is known of its rows out of its manifest."""
    made = anonymize(
        table,
        sensitive_columns=["ssn", "id"],
        tweaks={"id": "place"},
        key_manager=manager,
        **arguments,
    )
    made.attrs["secureml"] = before_reading(made.attrs["secureml"], manager)
    return made


@pytest.mark.parametrize("key_versions", [False, True])
def test_the_values_are_recovered_with_one_warning(manager: KeyManager, key_versions: bool) -> None:
    made = hidden(manager, key_versions=key_versions)
    with pytest.warns(UncheckedTableWarning) as caught:
        again = reidentify(made, key_manager=manager)
    pd.testing.assert_frame_equal(again, TABLE)
    assert len(caught) == 1
    assert caught[0].message.details.endswith("was made before they were read: 'ssn', 'id'")


def test_no_warning_is_given_if_nobody_asks_for_the_check(manager: KeyManager) -> None:
    again = reidentify(hidden(manager), check_table=False, key_manager=manager)
    pd.testing.assert_frame_equal(again, TABLE)


def test_what_is_never_checked_is_not_warned_of(manager: KeyManager) -> None:
    made = anonymize(TABLE, sensitive_columns=["ssn"], strategy="hash", key_manager=manager)
    document = before_reading(made.attrs["secureml"], manager)
    with pytest.warns(IrreversibleWarning) as caught:
        reidentify(made, document, key_manager=manager)
    assert len(caught) == 1


def test_the_rows_of_another_table_are_not_noticed(manager: KeyManager) -> None:
    other = hidden(manager, TABLE.iloc[::-1].reset_index(drop=True))
    with pytest.warns(UncheckedTableWarning):
        reidentify(other, hidden(manager).attrs["secureml"], key_manager=manager)


def test_a_column_that_was_read_is_still_checked(manager: KeyManager) -> None:
    made = hidden(manager)
    made.attrs["secureml"]["columns"]["ssn"]["sketches"] = []
    with pytest.raises(ManifestChangedError):
        reidentify(made, key_manager=manager)


def test_rekey_counts_and_sketches_the_rows(manager: KeyManager) -> None:
    made = hidden(manager)
    manager.rotate_key("master_key")
    with pytest.warns(UncheckedTableWarning):
        moved = rekey(made, key_manager=manager)
    entry = moved.attrs["secureml"]["columns"]["ssn"]
    assert (entry["rows"], entry["nulls"], entry["empty"], len(entry["sketches"])) == (5, 1, 1, 1)
    pd.testing.assert_frame_equal(reidentify(moved, key_manager=manager), TABLE)


def test_rekey_to_the_same_key_leaves_the_rows_unread(manager: KeyManager) -> None:
    made = hidden(manager)
    with pytest.warns(UncheckedTableWarning):
        same = rekey(made, key_manager=manager)
    assert same.attrs["secureml"] == made.attrs["secureml"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1, 1)])
def test_parts_are_merged_if_some_were_not_read(
    manager: KeyManager, order: tuple[int, int]
) -> None:
    unread = hidden(manager)
    read = anonymize(
        TABLE, sensitive_columns=["ssn", "id"], tweaks={"id": "place"}, key_manager=manager
    )
    parts = [(read, unread)[number] for number in order]
    merged = merge_manifests([part.attrs["secureml"] for part in parts], key_manager=manager)
    assert not {"rows", "nulled", "sketches"} & merged["columns"]["ssn"].keys()
    with pytest.warns(UncheckedTableWarning):
        again = reidentify(pd.concat(parts), merged, key_manager=manager)
    pd.testing.assert_frame_equal(again, pd.concat([TABLE, TABLE]))

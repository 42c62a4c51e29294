"""The plan of a table: decided without its values, compared, sent to other processes, applied."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest

from secureml import KeyManager, anonymize, reidentify
from secureml.anonymization.apply import apply
from secureml.anonymization.arguments import Arguments
from secureml.anonymization.plan import Plan, plan_table
from secureml.errors import WrongKeyError
from secureml.frames.pandas import PandasTable
from secureml.pseudonymization.manifest import Manifest
from secureml.stores import MemoryStore

FRAME = pd.DataFrame(
    {
        "ssn": ["219-09-9999", "123-45-6789", None],
        "name": pd.Categorical(["Alexandra Hamilton", "Bartholomew Longman", None]),
        "number": pd.array([1_234_567, None, 7_654_321], "Int64"),
        "born": pd.to_datetime(["1990-01-02", None, "2001-12-31"]),
        "note": [["of no kind"], 5, None],
    }
)
FORMATS = {"ssn": "ssn", "name": "class"}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def manager(store: MemoryStore) -> KeyManager:
    made = KeyManager(store=store)
    made.generate_key("master_key")
    return made


def planned(frame: pd.DataFrame, manager: KeyManager, **more: Any) -> Plan:
    strategy: Mapping[str, str] = {"note": "redact"}
    arguments: Arguments = {"key_manager": manager, "formats": FORMATS, **more}  # type: ignore[typeddict-item]
    return plan_table(PandasTable(frame), strategy, list(frame.columns), arguments)[0]


def test_a_plan_depends_on_no_value(manager: KeyManager) -> None:
    assert planned(FRAME.iloc[:0], manager) == planned(FRAME, manager)


def test_plans_that_differ_in_an_option_or_a_version_are_not_equal(manager: KeyManager) -> None:
    plan = planned(FRAME, manager)
    assert plan != planned(FRAME, manager, domains={"ssn": "person"})
    manager.rotate_key("master_key")
    assert plan != planned(FRAME, manager)


def test_a_pickled_plan_holds_no_key_and_is_applied_with_the_key_of_another_process(
    manager: KeyManager, store: MemoryStore
) -> None:
    plan = planned(FRAME, manager)
    pickled = pickle.dumps(plan)
    material = manager.get_encryption_key("master_key")
    assert material not in pickled
    assert material.hex().encode() not in pickled
    manager.rotate_key("master_key")
    elsewhere: Plan = pickle.loads(pickled)
    assert elsewhere == plan
    with KeyManager(store=store) as other:
        keyring = elsewhere.keyring(other)
        made, entries = apply(elsewhere, PandasTable(FRAME), keyring)
        table = made.native(None)
        pd.testing.assert_frame_equal(
            reidentify(
                table[["ssn", "name", "number", "born"]],
                Manifest.of(keyring, entries).document(),
                key_manager=other,
            ),
            FRAME[["ssn", "name", "number", "born"]],
        )
    usual = anonymize(
        FRAME, "pseudonymization", {"note": "redact"}, list(FRAME.columns),
        formats=FORMATS, master_key_version=1, key_manager=manager,
    )  # fmt: skip
    pd.testing.assert_frame_equal(table, usual, check_flags=False)


def test_a_plan_refuses_another_key_of_the_same_name_and_version(manager: KeyManager) -> None:
    plan = planned(FRAME, manager)
    with KeyManager(store=MemoryStore()) as other:
        other.generate_key("master_key")
        with pytest.raises(WrongKeyError, match="is not the same"):
            plan.keyring(other)

"""Pseudonymizer: a plan made once, applied to many tables, and sent to other processes."""

from __future__ import annotations

import pickle
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import secureml
from secureml import KeyManager, Pseudonymizer, anonymize, reidentify
from secureml.errors import (
    ArgumentError,
    ManifestError,
    PseudonymizationError,
    UncheckedTableWarning,
    WrongKeyError,
)
from secureml.stores import MemoryStore

TABLE = pd.DataFrame(
    {
        "ssn": ["219-09-9999", "123-45-6789", None],
        "number": pd.array([1_234_567, None, 7_654_321], "Int64"),
        "place": ["here", "there", "here"],
    },
    index=["a", "b", "c"],
)
COLUMNS = ["ssn", "number"]
COUNTS = ("rows", "nulls", "empty", "tokens", "nulled")
STATE = {
    *("sensitive_columns", "strategy", "master_key_name", "master_key_version", "domains"),
    *("domain_prefix", "formats", "options", "tweaks", "small_domain", "on_invalid", "normalize"),
    *("on_ordered", "key_versions", "manifest", "profile", "key_manager"),
    *("plan_", "manifest_", "feature_names_in_", "n_features_in_", "_names", "_types"),
}


def model(manager: KeyManager | None, **arguments: Any) -> Pseudonymizer:
    arguments = {"formats": {"ssn": "ssn"}} | arguments
    return Pseudonymizer(COLUMNS, key_manager=manager, **arguments)


def test_it_makes_what_anonymize_makes_and_recovers_it(manager: KeyManager) -> None:
    fitted = model(manager, tweaks={"ssn": "place"}).fit(TABLE)
    made = fitted.transform(TABLE)
    usual = anonymize(
        TABLE,
        sensitive_columns=COLUMNS,
        formats={"ssn": "ssn"},
        tweaks={"ssn": "place"},
        key_manager=manager,
    )
    pd.testing.assert_frame_equal(made, usual, check_flags=False)
    assert made.attrs["secureml"] == fitted.manifest_
    pd.testing.assert_frame_equal(fitted.inverse_transform(made), TABLE)
    pd.testing.assert_frame_equal(reidentify(made, key_manager=manager), TABLE)


def test_a_table_that_carries_no_manifest_is_recovered_by_that_of_the_last_transform(
    manager: KeyManager,
) -> None:
    fitted = model(manager).fit(TABLE)
    made = fitted.transform(TABLE)
    made.attrs.clear()
    pd.testing.assert_frame_equal(fitted.inverse_transform(made), TABLE)
    first = fitted.manifest_
    fitted.transform(TABLE.iloc[:1])
    pd.testing.assert_frame_equal(fitted.inverse_transform(made, first), TABLE)


def test_the_manifest_before_the_first_transform_tells_nothing_of_rows(manager: KeyManager) -> None:
    fitted = model(manager).fit(TABLE)
    before = fitted.manifest_
    assert not {"rows", "nulls", "sketches"} & set(before["columns"]["ssn"])
    made = fitted.transform(TABLE)
    with pytest.warns(UncheckedTableWarning):
        again = reidentify(made, before, key_manager=manager)
    pd.testing.assert_frame_equal(again, TABLE)


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(["219-09-9999", None], dtype=object),
        pd.Series([None, "219-09-9999"], dtype=object),
        pd.Series([Decimal("1234567.25"), None]),
        pd.Series(["219-09-9999", None], dtype="category"),
        pd.Series(["219-09-9999", None], dtype=pd.ArrowDtype(pa.large_string())),
        pd.Series([1_234_567, None]),
        pd.Series([1_234_567, 7_654_321], dtype="uint32"),
        pd.Series(pd.to_datetime(["1990-01-02", None], utc=True)),
        pd.Series([1_234_567, None], dtype=pd.ArrowDtype(pa.int64())),
    ],
    ids=lambda values: str(values.dtype),
)
def test_the_manifest_before_the_first_transform_tells_all_that_recovery_needs(
    manager: KeyManager, values: pd.Series
) -> None:
    table = pd.DataFrame({"value": values, "tweak": ["a", "b"]})
    tweaks = None if isinstance(values.dtype, pd.CategoricalDtype) else {"value": "tweak"}
    fitted = Pseudonymizer(["value"], tweaks=tweaks, key_manager=manager).fit(table)
    before = fitted.manifest_["columns"]["value"]
    fitted.transform(table)
    after = fitted.manifest_["columns"]["value"]
    assert before == {name: after[name] for name in before}
    assert set(after) - set(before) == {*COUNTS, "sketches"}


def test_a_schema_gives_the_plan_and_the_names_of_its_table(manager: KeyManager) -> None:
    table = pa.Table.from_pandas(TABLE, preserve_index=False)
    fitted = model(manager).fit(table.schema)
    assert fitted == model(manager).fit(table) == model(manager).fit(TABLE)
    assert list(fitted.feature_names_in_) == list(TABLE.columns)
    assert fitted.n_features_in_ == 3
    made = fitted.transform(table)
    assert made.schema.remove_metadata() == table.schema.remove_metadata()
    assert fitted.inverse_transform(made).equals(table)


def test_a_rotation_after_fit_changes_nothing(manager: KeyManager) -> None:
    fitted = model(manager).fit(TABLE)
    made = fitted.transform(TABLE)
    manager.rotate_key("master_key")
    pd.testing.assert_frame_equal(fitted.transform(TABLE), made, check_flags=False)
    assert fitted.manifest_["key"]["version"] == 1


def test_the_rules_are_those_that_were_in_force_at_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECUREML_MASTER_KEY", "11" * 32)
    secureml.configure(columns={"ssn": {"strategy": "fpe", "format": "ssn"}})
    fitted = Pseudonymizer().fit(TABLE)
    secureml.configure(columns={"place": {"strategy": "redact"}})
    made = fitted.transform(TABLE)
    assert list(made["place"]) == list(TABLE["place"])
    assert fitted.manifest_["columns"]["ssn"]["format"].startswith("ssn/")
    assert fitted.fit(TABLE).transform(TABLE)["place"].tolist() == ["[redacted]"] * 3


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (TABLE.drop(columns="ssn"), "there is no column 'ssn'"),
        (TABLE.drop(columns="place"), "it lacks 'place'"),
        (TABLE.assign(name="Zoë"), "no plan was made for 'name'"),
        (TABLE[["place", "number", "ssn"]], "in another order"),
        (TABLE.astype({"number": "string"}), "'number': its dtype is string.* is for Int64"),
        (TABLE.astype({"ssn": pd.CategoricalDtype(ordered=True)}), "'ssn': its dtype is category"),
        (TABLE.rename_axis("ssn"), "an index of the table is named 'ssn'"),
    ],
)
def test_a_table_other_than_that_of_the_plan_is_refused(
    manager: KeyManager, table: pd.DataFrame, problem: str
) -> None:
    with pytest.raises(PseudonymizationError, match=problem):
        model(manager).fit(TABLE).transform(table)


def test_nulls_alone_and_other_types_of_the_same_kind_are_taken(manager: KeyManager) -> None:
    fitted = model(manager).fit(TABLE)
    made = fitted.transform(TABLE.astype({"ssn": "category"}))
    assert list(made["ssn"].dropna()) == list(fitted.transform(TABLE)["ssn"].dropna())
    assert fitted.transform(TABLE.assign(ssn=None))["ssn"].isna().all()


def test_a_fit_that_fails_leaves_the_plan_before_it(manager: KeyManager) -> None:
    fitted = model(manager).fit(TABLE)
    before = fitted.transform(TABLE)
    with pytest.raises(PseudonymizationError):
        fitted.fit(TABLE.assign(number=True))
    pd.testing.assert_frame_equal(fitted.transform(TABLE), before, check_flags=False)


def test_nothing_is_transformed_before_fit(manager: KeyManager) -> None:
    for unfitted in (model(manager).transform, model(manager).inverse_transform):
        with pytest.raises(PseudonymizationError, match="call fit first"):
            unfitted(TABLE)


def test_columns_of_a_table_can_be_pseudonymized_one_plan_after_the_other(
    manager: KeyManager,
) -> None:
    first = Pseudonymizer(["number"], key_manager=manager)
    second = Pseudonymizer(["ssn"], key_manager=manager)
    made = second.fit_transform(first.fit_transform(TABLE))
    assert list(second.manifest_["columns"]) == ["number", "ssn"]
    pd.testing.assert_frame_equal(second.inverse_transform(made), TABLE)
    with pytest.raises(PseudonymizationError, match="already pseudonymized: 'ssn'"):
        second.transform(made)
    other = Pseudonymizer(["ssn"], master_key_name="other_key", key_manager=manager).fit(TABLE)
    with pytest.raises(ManifestError, match="a table has one key"):
        other.transform(first.transform(TABLE))


def test_the_names_of_the_result_have_the_columns_of_versions(manager: KeyManager) -> None:
    fitted = model(manager, key_versions=True)
    made = fitted.fit_transform(TABLE)
    assert list(fitted.get_feature_names_out()) == list(made.columns)
    assert list(fitted.get_feature_names_out(["ssn", "number", "place"])) == list(made.columns)
    with pytest.raises(ArgumentError, match="input_features"):
        fitted.get_feature_names_out(["ssn"])


def test_the_columns_of_an_array_are_called_by_their_numbers(manager: KeyManager) -> None:
    array = np.array([["219-09-9999", 7], ["123-45-6789", 8]], object)
    fitted = Pseudonymizer(["x0"], domains={"x0": "ssn"}, key_manager=manager).fit(array)
    made = fitted.transform(array)
    assert isinstance(made, np.ndarray)
    usual = anonymize(TABLE[:2], sensitive_columns=["ssn"], key_manager=manager)
    assert made.tolist() == [[usual["ssn"].iloc[0], 7], [usual["ssn"].iloc[1], 8]]
    assert fitted.inverse_transform(made).tolist() == array.tolist()
    assert not hasattr(fitted, "feature_names_in_")
    with pytest.raises(PseudonymizationError, match=r"X has 1 features, but .* 2 features"):
        fitted.transform(array[:, :1])
    with pytest.raises(PseudonymizationError, match="two dimensions, not 1"):
        fitted.transform(array[0])


def test_equal_are_those_of_equal_arguments_and_plans(manager: KeyManager) -> None:
    assert model(manager) == model(None) != model(manager, small_domain="null")
    assert hash(model(manager)) == hash(model(None))
    fitted = model(manager).fit(TABLE)
    assert fitted != model(manager)
    assert fitted == model(manager).fit(TABLE.iloc[:0])
    assert Pseudonymizer(pd.Index(COLUMNS)) == Pseudonymizer(tuple(COLUMNS))
    manager.rotate_key("master_key")
    assert fitted != model(manager).fit(TABLE)
    assert model(manager) != "ssn"


def test_arguments_are_read_and_changed_by_name(manager: KeyManager) -> None:
    changed = model(manager).set_params(strategy="hash", formats=None)
    assert changed.get_params()["strategy"] == "hash"
    named = Pseudonymizer(["ssn"], key_versions=True)
    assert repr(named) == "Pseudonymizer(sensitive_columns=['ssn'], key_versions=True)"
    with pytest.raises(ArgumentError, match="no_such"):
        changed.set_params(no_such=1, strategy="fpe")
    assert changed.strategy == "hash"


def test_a_pickle_holds_these_fields_and_no_key(manager: KeyManager) -> None:
    fitted = model(manager).fit(TABLE)
    fitted.transform(TABLE)
    pickled = pickle.dumps(fitted)
    material = manager.get_encryption_key("master_key")
    assert material not in pickled
    assert material.hex().encode() not in pickled
    read: Pseudonymizer = pickle.loads(pickled)
    assert set(vars(read)) == STATE
    assert read.key_manager is None
    assert read == fitted
    assert read.manifest_ == fitted.manifest_


def test_a_pickle_takes_the_key_of_its_name_and_version_from_where_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECUREML_MASTER_KEY", "11" * 32)
    fitted = model(None).fit(TABLE)
    made, pickled = fitted.transform(TABLE), pickle.dumps(fitted)
    secureml.reset()
    pd.testing.assert_frame_equal(pickle.loads(pickled).transform(TABLE), made, check_flags=False)
    monkeypatch.setenv("SECUREML_MASTER_KEY", "22" * 32)
    secureml.reset()
    for refused in (pickle.loads(pickled).transform, pickle.loads(pickled).inverse_transform):
        with pytest.raises(WrongKeyError):
            refused(made if refused.__name__ == "inverse_transform" else TABLE)


def test_no_key_manager_is_lost_with_a_pickle_before_a_plan_names_the_key() -> None:
    with KeyManager(store=MemoryStore()) as manager, pytest.raises(TypeError, match="call fit"):
        pickle.dumps(model(manager))


def test_arrow_tables_take_neither_scikit_learn_nor_pandas(run_python: Any) -> None:
    program = """
import sys
import pyarrow as pa
import secureml

offsets = pa.py_buffer((0).to_bytes(4, "little") + (11).to_bytes(4, "little"))
values = pa.py_buffer(b"219-09-9999")
ssn = pa.Array.from_buffers(pa.string(), 1, [None, offsets, values])  # pa.array imports pandas
model = secureml.Pseudonymizer(["ssn"]).fit(pa.schema([("ssn", pa.string())]))
table = pa.Table.from_arrays([ssn], ["ssn"])
made = model.transform(table)
assert made.column_names == ["ssn"] and not made.equals(table)
assert model.inverse_transform(made).equals(table)
print({"sklearn", "pandas"} & {*sys.modules})
"""
    done = run_python("-c", program, env={"SECUREML_MASTER_KEY": "11" * 32})
    assert done.stdout == "set()\n", done.stderr


def test_what_comes_in_batches_goes_out_in_batches(manager: KeyManager) -> None:
    table = pa.Table.from_pandas(TABLE, preserve_index=False)
    fitted = model(manager).fit(table.schema)
    made = fitted.transform(table.to_reader(max_chunksize=2))
    assert isinstance(made, pa.RecordBatchReader)
    hidden = made.read_all()
    assert hidden.equals(fitted.transform(table))
    with pytest.warns(UncheckedTableWarning):
        again = fitted.inverse_transform(hidden.to_reader(max_chunksize=2)).read_all()
    assert again.equals(table)


def test_a_frame_of_polars_is_recovered_by_the_manifest_of_the_last_transform(
    manager: KeyManager,
) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"ssn": ["219-09-9999", None], "place": ["here", "there"]})
    fitted = Pseudonymizer(["ssn"], key_manager=manager).fit(frame)
    made = fitted.transform(frame)
    assert not made["ssn"].equals(frame["ssn"])
    assert fitted.inverse_transform(made).equals(frame)
    lazy = fitted.transform(frame.lazy())
    assert isinstance(lazy, polars.LazyFrame)
    assert lazy.collect().equals(made)
    assert (
        fitted.set_output(transform="pandas").transform(frame).attrs["secureml"] == fitted.manifest_
    )

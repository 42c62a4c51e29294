from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from secureml.errors import PseudonymizationError
from secureml.frames.adapters import table_of
from secureml.frames.pandas import PandasTable


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "not NoneType$"),
        ([], "not list$"),
        (pd.Series([1]), r"not a pandas\.Series$"),
        (np.zeros((2, 2)), r"not a numpy\.ndarray$"),
        (pa.array([1]), r"not a pyarrow\.Int64Array; convert it with to_pandas\(\)$"),
    ],
    ids=str,
)
def test_data_of_another_kind_is_refused_with_its_full_name(data: object, told: str) -> None:
    with pytest.raises(TypeError, match=f"must be a table, such as a pandas DataFrame, {told}"):
        table_of(data)


def test_several_levels_of_column_names() -> None:
    frame = pd.DataFrame({("a", "b"): [1]})
    with pytest.raises(PseudonymizationError, match="MultiIndex"):
        table_of(frame)


def test_column_names_that_occur_twice() -> None:
    frame = pd.DataFrame([[1, 2, 3, 4]], columns=["a", "b", "a", 0])
    with pytest.raises(PseudonymizationError, match=r"more than once: 'a' \(SML-400\)$"):
        table_of(frame)


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(2),
        pd.Index(["x", "x"], name="key"),
        pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["one", "two"]),
        pd.date_range("2020", periods=2, freq="D"),
    ],
)
def test_a_replaced_column_leaves_everything_else_as_it_is(index: pd.Index) -> None:
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": ["x", "y"], 3: [True, False]}, index=index)
    before = frame.copy()
    result = PandasTable(frame).replace({"b": np.array(["p", "q"], dtype=object)}).native(None)
    assert result.columns.tolist() == ["a", "b", 3]
    assert result["b"].tolist() == ["p", "q"]
    assert result["b"].dtype == object
    pd.testing.assert_frame_equal(result.drop(columns="b"), frame.drop(columns="b"))
    pd.testing.assert_index_equal(result.index, index)
    result.loc[result.index[0], "a"] = 9.5
    pd.testing.assert_frame_equal(frame, before)


def test_the_attributes_of_a_frame_are_copied_and_the_manifest_is_apart() -> None:
    data = pd.DataFrame({"a": [1]})
    data.attrs = {"secureml": "manifest", "more": {"deep": [1]}}
    table = PandasTable(data)
    assert (table.manifest, table.frame.attrs) == ("manifest", {})
    result = table.native({"new": 1})
    assert result.attrs == {"secureml": {"new": 1}, "more": {"deep": [1]}}
    result.attrs["more"]["deep"].append(2)
    assert data.attrs == {"secureml": "manifest", "more": {"deep": [1]}}


def test_a_subclass_stays_one() -> None:
    class Frame(pd.DataFrame):
        @property
        def _constructor(self) -> type[Frame]:
            return Frame

    assert type(PandasTable(Frame({"a": [1]})).replace({"a": np.array([2])}).native(None)) is Frame

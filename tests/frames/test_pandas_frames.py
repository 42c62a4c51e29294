from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from secureml.errors import PseudonymizationError
from secureml.frames.pandas import detached, with_columns


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "not NoneType$"),
        ([], "not list$"),
        (pd.Series([1]), r"not a pandas\.Series$"),
        (np.zeros((2, 2)), r"not a numpy\.ndarray$"),
        (pa.table({"a": [1]}), r"not a pyarrow\.Table; convert it with to_pandas\(\)$"),
    ],
    ids=str,
)
def test_data_of_another_kind_is_refused_with_its_full_name(data: object, told: str) -> None:
    with pytest.raises(TypeError, match=f"must be a pandas DataFrame, {told}"):
        detached(data)


def test_several_levels_of_column_names() -> None:
    frame = pd.DataFrame({("a", "b"): [1]})
    with pytest.raises(PseudonymizationError, match="MultiIndex"):
        detached(frame)


def test_column_names_that_occur_twice() -> None:
    frame = pd.DataFrame([[1, 2, 3, 4]], columns=["a", "b", "a", 0])
    with pytest.raises(PseudonymizationError, match=r"more than once: 'a'$"):
        detached(frame)


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(2),
        pd.Index(["x", "x"], name="key"),
        pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["one", "two"]),
        pd.date_range("2020", periods=2, freq="D"),
    ],
)
def test_with_columns_keeps_everything_else(index: pd.Index) -> None:
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": ["x", "y"], 3: [True, False]}, index=index)
    before = frame.copy()
    result = with_columns(frame, {"b": np.array(["p", "q"], dtype=object)})
    assert result.columns.tolist() == ["a", "b", 3]
    assert result["b"].tolist() == ["p", "q"]
    assert result["b"].dtype == object
    pd.testing.assert_frame_equal(result.drop(columns="b"), frame.drop(columns="b"))
    pd.testing.assert_index_equal(result.index, index)
    result.loc[result.index[0], "a"] = 9.5
    pd.testing.assert_frame_equal(frame, before)


def test_a_detached_frame_leaves_its_attributes_to_the_caller() -> None:
    data = pd.DataFrame({"a": [1]})
    data.attrs = {"secureml": "manifest", "more": {"deep": [1]}}
    frame, attributes = detached(data)
    assert frame.attrs == {}
    assert attributes == {"secureml": "manifest", "more": {"deep": [1]}}
    attributes["more"]["deep"].append(2)
    assert data.attrs == {"secureml": "manifest", "more": {"deep": [1]}}


def test_a_subclass_stays_one() -> None:
    class Frame(pd.DataFrame):
        @property
        def _constructor(self) -> type[Frame]:
            return Frame

    assert type(with_columns(Frame({"a": [1]}), {"a": np.array([2])})) is Frame

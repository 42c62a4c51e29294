from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from secureml.errors import PseudonymizationError
from secureml.frames.pandas import (
    by_column,
    check_columns,
    check_frame,
    listed,
    with_columns,
)


@pytest.mark.parametrize("data", [None, {}, [], "x", pd.Series([1]), np.zeros((2, 2))])
def test_other_data(data: object) -> None:
    with pytest.raises(TypeError, match=f"pandas DataFrame, not {type(data).__name__}"):
        check_frame(data)


def test_several_levels_of_column_names() -> None:
    frame = pd.DataFrame({("a", "b"): [1]})
    with pytest.raises(PseudonymizationError, match="MultiIndex"):
        check_frame(frame)


def test_column_names_that_occur_twice() -> None:
    frame = pd.DataFrame([[1, 2, 3, 4]], columns=["a", "b", "a", 0])
    with pytest.raises(PseudonymizationError, match=r"more than once: 'a'$"):
        check_frame(frame)


def test_columns() -> None:
    frame = pd.DataFrame({"name": [1], "ssn": [2], 7: [3]})
    assert check_columns(frame, ["ssn", "name", "ssn"]) == ["ssn", "name"]
    with pytest.raises(PseudonymizationError, match="no column 'nmae'; did you mean 'name'"):
        check_columns(frame, ["nmae"])
    with pytest.raises(PseudonymizationError, match="no column 'zzz'; there are 'name', 'ssn', 7"):
        check_columns(frame, ["zzz"])
    with pytest.raises(PseudonymizationError, match="7 is not a string: rename"):
        check_columns(frame, [7])
    wide = pd.DataFrame(columns=[f"c{number}" for number in range(100)])
    with pytest.raises(PseudonymizationError, match="and 92 more"):
        check_columns(wide, ["zzz"])


def test_listed() -> None:
    assert listed(("a", "b")) == ["a", "b"]
    assert listed(pd.Index(["a"])) == ["a"]
    with pytest.raises(PseudonymizationError, match=r"must be a list: write \['ssn'\]"):
        listed("ssn")
    for nothing in (None, 5):
        with pytest.raises(PseudonymizationError, match="must list"):
            listed(nothing)
    with pytest.raises(PseudonymizationError, match="is empty"):
        listed([])


def test_by_column() -> None:
    assert by_column("domains", None, ["a"]) == {}
    assert by_column("domains", {"a": "x"}, ["a"]) == {"a": "x"}
    with pytest.raises(PseudonymizationError, match="domains names 'b'"):
        by_column("domains", {"b": "x"}, ["a"])
    for wrong in ("", None, 7):
        with pytest.raises(PseudonymizationError, match=r"domains\['a'\] must be a string"):
            by_column("domains", {"a": wrong}, ["a"])  # type: ignore[dict-item]  # on purpose


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
    frame.attrs = {"secureml": "old", "more": {"deep": [1]}}
    before = frame.copy()
    result = with_columns(frame, {"b": np.array(["p", "q"], dtype=object)}, {"new": 1})
    assert result.columns.tolist() == ["a", "b", 3]
    assert result["b"].tolist() == ["p", "q"]
    assert result["b"].dtype == object
    pd.testing.assert_frame_equal(result.drop(columns="b"), frame.drop(columns="b"))
    pd.testing.assert_index_equal(result.index, index)
    assert result.attrs == {"secureml": {"new": 1}, "more": {"deep": [1]}}
    result.attrs["more"]["deep"].append(2)
    result.loc[result.index[0], "a"] = 9.5
    pd.testing.assert_frame_equal(frame, before)
    assert frame.attrs == {"secureml": "old", "more": {"deep": [1]}}
    assert with_columns(frame, {}, None).attrs == {"more": {"deep": [1]}}


def test_a_subclass_stays_one() -> None:
    class Frame(pd.DataFrame):
        @property
        def _constructor(self) -> type[Frame]:
            return Frame

    assert type(with_columns(Frame({"a": [1]}), {"a": np.array([2])}, None)) is Frame

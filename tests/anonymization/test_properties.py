"""anonymize -> reidentify over arbitrary text, numbers, nulls and dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secureml import anonymize, reidentify, rekey
from secureml.errors import DomainTooSmallError
from secureml.key_management import KeyManager
from secureml.stores import MemoryStore

CHARACTERS = st.characters(codec="utf-8") | st.sampled_from("~aZ09 -é山ЯΩ٣")
VALUES = st.text(CHARACTERS, max_size=14)
ARROW = [pd.ArrowDtype(pa.string()), pd.ArrowDtype(pa.large_string())]
DEFAULT = pd.Series(["text"]).dtype  # str, if pandas has it
TEXT_DTYPES = ["object", DEFAULT, "string[python]", "string[pyarrow]", "category", *ARROW]
PLAIN = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
NUMBER_DTYPES = [
    *PLAIN,
    *(name.replace("int", "Int").replace("uI", "UI") for name in PLAIN),
    *(f"{name}[pyarrow]" for name in PLAIN),
]


@pytest.fixture(scope="module")
def manager() -> KeyManager:
    manager = KeyManager(environment="development", store=MemoryStore())
    manager.generate_key("master_key")
    manager.generate_key("other_key")
    return manager


def recovered(frame: pd.DataFrame, policy: str, manager: KeyManager) -> pd.DataFrame:
    columns = list(frame.columns)
    result = anonymize(frame, sensitive_columns=columns, small_domain=policy, key_manager=manager)
    moved = rekey(result, "other_key", key_manager=manager)
    pd.testing.assert_frame_equal(
        reidentify(moved, key_manager=manager), reidentify(result, key_manager=manager)
    )
    return reidentify(result, key_manager=manager)


@settings(deadline=None, max_examples=150)
@given(
    columns=st.lists(st.text(CHARACTERS, max_size=4), min_size=1, max_size=2, unique=True),
    rows=st.integers(0, 5),
    data=st.data(),
)
def test_any_text_is_recovered(
    manager: KeyManager, columns: list[str], rows: int, data: st.DataObject
) -> None:
    frame = pd.DataFrame(index=range(rows))
    for name in columns:
        values = data.draw(st.lists(VALUES | st.none(), min_size=rows, max_size=rows))
        dtype = data.draw(st.sampled_from(TEXT_DTYPES))
        frame[name] = pd.Series(values, dtype=object).astype(dtype)
    before = frame.copy(deep=True)
    pd.testing.assert_frame_equal(recovered(frame, "token", manager), frame)
    pd.testing.assert_frame_equal(frame, before)


@settings(deadline=None)
@given(st.lists(st.text(st.characters(codec=None), max_size=9) | st.none(), max_size=5))
def test_any_objects_are_recovered_from_tokens(
    manager: KeyManager, values: list[str | None]
) -> None:
    frame = pd.DataFrame({"x": pd.Series(values, dtype=object)})
    pd.testing.assert_frame_equal(recovered(frame, "token", manager), frame)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(NUMBER_DTYPES), st.data())
def test_any_integers_are_recovered(manager: KeyManager, dtype: str, data: st.DataObject) -> None:
    info = np.iinfo(dtype.removesuffix("[pyarrow]").lower())
    values = st.integers(int(info.min), int(info.max)) | st.sampled_from([info.min, info.max, 0])
    values = values.map(int)
    rows = data.draw(st.lists(values if dtype in PLAIN else values | st.none(), max_size=5))
    series = pd.Series(np.array(rows, dtype) if dtype in PLAIN else pd.array(rows, dtype))
    frame = pd.DataFrame({"x": series})
    pd.testing.assert_frame_equal(recovered(frame, "token", manager), frame)


@settings(deadline=None)
@given(st.sampled_from(["float32", "float64"]), st.data())
def test_any_whole_floats(manager: KeyManager, dtype: str, data: st.DataObject) -> None:
    limit = (1 << 24 if dtype == "float32" else 1 << 53) - 1
    values = st.integers(-limit, limit).map(float) | st.sampled_from([float("nan"), -0.0])
    series = pd.Series(data.draw(st.lists(values, max_size=5)), dtype=dtype)
    frame = pd.DataFrame({"x": series})
    back = recovered(frame, "token", manager)
    pd.testing.assert_frame_equal(back, frame)
    assert np.signbit(back["x"].dropna()).equals(np.signbit(frame["x"].dropna()))


@settings(deadline=None)
@given(st.lists(VALUES | st.none(), max_size=6), st.sampled_from(["object", "category"]))
def test_null_removes_exactly_what_error_refuses(
    manager: KeyManager, values: list[str | None], dtype: str
) -> None:
    frame = pd.DataFrame({"x": pd.Series(values, dtype=object).astype(dtype)})
    result = anonymize(frame, sensitive_columns=["x"], small_domain="null", key_manager=manager)
    back = reidentify(result, key_manager=manager)["x"].tolist()
    for row, value in enumerate(values):
        alone: dict[str, Any] = {"sensitive_columns": ["x"], "key_manager": manager}
        refused = False
        try:
            anonymize(pd.DataFrame({"x": pd.Series([value], dtype=object)}), **alone)
        except DomainTooSmallError:
            refused = True
        assert pd.isna(back[row]) if refused or value is None else back[row] == value

"""What dtypes of pandas become, and what each comes back as."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from secureml import anonymize, reidentify, rekey
from secureml.errors import PseudonymizationError
from secureml.key_management import KeyManager


class TestDtypes:
    @pytest.mark.parametrize("policy", ["error", "token", "null"])
    @pytest.mark.parametrize(
        "dtype",
        [
            "object",
            pd.Series(["text"]).dtype,  # str, if pandas has it
            "string[python]",
            "string[pyarrow]",
            pd.ArrowDtype(pa.string()),
            pd.ArrowDtype(pa.large_string()),
        ],
        ids=str,
    )
    def test_text(self, manager: KeyManager, dtype: Any, policy: str) -> None:
        series = pd.Series(["Some Body", None, "", "Anna-Lena", "Some Body"], dtype=object).astype(
            dtype
        )
        if dtype == "str" and series.dtype == object:
            pytest.skip("this version of pandas has no str dtype")
        frame = pd.DataFrame({"x": series})
        result = anonymize(frame, sensitive_columns=["x"], small_domain=policy, key_manager=manager)
        assert result["x"].dtype == series.dtype
        pd.testing.assert_frame_equal(reidentify(result, key_manager=manager), frame)

    @pytest.mark.parametrize("policy", ["error", "null"])
    @pytest.mark.parametrize("dtype", ["Int32", "Int64", "float64", "float32", "int64[pyarrow]"])
    def test_whole_numbers(self, manager: KeyManager, dtype: str, policy: str) -> None:
        values = [1_234_567, None, -1_234_567, 12_345_678, 1_234_567]
        frame = pd.DataFrame({"x": pd.Series(values, dtype=dtype)})
        result = anonymize(frame, sensitive_columns=["x"], small_domain=policy, key_manager=manager)
        assert result["x"].dtype == frame["x"].dtype
        assert result["x"].isna().tolist() == frame["x"].isna().tolist()
        pd.testing.assert_frame_equal(reidentify(result, key_manager=manager), frame)

    @pytest.mark.parametrize(
        "dtype", ["int8", "uint16", "int64", "UInt8", "Int64", "float64", "uint32[pyarrow]"]
    )
    def test_whole_numbers_with_tokens(self, manager: KeyManager, dtype: str) -> None:
        values = [0, 1, 100, 127] if "8" in dtype else [0, 1, 999, 60_000]
        series = pd.Series(values, dtype=dtype)
        if not dtype.startswith(("int", "uint16")):
            series[1] = None
        frame = pd.DataFrame({"x": series.astype(dtype)})
        result = anonymize(
            frame, sensitive_columns=["x"], small_domain="token", key_manager=manager
        )
        assert result["x"].dtype == pd.Series(["text"]).dtype
        assert result["x"].dropna().str.startswith("~").all()
        pd.testing.assert_frame_equal(reidentify(result, key_manager=manager), frame)

    def test_whole_numbers_removed(self, manager: KeyManager) -> None:
        frame = pd.DataFrame({"x": np.array([7, 1_234_567], np.int32)})
        result = anonymize(frame, sensitive_columns=["x"], small_domain="null", key_manager=manager)
        assert result["x"].dtype == "Int32"
        assert result["x"].isna().tolist() == [True, False]
        back = reidentify(result, key_manager=manager)
        assert back["x"].tolist() == [pd.NA, 1_234_567]

    @pytest.mark.parametrize("ordered", [True, False])
    def test_categories_come_back_in_their_order_or_sorted(
        self, manager: KeyManager, ordered: bool
    ) -> None:
        kinds = ["Somewhere", "Elsewhere", "Nowhere-Used"]
        values = ["Elsewhere", None, "Somewhere", "Elsewhere"]
        frame = pd.DataFrame({"x": pd.Categorical(values, categories=kinds, ordered=ordered)})
        result = anonymize(
            frame,
            sensitive_columns=["x"],
            on_ordered="keep" if ordered else None,
            key_manager=manager,
        )
        assert result["x"].cat.ordered is ordered
        assert not set(result["x"].cat.categories) & set(kinds)
        back = reidentify(result, key_manager=manager)
        assert back["x"].cat.categories.tolist() == (
            ["Somewhere", "Elsewhere"] if ordered else ["Elsewhere", "Somewhere"]
        )
        expected = frame.assign(x=frame["x"].cat.set_categories(back["x"].cat.categories))
        pd.testing.assert_frame_equal(back, expected)
        moved = rekey(result, to_key="other_key", key_manager=manager)
        pd.testing.assert_frame_equal(reidentify(moved, key_manager=manager), expected)

    @pytest.mark.parametrize("strategy", ["fpe", "token", "hash", "mask"])
    def test_the_order_of_categories_tells_nothing(
        self, manager: KeyManager, strategy: str
    ) -> None:
        """Whoever has a list of the countries has no use for it."""
        countries = [f"Country {number:02}-{number:02}" for number in range(40)]
        values = [countries[number * 7 % 37] for number in range(200)]
        made = []
        for kinds in (countries, countries[::-1]):
            frame = pd.DataFrame({"x": pd.Categorical(values, categories=kinds)})
            result = anonymize(
                frame, strategy=strategy, sensitive_columns=["x"], key_manager=manager
            )["x"]
            assert result.cat.categories.tolist() == sorted(set(result))
            made.append(result)
        pd.testing.assert_series_equal(*made)

    def test_an_ordered_categorical_is_refused(self, manager: KeyManager) -> None:
        kinds = ["Low-Income", "High-Income"]
        frame = pd.DataFrame({"x": pd.Categorical(kinds, categories=kinds, ordered=True)})
        with pytest.raises(
            PseudonymizationError, match=r"'x': it is an ordered.*on_ordered='keep'"
        ):
            anonymize(frame, sensitive_columns=["x"], key_manager=manager)
        with pytest.raises(PseudonymizationError, match="on_ordered='kept' is not known"):
            anonymize(frame, sensitive_columns=["x"], on_ordered="kept", key_manager=manager)
        hidden = anonymize(frame, strategy="null", sensitive_columns=["x"], key_manager=manager)
        assert hidden["x"].isna().all()

    def test_objects_keep_their_nulls_and_any_character(self, manager: KeyManager) -> None:
        values = ["\ud800 Lone Surrogate", None, float("nan"), pd.NA, "e\u0301te\u0301 après"]
        frame = pd.DataFrame({"x": pd.Series(values, dtype=object)})
        back = reidentify(
            anonymize(frame, sensitive_columns=["x"], key_manager=manager), key_manager=manager
        )["x"]
        assert back[0] == values[0]
        assert back[1] is None
        assert back[2] is values[2]
        assert back[3] is pd.NA
        assert back[4] == values[4]

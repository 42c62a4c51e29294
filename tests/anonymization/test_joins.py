"""Equal values of one domain have equal pseudonyms, whatever their columns' dtypes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from secureml import anonymize, merge_manifests, reidentify, rekey
from secureml.errors import ManifestError
from secureml.key_management import KeyManager
from secureml.pseudonymization.keys import keyring_of
from secureml.pseudonymization.manifest import Manifest

MOMENTS = ["2026-03-01T12:30:45", "2026-03-01T12:30:00", None, "1969-12-31T23:59:59"]
UNITS = ["datetime64[s]", "datetime64[ms]", "datetime64[us]", "datetime64[ns]"]


def pseudonyms(
    values: pd.Series, strategy: str, manager: KeyManager, **arguments: Any
) -> list[Any]:
    frame = pd.DataFrame({"x": values})
    hidden = anonymize(
        frame, strategy=strategy, sensitive_columns=["x"], key_manager=manager, **arguments
    )
    if strategy == "token":
        pd.testing.assert_frame_equal(reidentify(hidden, key_manager=manager), frame)
    return [None if pd.isna(one) else one for one in hidden["x"].tolist()]


@pytest.mark.parametrize("strategy", ["hash", "token"])
@pytest.mark.parametrize("zone", [None, "Europe/Warsaw"])
def test_moments_join_whatever_their_unit(
    manager: KeyManager, strategy: str, zone: str | None
) -> None:
    made = []
    for dtype in UNITS:
        moments = pd.Series(pd.to_datetime(pd.Series(MOMENTS)).astype(dtype))
        if zone is not None:
            moments = moments.dt.tz_localize(zone)
        made.append(pseudonyms(moments, strategy, manager))
    assert made[0] == made[1] == made[2] == made[3]
    assert len({*made[0]}) == 4


@pytest.mark.parametrize("strategy", ["hash", "token"])
def test_moments_between_two_seconds_join_too(manager: KeyManager, strategy: str) -> None:
    moments = pd.to_datetime(pd.Series(["2026-03-01T12:30:45.120", "2026-03-01T12:30:45.012"]))
    made = [pseudonyms(moments.astype(dtype), strategy, manager) for dtype in UNITS[1:]]
    assert made[0] == made[1] == made[2]
    assert made[0][0] != made[0][1]


@pytest.mark.parametrize("strategy", ["hash", "token"])
def test_decimal_numbers_join_whatever_their_scale(manager: KeyManager, strategy: str) -> None:
    made = []
    for arrow in (pa.decimal128(10, 2), pa.decimal128(20, 4)):
        array = pa.array(["12.50", "-0.25", "100.00", None]).cast(arrow)
        made.append(pseudonyms(pd.Series(array, dtype=pd.ArrowDtype(arrow)), strategy, manager))
    assert made[0] == made[1]
    whole = pseudonyms(pd.Series([100, 250], dtype="int16"), strategy, manager)
    assert made[0][2] == whole[0] not in made[0][:2]


@pytest.mark.parametrize("strategy", ["hash", "token"])
def test_whole_numbers_join_whatever_their_dtype(manager: KeyManager, strategy: str) -> None:
    values = [1_234_567_890, 1_999_999_999]
    dtypes = ("int32", "int64", "float64", "UInt32", "int64[pyarrow]")
    made = [pseudonyms(pd.Series(values, dtype=one), strategy, manager) for one in dtypes]
    assert all(one == made[0] for one in made)


def test_whole_numbers_of_a_declared_range_join_whatever_their_dtype(manager: KeyManager) -> None:
    values = [1_234_567_890, 1_999_999_999]
    dtypes = ("int32", "int64", "float64", "UInt32", "int64[pyarrow]")
    options = {"x": {"minimum": 0, "maximum": 2_147_483_647}}
    made = [
        pseudonyms(pd.Series(values, dtype=one), "fpe", manager, options=options) for one in dtypes
    ]
    assert all(one == made[0] for one in made)


def test_tokens_of_the_first_algorithm_are_recovered_and_moved_to_the_second(
    manager: KeyManager,
) -> None:
    """The first one's tokens hold all digits of the unit."""
    moments = pd.to_datetime(pd.Series(MOMENTS)).astype("datetime64[us]")
    frame = pd.DataFrame({"x": moments})
    new = anonymize(frame, strategy="token", sensitive_columns=["x"], key_manager=manager)
    entry = Manifest.parse(new.attrs["secureml"]).columns["x"]
    assert entry.recipe.algorithm == "AES-256-SIV/2"
    texts = frame.assign(x=np.where(moments.isna(), None, moments.astype("str") + ".000000"))
    texts["x"] = texts["x"].str.replace(" ", "T")
    old = anonymize(texts, strategy="token", sensitive_columns=["x"], key_manager=manager)
    assert not (old["x"] == new["x"]).any()
    made = Manifest.parse(old.attrs["secureml"]).columns["x"]
    recipe = replace(made.recipe, algorithm="AES-256-SIV")
    first = replace(made, recipe=recipe, dtype=entry.dtype, arrow=entry.arrow)
    old.attrs["secureml"] = Manifest.of(keyring_of(manager, None), {"x": first}).document()
    pd.testing.assert_frame_equal(reidentify(old, key_manager=manager), frame)
    manager.rotate_key("master_key")
    moved = rekey(old, key_manager=manager)
    assert moved.attrs["secureml"]["columns"]["x"]["algorithm"] == "AES-256-SIV/2"
    pd.testing.assert_frame_equal(moved, rekey(new, key_manager=manager))
    pd.testing.assert_frame_equal(reidentify(moved, key_manager=manager), frame)


def test_a_domain_prefix_stays_through_rekey_and_merging(manager: KeyManager) -> None:
    frame = pd.DataFrame({"ssn": ["219-09-9999", "078-05-1120"], "name": ["Ann Lee Jo", "Bob Fox"]})
    strategy = {"name": "token"}
    parts = [
        anonymize(
            part,
            strategy=strategy,
            sensitive_columns=["ssn", "name"],
            domain_prefix="press",
            key_manager=manager,
        )
        for part in (frame.iloc[:1], frame.iloc[1:])
    ]
    whole = pd.concat(parts)
    manifest = merge_manifests([part.attrs["secureml"] for part in parts], key_manager=manager)
    manager.rotate_key("master_key")
    moved = rekey(whole, manifest=manifest, key_manager=manager)
    entries = moved.attrs["secureml"]["columns"]
    assert [entry["domain_prefix"] for entry in entries.values()] == ["press", "press"]
    pd.testing.assert_frame_equal(reidentify(moved, key_manager=manager), frame)
    plain = anonymize(
        frame, strategy=strategy, sensitive_columns=["ssn", "name"], key_manager=manager
    )
    assert not (plain == moved).any(axis=None)
    other = anonymize(
        frame.iloc[1:],
        strategy=strategy,
        sensitive_columns=["ssn", "name"],
        domain_prefix="lab",
        key_manager=manager,
    )
    with pytest.raises(ManifestError, match="was not pseudonymized alike"):
        merge_manifests([moved.attrs["secureml"], other.attrs["secureml"]], key_manager=manager)

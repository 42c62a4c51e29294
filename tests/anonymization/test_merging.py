"""One manifest for a table that was worked on in parts."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from secureml import anonymize, merge_manifests, reidentify, rekey
from secureml.errors import ManifestChangedError, ManifestError, WrongKeyError, WrongTableError
from secureml.key_management import KeyManager
from secureml.stores import MemoryStore


def table(seed: int = 1, rows: int = 900) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"ssn": pd.array(generator.integers(0, 10**9, rows).astype(str), "string")}
    )
    frame["ssn"] = frame["ssn"].str.zfill(9)
    frame.loc[::9, "ssn"] = pd.NA
    frame.loc[::10, "ssn"] = ""
    frame.loc[::11, "ssn"] = "7"
    frame["id"] = pd.array(generator.integers(0, 10**9, rows), "Int64")
    return frame


def made(frame: pd.DataFrame, manager: KeyManager, **arguments: Any) -> pd.DataFrame:
    arguments = {"sensitive_columns": ["ssn", "id"], "small_domain": "token"} | arguments
    return anonymize(frame, key_manager=manager, **arguments)


def manifest(frame: pd.DataFrame) -> Any:
    return frame.attrs["secureml"]


@pytest.mark.parametrize("cuts", [[], [0], [10, 11, 500], [900]])
@pytest.mark.parametrize("policy", ["token", "null"])
def test_parts_have_the_manifest_of_the_whole(
    manager: KeyManager, opened: Any, cuts: list[int], policy: str
) -> None:
    frame = table()
    bounds = [0, *cuts, len(frame)]
    whole = made(frame, manager, small_domain=policy)
    parts = [
        made(frame.iloc[start:stop], manager, small_domain=policy)
        for start, stop in pairwise(bounds)
    ]
    merged = merge_manifests(map(manifest, parts), key_manager=manager)
    assert opened(merged, manager) == opened(manifest(whole), manager)
    texts = [json.dumps(manifest(part)) for part in parts]
    assert opened(merge_manifests(texts, key_manager=manager), manager) == opened(merged, manager)
    back = reidentify(pd.concat(parts), merged, key_manager=manager)
    pd.testing.assert_frame_equal(back, reidentify(whole, key_manager=manager))


def test_a_part_is_not_the_whole(manager: KeyManager) -> None:
    parts = [made(table(seed), manager) for seed in (1, 2)]
    with pytest.raises(WrongTableError, match="merge_manifests"):
        reidentify(pd.concat(parts), manifest(parts[0]), key_manager=manager)


def test_a_job_keeps_its_version_through_a_rotation(manager: KeyManager) -> None:
    first = made(table(1), manager, master_key_version=1)
    manager.rotate_key("master_key")
    manager.invalidate("master_key")
    second = made(table(2), manager, master_key_version=1)
    merged = merge_manifests([manifest(first), manifest(second)], key_manager=manager)
    assert merged["key"]["version"] == 1
    both = pd.concat([first, second])
    reidentify(both, merged, key_manager=manager)
    manager.rotate_key("master_key")
    halves = [
        rekey(half, manifest=merged, to_version=2, key_manager=manager) for half in (first, second)
    ]
    moved = merge_manifests(map(manifest, halves), key_manager=manager)
    assert moved["key"]["version"] == 2
    back = reidentify(pd.concat(halves), moved, key_manager=manager)
    pd.testing.assert_frame_equal(back, pd.concat([table(1), table(2)]))


def test_a_version_that_there_is_not(manager: KeyManager) -> None:
    for call in (
        lambda: made(table(), manager, master_key_version=2),
        lambda: rekey(made(table(), manager), to_version=2, key_manager=manager),
    ):
        with pytest.raises(LookupError, match="2"):
            call()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"master_key_version": 2}, "version 1.*version 2.*rekey"),
        ({"master_key_name": "other_key"}, "'master_key'.*'other_key'"),
        ({"sensitive_columns": ["ssn"]}, "differ in the columns 'id'"),
        ({"domains": {"ssn": "other"}}, "column 'ssn' was not pseudonymized alike"),
        ({"small_domain": "null"}, "column 'ssn' was not pseudonymized alike"),
        ({"strategy": {"id": "token"}}, "column 'id' was not pseudonymized alike"),
        ({"key_versions": True}, "column 'ssn' was not pseudonymized alike"),
    ],
)
def test_parts_that_were_made_in_different_ways_are_not_merged(
    manager: KeyManager, arguments: dict[str, Any], match: str
) -> None:
    first = made(table(), manager)
    manager.rotate_key("master_key")
    second = made(table(), manager, **{"master_key_version": 1, **arguments})
    with pytest.raises(ManifestError, match=match):
        merge_manifests([manifest(first), manifest(second)], key_manager=manager)


def test_parts_of_different_dtypes_are_not_merged(manager: KeyManager) -> None:
    parts = [made(table(), manager), made(table().astype({"id": "int64"}), manager)]
    with pytest.raises(ManifestError, match="'id' has dtype Int64 in one part and int64"):
        merge_manifests(map(manifest, parts), key_manager=manager)


def test_a_merge_needs_at_least_one_sound_manifest(manager: KeyManager) -> None:
    with pytest.raises(ManifestError, match="no manifests"):
        merge_manifests([], key_manager=manager)
    with pytest.raises(ManifestError, match="can't be used"):
        merge_manifests(["nonsense"], key_manager=manager)


@pytest.mark.parametrize("place", [0, 1])
def test_a_changed_part_is_not_merged(manager: KeyManager, place: int) -> None:
    parts = [json.loads(json.dumps(manifest(made(table(seed), manager)))) for seed in (1, 2)]
    parts[place]["columns"]["ssn"]["rows"] += 1
    with pytest.raises(ManifestChangedError):
        merge_manifests(parts, key_manager=manager)


def test_parts_are_not_merged_with_another_key_of_the_same_name(manager: KeyManager) -> None:
    parts = [manifest(made(table(), manager))]
    stranger = KeyManager(environment="development", store=MemoryStore())
    stranger.generate_key("master_key")
    with pytest.raises(WrongKeyError):
        merge_manifests(parts, key_manager=stranger)


def test_a_part_twice_counts_twice(manager: KeyManager, opened: Any) -> None:
    part = manifest(made(table(), manager))
    merged = merge_manifests([part, part], key_manager=manager)
    assert merged["columns"]["ssn"]["rows"] == 2 * part["columns"]["ssn"]["rows"]
    once, twice = (opened(one, manager)["columns"]["ssn"]["sketches"] for one in (part, merged))
    assert once == twice


def test_one_number_that_names_two_keys_is_refused(manager: KeyManager) -> None:
    """A restored store gives the number of a lost version to another key."""
    restored = KeyManager(environment="development", store=MemoryStore())
    restored.generate_key("master_key")
    parts = [manifest(made(table(), each, key_versions=True)) for each in (manager, restored)]
    with pytest.raises(ManifestError, match=r"two keys by one number.*version 1.*Rekey one part"):
        merge_manifests(parts, key_manager=manager)

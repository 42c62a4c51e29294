"""Tables that were pseudonymized by earlier versions come back, and are made again alike."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from secureml import anonymize, merge_manifests, reidentify, rekey
from secureml.errors import ManifestError, UncheckedVersionWarning, WrongTableError
from secureml.key_management import KeyManager
from secureml.stores import MemoryStore

DEFAULT = pd.Series(["text"]).dtype  # str, if pandas has it
FILES = sorted((Path(__file__).parent / "golden").glob("manifest_*.json"))


def manager_of(golden: dict[str, Any]) -> KeyManager:
    """A manager with every version of the key."""
    store = MemoryStore()
    for key in golden["keys"]:
        store.write("master_key", {"value": key, "encoding": "hex"}, cas=None)
    return KeyManager(environment=golden["environment"], store=store)


def table(part: dict[str, Any], dtypes: dict[str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(part["data"], columns=part["columns"], dtype=object)
    return frame.astype({name: DEFAULT if d == "str" else d for name, d in dtypes.items()})


def as_schema_2(made: dict[str, Any]) -> dict[str, Any]:
    """What a manifest that was opened says, in the layout of schema 2."""
    for column in made["columns"].values():
        column["sample"] = [place for one in column.pop("sketches") for place in one["values"]]
        for field in ("domain_prefix", "tables", "arrow", "tweak_arrow"):
            del column[field]
    (version,) = made.pop("versions")
    return {**made, "schema": 2, "key": {**made["key"], **version}}


def read(path: Path) -> dict[str, Any]:
    golden: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return golden


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def golden(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(request.param)


def test_there_are_golden_files_of_every_schema() -> None:
    assert {read(path)["manifest"]["schema"] for path in FILES} == {1, 2, 3}


def test_the_table_comes_back(golden: dict[str, Any]) -> None:
    before = table(golden["before"], golden["before_dtypes"])
    after = table(golden["after"], golden["dtypes"])
    unchecked = golden["manifest"]["schema"] < 3 and len(golden.get("parts", [])) > 1
    with pytest.warns(UncheckedVersionWarning) if unchecked else contextlib.nullcontext():
        back = reidentify(after, golden["manifest"], key_manager=manager_of(golden))
    for name, entry in golden["manifest"]["columns"].items():
        if entry.get("normalize") and entry["dtype"] != "Int64":
            before[name] = before[name].str.normalize(entry["normalize"])
    pd.testing.assert_frame_equal(back, before)


def test_the_table_is_made_again_alike(golden: dict[str, Any], opened: Any) -> None:
    before = table(golden["before"], golden["before_dtypes"])
    after = table(golden["after"], golden["dtypes"])
    manager = manager_of(golden)
    start, parts = 0, []
    for version, rows in golden["parts"]:
        part = before.iloc[start : start + rows]
        start += rows
        parts.append(
            anonymize(part, master_key_version=version, key_manager=manager, **golden["arguments"])
        )
    pd.testing.assert_frame_equal(pd.concat(parts), after)
    documents = [part.attrs["secureml"] for part in parts]
    if golden["manifest"]["schema"] == 2:
        del golden["manifest"]["mac"]
        assert as_schema_2(opened(documents[-1], manager)) == golden["manifest"]
    if golden["manifest"]["schema"] == 3:
        merged = merge_manifests(documents, key_manager=manager)
        assert opened(merged, manager) == opened(golden["manifest"], manager)


def of_schema_2(name: str) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, KeyManager]:
    golden = read(Path(__file__).parent / "golden" / f"manifest_2_{name}.json")
    after = table(golden["after"], golden["dtypes"])
    after.attrs["secureml"] = golden["manifest"]
    return golden, table(golden["before"], golden["before_dtypes"]), after, manager_of(golden)


def test_a_table_of_schema_2_takes_further_columns_and_parts() -> None:
    golden, before, after, manager = of_schema_2("permute")
    for frame in (before, after):
        frame["new"] = frame["when"].fillna("") + " and some more text"
    arguments = {"master_key_version": 2, "key_manager": manager}
    more = anonymize(after, sensitive_columns=["new"], **arguments)
    assert more.attrs["secureml"]["schema"] == 3
    pd.testing.assert_frame_equal(reidentify(more, key_manager=manager), before)
    part = anonymize(before.drop(columns="new"), **golden["arguments"], **arguments)
    documents = [golden["manifest"], part.attrs["secureml"]]
    merged = merge_manifests(documents, key_manager=manager)
    both = pd.concat([after, part]).drop(columns="new")
    back = reidentify(both, merged, key_manager=manager)
    pd.testing.assert_frame_equal(back, pd.concat([before, before]).drop(columns="new"))
    foreign = part.assign(ssn=part["ssn"].str.replace("1", "2"))
    with pytest.raises(WrongTableError, match="column 'ssn'"):
        reidentify(foreign, merged, key_manager=manager)


def test_a_table_of_schema_2_with_rows_of_several_versions_is_rekeyed_first() -> None:
    _, before, after, manager = of_schema_2("versions")
    arguments = {"sensitive_columns": ["name"], "small_domain": "token", "key_manager": manager}
    with pytest.raises(ManifestError, match="rekey the table first"):
        anonymize(after, **arguments)
    with pytest.warns(UncheckedVersionWarning):
        moved = rekey(after, to_version=3, key_manager=manager)
    more = anonymize(moved, **arguments)
    assert [one["version"] for one in more.attrs["secureml"]["versions"]] == [3]
    pd.testing.assert_frame_equal(reidentify(more, key_manager=manager), before)

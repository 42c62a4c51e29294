"""Tables that were pseudonymized by earlier versions come back, and are made again alike."""

from __future__ import annotations

import contextlib
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from secureml import anonymize, reidentify
from secureml.anonymization.keyrings import keyring_of
from secureml.errors import UncheckedVersionWarning
from secureml.key_management import KeyManager
from secureml.pseudonymization.manifest import Sketch
from secureml.sources import MemoryStore

DEFAULT = pd.Series(["text"]).dtype  # str, where pandas has it
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


def as_schema_2(made: dict[str, Any], manager: KeyManager) -> dict[str, Any]:
    """What a manifest says, in the layout of schema 2."""
    (version,) = made["versions"]
    columns = deepcopy(made["columns"])
    for name, column in columns.items():
        sketches = column.pop("sketches")
        keyring = keyring_of(manager, made["key"]["name"], version["version"])
        opened = [keyring.opened(name, Sketch(one["values"])) for one in sketches]
        column["sample"] = [place for one in opened for place in one.values or ()]
        for field in ("domain_prefix", "tables", "arrow", "tweak_arrow"):
            del column[field]
    return {"schema": 2, "key": {**made["key"], **version}, "columns": columns, "mac": made["mac"]}


def read(path: Path) -> dict[str, Any]:
    golden: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return golden


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def golden(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(request.param)


def test_there_are_files_of_every_schema() -> None:
    assert {read(path)["manifest"]["schema"] for path in FILES} == {1, 2}


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


def test_the_table_is_made_again_alike(golden: dict[str, Any]) -> None:
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
    made = parts[-1].attrs["secureml"]
    if golden["manifest"]["schema"] == 2:
        assert as_schema_2(made, manager) == {**golden["manifest"], "mac": made["mac"]}

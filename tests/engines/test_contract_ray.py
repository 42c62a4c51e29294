"""Datasets of Ray keep what every kind of table has to keep, by two workers that share the keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from helpers.frames import GOLDEN, KEYS, SHAPES, FrameContract
from secureml.key_management import KeyManager

started = pytest.importorskip(
    "helpers.ray_cluster", reason="Ray is not installed: the extra ray brings it"
).started

import ray  # noqa: E402


def share_keys() -> None:
    """Give a worker all the keys of the tests, one as a version of the other."""
    from secureml.key_management import configure_default_key_manager
    from secureml.stores import MemoryStore

    # Rows of an early manifest are of a version by its number.
    golden = max(map(_keys_of, GOLDEN), key=len)
    store = MemoryStore()
    for key in (*golden, *KEYS):
        store.write("master_key", {"value": key, "encoding": "hex"}, cas=None)
    configure_default_key_manager(store=store, environment="development")


def _keys_of(path: Path) -> list[str]:
    keys: list[str] = json.loads(path.read_text("utf-8"))["keys"]
    return keys


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    with started(worker_process_setup_hook=share_keys):
        yield


class TestRayDataset(FrameContract):
    """Blocks of a third of the rows, at most."""

    streams = True
    pickles = False
    nameless = False
    twice = False
    result_type = ray.data.Dataset

    def has(self, arrow_type: pa.DataType, nulls: bool) -> bool:
        """Tell whether Ray hands values of a type on."""
        return arrow_type != pa.string_view()

    def make(self, table: pa.Table) -> ray.data.Dataset:
        size = max(len(table) // 2, 1)
        return ray.data.from_arrow([table.slice(0, size), table.slice(size)])

    def read(self, frame: ray.data.Dataset) -> pa.Table:
        tables = [*frame.iter_batches(batch_size=None, batch_format="pyarrow")]
        return pa.concat_tables(tables or [frame.schema().base_schema.empty_table()])

    # Ray tells no schema of a table without rows.
    @pytest.mark.parametrize("shape", [name for name, table in SHAPES.items() if len(table)])
    def test_tables_of_any_shape(self, shape: str, manager: KeyManager) -> None:
        super().test_tables_of_any_shape(shape, manager)

    def types(self, frame: ray.data.Dataset) -> list[Any]:
        return list(frame.schema().base_schema.types)

    def attached(self, frame: ray.data.Dataset) -> Any:
        document = (frame.schema().base_schema.metadata or {}).get(b"secureml")
        return document and json.loads(document)

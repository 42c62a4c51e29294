"""A manager with two keys, and small tables that are read in many chunks."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from secureml.key_management import KeyManager
from secureml.stores import MemoryStore

ROWS = 300


@pytest.fixture
def manager() -> Iterator[KeyManager]:
    manager = KeyManager(environment="development", store=MemoryStore())
    manager.generate_key("master_key")
    manager.generate_key("other_key")
    yield manager
    manager.close()


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read files a few rows at a time."""
    sizes = {"csv.table": 1024, "csv.writer": 1024, "feather": 4096, "json_lines": 1024}
    for kind, size in {**sizes, "parquet": 16_384}.items():
        monkeypatch.setattr(f"secureml.files.{kind}.CHUNK_BYTES", size)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A CSV file with what CSV makes difficult, and nothing quoted that need not be."""
    path = tmp_path / "people.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "ssn", "na,me", "note"])
        for number in range(ROWS):
            ssn = "" if number % 50 == 7 else f"{100 + number}-{number % 90 + 10}-{1000 + number}"
            note = ("plain", 'with "marks"', "a,b", "two\nlines", "", "Zoë")[number % 6]
            writer.writerow([number, ssn, f"Łukasz Nr {number:07}", note])
    path.chmod(0o640)
    return path


@pytest.fixture
def sheet(tmp_path: Path) -> Callable[..., Path]:
    """Write a Parquet file."""

    def write(columns: dict[str, object] | pa.Table, name: str = "sheet.parquet") -> Path:
        path = tmp_path / name
        table = columns if isinstance(columns, pa.Table) else pa.table(columns)
        parquet.write_table(table, path)
        return path

    return write

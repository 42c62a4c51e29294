"""Work that goes on in the middle of a chunk, as the chunks of another version may be others."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from secureml.files.compression import writer_of
from secureml.files.kinds import open_table

ROWS = 2000
SSNS = [None if n % 50 == 7 else f"{100 + n}-{n % 90 + 10}-{1000 + n}" for n in range(ROWS)]
TABLE = pa.table(
    {"id": [str(n) for n in range(ROWS)], "ssn": SSNS, "note": [f"{n:030}" for n in range(ROWS)]}
)


def written(path: Path) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(TABLE, path, row_group_size=700)
    elif path.suffix == ".arrow":
        feather.write_feather(TABLE, path, chunksize=700, compression="uncompressed")
    elif path.suffix == ".jsonl":
        TABLE.to_pandas().to_json(path, orient="records", lines=True)
    else:
        TABLE.to_pandas().to_csv(path, index=False)
    return path


@pytest.fixture(autouse=True)
def several_chunks(small_chunks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secureml.files.parquet.COLUMN_BYTES", 1024)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "arrow"])
@pytest.mark.parametrize("skip", [0, 1, 17, 699, 700, 701, ROWS - 1, ROWS, ROWS + 1])
def test_the_rows_from_one_on_are_those_of_the_whole_table(
    tmp_path: Path, suffix: str, skip: int
) -> None:
    table = open_table(written(tmp_path / f"table.{suffix}"))
    whole = [*table.chunks(["id", "ssn"])]
    assert len(whole) > 1
    rest = [*table.chunks(["id", "ssn"], skip=skip)]
    assert sum(map(len, rest)) == max(ROWS - skip, 0)
    expected = pa.concat_tables([each.table for each in whole]).slice(skip).to_pylist()
    assert [row for each in rest for row in each.table.to_pylist()] == expected


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "arrow"])
def test_what_is_beside_the_columns_that_are_read_stays_with_its_row(
    tmp_path: Path, suffix: str
) -> None:
    source, target = written(tmp_path / f"table.{suffix}"), tmp_path / f"rest.{suffix}"
    table = open_table(source)
    with target.open("wb") as file:
        writer = writer_of(table, target, file, table.schema)
        for chunk in table.chunks(["ssn"], skip=123):
            writer.write(chunk, chunk.table)
        writer.close("{}")
    again = pa.concat_tables([each.table for each in open_table(target).chunks()])
    whole = pa.concat_tables([each.table for each in table.chunks()])
    assert again.to_pylist() == whole.slice(123).to_pylist()

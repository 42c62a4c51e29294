"""How far the work on a file is."""

from __future__ import annotations

import pytest

from secureml.files import Done, anonymize_file, reidentify_file, rekey_file


@pytest.mark.usefixtures("small_chunks")
def test_rows_bytes_and_fraction_grow_to_those_of_the_file(people, tmp_path, manager):
    hidden = tmp_path / "hidden.csv"
    seen: dict[str, list[Done]] = {"anonymize": [], "rekey": [], "reidentify": []}
    anonymize_file(
        people, hidden, ["ssn"], key_manager=manager, on_progress=seen["anonymize"].append
    )
    sizes = {"anonymize": people.stat().st_size, "rekey": hidden.stat().st_size}
    rekey_file(hidden, to_key="other_key", key_manager=manager, on_progress=seen["rekey"].append)
    sizes["reidentify"] = hidden.stat().st_size
    reidentify_file(
        hidden, tmp_path / "b.csv", key_manager=manager, on_progress=seen["reidentify"].append
    )
    for work, told in seen.items():
        assert len(told) > 5, work
        for figure in ("rows", "bytes"):
            figures = [getattr(done, figure) for done in told]
            assert figures == sorted(figures)
        assert (told[-1], told[-1].rows, told[-1].bytes) == (1, 300, sizes[work])
        assert all(done.bytes == int(done * sizes[work]) for done in told)


def test_a_parquet_file_tells_its_rows(sheet, tmp_path, manager):
    path = sheet({"ssn": ["219-09-9999"] * 7})
    told: list[Done] = []
    anonymize_file(
        path, tmp_path / "h.parquet", ["ssn"], key_manager=manager, on_progress=told.append
    )
    assert (told[-1], told[-1].rows, told[-1].bytes) == (1, 7, path.stat().st_size)

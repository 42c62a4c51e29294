"""Rules proposed for the columns of a file, and added to the settings."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from secureml.settings import Layers, load_settings

TABLE = pd.DataFrame(
    {
        "Work E-Mail": [f"user{number}@example.com" for number in range(50)],
        "ssn": [f"{number:03d}-12-3456" for number in range(101, 151)],
        "amount": range(50),
    }
)


@pytest.fixture(params=["csv", "tsv", "parquet"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"people.{request.param}"
    if request.param == "parquet":
        TABLE.to_parquet(path)
    else:
        TABLE.to_csv(path, index=False, sep="\t" if request.param == "tsv" else ",")
    return path


def options(file: Path) -> tuple[str, ...]:
    return ("--delimiter", "\\t") if file.suffix == ".tsv" else ()


def test_scan_prints_proposals_with_their_evidence(run, file) -> None:
    ran = run("scan", file, *options(file))
    assert ran.code == 0
    assert "Work E-Mail: e-mail address" in ran.out
    assert "the name 'Work E-Mail' and 100.0% of 50 values: an e-mail address" in ran.out
    assert "strategy = 'fpe', format = 'ssn'" in ran.out
    assert "amount" not in ran.out
    assert "user1@" not in ran.out


def test_scan_prints_json(run, file) -> None:
    ran = run("scan", file, "--json", *options(file))
    first, second = json.loads(ran.out)
    assert (first["column"], second["column"]) == ("Work E-Mail", "ssn")
    assert second["rule"] == {"strategy": "fpe", "format": "ssn", "on_invalid": "token"}
    assert first["share"] == 1.0
    assert first["ruled"] is False


def test_scan_write_adds_rules_and_keeps_the_others(run, tmp_path, file) -> None:
    before = (
        "\ufeff# ours\n[default]\nmaster_key_name = 'k'  # the key\n\n[staging]\n# last, no newline"
    )
    Path("settings.toml").write_text(before, encoding="utf-8")
    ran = run("scan", file, "--write", *options(file))
    assert ran.code == 0
    assert "settings.toml has new rules for: Work E-Mail, ssn" in ran.err
    after = Path("settings.toml").read_text(encoding="utf-8")
    assert after.startswith(before)
    columns = load_settings(Layers()).columns
    assert columns["ssn"].format == "ssn"
    assert columns["Work E-Mail"].domain == "email"
    again = run("scan", file, "--write", *options(file))
    assert "there is no rule to add" in again.err
    assert "(the settings have a rule for it)" in again.out
    assert Path("settings.toml").read_text(encoding="utf-8") == after


def test_scan_write_makes_a_settings_file_if_there_is_none(run, file) -> None:
    assert run("scan", file, "--write", *options(file)).code == 0
    assert set(tomllib.loads(Path("settings.toml").read_text())["default"]["columns"]) == {
        "Work E-Mail",
        "ssn",
    }


def test_columns_whose_names_differ_only_in_case_get_one_rule(run, tmp_path) -> None:
    TABLE[["ssn"]].assign(SSN=TABLE["ssn"]).to_csv(tmp_path / "twice.csv", index=False)
    assert run("scan", tmp_path / "twice.csv", "--write").code == 0
    assert list(load_settings(Layers()).columns) == ["ssn"]


def test_scan_write_adds_no_rule_for_a_column_that_a_pattern_covers(run, file) -> None:
    Path("settings.toml").write_text("[default.columns.'*mail*']\nstrategy = 'keep'\n")
    assert run("scan", file, "--write", *options(file)).code == 0
    columns = tomllib.loads(Path("settings.toml").read_text())["default"]["columns"]
    assert set(columns) == {"*mail*", "ssn"}


def test_a_file_that_can_not_be_extended_is_left_alone(run, file) -> None:
    settings = "[default]\ncolumns = { x = { strategy = 'keep' } }\n"
    Path("settings.toml").write_text(settings)
    ran = run("scan", file, "--write", *options(file))
    assert ran.code == 2
    assert "can't be changed safely" in ran.err
    assert Path("settings.toml").read_text() == settings


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.csv", None, "missing.csv"),
        ("empty.csv", "", "empty.csv"),
        ("broken.parquet", "PAR1 and no more", "broken.parquet"),
    ],
)
def test_scan_refuses_a_file_that_is_no_table(run, tmp_path, name, content, message) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    ran = run("scan", tmp_path / name)
    assert ran.code in (1, 2, 3)
    assert message in ran.err
    assert "Traceback" not in ran.err


def test_a_table_without_personal_data_says_so(run, tmp_path) -> None:
    TABLE[["amount"]].to_csv(tmp_path / "amounts.csv", index=False)
    assert "No column seems to hold personal data" in run("scan", tmp_path / "amounts.csv").out


def test_scan_names_values_inside_of_structs_lists_and_maps_by_path(run, tmp_path) -> None:
    rows = [
        {
            "id": number,
            "patient": {"name": "Ann", "ssn": f"{number}-12-3456"},
            "items": [{"email": f"u{number}@example.org"}, {"email": f"v{number}@example.org"}],
            "phones": [("home", f"u{number}@example.com")] if number % 2 else [],
        }
        for number in range(101, 151)
    ]
    item = pa.struct({"email": pa.string()})
    schema = pa.schema(
        {
            "id": pa.int64(),
            "patient": pa.struct({"name": pa.string(), "ssn": pa.string()}),
            "items": pa.list_(item),
            "phones": pa.map_(pa.string(), pa.string()),
        }
    )
    path = tmp_path / "nested.parquet"
    parquet.write_table(pa.Table.from_pylist(rows, schema), path)
    found = {one["column"]: one for one in json.loads(run("scan", path, "--json").out)}
    assert set(found) == {"patient.name", "patient.ssn", "items[].email", "phones{}"}
    assert "of 100 values" in found["items[].email"]["evidence"]
    assert "of 25 values" in found["phones{}"]["evidence"]
    assert run("scan", path, "--write").code == 0
    columns = tomllib.loads(Path("settings.toml").read_text())["default"]["columns"]
    assert set(columns) == set(found)


@pytest.mark.parametrize("suffix", ["csv.gz", "feather", "jsonl"])
def test_scan_takes_all_kinds_of_files(run, tmp_path, suffix) -> None:
    path = tmp_path / f"people.{suffix}"
    if suffix == "csv.gz":
        TABLE.to_csv(path, index=False)
    elif suffix == "feather":
        TABLE.to_feather(path)
    else:
        TABLE.to_json(path, orient="records", lines=True)
    found = json.loads(run("scan", path, "--json").out)
    assert [one["column"] for one in found] == ["Work E-Mail", "ssn"]

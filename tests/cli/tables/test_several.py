"""Several files in one command: folders, globs and lists, into a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.commands import Ran
from helpers.tables import TABLE


@pytest.fixture
def many(plain: Path) -> Path:
    """A folder with two tables in it, at different depths, and a text."""
    folder = plain.with_name("in")
    (folder / "2026").mkdir(parents=True)
    plain.rename(folder / "2026" / "march.csv")
    (folder / "all.csv").write_text(TABLE)
    (folder / "about.md").write_text("two tables")
    return folder


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["in"], ["2026/march.csv", "all.csv"]),
        (["in/**/*.csv"], ["2026/march.csv", "all.csv"]),
        (["in/all.csv", "in/2026/march.csv"], ["2026/march.csv", "all.csv"]),
        (["in/a*.csv"], ["all.csv"]),
        (["in/all.csv"], ["all.csv"]),
    ],
)
def test_folders_globs_and_lists_are_pseudonymized_and_recovered(run, many, files, names):
    ran = run("anonymize", *files, "-o", "out/", "--columns", "ssn,name")
    assert ran.code == 0
    listed = [line.split()[:2] for line in ran.out.splitlines()]
    assert listed[1 : 2 + len(names)] == [
        *([f"out/{name}", "100"] for name in names),
        [str(len(names)), "files" if len(names) > 1 else "file"],
    ]
    for name in names:
        assert "100-12-3456" not in (many.with_name("out") / name).read_text()
    assert run("reidentify", "out", "-o", "back").code == 0
    for name in names:
        assert (many.with_name("back") / name).read_text() == TABLE


def test_the_summary_adds_up_the_tokens_of_a_column(run, many):
    for path in many.rglob("*.csv"):
        path.write_text("name\nAnn Nr 0000001\nBo\n")
    line = "--columns name --small-domain token"
    columns = run("anonymize", many, "-o", "out", *line.split()).out.split("\n\n")[1]
    assert columns.startswith("column  replaced by  key         version  tokens  nulled\n")
    assert columns.splitlines()[1].split() == ["name", "class/1", "master_key", "1", "2", "0"]


def test_json_has_all_files_in_one_object(run, many):
    ran = run("anonymize", many, "-o", "out", "--columns", "ssn", "--json")
    told = json.loads(ran.out)
    assert told["output"] == str(many.with_name("out"))
    assert (told["rows"], told["done_before"], told["left_out"]) == (200, 0, ["about.md"])
    assert [Path(file["path"]).name for file in told["files"]] == ["march.csv", "all.csv"]
    assert [file["columns"][0]["column"] for file in told["files"]] == ["ssn", "ssn"]
    assert told["seconds"] > 0
    assert ran.err == ""


def test_what_is_no_table_is_told(run, many):
    ran = run("anonymize", many, "-o", "out", "--columns", "ssn")
    assert ran.err == "note: left out: about.md\n"
    assert run("reidentify", "out", "-o", "back", "--quiet") == Ran(0, "", "")


def test_files_that_are_complete_are_done_again_by_force_alone(run, many):
    line = ("anonymize", many, "-o", "out", "--columns", "ssn", "--quiet")
    assert run(*line).code == 0
    again = run(*line)
    assert again.code == 1
    assert "--resume goes on" in again.err
    assert "=True" not in again.err
    assert run(*line, "--resume").code == 0
    assert run(*line, "--force").code == 0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("anonymize in/all.csv -o out.csv --columns ssn --resume", "--resume is for several files"),
        ("reidentify in/all.csv -o out.csv --resume", "--resume is for several files"),
        ("reidentify in -o out --manifest m.json", "--manifest is of one file"),
        ("anonymize in --columns ssn --preview", "--preview is of one file"),
        ("anonymize in/all.csv in/2026/march.csv --preview", "--preview is of one file"),
        ("anonymize -o out", "Missing argument 'FILE...'"),
    ],
)
@pytest.mark.usefixtures("many")
def test_options_that_do_not_fit_the_number_of_files_are_wrong_usage(run, line, told):
    ran = run(*line.split())
    assert ran.code == 2
    assert told in ran.err

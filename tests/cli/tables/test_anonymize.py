"""Tables in files, pseudonymized."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from helpers.tables import TABLE
from secureml.files import manifest_of
from secureml.key_management import KeyManager


def test_anonymize_as_json_prints_path_rows_key_and_manifest(run, plain):
    ran = run("anonymize", plain, "--output", "hidden.csv", "--columns", "ssn", "--json")
    place = plain.with_name("hidden.csv")
    told = json.loads(ran.out)
    assert told.pop("seconds") > 0
    assert told.pop("megabytes_per_second") > 0
    assert told == {
        "path": str(place),
        "rows": 100,
        "key": "master_key",
        "version": 1,
        "columns": [
            {
                "column": "ssn",
                "strategy": "fpe",
                "format": "class/1",
                "key": "master_key",
                "versions": [1],
                "tokens": 0,
                "nulled": 0,
            }
        ],
        "manifest": f"{place}.manifest.json",
    }
    assert ran.err == ""


def test_the_options_of_anonymize_reach_the_columns(run, plain):
    line = "--columns ssn,name --strategy fpe --strategy name=token --domain ssn=person"
    line += " --tweak ssn=n --small-domain token --on-invalid token --format ssn=class"
    ran = run("anonymize", plain, "--output", "hidden.csv", *line.split(), "--key-versions")
    assert ran.code == 0
    columns = manifest_of("hidden.csv")["columns"]
    assert (columns["ssn"]["strategy"], columns["name"]["strategy"]) == ("fpe", "token")
    assert (columns["ssn"]["domain"], columns["name"]["domain"]) == ("person", "name")
    assert (columns["ssn"]["tweak"], columns["ssn"]["format"]) == ("n", "class/1")
    assert (columns["ssn"]["small_domain"], columns["ssn"]["on_invalid"]) == ("token", "token")
    header = plain.with_name("hidden.csv").read_text().partition("\n")[0]
    assert header == "ssn,name,n,ssn__key_version,name__key_version"
    assert run("reidentify", "hidden.csv", "--output", "again.csv").code == 0
    assert plain.with_name("again.csv").read_text() == TABLE


@pytest.mark.parametrize(
    ("given", "columns"),
    [
        (["ssn, name"], ["ssn", "name"]),
        (["ssn", "name"], ["ssn", "name"]),
        (['ssn,"last, first"'], ["ssn", "last, first"]),
        (['"a ""b"", c"', "name"], ['a "b", c', "name"]),
        (['5" pipe,"name"'], ['5" pipe', "name"]),
    ],
)
def test_names_are_split_at_commas_outside_of_quotation_marks(run, plain, given, columns):
    with plain.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *(["123456789"] * len(columns) for _ in range(5))])
    options = [part for one in given for part in ("--columns", one)]
    assert run("anonymize", plain, "-o", "hidden.csv", *options).code == 0
    assert list(manifest_of("hidden.csv")["columns"]) == columns


@pytest.fixture
def cards(plain: Path) -> Path:
    """A table with cards, dates, numbers, and a name with a point in it."""
    plain.write_text(
        "card,born,n,full.name\n"
        "4111111100111114,1990-01-01,7,Ann 1\n"
        "4111111100111122,1990-01-17,17,Ann 2\n"
        "4111111100111130,1990-01-30,170,Ann 3\n"
    )
    return plain


def test_anonymize_takes_options_of_formats_and_strategies(run, cards):
    line = "--columns card,born,n,full.name --format card=credit_card --format born=date"
    line += " --format n=integer --option card.keep_first=4 --option born.start=1990-01-01"
    line += " --option n.minimum=0 --option n.maximum=1000000 --small-domain permute"
    line += " --strategy full.name=token --option full.name.prefix=12"
    values = [
        "--option",
        "born.written=['%Y-%m-%d', '%d.%m.%Y']",
        "--option",
        'born.end="1999-12-31"',
    ]
    ran = run("anonymize", cards, "--output", "hidden.csv", *line.split(), *values)
    assert (ran.code, ran.err) == (0, "")
    options = {name: one["options"] for name, one in manifest_of("hidden.csv")["columns"].items()}
    assert options["card"] == {"keep_first": 4, "keep_last": 0}
    assert options["born"] == {
        "start": "1990-01-01",
        "end": "1999-12-31",
        "written": ["%Y-%m-%d", "%d.%m.%Y"],
    }
    assert options["n"] == {"minimum": 0, "maximum": 1000000}
    assert options["full.name"]["prefix"] == "12"
    shown = pd.read_csv("hidden.csv", dtype=str)
    assert shown["card"].str.startswith("4111").all()
    assert shown["full.name"].str.startswith("12").all()
    assert run("reidentify", "hidden.csv", "--output", "again.csv").code == 0
    assert cards.with_name("again.csv").read_text() == cards.read_text()


def test_options_reach_a_preview_and_stand_over_the_rules(run, cards):
    cards.with_name("settings.toml").write_text(
        "[default.columns.card]\nstrategy = 'mask'\nkeep_first = 4\nkeep_last = 4\n"
    )
    line = "--preview 1 --option card.keep_last=0 --option card.character=# --json"
    ran = run("anonymize", cards, *line.split())
    (row,) = json.loads(ran.out)["rows"]
    assert row["card, after"] == "4111" + 12 * "#"


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("card.keep_frist=4", "unknown option 'keep_frist'; did you mean 'keep_first'?"),
        ("card.keep_first=four", "keep_first must be a whole number"),
        ("card.keep_first='4'", "keep_first must be a whole number"),
        ("card.keep_first=4.0", "keep_first must be a whole number"),
        ("card.keep_first=true", "keep_first must be a whole number"),
        ("born.start=['1990-01-01']", "start must be text"),
        ("born.written={a = 1}", "written must be text or a list of texts"),
        ("card.format=ssn", "format has an option of its own: --format"),
        ("card.small_domain=token", "small_domain has an option of its own: --small-domain"),
        ("keep_first=4", "'keep_first=4' is not COLUMN.NAME=VALUE"),
        (".keep_first=4", "is not COLUMN.NAME=VALUE"),
        ("card.keep_first", "is not COLUMN.NAME=VALUE"),
    ],
)
def test_anonymize_refuses_a_malformed_option(run, cards, option, told):
    ran = run("anonymize", cards, "--output", "x.csv", "--columns", "card", "--option", option)
    assert ran.code == 2
    (line,) = (line for line in ran.err.splitlines() if line.startswith("Error: "))
    assert line.startswith("Error: Invalid value for --option: ")
    assert line.endswith(told)
    assert not cards.with_name("x.csv").exists()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--option crad.keep_first=4", "--option: names 'crad', .*; did you mean 'card'"),
        ("--option card.keep_first=4 --format card=digits", "has no option 'keep_first'"),
        ("--option card.keep_first=13 --format card=credit_card", "keep_first"),
    ],
)
def test_anonymize_refuses_an_option_that_does_not_fit_the_column(run, cards, line, told):
    ran = run("anonymize", cards, "--output", "x.csv", "--columns", "card", *line.split())
    assert ran.code == 2
    assert re.search(told, ran.err)


def test_anonymize_takes_another_delimiter_and_another_key(run, plain):
    with KeyManager() as manager:
        manager.generate_key("archive_key")
    plain.write_text(TABLE.replace(",", "\t"))
    line = "--columns ssn --key-name archive_key --delimiter \\t"
    assert run("anonymize", plain, "--output", "hidden.csv", *line.split()).code == 0
    assert manifest_of("hidden.csv")["key"]["name"] == "archive_key"


def test_rejected_rows_go_to_a_file_of_their_own_and_are_counted(run, plain):
    plain.write_text(TABLE + "no ssn,Bo Nr 0000001,1\n")
    line = ("anonymize", plain, "-o", "h.csv", "--columns", "ssn", "--format", "ssn=ssn", "--force")
    assert run(*line).code == 1
    ran = run(*line, "--rejects", "wrong.csv")
    assert (ran.code, ran.err) == (0, "note: rejected rows: 1, in clear in wrong.csv\n")
    assert plain.with_name("wrong.csv").read_text() == "ssn,name,n\nno ssn,Bo Nr 0000001,1\n"
    assert "no ssn" not in plain.with_name("h.csv").read_text()
    told = json.loads(run(*line, "--rejects", "wrong.csv", "--json").out)
    assert (told["rows"], told["rejected"]) == (100, 1)
    assert told["rejects"] == str(plain.with_name("wrong.csv"))


def test_two_workers_write_the_same_file(installed, plain, hidden):
    line = "--columns ssn,name --workers 2"
    assert installed("anonymize", plain, "-o", "again.csv", *line.split()).code == 0
    assert plain.with_name("again.csv").read_bytes() == hidden.read_bytes()
    assert installed("reidentify", "again.csv", "-o", "back.csv", "--workers", "2").code == 0
    assert plain.with_name("back.csv").read_text() == TABLE


@pytest.mark.parametrize(
    "line",
    [
        "--columns ssn --format ssn",
        "--columns ssn --domain =x",
        "--columns ssn --tweak n=",
        "--columns ssn --strategy fpe --strategy token",
        "--strategy fpe --strategy ssn=token",
    ],
)
def test_wrong_usage_of_anonymize_writes_nothing(run, plain, line):
    assert run("anonymize", plain, "--output", "hidden.csv", *line.split()).code == 2
    assert not plain.with_name("hidden.csv").exists()


def test_a_preview_writes_nothing(run, plain):
    before = sorted(plain.parent.iterdir())
    ran = run("anonymize", plain, "--columns", "ssn,name", "--format", "ssn=ssn", "--preview", "2")
    assert ran.code == 0
    assert "100-12-3456" in ran.out
    assert "ssn, after" in ran.out
    assert "888,931,098" in ran.out
    assert "102-12-3456" not in ran.out
    assert sorted(plain.parent.iterdir()) == before


def test_a_preview_is_printed_as_json(run, plain):
    ran = run("anonymize", plain, "--columns", "n", "--preview", "--json")
    shown = json.loads(ran.out)
    (column,) = shown["columns"]
    assert (column["column"], column["distinct"], column["small"]) == ("n", 100, 100)
    assert len(shown["rows"]) == 5
    assert shown["rows"][0] == {"n, before": "100", "n, after": "<refused>"}


@pytest.mark.parametrize("options", [(), ("--output", "x.csv", "--preview")])
def test_anonymize_takes_either_an_output_or_a_preview(run, plain, options):
    ran = run("anonymize", plain, "--columns", "ssn", *options)
    assert ran.code == 2
    assert "give --output, or --preview" in ran.err

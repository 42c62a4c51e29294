"""``secureml`` on tables of a database."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from helpers.commands import Ran, Run
from helpers.postgres import PASSWORD, USER, Postgres
from secureml.cli import main

KEY = "c4" * 32


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECUREML_ENV", "development")
    monkeypatch.setenv("SECUREML_MASTER_KEY", KEY)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process; no output has the password or the key."""

    def run(line: str, *arguments: str) -> Ran:
        with pytest.raises(SystemExit) as stopped:
            main([*shlex.split(line), *arguments], prog_name="secureml")
        told = capsys.readouterr()
        assert PASSWORD not in told.out + told.err
        assert KEY not in told.out + told.err
        return Ran(int(stopped.value.code or 0), told.out, told.err)

    return run


@pytest.fixture
def people(database: Postgres) -> Postgres:
    """A database with a table of people and one of their visits."""
    database.run(
        "CREATE TABLE people (id bigint PRIMARY KEY, ssn text, email text)",
        "CREATE TABLE visits (person bigint REFERENCES people, place text UNIQUE)",
        "INSERT INTO people SELECT 1000000 + i, '123-10-' || i, 'u' || i || '@example.org'"
        " FROM generate_series(1000, 1099) i",
        "INSERT INTO visits SELECT id, 'place ' || id FROM people",
    )
    return database


def test_the_second_table_is_the_one_that_is_written(
    run: Run, people: Postgres, other: Postgres
) -> None:
    ran = run(
        f"anonymize {people.url} --table people --columns ssn -o {other.url} --table hidden --json"
    )
    told = json.loads(ran.out)
    assert ran.code == 0, ran.err
    assert told.pop("seconds") > 0
    assert told.pop("megabytes_per_second") >= 0
    [file] = told.pop("files")
    assert told == {"output": other.url_with(""), "rows": 100, "done_before": 0, "left_out": []}
    assert (file["path"], file["manifest"]) == ("public.hidden", "its comment")
    assert file["columns"][0]["column"] == "ssn"
    ran = run(f"reidentify {other.url} -o {people.url} --table hidden --table again --quiet")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert people.value("SELECT count(*) FROM (TABLE people EXCEPT TABLE again) q") == 0
    ran = run(f"rekey {other.url} --table hidden --table moved")
    assert ran.code == 0
    assert "public.moved" in ran.out
    assert "its comment" in ran.out
    assert other.value("SELECT count(*) FROM moved") == 100


def test_several_tables_are_pairs(run: Run, people: Postgres) -> None:
    line = f"anonymize {people.url} --table people:a --table visits:public.b --columns id,place"
    ran = run(f"{line} -o {people.url} --strategy place=redact --strategy id=fpe")
    assert ran.code == 0, ran.err
    assert "2 tables" in ran.out
    assert (
        "note: left out: public.b, unique visits_place_key: different values of 'place'" in ran.err
    )
    assert people.value("SELECT count(*) FROM a JOIN b ON a.id = b.person") == 100
    again = run(f"{line} -o {people.url}")
    assert again.code == 1
    assert "has a table 'public.a' already; --force replaces it (" in again.err
    assert run(f"{line} -o {people.url} --force --quiet --small-domain token").code == 0


def test_scan_proposes_rules_and_preview_shows_rows(run: Run, people: Postgres) -> None:
    ran = run(f"scan {people.url} --table people --json")
    assert [one["column"] for one in json.loads(ran.out)] == ["ssn", "email"]
    ran = run(f"anonymize {people.url} --table people --columns people.ssn --preview 2 --json")
    shown = json.loads(ran.out)
    assert [row["ssn, before"] for row in shown["rows"]] == ["123-10-1000", "123-10-1001"]
    assert shown["columns"][0]["rows"] == 100
    assert people.tables() == ["people", "visits"]


def test_the_password_is_a_secret_or_comes_from_the_environment(
    run: Run, people: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = people.url_with(f"{USER}@")
    line = f"scan {url} --table people --json"
    refused = run(line)
    assert refused.code == 1
    assert refused.err.startswith(f"error: {people.url_with('')}: the credentials are not accepted")
    monkeypatch.setenv("SECUREML_DB_PASSWORD", PASSWORD)
    assert run(f"{line} --password-secret db_password").code == 0
    written = run(
        f"anonymize {url} --table people -o {url} --table hidden --columns ssn"
        " --password-secret db_password --password-secret db_password"
    )
    assert written.code == 0, written.err
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert run(line).code == 0
    monkeypatch.delenv("PGPASSWORD")
    file = tmp_path / "pgpass"
    file.write_text(f"*:*:*:{USER}:{PASSWORD}\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    assert run(line).code == 0
    absent = run(f"{line} --password-secret nothing_here")
    assert absent.code == 3


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("", "give --table NAME --table TARGET, or --table NAME:TARGET for each"),
        ("--table a --table b --table c", "give --table NAME --table TARGET"),
        ("--table a:x --table b", "give --table NAME --table TARGET"),
        ("--table a:x --table a:y", "a table is given twice"),
        ("--table :x", "':x' is no NAME or NAME:TARGET"),
        ("--table a:x --delimiter ;", "--delimiter is for files"),
        ("--table a:x --resume", "--resume is for files"),
        ("--table a:x --workers 2", "--workers is for files"),
        ("--table a:x more.csv", "a database stands alone"),
        ("--table people:x --columns ssm", "--columns: names 'ssm', which no table has"),
        ("--table a.b.c:x", "--table: 'a.b.c' is no name of a table"),
        (
            "--table a:b --password-secret a --password-secret b --password-secret c",
            "there are more",
        ),
    ],
)
def test_wrong_flags_are_a_usage_error(
    run: Run, people: Postgres, options: str, problem: str
) -> None:
    ran = run(f"anonymize {people.url} -o {people.url} {options}")
    assert ran.code == 2, ran.err
    assert problem in ran.err


def test_databases_and_files_do_not_mix(run: Run, people: Postgres) -> None:
    ran = run(f"anonymize {people.url} -o hidden.csv --table people --columns ssn")
    assert (ran.code, "go into a database: give its URL" in ran.err) == (2, True)
    ran = run(f"anonymize people.csv -o {people.url} --table people --columns ssn")
    assert (ran.code, "a database stands alone" in ran.err) == (2, True)
    ran = run("anonymize people.csv -o hidden.csv --table people --columns ssn")
    assert (ran.code, "--table and --password-secret are for databases" in ran.err) == (2, True)
    ran = run(f"rekey {people.url} --table people")
    assert (ran.code, "--table TARGET" in ran.err) == (2, True)
    ran = run(f"anonymize {people.url} --table a --table b --preview --columns ssn")
    assert (ran.code, "give one --table" in ran.err) == (2, True)


def test_an_unreachable_database_is_an_error(run: Run) -> None:
    ran = run(f"scan postgresql://{USER}:{PASSWORD}@127.0.0.1:1/records --table people")
    assert ran.code == 1
    assert ran.err.startswith("error: postgresql://127.0.0.1:1/records: nothing listens there")

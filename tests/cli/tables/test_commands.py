"""Tables in files: pseudonymized, recovered, moved and asked about on a real server."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import secureml
from helpers.commands import Run
from helpers.vault import Vault
from secureml.files import manifest_of
from secureml.key_management import KeyManager

TABLE = "ssn,name,n\n" + "".join(f"{n}-12-3456,Ann Nr {n:07},{n}\n" for n in range(100, 200))


@pytest.fixture
def plain(vault: Vault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A table, and the variables that lead to the test's own namespace, which has a key."""
    monkeypatch.setenv("SECUREML_VAULT_URL", vault.url)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", vault.token)
    monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", vault.namespace or "")
    monkeypatch.setenv("SECUREML_ENV", "development")
    with KeyManager() as manager:
        manager.generate_key("master_key")
    path = tmp_path / "plain.csv"
    path.write_text(TABLE)
    return path


@pytest.fixture
def hidden(run: Run, plain: Path) -> Path:
    assert run("anonymize", plain, "--output", "hidden.csv", "--columns", "ssn,name").code == 0
    return plain.with_name("hidden.csv")


def test_anonymize_and_reidentify_recover_a_file(run, plain, hidden):
    ran = run("reidentify", hidden, "--output", "again.csv")
    assert ran.code == 0
    assert ran.out.splitlines() == [f"path:     {plain.with_name('again.csv')}", "rows:     100"]
    assert plain.with_name("again.csv").read_text() == TABLE
    assert run("reidentify", hidden, "--output", "again.csv").code == 1
    assert run("reidentify", hidden, "--output", "again.csv", "--force").code == 0


def test_anonymize_as_json_prints_path_rows_key_and_manifest(run, plain):
    ran = run("anonymize", plain, "--output", "hidden.csv", "--columns", "ssn", "--json")
    place = plain.with_name("hidden.csv")
    assert json.loads(ran.out) == {
        "path": str(place),
        "rows": 100,
        "key": "master_key",
        "version": 1,
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


@pytest.mark.parametrize(
    "line",
    [
        "--columns ssn --format ssn",
        "--columns ssn --domain =x",
        "--columns ssn --tweak n=",
        "--columns ssn --strategy fpe --strategy token",
        "--strategy fpe --strategy ssn=token",
        "--columns ssn more",
    ],
)
def test_wrong_usage_of_anonymize_writes_nothing(run, plain, line):
    assert run("anonymize", plain, "--output", "hidden.csv", *line.split()).code == 2
    assert not plain.with_name("hidden.csv").exists()


def test_failures_of_tables_are_one_line(run, plain, hidden):
    for line in (
        f"anonymize {plain} --output hidden.csv --columns ssn",
        "anonymize no.csv --output other.csv --columns ssn",
        f"reidentify {plain} --output other.csv",
        f"rekey {plain}",
    ):
        ran = run(*line.split())
        assert ran.code == 1, line
        assert ran.err.startswith("error: "), line
        assert ran.err.count("\n") == 1, line
    assert run("rekey", hidden, "--to-key", "no_such_key").code == 3


def test_rekey_replaces_the_file_or_writes_another(run, plain, hidden):
    with KeyManager() as manager:
        manager.rotate_key("master_key")
    assert run("rekey", hidden, "--output", "moved.csv").code == 0
    assert manifest_of(hidden)["key"]["version"] == 1
    ran = run("rekey", hidden, "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["version"] == 2
    assert hidden.read_bytes() == plain.with_name("moved.csv").read_bytes()
    assert run("reidentify", hidden, "--output", "again.csv").code == 0
    assert plain.with_name("again.csv").read_text() == TABLE


def test_reidentify_recovers_added_rows_only_without_the_table_check(run, plain, hidden):
    with hidden.open("a") as file:
        file.write(TABLE.partition("\n")[2])
    assert "changed since" in run("reidentify", hidden, "--output", "again.csv").err
    named = ("--manifest", "hidden.csv.manifest.json")
    ran = run("reidentify", hidden, "--output", "again.csv", *named)
    assert "not of this table" in ran.err
    named = (*named, "--no-table-check")
    assert run("reidentify", hidden, "--output", "again.csv", *named).code == 0
    assert plain.with_name("again.csv").read_text().startswith(TABLE)


def test_the_installed_command_takes_parquet(installed, plain):
    pd.read_csv(plain).to_parquet("plain.parquet")
    line = "anonymize plain.parquet --output hidden.parquet --columns ssn"
    assert installed(*line.split()).code == 0
    assert installed("rekey", "hidden.parquet").code == 0
    assert installed("reidentify", "hidden.parquet", "--output", "again.parquet").code == 0
    assert pd.read_parquet("again.parquet").equals(pd.read_csv(plain))


def test_a_terminal_is_shown_how_far_it_is_however_long_the_path(plain):
    folder = plain.parent / ("long-" * 20)
    folder.mkdir()
    plain = plain.rename(folder / plain.name)
    ours, theirs = pty.openpty()
    program = "import sys; from secureml.cli import main; main(sys.argv[1:], prog_name='secureml')"
    line = ["anonymize", str(plain), "--output", "hidden.csv", "--columns", "ssn"]
    root = str(Path(secureml.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program, *line],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "PYTHONPATH": root},
        timeout=60,
        check=False,
    )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0, shown
    assert "100%" in shown


def test_usage_tells_what_each_file_needs(run, plain, hidden):
    with KeyManager() as manager:
        manager.generate_key("archive_key")
        manager.rotate_key("master_key")
        line = "--columns ssn --key-name archive_key"
        assert run("anonymize", plain, "--output", "old.csv", *line.split()).code == 0
        assert run("anonymize", plain, "--output", "new.csv", "--columns", "ssn").code == 0
        manager.disable_key_version("master_key", 1)
        info = manager.key_history("archive_key")[0]
        manager.destroy_key_version("archive_key", 1, confirm=info.fingerprint)
    ran = run("keys", "usage", hidden, "new.csv", "old.csv.manifest.json", plain, "no.json")
    assert ran.code == 1
    assert ran.out.splitlines() == [
        f"{hidden}  master_key  version 1  disabled  100 rows  ssn, name",
        "new.csv  master_key  version 2  enabled  100 rows  ssn",
        "old.csv.manifest.json  archive_key  version 1  destroyed  100 rows  ssn",
    ]
    lines = ran.err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["warning", "warning", "error"]
    assert f"{plain}: there is no manifest" in lines[0]
    assert "no.json: " in lines[1]


def test_usage_as_json_marks_keys_that_can_not_be_looked_at(run, plain, hidden, monkeypatch):
    found = json.loads(run("keys", "usage", hidden, plain, "--json").out)
    assert found[0] == {
        "file": str(hidden),
        "key": "master_key",
        "version": 1,
        "version_now": 1,
        "environment": "development",
        "state": "enabled",
        "rows": 100,
        "columns": ["ssn", "name"],
    }
    assert found[1]["file"] == str(plain)
    assert "there is no manifest" in found[1]["error"]
    other = run("keys", "usage", hidden, "--env", "staging")
    assert (other.code, other.out.split()[4]) == (0, "unknown")
    assert "--env" in other.err
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", "s.no-such-token")
    denied = run("keys", "usage", hidden)
    assert (denied.code, denied.out.split()[4]) == (0, "unknown")
    assert denied.err.startswith("note: the states of the key 'master_key' can't be told: ")
    assert "s.no-such-token" not in denied.err


def test_usage_goes_by_the_number_of_a_key_if_metadata_alone_may_be_read(
    run, hidden, vault, monkeypatch
):
    metadata = 'path "secret/metadata/*" { capabilities = ["read"] }'
    token = vault.policy_token(metadata, no_default_policy=False)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", token)
    ran = run("keys", "usage", hidden)
    assert (ran.code, ran.out.split()[4]) == (0, "enabled")
    assert ran.err.startswith("note: key 'master_key' version 1")
    assert "is shown by its number alone: Vault denies" in ran.err


def test_usage_goes_by_the_check_of_a_key_and_not_by_its_number(run, plain, hidden):
    with KeyManager() as manager:
        manager.rotate_key("master_key")
        path = "secureml/development/master_key"
        assert run("anonymize", plain, "--output", "new.csv", "--columns", "ssn").code == 0
        kv = manager.vault_client.secrets.kv.v2
        first = kv.read_secret_version(path, version=1, raise_on_deleted_version=True)
        kv.delete_metadata_and_all_versions(path)
        del first["data"]["data"]["states"]
        for fields in ({"value": "ab" * 32}, first["data"]["data"]):
            kv.create_or_update_secret(path, fields)
    ran = run("keys", "usage", hidden, "new.csv")
    assert ran.out.splitlines() == [
        f"{hidden}  master_key  version 1 (now 2)  enabled  100 rows  ssn, name",
        "new.csv  master_key  version 2  missing  100 rows  ssn",
    ]


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

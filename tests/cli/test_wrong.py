"""Wrong values of every option of every command: told in a line, with the option's own name."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from pathlib import Path

import click
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from helpers.commands import all_commands
from secureml.cli import main

TABLE = "ssn,email\n" + "".join(f"219-09-{i:04},{i:07}@example.org\n" for i in range(1000, 1050))
WRONG = (
    *("", " ", "x", "-1", "1e9", str(1 << 70), "\x1b[2J", "\udcff", "é", "a=b", "a.b=1"),
    *("=", "/", ".", "/dev/null/x", "a/../b", "http://[", "'", '"', "a" * 5000),
)
PYTHON = re.compile(
    r"(?<![-\w])(small_domain|on_invalid|on_ordered|check_table|force|sensitive_columns|normalize"
    r"|key_versions|master_key_version|formats|tweaks|to_version|key_manager)\b(?! \(|\.)"
)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SECUREML_MASTER_KEY", "ab" * 32)
    monkeypatch.setenv("SECUREML_ARCHIVE_KEY", "cd" * 32)
    (tmp_path / "t.csv").write_text(TABLE)
    return tmp_path


def command_at(path: tuple[str, ...]) -> click.Command:
    found: click.Command = main
    for name in path:
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), name) or found
    return found


def sound(path: tuple[str, ...]) -> list[str]:
    """Arguments with which a command gets as far as it can without a server."""
    return {
        "anonymize": ["t.csv", "--columns", "ssn", "--output", "hidden.csv", "--force"],
        "reidentify": ["t.csv", "--output", "plain.csv"],
        "rekey": ["t.csv"],
        "scan": ["t.csv"],
        "usage": ["t.csv"],
        "import": ["--file", "t.csv"],
        "disable": ["--key-name", "k", "--version", "1", "--yes"],
        "enable": ["--key-name", "k", "--version", "1"],
        "destroy": ["--key-name", "k", "--version", "1", "--yes", "--fingerprint", "00"],
        "bootstrap": ["--print-hcl"],
    }.get(path[-1], [])


@pytest.mark.parametrize(
    "path", [p for p in all_commands() if p[-1] not in ("dev", "demo")], ids=" ".join
)
def test_no_wrong_value_ends_in_a_traceback(run, path):
    options = [one for one in command_at(path).params if not getattr(one, "is_flag", False)]
    for option in options:
        for value in WRONG:
            given = [*option.opts[:1], value] if isinstance(option, click.Option) else [value]
            ran = run(*path, *sound(path), *given)
            assert ran.code in {0, 1, 2, 3, 4, 5}, (given, ran)
            assert "Traceback" not in ran.err
            assert ran.code == 0 or re.search("^error: |^Error: ", ran.err, re.MULTILINE), given
            assert not PYTHON.search(ran.err), (given, ran.err)


@pytest.mark.parametrize("path", [("vault", "dev"), ("demo",)], ids=" ".join)
@pytest.mark.parametrize("option", ["--port", "--data", "--env", "--nothing"])
def test_no_wrong_value_starts_a_server(run, path, option):
    for value in ("x", "-1", "/", "70000"):
        ran = run(*path, option, value)
        assert ran.code == 2, ran
        assert "rror: " in ran.err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--small-domain nope", "Invalid value for --small-domain: 'nope' is not known"),
        ("--on-invalid nope", "Invalid value for --on-invalid: 'nope' is not known"),
        ("--on-ordered nope", "Invalid value for --on-ordered: 'nope' is not known"),
        ("--normalize nope", "Invalid value for --normalize: 'nope' is not known"),
        ("--strategy nope", "Invalid value for --strategy: 'nope' is not known"),
        ("--format ssn=nope", "Invalid value for --format: column 'ssn': there is no format"),
        ("--format nope=ssn", "Invalid value for --format: names 'nope'"),
        ("--domain nope=x", "Invalid value for --domain: names 'nope'"),
        ("--tweak nope=ssn", "Invalid value for --tweak: names 'nope'"),
        ("--profile nope", "Invalid value for --profile: the settings have no profile"),
        ("--delimiter ;;", "Invalid value for --delimiter: ';;' is not one ASCII character"),
        ("--columns nope", "Invalid value for --columns: "),
        ("--output /", "Invalid value for --output: '/' is a folder; name a file in it"),
        ("--output .", "Invalid value for --output: '.' is a folder; name a file in it"),
        ("--strategy fpe --strategy token", "write COLUMN=NAME for each"),
    ],
)
def test_wrong_usage_of_anonymize_names_the_option_and_exits_with_2(run, line, told):
    ran = run("anonymize", "t.csv", "--columns", "ssn", "--output", "o.csv", *line.split())
    assert told in ran.err
    assert ran.code == 2
    assert not Path("o.csv").exists()


def test_without_columns_and_rules_the_option_is_named(run):
    ran = run("anonymize", "t.csv", "--output", "o.csv")
    assert ran.code == 2
    assert "Name the columns in --columns, or write rules" in ran.err


@pytest.mark.parametrize(
    ("table", "line", "advice"),
    [
        ("a\nAl\n", "", "Pass --small-domain token to replace"),
        ("a\nxx\n", "--format a=ssn", "Pass --on-invalid token to replace"),
        ("a\n219-09-9999\n", "--key-versions", "leave --key-versions out"),
    ],
)
def test_advice_on_columns_names_options_of_the_command(run, project, table, line, advice):
    (project / "a.csv").write_text(table)
    ran = run("anonymize", "a.csv", "--columns", "a", "--output", "o.csv", *line.split())
    assert ran.code == 1
    assert advice in ran.err
    assert not PYTHON.search(ran.err)


def test_advice_on_files_names_options_of_the_command(run, project):
    line = ("anonymize", "t.csv", "--columns", "ssn", "--output", "o.csv")
    assert run(*line).code == 0
    assert "exists already; --force replaces it" in run(*line).err
    (project / "other.csv").write_text(TABLE.replace("219", "987"))
    manifest = ("--manifest", "o.csv.manifest.json")
    ran = run("reidentify", "other.csv", "--output", "p.csv", *manifest)
    assert ran.code == 1
    assert "--no-table-check if this is the right one" in ran.err


@pytest.mark.parametrize("path", [(), ("keys",), ("vault",), ("settings",), *all_commands()])
def test_the_option_h_prints_the_help(run, path):
    assert run(*path, "-h").out == run(*path, "--help").out != ""


@pytest.mark.parametrize("option", [("--length", "15"), ("--length", "x"), ("--version", "0")])
@pytest.mark.parametrize("command", ["get-key", "info", "generate-key"])
def test_numbers_out_of_bounds_exit_with_2(run, command, option):
    assert run("keys", command, *option).code == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "nothing"])
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"COMP_WORDS": "secureml keys", "COMP_CWORD": "x"},
        {"COMP_WORDS": "secureml keys get-key extra ", "COMP_CWORD": "4"},
        {"COMP_WORDS": "secureml 'keys", "COMP_CWORD": "1"},
        {"COMP_WORDS": "secureml --env \x1b nothing ", "COMP_CWORD": "4"},
    ],
)
def test_completion_prints_no_traceback(installed, shell, variables):
    for order in (f"{shell}_complete", shell, f"{shell}_source"):
        ran = installed(_SECUREML_COMPLETE=order, **variables)
        assert "Traceback" not in ran.err
        assert "Error" not in ran.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="it takes a device that is full")
@pytest.mark.parametrize(
    "line", ["settings show", "settings schema", "scan t.csv", "keys get-key", "--help", "keys -h"]
)
def test_output_that_can_t_be_written_is_an_error(start, line):
    with Path("/dev/full").open("wb") as full:
        process = start(*line.split(), stdout=full, stderr=subprocess.PIPE)
        error = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1
    assert error.endswith(f"error: the output can't be written ({os.strerror(errno.ENOSPC)})\n")
    assert "Traceback" not in error
    assert "Exception ignored" not in error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="it takes a device that is full")
def test_errors_that_can_t_be_written_leave_the_exit_code(start):
    with Path("/dev/full").open("wb") as full:
        process = start("settings", "show", "--env", "", stdout=subprocess.DEVNULL, stderr=full)
    assert process.wait(60) == 2


@pytest.mark.parametrize(
    "kind", [pa.string_view(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]
)
def test_scan_takes_text_of_every_type(run, project, kind):
    frame = pd.DataFrame({"email": [f"{i}@example.org" for i in range(50)]})
    text = pa.array(frame["email"], pa.string())
    column = text.cast(kind) if not pa.types.is_dictionary(kind) else text.dictionary_encode()
    try:
        parquet.write_table(pa.table({"email": column}), project / "t.parquet")
    except pa.ArrowNotImplementedError:
        pytest.skip(f"this version of pyarrow writes no Parquet columns of {kind}")
    ran = run("scan", "t.parquet")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("email: ")
    line = ("anonymize", "t.parquet", "--columns", "email", "--strategy", "token", "--preview")
    assert run(*line).code == 0


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_usage_of_a_file_whose_manifest_is_lost_is_a_failure(run, project, options):
    run("anonymize", "t.csv", "--columns", "ssn", "--output", "o.csv")
    assert run("keys", "usage", "o.csv", *options).code == 0
    (project / "o.csv.manifest.json").unlink()
    ran = run("keys", "usage", "o.csv", "t.csv", *options)
    assert ran.code == 1
    assert ran.err.endswith("error: which keys 2 of 2 files need can't be told\n")

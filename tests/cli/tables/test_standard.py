"""Standard input and output in the place of files: nothing else is printed there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from helpers.tables import TABLE


def test_a_table_goes_through_a_pipe_and_back(installed, plain, hidden):
    line = "anonymize - -o - --columns ssn,name --manifest-output m.json"
    there = installed(*line.split(), data=TABLE.encode())
    assert (there.code, there.out) == (0, hidden.read_text())
    assert "standard output   100" in there.err
    line = "reidentify - -o - --manifest m.json --json"
    back = installed(*line.split(), data=there.out.encode())
    assert (back.code, back.out) == (0, TABLE)
    told = json.loads(back.err)
    assert (told["path"], told["rows"]) == ("-", 100)
    assert installed(*line.split(), "--quiet", data=there.out.encode()).out == TABLE


def test_parquet_goes_through_a_pipe_with_its_manifest(start, plain):
    table = pa.table({"ssn": ["219-09-9999", "078-05-1120"]})
    parquet.write_table(table, "plain.parquet")
    with Path("plain.parquet").open("rb") as file:
        first = start(
            *["anonymize", "-", "-o", "-", "--columns", "ssn"], stdin=file, stdout=subprocess.PIPE
        )
    second = start(*["reidentify", "-", "-o", "back.parquet"], stdin=first.stdout)
    first.stdout.close()
    assert (first.wait(60), second.wait(60)) == (0, 0)
    assert parquet.read_table("back.parquet").equals(table)


def test_warnings_and_errors_stay_away_from_standard_output(installed, plain, monkeypatch):
    monkeypatch.delenv("SECUREML_VAULT_URL")
    line = "anonymize - -o - --columns ssn --manifest-output m.json"
    ran = installed(*line.split(), data=TABLE.encode(), SECUREML_USE_DEFAULT_FALLBACK="true")
    assert ran.code == 0
    assert ran.out.startswith("ssn,name,n\n")
    assert len(ran.out.splitlines()) == 101
    assert "warning: " in ran.err
    ran = installed(*line.split(), data=b"")
    assert (ran.code, ran.out) == (1, "")


def test_scan_and_preview_read_standard_input(installed, plain):
    ran = installed("scan", "-", data=TABLE.encode())
    assert ran.out.startswith("ssn: US social security number\n")
    ran = installed(*["anonymize", "-", "--columns", "ssn", "--preview", "1"], data=TABLE.encode())
    assert "100-12-3456" in ran.out


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("anonymize - -o - --columns ssn", "Invalid value for --manifest-output: is missing"),
        ("anonymize - plain.csv -o out --columns ssn", "- for standard input stands alone"),
        (
            "anonymize plain.csv -o h.csv --columns ssn --manifest-output m.json",
            "Invalid value for --manifest-output: is for standard output alone",
        ),
        (
            "anonymize plain.csv plain.csv -o out --columns ssn --manifest-output m.json",
            "--manifest-output is of one file",
        ),
    ],
)
def test_what_does_not_go_with_standard_output_is_wrong_usage(installed, plain, line, told):
    ran = installed(*line.split(), data=TABLE.encode())
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err

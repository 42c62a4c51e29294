"""How a CSV file is written, told on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from secureml.files import manifest_of

ROWS = [(f"{number}-12-3456", f"Zoë Nr {number:07}") for number in range(100, 150)]


@pytest.fixture
def odd(plain: Path) -> Path:
    """A file in another encoding, without a header, separated by something of its own."""
    path = plain.with_name("odd.csv")
    path.write_text("".join(f"{ssn}~{name}\n" for ssn, name in ROWS), encoding="cp1252")
    return path


OPTIONS = ("--delimiter", "~", "--encoding", "cp1252", "--no-header")


def test_delimiter_encoding_and_header_reach_all_commands(run, odd):
    assert run("anonymize", odd, "-o", "h.csv", "--columns", "1,2", *OPTIONS).code == 0
    assert list(manifest_of("h.csv")["columns"]) == ["1", "2"]
    assert odd.with_name("h.csv").read_bytes().count(b"~") == len(ROWS)
    assert run("rekey", "h.csv", "-o", "r.csv", *OPTIONS).code == 0
    assert run("reidentify", "r.csv", "-o", "back.csv", *OPTIONS).code == 0
    assert odd.with_name("back.csv").read_bytes() == odd.read_bytes()
    found = json.loads(run("scan", odd, *OPTIONS, "--json").out)
    assert [one["column"] for one in found] == ["1"]
    shown = run("anonymize", odd, "--columns", "2", "--preview", "1", *OPTIONS)
    assert "Zoë Nr 0000100" in shown.out


def test_the_delimiter_is_found_out(run, plain):
    plain.write_text(plain.read_text().replace(",", ";"))
    assert run("anonymize", plain, "-o", "h.csv", "--columns", "ssn").code == 0
    assert plain.with_name("h.csv").read_text().startswith("ssn;name;n\n")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--encoding", "klingon"), "Invalid value for --encoding: "),
        (("--encoding", "utf-7"), "Invalid value for --encoding: "),
        (("--delimiter", ""), "Invalid value for --delimiter: "),
        (("--delimiter", "ab"), "Invalid value for --delimiter: "),
    ],
)
def test_what_can_not_be_a_delimiter_or_an_encoding_is_wrong_usage(run, plain, options, told):
    ran = run("anonymize", plain, "-o", "h.csv", "--columns", "ssn", *options)
    assert ran.code == 2
    assert told in ran.err

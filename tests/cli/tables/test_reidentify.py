"""Tables in files, recovered."""

from __future__ import annotations

from helpers.tables import TABLE


def test_anonymize_and_reidentify_recover_a_file(run, plain, hidden):
    ran = run("reidentify", hidden, "--output", "again.csv")
    assert ran.code == 0
    assert ran.out.splitlines()[1].split()[:2] == ["again.csv", "100"]
    assert plain.with_name("again.csv").read_text() == TABLE
    assert run("reidentify", hidden, "--output", "again.csv").code == 1
    assert run("reidentify", hidden, "--output", "again.csv", "--force").code == 0


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

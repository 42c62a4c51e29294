"""What the commands for tables share: failures, progress, and files of all kinds."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pandas as pd

import secureml


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
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal ends that nobody writes to any more
        while part := os.read(ours, 65536):
            shown += part
    os.close(ours)
    assert done.returncode == 0, shown
    assert b"100%" in shown

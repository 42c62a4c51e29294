"""What changes files is killed before every single change that it makes to the file system."""

from __future__ import annotations

from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("crash_at_each_step.py")


@pytest.mark.parametrize(
    ("kind", "where", "stride"),
    [
        ("csv", "place", 1),
        ("csv", "output", 4),
        ("parquet", "place", 4),
        ("feather", "place", 6),
        ("jsonl.gz", "output", 6),
    ],
)
def test_a_rekey_that_is_killed_at_any_step_loses_no_row(run_python, tmp_path, kind, where, stride):
    done = run_python(str(SCRIPT), str(tmp_path), kind, where, str(stride), timeout=240)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30


def test_an_anonymize_that_is_killed_at_any_step_leaves_a_recoverable_output(run_python, tmp_path):
    done = run_python(str(SCRIPT), str(tmp_path), "csv", "replaced", "1")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10

"""What changes files is killed before every single change that it makes to the file system."""

from __future__ import annotations

from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("crash_at_each_step.py")


@pytest.mark.parametrize(
    ("kind", "where", "stride"),
    [("csv", "place", 1), ("csv", "output", 4), ("parquet", "place", 4)],
)
def test_at_whatever_step_it_is_killed_no_row_is_lost(run_python, tmp_path, kind, where, stride):
    done = run_python(str(SCRIPT), str(tmp_path), kind, where, str(stride), timeout=240)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30


def test_at_whatever_step_anonymize_is_killed_the_output_can_be_recovered(run_python, tmp_path):
    done = run_python(str(SCRIPT), str(tmp_path), "csv", "replaced", "1")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10

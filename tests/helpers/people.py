"""Values and comparisons for tests of pandas' tables."""

from __future__ import annotations

import pandas as pd

SSNS = ["078-05-1120", "219-09-9999", "457-55-5462"]

SENSITIVE = ["ssn", "name", "id"]


def same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(left, right)
    assert left.attrs == right.attrs

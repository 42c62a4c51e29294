"""SECURITY.md: every test that it names is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "SECURITY.md"
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)*)`", PAGE.read_text())))


def names_in(body: list[ast.stmt], holder: str = "") -> Iterator[str]:
    """Tell the tests of a module, those of its classes behind the name of the class."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield holder + node.name
        if isinstance(node, ast.ClassDef):
            yield from names_in(node.body, f"{node.name}::")


@pytest.mark.parametrize("named", NAMED)
def test_what_is_claimed_is_tested_where_it_says(named: str) -> None:
    file, _, test = named.partition("::")
    assert (ROOT / file).is_file()
    assert not test or test in names_in(ast.parse((ROOT / file).read_text()).body)


def test_every_claim_that_holds_names_a_test() -> None:
    claims = re.findall(r"^\| holds \|.*$", PAGE.read_text(), re.MULTILINE)
    assert claims
    assert [claim for claim in claims if "`tests/" not in claim] == []

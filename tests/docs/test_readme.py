"""The README does what it says, line by line."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def test_every_block_works(reader):
    reader.follow(README)


def test_the_readme_has_the_lines_that_the_project_promises(blocks):
    lines = {line for block in blocks("README.md") for line in block.text.splitlines()}
    assert {
        "make demo",
        "make test",
        "pip install 'secureml[vault]'",
        "poetry add secureml -E vault",
        "secureml keys configure-vault --vault-url http://127.0.0.1:8200 --vault-token myroot "
        "--test-connection",
        "secureml keys generate-key --key-name master_key",
        "secureml keys get-key --key-name master_key",
    } <= lines


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)", README.read_text(encoding="utf-8"))
    assert "docs/_static/layers.svg" in links
    assert [link for link in links if not (ROOT / link).exists()] == []

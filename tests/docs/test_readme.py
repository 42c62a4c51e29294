"""The README does what it says, line by line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
RANDOM = re.compile(r"127\.0\.0\.1:\d+|\d+\.\d+ s|fingerprint [0-9a-f]+|│[^│]+│$")
"""Ports, seconds, keys, and the last column of the table: pseudonyms."""


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


def test_the_picture_of_the_demo_shows_what_the_demo_prints(run_python):
    done = run_python("-m", "secureml", "demo", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    lines = [RANDOM.sub("...", line) for line in done.stdout.splitlines() if line]
    drawn = [RANDOM.sub("...", line) for line in lines_of(ROOT / "docs/img/demo.svg")]
    assert drawn == ["$ secureml demo", *lines], "make docs-demo draws it anew"


def test_the_picture_of_the_demo_fetches_nothing():
    picture = (ROOT / "docs/img/demo.svg").read_text(encoding="utf-8")
    assert re.findall(r"@import|@font-face|href|url\((?!#)", picture) == []


def lines_of(picture: Path) -> Iterator[str]:
    """The lines of a terminal in a picture of rich, without empty ones."""
    lines: dict[str, str] = {}
    for text in ElementTree.parse(picture).iter("{http://www.w3.org/2000/svg}text"):
        if line := text.get("clip-path"):
            lines[line] = lines.get(line, "") + (text.text or "")
    texts = (line.replace("\xa0", " ").rstrip() for line in lines.values())
    return filter(None, texts)

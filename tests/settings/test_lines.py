from __future__ import annotations

import os
import random
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from secureml.settings.lines import blanked, lines_of

Write = Callable[..., Path]


def test_keys_of_tables_in_tables_have_their_own_lines(write: Write) -> None:
    path = write(
        "a.b = { c = 1, d = { e = 2 } }\n"
        "\n"
        "[x.'y z'] # [no.header]\n"
        "q = [\n"
        "  '[no.header]', # ]\n"
        '  """\n[no.header]\n""",\n'
        "]\n"
        "r = 1\n"
        "[[list]]\n"
        "s = 1\n"
        "[x]\n"
        "t = '''\nr = 2\n'''\n"
        "u = 1"
    )
    assert lines_of(path) == {
        ("a",): 1,
        ("a", "b"): 1,
        ("a", "b", "c"): 1,
        ("a", "b", "d"): 1,
        ("a", "b", "d", "e"): 1,
        ("x",): 3,
        ("x", "y z"): 3,
        ("x", "y z", "q"): 4,
        ("x", "y z", "r"): 10,
        ("list",): 11,
        ("list", "s"): 12,
        ("x", "t"): 14,
        ("x", "u"): 17,
    }


@pytest.mark.parametrize("content", [b"[a", b"\xff", b"a = " + b"[" * 5000 + b"]" * 5000])
def test_a_file_that_is_no_toml_has_no_lines(write: Write, content: bytes) -> None:
    assert lines_of(write(content)) == {}


def test_what_is_no_file_has_no_lines(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    assert lines_of(tmp_path / "pipe.toml") == {}
    assert lines_of(tmp_path) == {}
    assert lines_of(tmp_path / "none.toml") == {}


def test_lines_are_those_of_the_file_as_it_is_now(write: Write) -> None:
    assert lines_of(write("a = 1\n")) == {("a",): 1}
    assert lines_of(write("\na = 1\n")) == {("a",): 2}


def test_the_lines_of_a_file_of_a_mebibyte_are_found_at_once(write: Write) -> None:
    count = (1 << 20) // 12
    values = ",\n".join(f'"v{number:07}"' for number in range(count // 2))
    names = "".join(f"k{number:06}=1\n" for number in range(count // 2))
    found = lines_of(write(f"[a]\nlist = [\n{values}\n]\n{names}"))
    assert found["a", "list"] == 2
    assert found["a", "k000000"] == 4 + count // 2


def test_every_value_of_random_documents_has_a_line_at_which_it_can_be_read(
    tmp_path: Path, runs: int, seed: int
) -> None:
    tomlkit = pytest.importorskip("tomlkit")

    def table(chance: random.Random, depth: int) -> dict[str, Any]:
        keys = chance.sample(["a", "b c", 'd"', "e.f", "#", "[g]", "h'"], chance.randint(0, 3))
        values = [1, "x\n[a]\n", "# '''", ["[", "]"], {"i": "}"}]
        return {
            key: table(chance, depth - 1)
            if depth and chance.random() < 0.5
            else chance.choice(values)
            for key in keys
        }

    def leaves(tree: dict[str, Any], outer: tuple[str, ...] = ()) -> Any:
        for key, value in tree.items():
            yield (*outer, key)
            if isinstance(value, dict):
                yield from leaves(value, (*outer, key))

    path = tmp_path / "random.toml"
    for number in range(seed, seed + runs):
        document = table(random.Random(number), 3)
        text = tomlkit.dumps(document)
        path.write_text(text)
        lines = text.split("\n")
        found = lines_of(path)
        assert tomllib.loads(text) == document
        for keys in leaves(document):
            last = tomlkit.key(keys[-1]).as_string()
            assert keys[-1] in lines[found[keys] - 1] or last in lines[found[keys] - 1], text


def test_strings_and_comments_are_blanked_in_place() -> None:
    text = 'a = \'x\' # [y]\nb = """\n[\n"""'
    assert blanked(text) == "a = kkk kkkkk\nb = kkkkkkkkk"
    assert len(blanked(text)) == len(text)

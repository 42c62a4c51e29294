"""``settings validate``: every problem with its line, and an exit code for CI."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

WRONG = """\
[default]
vault_tocken = "hunter2"
vault_password = "hun-ter3\\n\\u0000"
[development]
[production]
use_default_fallback = true
"""


def test_each_problem_is_a_line_with_file_and_line(run, tmp_path, monkeypatch):
    (tmp_path / "settings.toml").write_text(WRONG)
    ran = run("settings", "validate")
    assert ran.code == 2
    assert ran.out.splitlines() == [
        "settings.toml:2: [default] unknown setting 'vault_tocken'; did you mean 'vault_token'?",
        "settings.toml:3: [default] vault_password holds a NUL character",
        "settings.toml:6: [production] use_default_fallback can't be true in production",
    ]
    assert ran.err == "error: 3 problems in the settings\n"
    below = tmp_path / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert run("settings", "validate").out.startswith(f"{tmp_path / 'settings.toml'}:2: ")


def test_one_environment_can_be_selected(run, tmp_path):
    (tmp_path / "settings.toml").write_text(
        "[default]\nuse_default_fallback = true\n[development]\n[production]\n"
        "use_default_fallback = false\n"
    )
    ran = run("settings", "validate")
    assert (ran.code, ran.out) == (0, "no problem: development, production\n")
    ran = run("settings", "validate", "--env", "stage")
    assert (ran.code, ran.err) == (2, "error: 1 problem in the settings\n")
    assert ran.out == "settings.toml:2: [default] use_default_fallback can't be true in staging\n"
    assert "did you mean 'production'?" in run("settings", "validate", "--env", "prodution").out


def test_json_has_all_of_it(run, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text(WRONG)
    ran = run("settings", "validate", "--json")
    assert ran.code == 2
    found = json.loads(ran.out)
    assert found["files"] == [str(file)]
    assert found["environments"] == ["development", "production"]
    assert found["problems"][2] == {
        "file": str(file),
        "section": "production",
        "line": 6,
        "keys": ["use_default_fallback"],
        "problem": "use_default_fallback can't be true in production",
    }
    file.write_text("[staging]\n")
    ran = run("settings", "validate", "--json")
    assert (ran.code, json.loads(ran.out)["problems"]) == (0, [])


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_no_value_is_printed(run, tmp_path, form):
    (tmp_path / "settings.toml").write_text(WRONG)
    ran = run("settings", "validate", *form)
    assert "hun" not in ran.out + ran.err


def test_variables_count_only_if_they_are_asked_for(run, tmp_path, monkeypatch):
    (tmp_path / "settings.toml").write_text("[staging]\n")
    monkeypatch.setenv("SECUREML_ENV", "nonsense")
    monkeypatch.setenv("SECUREML_CACHE_TTL", "soon")
    assert run("settings", "validate").code == 0
    ran = run("settings", "validate", "--variables")
    assert ran.code == 2
    assert ran.out.startswith("SECUREML_CACHE_TTL: cache_ttl must be a plain number")


def test_a_file_that_a_variable_names_counts_only_if_it_is_asked_for(run, tmp_path, monkeypatch):
    (tmp_path / "settings.toml").write_text("[staging]\n")
    (tmp_path / "other.toml").write_text("[staging]\ncolour = 1\n")
    monkeypatch.setenv("SECUREML_SETTINGS_FILE", "other.toml")
    ran = run("settings", "validate")
    assert ran.code == 0
    assert ran.err == "note: SECUREML_SETTINGS_FILE does not count; --variables has it count\n"
    ran = run("settings", "validate", "--variables")
    assert ran.out == "other.toml:2: [staging] unknown setting 'colour'\n"
    assert run("settings", "validate", "settings.toml").err == ""


def test_a_file_can_be_named(run, tmp_path):
    (tmp_path / "settings.toml").write_text("[staging]\ncolour = 1\n")
    folder = tmp_path / "deploy"
    folder.mkdir()
    (folder / "right.toml").write_text("[staging]\n")
    link = tmp_path / "link.toml"
    link.symlink_to(folder / "right.toml")
    for path in ("deploy/right.toml", "link.toml", folder / "right.toml"):
        ran = run("settings", "validate", path)
        assert (ran.code, ran.out) == (0, "no problem: staging\n")


def test_no_file_is_an_error(run):
    ran = run("settings", "validate")
    assert (ran.code, ran.out) == (2, "")
    assert "there is no settings file here or in a folder above" in ran.err
    assert run("settings", "validate", "--variables").code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "can't be read (No such file or directory)"),
        ("folder", "is not a file"),
        ("pipe", "is not a file"),
        (b"\xff\xfea\0", "is not UTF-8 (line 1)"),
        (b"[default]\r\ncache_ttl = \r\n", "is not TOML (line 2)"),
        (b"#" * 1_100_000, "is larger than 1 MiB"),
    ],
)
def test_what_is_no_settings_file_is_a_problem(run, tmp_path, content, said):
    path = tmp_path / "mine.toml"
    if content == "folder":
        path.mkdir()
    elif content == "pipe":
        os.mkfifo(path)
    elif content is not None:
        path.write_bytes(content)
    ran = run("settings", "validate", path)
    assert ran.code == 2
    line = f":{said[-2]}" if "line" in said else ""
    assert ran.out == f"mine.toml{line}: {said}\n"


def test_many_problems_of_a_large_file_are_told_at_once(run, tmp_path):
    rules = "".join(f'[default.columns.c{number:05}]\nstrategy = "x"\n' for number in range(20_000))
    Path("settings.toml").write_text(rules)
    ran = run("settings", "validate")
    assert ran.code == 2
    lines = ran.out.splitlines()
    assert len(lines) == 20_000
    assert lines[-1].startswith("settings.toml:40000: [default] columns.c19999: strategy must be")


def test_secrets_in_files_are_warned_of(run, tmp_path):
    (tmp_path / "settings.toml").write_text("[production]\nvault_token = 'hunter2'\n")
    ran = run("settings", "validate")
    assert (ran.code, ran.out) == (0, "no problem: production\n")
    assert "vault_token stands in a settings file; use vault_token_file" in ran.err


def test_text_of_a_file_can_not_steer_the_terminal(run, tmp_path):
    (tmp_path / "settings.toml").write_text('[default]\n"a\\u001b[2J" = 1\n')
    ran = run("settings", "validate")
    assert "\x1b" not in ran.out
    assert ran.out.startswith("settings.toml:2: ")
